/* A writer over a store on disk, a clock that the test sets, and what ingest hands over. */
#ifndef TESTS_UNIT_AGGREGATOR_WRITER_FIXTURE_H
#define TESTS_UNIT_AGGREGATOR_WRITER_FIXTURE_H

#include "loop.h"
#include <aggregator/settles.h>
#include <aggregator/writer.h>
#include <pthread.h>
#include <stdio.h>

enum { POOL = 4, EPOCH = 3, WIDE = 2500, WIDE_ORGS = 8 };
static const int64_t start_ms = 1772323200000; /* 2026-03-01 */

struct fixture {
    struct loop loop; /* for its directory */
    char path[80];
    struct scorecard *card;
    const struct scorecard *cards[1];
    struct store *store;
    struct ring from_ingest, to_ingest, to_stream, to_restate, restated;
    struct net_wake *wake;
    struct stats stats;
    struct log log;
    char *said; /* what was logged */
    size_t said_length, read;
    int64_t silent_after_ms, journal_bytes;
    int64_t map_bytes;      /* 0: 1 MiB */
    _Atomic int64_t now_ms; /* the committer looks at it, too */
    struct clock clock;
    bool event_clock;
    struct wire_builder *builder;
    struct batch batches[POOL];
    uint64_t seq, back; /* batches; those that the test has counted as given back */
    struct writer *writer;
    bool busy;                         /* some batch always waits */
    bool overlaps;                     /* the test has the commits committed: writer_commit */
    void (*coming)(struct fixture *f); /* hands over what comes while the writer works, once */
    pthread_t writers;                 /* thread */
};

/* The store and the writer, as after a start; EFULL while less than `floor` bytes are free. */
poise_code try_start(struct fixture *f, int64_t floor, poise_error *err);
void start(struct fixture *f, int64_t floor);
void stop(struct fixture *f);
int setup(void **state);
int teardown(void **state);
void add(struct fixture *f, const char *org, const char *source, double value);
/* The next batch of the producer, of what was added, is with the writer. */
struct batch *hand_over_all(struct fixture *f);
struct batch *hand_over(struct fixture *f, double value);
/* The same, of a row at each of so many orgs. */
struct batch *hand_over_of(struct fixture *f, double value, int orgs);
/* An operator's, of nothing; the caller's. */
struct inquiry *order_restate(void);
void step(struct fixture *f);
/* What was published, or all that the writer has told, is of no interest. */
void forget_changes(struct fixture *f);
void forget_all(struct fixture *f);
/* All that the log of changes has. */
void read_settles(struct fixture *f, poise_code (*change)(void *visitor, const struct settles_change *change),
                  void *visitor);
#define WRITER_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
