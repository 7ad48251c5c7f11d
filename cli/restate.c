/* poise restate: lets in what locked periods have held up. */
#include "cli.h"
#include "options.h"
#include <base/error.h>
#include <inttypes.h>
#include <model/calendar.h>
#include <model/org.h>
#include <stdio.h>

struct restate_options {
    struct live_options live; /* whom to ask */
    poise_restatement order;
    int64_t timeout_ms;
};

enum { KEY_SINCE = 512, KEY_UNTIL, KEY_REASON, KEY_TIMEOUT, KEY_INSECURE };

static const struct argp_option option_list[] = {
    {"from", 'F', "ENDPOINT", 0,
     "the aggregator's query endpoint; default: $POISE_QUERY, else tcp://127.0.0.1:5571", 0},
    {"insecure", KEY_INSECURE, NULL, 0, "allow plain TCP to other machines", 0},
    {"org", 'o', "GLOB", 0, "of these orgs, such as plant-1/**; default: of all", 0},
    {"since", KEY_SINCE, "TIME", 0, "measured at this time (RFC 3339) or later", 0},
    {"until", KEY_UNTIL, "TIME", 0, "measured before this time", 0},
    {"reason", KEY_REASON, "TEXT", 0, "why, for the journal and the log; must be given", 0},
    {"timeout", KEY_TIMEOUT, "DURATION", 0, "give up when there is no answer for so long; default: 10m", 0},
    {0}};

static void check_org(struct argp_state *state, const char *glob)
{
    if (!glob_valid(glob)) {
        argp_error(state,
                   "--org '%s' is no org and no glob of orgs; plant-1, plant-1/** or the like is wanted",
                   glob);
    }
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct restate_options *options = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->live.keys;
        return 0;
    case 'F':
        options->live.endpoint = argument;
        return 0;
    case KEY_INSECURE:
        options->live.insecure = true;
        return 0;
    case 'o':
        check_org(state, argument);
        options->order.org = argument;
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
    case KEY_TIMEOUT:
        options->timeout_ms = option_duration(state, "timeout", argument);
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

static const struct argp_child children[] = {{&key_argp, 0, NULL, 0}, {0}};
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

int cli_restate(int argc, char **argv)
{
    struct restate_options options = {.order = {.from_ms = TIME_MIN_MS, .to_ms = TIME_MAX_MS},
                                      .timeout_ms = 600000};
    live_defaults(&options.live);
    argp_parse(&parser, argc, argv, 0, NULL, &options);
    poise_client *client = NULL;
    poise_error err;
    uint64_t rows = 0, refused = 0;
    poise_code code = live_open(&options.live, &client, &err);
    if (code == POISE_OK) {
        code = poise_restate(client, &options.order, options.timeout_ms, &rows, &refused, &err);
    }
    poise_client_close(client);
    if (code != POISE_OK) {
        return cli_fail("restate", &err);
    }
    printf("%" PRIu64 " let in, %" PRIu64 " refused\n", rows - refused, refused);
    return cli_end("restate", CLI_OK);
}
