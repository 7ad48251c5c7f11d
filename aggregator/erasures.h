/* What operators have erased, as the journal says: which measurements, of those up to a place. They are on
 * the disk for a while (purge.h); who reads rows of the past leaves them out. */
#ifndef AGGREGATOR_ERASURES_H
#define AGGREGATOR_ERASURES_H

#include <base/buf.h>
#include <poise/error.h>
#include <stdatomic.h>
#include <store/store.h>

/* In the place of a producer: the body says what is erased. It takes the place of a row. */
#define ERASE_PRODUCER "!erase"

struct erasure {
    char *body;                         /* that the texts are in */
    const char *measure, *org, *reason; /* "": all; org is a glob */
    int64_t from_ms, to_ms;             /* of the measurements' times, from <= time < to */
    uint64_t place;                     /* of the last row that it may be of */
    uint64_t rows;
    uint64_t lsn; /* of the order */
    struct cursor seen;
};
struct erasures { /* one thread; zeroed at first */
    struct erasure *items;
    size_t count, capacity;
    uint64_t folded_lsn; /* those of the journal up to there */
};
void erasures_free(struct erasures *erasures);

/* The body of an order; then what it saw, in any order: that a row was accepted of the input at the org, and
 * the place of the first of them. */
void erasure_put(struct buf *body, const struct erasure *erasure, const char *who, size_t seen_count);
void erasure_put_seen(struct buf *body, const char *measure, const char *org, uint64_t place);
/* Adds an order. ECORRUPT: its body cannot be read. */
poise_code erasures_take(struct erasures *erasures, const void *body, size_t length, uint64_t lsn,
                         poise_error *err);
/* Adds those of the records up to `until` that are not there yet. EBUSY: stopped; stop may be NULL. */
poise_code erasures_fold(struct erasures *erasures, struct store *store, uint64_t until,
                         const _Atomic bool *stop, poise_error *err);

/* Whether the erasure names a measurement of that name; of that time and place, too. */
bool erasure_names(const struct erasure *erasure, const char *measure, const char *org);
bool erasures_have(const struct erasures *erasures, const char *measure, const char *org, int64_t time_ms,
                   uint64_t place);
/* Visits what those saw up to a place. */
poise_code erasures_seen(const struct erasures *erasures, uint64_t until_place,
                         poise_code (*visit)(void *visitor, const char *measure, const char *org),
                         void *visitor);

#endif
