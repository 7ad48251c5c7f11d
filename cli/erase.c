/* poise erase: measurements count no more, and vanish from the aggregator's disk. */
#include "cli.h"
#include "options.h"
#include <base/error.h>
#include <inttypes.h>
#include <model/calendar.h>
#include <stdio.h>

struct erase_options {
    struct asking_options asking;
    poise_erasure order;
    poise_erased answer;
};

enum { KEY_SINCE = 512, KEY_UNTIL, KEY_REASON };

static const struct argp_option option_list[] = {
    {"org", 'o', "GLOB", 0, "of these orgs, such as plant-1/**; default: of all", 0},
    {"since", KEY_SINCE, "TIME", 0, "measured at this time (RFC 3339) or later", 0},
    {"until", KEY_UNTIL, "TIME", 0, "measured before this time", 0},
    {"reason", KEY_REASON, "TEXT", 0, "why, for the journal and the log, which keep it; must be given", 0},
    {"dry-run", 'n', NULL, 0, "only say how many there are", 0},
    {0}};

static void check_options(struct argp_state *state, const struct erase_options *options)
{
    if (!options->order.reason || !*options->order.reason) {
        argp_error(state, "--reason is missing: the journal keeps why measurements were erased");
    }
    if (!options->order.measure && !options->order.org) {
        argp_error(state, "name a MEASURE, or orgs with --org: '--org **' is all");
    }
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct erase_options *options = state->input;
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
    case 'n':
        options->order.dry_run = true;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0) {
            argp_error(state, "one measure at most; '%s' is another", argument);
        }
        options->order.measure = argument;
        return 0;
    case ARGP_KEY_END:
        check_options(state, options);
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
    .doc =
        "Erases measurements that an aggregator has taken in: those of an input MEASURE, of orgs, of a time, "
        "or of all "
        "of these. When it returns they count no more, also in locked periods, and closed periods that they "
        "were in "
        "have revisions. From then on they vanish from the disk, which takes some time; `poise stats` says "
        "when "
        "nothing is left (erasures_pending). This cannot be undone; backups of before have them still.\v"
        "Exit status: 0 done (also when there were none), 1 failed, 2 wrong usage.\n\n"
        "Examples:\n"
        "  poise erase --org plant-1/anna --reason 'request 2026-17' --dry-run\n"
        "  poise erase defects --org 'plant-1/**' --since 2026-01-01T00:00:00Z --until 2026-02-01T00:00:00Z "
        "--reason 'request 2026-17'\n",
};

static poise_code ask(poise_client *client, void *context, poise_error *err)
{
    struct erase_options *options = context;
    return poise_erase(client, &options->order, options->asking.timeout_ms, &options->answer, err);
}

int cli_erase(int argc, char **argv)
{
    struct erase_options options = {.order = {.from_ms = TIME_MIN_MS, .to_ms = TIME_MAX_MS + 1}};
    poise_error err;
    asking_defaults(&options.asking, "10m");
    argp_parse(&parser, argc, argv, 0, NULL, &options);
    if (asking_ask(&options.asking, ask, &options, &err) != POISE_OK) {
        return cli_fail("erase", &err);
    }
    if (options.order.dry_run) {
        printf("%" PRIu64 " would be erased\n", options.answer.rows);
    } else {
        printf("%" PRIu64 " erased, of which %" PRIu64 " counted\n", options.answer.rows,
               options.answer.counted);
    }
    return cli_end("erase", CLI_OK);
}
