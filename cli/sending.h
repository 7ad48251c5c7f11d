/* Measurements on their way through the client library, with the lines they came from, so that a refusal that
 * comes back later can be named. */
#ifndef CLI_SENDING_H
#define CLI_SENDING_H

#include "progress.h"
#include "rows.h"
#include <poise/client.h>
#include <stdio.h>

struct sending; /* opaque */

struct key_options {
    const char *file, *server; /* as poise_sender_options has them */
};
enum { ROUTES_MAX = 16 };

struct sending_options {
    const char *verb;              /* of poise, for messages */
    const char *endpoint;          /* the first one given, or the default */
    const char *given[ROUTES_MAX]; /* addresses of one store */
    size_t given_count;
    const char *spool;    /* NULL: by the endpoint, in the user's state directory */
    const char *producer; /* NULL: by the host's name */
    bool insecure;
    struct key_options keys;
    bool backfill;      /* ended by sending_end */
    int64_t timeout_ms; /* without an acknowledgement */
    bool resumes; /* the spool keeps how many measurements were taken, so that an interrupted run goes on */
    bool anew;    /* with resumes: what an interrupted run has taken does not count */
    struct progress *progress; /* shown meanwhile; NULL: none */
};

/* Waits while another process has the spool, as long as the timeout says. */
poise_code sending_open(const struct sending_options *options, struct sending **ret_sending,
                        poise_error *err);
void sending_close(struct sending *sending);
/* All rows of a file, whose name must stay; those that cannot be read are refused. */
poise_code sending_rows(struct sending *sending, struct rows *rows, poise_error *err);
/* Takes a measurement of a line (0: none), and now and then waits for those before it. */
poise_code sending_add(struct sending *sending, const poise_measurement *measurement, uint64_t line,
                       poise_error *err);
/* Until everything is acknowledged; ETIMEOUT. */
poise_code sending_wait(struct sending *sending, poise_error *err);
/* Behind the last measurement: ends a backfill, and waits likewise. */
poise_code sending_end(struct sending *sending, poise_error *err);
/* With `resumes`: how many measurements an interrupted run has taken already of those that come, which are
 * then not sent again. Whether they are the same shows as they come: if not, sending_add, sending_rows or
 * sending_end fail with nothing sent, and sending_is_other; close it, and begin with `anew`. */
uint64_t sending_taken(const struct sending *sending);
bool sending_is_other(const struct sending *sending);
/* A line for people. Whether anything was refused. */
bool sending_summary(const struct sending *sending, FILE *out);

#endif
