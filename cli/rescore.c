/* poise rescore: scores closed periods by the current definition. */
#include "cli.h"
#include "options.h"
#include <base/error.h>
#include <inttypes.h>
#include <stdio.h>

struct rescore_options {
    struct asking_options asking;
    poise_rescoring order;
    bool from;
    poise_rescored rescored;
};

enum { KEY_FROM = 512, KEY_REASON };

static const struct argp_option option_list[] = {
    {"from", KEY_FROM, "TIME", 0, "the periods that end at this time (RFC 3339) or later; must be given", 0},
    {"scorecard", 's', "ID", 0, "of this scorecard; default: of all", 0},
    {"reason", KEY_REASON, "TEXT", 0, "why, for the journal and the log", 0},
    {0}};

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct rescore_options *options = state->input;
    switch (key) {
    case KEY_FROM:
        options->order.from_ms = option_time(state, "from", argument);
        options->from = true;
        return 0;
    case 's':
        options->order.scorecard = argument;
        return 0;
    case KEY_REASON:
        options->order.reason = argument;
        return 0;
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->asking;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "'%s' is one argument too many; a scorecard is named with --scorecard", argument);
        return 0;
    case ARGP_KEY_END:
        if (!options->from) {
            argp_error(state, "--from is missing: the end of the first period to be scored anew, such as "
                              "2026-01-31T23:00:00Z");
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = {{&asking_at_argp, 0, NULL, 0}, {0}};
static const struct argp parser = {
    .options = option_list,
    .parser = parse_option,
    .children = children,
    .doc =
        "Scores closed periods by the scorecards' current definitions. A changed definition is in force for "
        "the periods that were open then; those that were closed keep the one that they were scored by, "
        "until "
        "this is said. Scores that differ get revisions. Locked periods (`lock_after`) stay as they are.\v"
        "Exit status: 0 done (also when there was nothing to do), 1 failed, 2 wrong usage.\n\n"
        "Examples:\n"
        "  poise rescore --from 2026-01-31T23:00:00Z --reason 'weights as decided in March'\n"
        "  poise rescore --from 1900-01-01T00:00:00Z --scorecard acme\n",
};

static void print_rescored(const poise_rescored *rescored)
{
    if (rescored->lsn == 0) {
        printf("nothing to rescore: the current definitions are in force for these periods already%s\n",
               rescored->locked ? ", but for locked ones" : "");
        return;
    }
    printf("%" PRIu64 " scores revised, of %" PRIu64 " scorecard%s, in record %" PRIu64 "%s\n",
           rescored->revised, rescored->scorecards, rescored->scorecards == 1 ? "" : "s", rescored->lsn,
           rescored->locked ? "; locked periods stay as they are" : "");
}

static poise_code ask(poise_client *client, void *context, poise_error *err)
{
    struct rescore_options *options = context;
    return poise_rescore(client, &options->order, options->asking.timeout_ms, &options->rescored, err);
}

int cli_rescore(int argc, char **argv)
{
    struct rescore_options options = {0};
    poise_error err;
    asking_defaults(&options.asking, "10m");
    argp_parse(&parser, argc, argv, 0, NULL, &options);
    if (asking_ask(&options.asking, ask, &options, &err) != POISE_OK) {
        return cli_fail("rescore", &err);
    }
    print_rescored(&options.rescored);
    return cli_end("rescore", CLI_OK);
}
