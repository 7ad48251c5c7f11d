/* Ingest over real sockets; producers and the writer are played by the test. */
#ifndef TESTS_UNIT_AGGREGATOR_INGEST_FIXTURE_H
#define TESTS_UNIT_AGGREGATOR_INGEST_FIXTURE_H

#include "loop.h"
#include <aggregator/ingest.h>

enum { POOL = 8, CREDIT = 4, MAX_ROWS = 50, EPOCH = 3, INCARNATION = 77 };

struct fixture {
    struct loop loop;
    struct store *store;
    struct ring to_writer, from_writer;
    struct net_wake *wake;
    struct stats stats;
    struct clock clock;
    struct log log;
    int64_t now_us;
    struct ingest *ingest;
    uint32_t max_bytes, max_symbols;
    uint32_t credit;
    struct batch *taken[POOL]; /* by the writer, not yet on disk */
    size_t taken_count;
};

extern const char *user; /* whose key the messages come by, which libzmq says only of CURVE */

int setup(void **state);
int teardown(void **state);
void step(void *machine);
/* setup has opened it; for a start behind it. */
poise_code open_ingest(struct fixture *f, struct ledger *ledger, size_t max_producers);

/* ---- the producer's side ---- */

void send_hello(struct fixture *f, struct net_socket *peer, const char *name, uint64_t next_seq,
                uint64_t last_hash);
void expect_welcome(struct fixture *f, struct net_socket *peer, uint64_t next_seq, uint64_t last_hash);
struct net_socket *greeted(struct fixture *f, const char *name);
uint64_t put_batch(struct fixture *f, uint64_t seq, double value, int rows);
uint64_t send_batch(struct fixture *f, struct net_socket *peer, uint64_t seq, double value);
void expect_ack(struct fixture *f, struct net_socket *peer, uint64_t seq, size_t refusals, uint32_t row);
void expect_gap(struct fixture *f, struct net_socket *peer, uint64_t expected);

/* ---- the writer's side ---- */

void take(struct fixture *f, size_t count);
void commit(struct fixture *f, uint32_t refused);
uint64_t counted(const struct fixture *f, enum stat stat);

#define INGEST_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
