/* A sender, and the aggregator that the test plays for it. */
#ifndef CLIENT_TEST_SENDER_BENCH_H
#define CLIENT_TEST_SENDER_BENCH_H

#include "fake.h"

#include <poise/client.h>

struct bench {
    struct fake fake;
    char spool[128];
    poise_sender_options options;
    poise_sender *sender;
    uint64_t epoch;   /* of the last HELLO, */
    int64_t hello_ms; /* and when it came */
    char told[256];   /* what the refused callback heard, a call in brackets, */
    poise_code veto;  /* and answers */
};

extern const uint8_t STORE[WIRE_STORE_ID];

void hear(struct bench *b, const char *text);
int setup(void **state);
int teardown(void **state);
void send_value(struct bench *b, double value);
void send_batch(struct bench *b, int from, int rows);
void expect(struct bench *b, enum wire_kind kind);
struct wire_hello expect_hello(struct bench *b);
struct wire_batch expect_batch(struct bench *b, uint64_t seq);
void expect_nothing(struct bench *b);
void welcome_as(struct bench *b, const uint8_t *store, uint64_t next_seq, uint64_t last_hash,
                uint32_t credit);
void welcome(struct bench *b, uint64_t next_seq, uint64_t last_hash, uint32_t credit);
void ack(struct bench *b, uint64_t seq, uint32_t credit, const struct wire_refusal *refusals, size_t count);
void gap(struct bench *b, uint64_t expected);
void expect_drained(struct bench *b);
poise_error expect_failure(struct bench *b);
poise_sender_stats stats(const struct bench *b);
void open_sender(struct bench *b);
void reopen(struct bench *b);

#endif
