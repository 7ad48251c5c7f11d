/* bench_ingest: what poise-aggregator takes in, measured from outside as a producer and a subscriber see it.
 * `bench/ingest` runs it. */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include "figures.h"
#include "rows.h"
#include <base/arena.h>
#include <base/buf.h>
#include <net/net.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <wire/wire.h>

enum { PATIENCE_MS = 60000 };

struct options {
    const char *ingest, *query; /* the aggregator's endpoints */
    const char *directory;      /* for the baseline: of the store's disk */
    pid_t pid;                  /* of the aggregator */
    uint32_t lines;             /* orgs that have the measures */
    enum variant variant;
    uint32_t samples;       /* of each series */
    int64_t start_ms;       /* of the first; 0: so that the last is now */
    uint32_t rows;          /* of a batch */
    bool one_measure;       /* the same series as sources of one measure */
    bool unchecked;         /* the caller asks what arrived */
    uint32_t rate, seconds; /* of latency */
};

/* The keys that POISE_KEY_FILE and POISE_SERVER_KEY name, as for `poise`; false: none, plain. */
bool bench_curve(struct net_curve *ret_curve);

/* ---- workload W ---- */

struct series_name {
    char measure[8], org[24], source[8];
};
void series_name(uint32_t line, uint32_t measure, bool one_measure, struct series_name *ret_name);

struct workload { /* batches as they go over the wire, one after the other */
    struct buf bodies;
    size_t *ends;
    size_t count;
    uint64_t epoch;
    uint64_t samples; /* corrections count, too */
    int64_t start_ms; /* of the first; the last is now */
};
void workload_make(struct workload *workload, const struct options *options);
void workload_free(struct workload *workload);

/* ---- a producer: HELLO, then batches under credit ---- */

struct producer {
    struct net *net;
    struct net_socket *socket;
    struct arena arena;
    uint64_t sent, acked; /* sequences */
    uint32_t credit;
    uint64_t refused;
    int64_t silence_ns; /* the longest between two acknowledgements, while all were sent */
};
void producer_open(struct producer *producer, const char *endpoint, uint64_t epoch);
void producer_close(struct producer *producer);
/* Sends the batch with the next sequence if there is credit for it. */
bool producer_send(struct producer *producer, const void *body, size_t length);
void producer_receive(struct producer *producer); /* takes in what has come */
/* Until something has come, or timer_fd (-1: none) is readable. */
void producer_wait(struct producer *producer, int timer_fd);

/* ---- a link to the query endpoint ---- */

struct link {
    struct net *net;
    struct net_socket *socket;
    struct arena arena;
    struct buf out;
    uint64_t id;   /* of the last subscription or question */
    uint32_t used; /* credit */
};
void link_open(struct link *link, const char *endpoint);
void link_close(struct link *link);
/* filter: NULL for everything. */
void link_subscribe(struct link *link, const struct wire_filter *filter, bool once);
/* The next message; false: none within the time. Its body lives until the next call. */
bool link_receive(struct link *link, int64_t timeout_ms, enum wire_kind *ret_kind,
                  struct net_message *ret_message);
void link_took(struct link *link); /* a message that costs credit */
/* The states as of a time in the past; visit gets every node. */
void link_query(struct link *link, struct wire_query *query,
                void (*visit)(void *context, const poise_state *state), void *context);
/* The live state, once; visit gets every node. */
void link_ask(struct link *link, const struct wire_filter *filter,
              void (*visit)(void *context, const poise_state *state), void *context);

/* ---- a subscriber to everything, in a thread of its own ---- */

struct subscriber {
    const char *endpoint;
    pthread_t thread;
    _Atomic bool live, stop;
    /* After each message; may be NULL. */
    void (*seen)(void *context, const struct wire_states *states);
    void *context;
    uint64_t messages, snapshots, states, bytes;
    int64_t cpu_ns;
};
void subscriber_start(struct subscriber *subscriber); /* returns when its first snapshot is whole */
void subscriber_stop(struct subscriber *subscriber);

/* Asks for the live state, once; visit gets every node. */
void ask_states(const char *endpoint, void (*visit)(void *context, const poise_state *state), void *context);
/* Asks for the aggregator's numbers and prints them as figures. Returns one of them. */
double ask_stats(const char *endpoint, const char *wanted);

/* Sends all batches and waits until all are acknowledged. */
void producer_send_all(struct producer *producer, const struct workload *workload);

void run_throughput(const struct options *options);
void run_latency(const struct options *options);
void run_midnight(const struct options *options);
void measure_trips(void); /* of a bare ZeroMQ message, there and back */
void run_baseline(const struct options *options);
void run_drain(const struct options *options); /* W to a peer that does nothing */
void run_send(const struct options *options);  /* the batches, nothing else */
void run_count(const struct options *options); /* the measurements that the root's measures count */
void run_ask(const struct options *options);   /* the live states of a measure at a line, and of the root */
void run_past(const struct options *options);  /* the same as of a time */
void run_parts(const struct options *options); /* the last hour of all, a series in ten buckets */

#endif
