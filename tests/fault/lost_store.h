/* What the parts of test_lost_store.c share. */
#ifndef FAULT_LOST_STORE_H
#define FAULT_LOST_STORE_H

#include "lost.h"
#include <store/store.h>
#include <unit/store/plain.h>

enum { LOST_PATH = 320, ROWS_A_RECORD = 9, INPUTS = 2, BUCKETS = 2, INCARNATION = 77 };

enum mark {
    MARK_IS,      /* a: digest of the store, b: its last LSN */
    MARK_TRIES,   /* a record more is there, or none: its sync will fail */
    MARK_COPIES,  /* copy number a is made, of a store with digest b: it is there, or not */
    MARK_COPIED,  /* it is there */
    MARK_REMOVES, /* it is there, or not */
};

struct work {
    const char *directory;
    char path[LOST_PATH]; /* of the store */
    struct store *store;
    uint64_t seed;
    uint64_t drawn;  /* numbers */
    bool lives;      /* it is recorded */
    bool over;       /* the life is: a sync failed */
    bool unfinished; /* a run is, and nobody goes on with it */
};

uint64_t draw(struct work *work, uint64_t below);
/* A full disk is tried again later; after a failed sync the process must end. */
void did(struct work *work, poise_code code, const poise_error *err);
/* The store is now as it is. */
void noted(struct work *work);
struct store_options lost_options(const char *path);
size_t length_of(uint64_t lsn); /* of a record */

/* ---- lost_store_digest.c ---- */

/* Of all that the store holds but the contents of records and rows: these are checked to be what records of
 * such numbers have. */
uint64_t digest_of(struct store *store);
/* Of the records up to that one: rows, the same in each life, the last one's place, and how many series. */
struct plain rows_until(uint64_t lsn);
uint64_t last_place(uint64_t lsn);
uint32_t series_until(uint64_t lsn);
bool has_remains(uint64_t lsn);
struct past_name name_of(uint32_t number, char org[16]);
struct past_commit commit_of(uint64_t lsn);

/* ---- lost_store_runs.c: steps ---- */

void put_run(struct work *work);
void merge_runs(struct work *work);
void scrub(struct work *work);

/* ---- lost_store_copies.c: steps ---- */

void back_up(struct work *work);
void back_up_without_sync(struct work *work);
void restore(struct work *work);
/* What has a copy's name is whole. */
void check_copies(const char *directory, const struct lost_marks *marks);

#endif
