/* Lives of a store in test_store.c, step by step. A step that fails is to be done again: what it has
 * acknowledged before is counted in the life, and nothing else. */
#ifndef FAULT_STORE_LIFE_H
#define FAULT_STORE_LIFE_H

#include <limits.h>
#include <store/runs.h>

enum { LIFE_BLOCKS = 4 };

struct life_block {
    struct block block;
    uint8_t bytes[BLOCK_MAX];
};

struct life {
    const char *path;
    struct store *store;
    uint64_t records;     /* acknowledged */
    uint64_t checkpoints; /* likewise; the n-th sets each key to n */
    uint64_t runs;        /* likewise; the n-th has the rows of record n */
    uint64_t merges;      /* likewise; the n-th makes a run of level n */
    size_t met;           /* how many steps saw a failure */

    struct life_block blocks[LIFE_BLOCKS]; /* of the run that is being put */
    size_t block_count;
    uint64_t sources[16]; /* of a merge */
    size_t source_count;

    unsigned tries; /* of backups and restores */
    char backup[16], restored[16];
    uint64_t backup_records;
};

typedef poise_code life_step(struct life *life, poise_error *err);

/* ---- rows: store_rows.c ---- */

life_step step_put_run, step_read_rows, step_put_merge;
life_step step_merge; /* reads; the next step puts what comes of it */
/* After another open, what a failed sync may have left there, acknowledged or not. Nothing fails. */
void rows_find(const struct life *life, uint64_t *ret_runs, uint64_t *ret_merges);

/* ---- backups: store_backups.c ---- */

life_step step_back_up, step_verify, step_restore;
/* What the directory that these are made in has when one failed, and when it is done. */
void backups_check(const struct life *life, life_step *what, bool failed);
bool restored_path(const struct life *life, char ret_path[PATH_MAX]); /* false: nothing was restored */

#endif
