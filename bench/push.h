/* bench_push: sends requests that lie ready in files to a server, a connection a file, each request when the
 * one before was answered. `bench/peers` runs it. */
#ifndef BENCH_PUSH_H
#define BENCH_PUSH_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct requests { /* of a file, mapped; formats.h says what it holds */
    const uint8_t *at, *end;
};
/* The next one; false: there is none. */
bool requests_next(struct requests *requests, const uint8_t **ret_bytes, size_t *ret_length);

/* How many answers a request wants: one; of PostgreSQL one a query in it. */
uint32_t answers_of(bool postgres, const uint8_t *request, size_t length);

void write_all(int fd, const void *bytes, size_t length);
void read_all(int fd, void *bytes, size_t length);

/* A server that reads and answers the same requests and does nothing else: how fast could the sender be? */
struct sink {
    struct requests requests;
    bool postgres;
    int listening;
    pthread_t thread;
};
uint16_t sink_listen(struct sink *sink); /* returns its port */
void sink_start(struct sink *sink);      /* takes one connection, in a thread of its own */

#endif
