/* A source gives records, one after another, and knows how far it has come. */
#ifndef COLLECTOR_SOURCE_H
#define COLLECTOR_SOURCE_H

#include <base/log.h>
#include <collector/config.h>
#include <collector/positions.h>

/* One record, in one of four shapes. Everything lives until the next call for the source. */
struct source_record {
    const char *problem;                  /* not NULL: it cannot be read, and this is why; else */
    const poise_measurement *measurement; /* not NULL: one that was refused before; else */
    const struct source_config *config;   /* whose mapping reads */
    const struct csv_field *cells;        /* these, by slot of its columns */

    enum row_fault fault; /* of the problem */
    bool foreign;         /* raw is no row, but a line of the dead letters: to be kept as it is */
    const char *file;     /* where the row came from */
    const char *header;   /* ended by 0; NULL: the configuration names the columns */
    const char *raw;      /* as it came */
    size_t raw_length;
    bool cut; /* raw is only its beginning */
    uint64_t inode, offset, line;
};

/* The measurements of a record; as mapping_apply. */
poise_code source_map(const struct source_record *record, struct arena *scratch, struct mapped *ret_mapped,
                      enum row_fault *ret_fault, poise_error *err);

struct source;
struct source_ops {
    /* ENOTFOUND: nothing more for now; ECLOSED: nothing more ever; else the source cannot be read. Never
     * blocks. */
    poise_code (*next)(struct source *source, struct source_record *ret_record, poise_error *err);
    /* Behind the last record that was given; false: it cannot be found again. */
    bool (*position)(struct source *source, struct position *ret_position);
    int (*wait_fd)(const struct source *source); /* readable when there may be more; -1: ask now and then */
    void (*close)(struct source *source);
};
struct source { /* the head of each kind's own struct */
    const struct source_ops *ops;
    const char *name;
};

static inline void source_close(struct source *source)
{
    if (source) {
        source->ops->close(source);
    }
}

struct source_options {
    bool once;                     /* ends at the present end, whatever the configuration says */
    const struct positions *known; /* of an earlier run; looked at when the source is opened */
    const struct log *log;         /* outlives the source */
};
/* Opens no file yet: next does. */
poise_code source_csv_open(const struct source_config *config, const struct source_options *options,
                           struct source **ret_source, poise_error *err);
/* Dead letters of the sources of a configuration, each once. `path` is borrowed. */
poise_code source_letters_open(const char *path, const struct collector_config *config,
                               const struct source_options *options, struct source **ret_source,
                               poise_error *err);

#endif
