/* An aggregator that a thread of the test plays: takes each batch once, writes its rows down, refuses what it
 * is told to. */
#ifndef COLLECTOR_TEST_PLAYED_H
#define COLLECTOR_TEST_PLAYED_H

#include <poise/error.h>
#include <stddef.h>

struct played; /* opaque */

/* Listens at an ipc endpoint. */
struct played *played_start(const char *endpoint);
/* Refuses measurements of this input from now on; NULL: none. */
void played_refuse(struct played *played, const char *measure);
/* Answers the next HELLOs with these errors, the last one first; when those of before are used up. */
void played_deny(struct played *played, const poise_code *codes, size_t count);
/* Writes a byte there for each batch from now on. */
void played_tell(struct played *played, int fd);
/* Ends it, and frees it. Rows that were taken, "measure org key value\n" each, to be freed by the caller. */
char *played_stop(struct played *played);

#endif
