/* What stays of journal records when they are trimmed, beside their rows in runs: when each was committed
 * (table `commits`), the names of the series (`names`), and of records with something else to say (orders,
 * rows that were refused as locked, revisions) a record of that alone (`remains`). All of it follows from the
 * journal. docs/series-store.md has the bytes. */
#ifndef STORE_PAST_H
#define STORE_PAST_H

#include "store.h"

/* ---- writing: entries of a slice (store/runs.h) ---- */

enum { PAST_COMMITS = 4096, PAST_NAMES = 256 }; /* of an entry, at most */

struct past_commit { /* of a record */
    int64_t as_of_ms;
    uint64_t first_place; /* of its rows, or, where it has none, of the next */
    uint64_t series;      /* how many it and those before it have numbered; 0: that is not known */
};
/* Of the records from first_lsn on. */
void past_put_commits(struct buf *entries, uint64_t first_lsn, const struct past_commit *commits,
                      size_t count);
struct past_name {
    const char *measure, *org, *source;
    bool by_retraction; /* the row that numbered it is one: it does not say that the org is there */
};
/* Of the series from number `first` on. */
void past_put_names(struct buf *entries, uint32_t first, const struct past_name *names, size_t count);
/* Of a record with its LSN; codes as record_encode. */
poise_code past_put_remains(struct buf *entries, const struct journal_record *record, poise_error *err);

/* ---- reading ---- */

/* What the runs hold that are whole. */
struct store_past {
    uint64_t lsn;        /* the chunks LSN */
    uint64_t last_place; /* of the rows of its records, refused ones too */
    int64_t as_of_ms;    /* T of the last of them */
};
struct store_past store_reader_past(const struct store_reader *reader);
/* The last record of those, that is not above until_lsn nor of a later T: ret_past->lsn 0: there is none. */
poise_code store_read_past(struct store_reader *reader, uint64_t until_lsn, int64_t until_ms,
                           struct store_past *ret_past, poise_error *err);
/* How many series there were as of one of those records, which tells what there was where its rows are
 * dropped; 0: a version that did not note it made its run. */
poise_code store_read_series(struct store_reader *reader, uint64_t lsn, uint64_t *ret_series,
                             poise_error *err);
/* The series from number `from` on, in order; codes as store_read_journal. Some of the last may be of no run
 * that is whole. */
poise_code store_read_names(struct store_reader *reader, uint32_t from,
                            poise_code (*visit)(void *visitor, uint32_t number, const struct past_name *name),
                            void *visitor, poise_error *err);

#endif
