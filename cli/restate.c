/* poise restate: lets in what locked periods have held up. */
#include "cli.h"
#include "options.h"
#include <base/error.h>
#include <inttypes.h>
#include <model/calendar.h>
#include <stdio.h>

struct restate_options {
    struct asking_options asking;
    poise_restatement order;
    uint64_t rows, refused; /* the answer */
};

enum { KEY_SINCE = 512, KEY_UNTIL, KEY_REASON };

static const struct argp_option option_list[] = {
    {"org", 'o', "GLOB", 0, "of these orgs, such as plant-1/**; default: of all", 0},
    {"since", KEY_SINCE, "TIME", 0, "measured at this time (RFC 3339) or later", 0},
    {"until", KEY_UNTIL, "TIME", 0, "measured before this time", 0},
    {"reason", KEY_REASON, "TEXT", 0, "why, for the journal and the log; must be given", 0},
    {0}};

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct restate_options *options = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->asking;
        return 0;
    case 'o':
        options->order.org = option_org_glob(state, "org", argument);
        return 0;
    case KEY_SINCE:
        options->order.from_ms = option_time(state, "since", argument);
        return 0;
    case KEY_UNTIL:
        options->order.to_ms = option_time(state, "until", argument);
        return 0;
    case KEY_REASON:
        options->order.reason = argument;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0) {
            argp_error(state, "one measure at most; '%s' is another", argument);
        }
        options->order.measure = argument;
        return 0;
    case ARGP_KEY_END:
        if (!options->order.reason || !*options->order.reason) {
            argp_error(state, "--reason is missing: the journal keeps why a locked period was changed");
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = {{&asking_argp, 0, NULL, 0}, {0}};
static const struct argp parser = {
    .options = option_list,
    .parser = parse_option,
    .children = children,
    .args_doc = "[MEASURE]",
    .doc = "Lets in the measurements that a locked period has held up (`lock_after` of a scorecard; their "
           "senders were "
           "told `locked`): those of an input MEASURE, or of all. They count as if they came now, and make "
           "revisions "
           "of the closed periods that they change.\v"
           "Exit status: 0 done (also when nothing was held), 1 failed, 2 wrong usage.\n\n"
           "Examples:\n"
           "  poise restate --reason 'audit 2026-17: January recount'\n"
           "  poise restate defects --org 'plant-1/**' --since 2026-01-01T00:00:00Z --until "
           "2026-02-01T00:00:00Z "
           "--reason recount\n",
};

static poise_code ask(poise_client *client, void *context, poise_error *err)
{
    struct restate_options *options = context;
    return poise_restate(client, &options->order, options->asking.timeout_ms, &options->rows,
                         &options->refused, err);
}

int cli_restate(int argc, char **argv)
{
    struct restate_options options = {.order = {.from_ms = TIME_MIN_MS, .to_ms = TIME_MAX_MS}};
    poise_error err;
    asking_defaults(&options.asking, "10m");
    argp_parse(&parser, argc, argv, 0, NULL, &options);
    if (asking_ask(&options.asking, ask, &options, &err) != POISE_OK) {
        return cli_fail("restate", &err);
    }
    printf("%" PRIu64 " let in, %" PRIu64 " refused\n", options.rows - options.refused, options.refused);
    return cli_end("restate", CLI_OK);
}
