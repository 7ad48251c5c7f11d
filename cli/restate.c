/* poise restate: lets in what locked periods have held up. */
#include "cli.h"
#include "options.h"
#include <base/error.h>
#include <inttypes.h>
#include <stdio.h>

struct restate_options {
    struct asking_options asking;
    struct naming_options naming;
    uint64_t rows, refused; /* the answer */
};

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct restate_options *options = state->input;
    (void)argument;
    if (key != ARGP_KEY_INIT) {
        return ARGP_ERR_UNKNOWN;
    }
    state->child_inputs[0] = &options->asking;
    state->child_inputs[1] = &options->naming;
    return 0;
}

static const struct argp_child children[] = {{&asking_argp, 0, NULL, 0}, {&naming_argp, 0, NULL, 0}, {0}};
static const struct argp parser = {
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
    const poise_restatement order = {.measure = options->naming.measure,
                                     .org = options->naming.org,
                                     .from_ms = options->naming.from_ms,
                                     .to_ms = options->naming.to_ms,
                                     .reason = options->naming.reason};
    return poise_restate(client, &order, options->asking.timeout_ms, &options->rows, &options->refused, err);
}

int cli_restate(int argc, char **argv)
{
    struct restate_options options = {0};
    poise_error err;
    asking_defaults(&options.asking, "10m");
    naming_defaults(&options.naming);
    argp_parse(&parser, argc, argv, 0, NULL, &options);
    if (asking_ask(&options.asking, ask, &options, &err) != POISE_OK) {
        return cli_fail("restate", &err);
    }
    printf("%" PRIu64 " let in, %" PRIu64 " refused\n", options.rows - options.refused, options.refused);
    return cli_end("restate", CLI_OK);
}
