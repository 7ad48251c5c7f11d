/* Requests of bulk protocols, as they go over the wire, into files for bench_push: before each request its
 * length, u32 little-endian. All texts and numbers as a client of that system would send them. */
#ifndef BENCH_FORMATS_H
#define BENCH_FORMATS_H

#include "rows.h"
#include <base/buf.h>
#include <stdio.h>

struct format;

struct writer { /* of one file: what one connection sends */
    const struct format *format;
    FILE *file;
    enum variant variant;
    int64_t start_ms;
    uint32_t frame_rows;
    struct buf body;     /* of the request so far */
    struct buf frame;    /* the whole request */
    struct row *rows;    /* of the request so far */
    uint32_t count;      /* of them */
    uint32_t first_tick; /* of those that may be corrected; UINT32_MAX: there is none */
    uint64_t bytes, frames;
};

/* clickhouse, remote_write, influx, postgres, json (a series a line); NULL: none of these. */
const struct format *format_named(const char *name);
void writer_open(struct writer *writer, const char *path);
void writer_add(struct writer *writer, const struct row *row);
void writer_close(struct writer *writer); /* with what was not written yet */

#endif
