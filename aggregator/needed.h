/* Rows of runs for an answer about the past: those alone that it needs. A question as of T needs of each
 * measure the time that windows of T and of the trend before it reach back (engine_needs), and of orgs the
 * one that it asks about with those below. Blocks of other days, and of other series as far as no block has
 * both, are not touched; chunks of other times and series are not decoded; and the head of a chunk, which has
 * the count, the extremes and the exact sum of its rows, stands for them where nothing else of them is
 * wanted. What has gone is believed to be. Of the series of which all is passed over, one row says that there
 * is one, since that makes its org one that is asked about. */
#ifndef AGGREGATOR_NEEDED_H
#define AGGREGATOR_NEEDED_H

#include "definitions.h"
#include "erasures.h"
#include "names.h"
#include <engine/engine.h>
#include <stdatomic.h>
#include <store/runs.h>

struct needed {
    struct engine *engine;           /* offline; it has begun at T, but for a history */
    struct names *names;             /* of all series; read on */
    const struct erasures *erasures; /* those rows are left out, or, with a key, retract it */
    const char *org;                 /* NULL: all orgs */
    bool history; /* all rows up to as_of_ms, of all orgs: it begins with the earliest of them */
    int64_t as_of_ms;
    bool all;                          /* all rows of all orgs, whatever their time */
    bool doubts;                       /* what has gone is applied, too */
    bool is_last;                      /* no rows follow */
    const struct definitions *dropped; /* what is frozen: all rows of a series may be gone */
    uint64_t existed;                  /* so many series were there, when it was known */
    uint64_t from_place, until_place;
    struct merge_effort *effort; /* NULL, or what it took is added here */
    const _Atomic bool *stop;    /* EBUSY */
    poise_error *err;
};
/* Applies rows of from_place < place <= until_place, as they stood then. */
poise_code needed_apply(const struct needed *needed, struct store_reader *reader);

#endif
