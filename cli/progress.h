/* One line on a terminal that says how far a long job is, painted again in place; nothing where there is no
 * terminal. */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include "table.h"
#include <stdint.h>

struct progress {
    /* the caller's, for the next look */
    uint64_t rows;
    uint64_t done, total; /* in any unit; total 0: not known */
    uint64_t acknowledged;
    bool acknowledges; /* it is worth saying */
    /* its own */
    FILE *out; /* NULL: there is no terminal */
    int64_t begun_us, shown_us;
    bool shown;
};

void progress_begin(struct progress *progress, FILE *out); /* NULL: never shown */
/* Cheap; paints ten times a second at most. */
void progress_look(struct progress *progress);
/* Takes the line away, as before other text and at the end; the next look paints it again. */
void progress_hide(struct progress *progress);

/* The line, no longer than the style allows. */
void progress_put(const struct progress *progress, const struct table_style *style, int64_t elapsed_us,
                  struct buf *out);

#endif
