/* Options that several verbs share, as argp parsers to put among a verb's children. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include "printer.h"
#include "rows.h"
#include "sending.h"
#include <argp.h>
#include <poise/client.h>
#include <stdint.h>

/* --format; input: enum output_format. */
extern const struct argp format_options;

/* --key-file, --server-key: with which keys. Its input is a key_options, set up by key_defaults. */
extern const struct argp key_argp;
void key_defaults(struct key_options *options);

/* --from, --insecure, the keys, --org, --all-orgs and an optional SCORECARD: whom to ask, and what about. Its
 * input is a live_options, set up by live_defaults. */
struct live_options {
    const char *endpoint;
    bool insecure;
    struct key_options keys;
    const char *scorecard; /* NULL: not said */
    const char *org;       /* NULL: the root */
    bool all_orgs;
};
extern const struct argp live_argp;
void live_defaults(struct live_options *options);
poise_code live_open(const struct live_options *options, poise_client **ret_client, poise_error *err);
/* The filter that the options ask for; borrows from them. */
struct live_filter {
    poise_filter filter;
    const char *scorecard, *org;
};
const poise_filter *live_filter_of(const struct live_options *options, struct live_filter *ret_filter);

/* --from, in `at` --at, --insecure, --timeout and the keys: whom to ask, and how long. The input of both is
 * an asking_options, set up by asking_defaults. */
struct asking_options {
    const char *endpoint;
    bool insecure;
    struct key_options keys;
    int64_t timeout_ms;
    const char *timeout; /* the verb's own, for the help */
};
extern const struct argp asking_argp, asking_at_argp;
/* `timeout` is a duration such as "10m". */
void asking_defaults(struct asking_options *options, const char *timeout);
/* Opens a client, has it asked and closes it. */
poise_code asking_ask(const struct asking_options *options,
                      poise_code (*ask)(poise_client *client, void *context, poise_error *err), void *context,
                      poise_error *err);

/* --org, --since, --until, --reason and an optional MEASURE: which measurements an operator's order is about,
 * and why. Its input is a naming_options, set up by naming_defaults. */
struct naming_options {
    const char *measure, *org; /* NULL: all */
    int64_t from_ms, to_ms;
    const char *reason; /* there, and not empty */
};
extern const struct argp naming_argp;
void naming_defaults(struct naming_options *options);

/* --to, --spool, --producer, --timeout, --insecure, the keys: how to send. Its input is a sending_options,
 * set up by sending_defaults. */
extern const struct argp sending_argp;
void sending_defaults(struct sending_options *options, const char *verb);

/* Values of options; wrong ones end the process with the usage. */
int64_t option_time(struct argp_state *state, const char *option, const char *text);
int64_t option_duration(struct argp_state *state, const char *option, const char *text);
const char *option_org(struct argp_state *state, const char *option, const char *text);
const char *option_org_glob(struct argp_state *state, const char *option, const char *text);
uint32_t option_kind(struct argp_state *state, const char *text);    /* its bit in a poise_filter's kinds */
uint32_t option_changes(struct argp_state *state, const char *text); /* numbers, status, revisions */
enum rows_format option_rows_format(struct argp_state *state, const char *text);
const char *environment_or(const char *name, const char *otherwise);

#endif
