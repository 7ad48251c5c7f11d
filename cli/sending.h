/* Measurements on their way through the client library, with the lines they came from, so that a refusal that
 * comes back later can be named. */
#ifndef CLI_SENDING_H
#define CLI_SENDING_H

#include <poise/client.h>
#include <stdio.h>

struct sending; /* opaque */

struct sending_options {
    const char *endpoint;
    const char *spool;    /* NULL: by the endpoint, in the user's state directory */
    const char *producer; /* NULL: by the host's name */
    bool insecure;
    bool backfill;      /* ended by sending_end */
    int64_t timeout_ms; /* without an acknowledgement */
};

/* Waits while another process has the spool, as long as the timeout says. */
poise_code sending_open(const struct sending_options *options, struct sending **ret_sending,
                        poise_error *err);
void sending_close(struct sending *sending);
/* What the lines are of, for messages; borrowed. */
void sending_name(struct sending *sending, const char *name);
/* Takes a measurement of a line (0: none), and now and then waits for all before it. */
poise_code sending_add(struct sending *sending, const poise_measurement *measurement, uint64_t line,
                       poise_error *err);
/* Counts and names a refused line. */
void sending_refuse(struct sending *sending, uint64_t line, const char *reason);
/* Until everything is acknowledged; ETIMEOUT. */
poise_code sending_wait(struct sending *sending, poise_error *err);
/* Behind the last measurement: ends a backfill, and waits likewise. */
poise_code sending_end(struct sending *sending, poise_error *err);
/* A line for people. Whether anything was refused. */
bool sending_summary(const struct sending *sending, FILE *out);

#endif
