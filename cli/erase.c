/* poise erase: measurements count no more, and vanish from the aggregator's disk. */
#include "cli.h"
#include "options.h"
#include <base/error.h>
#include <inttypes.h>
#include <stdio.h>

struct erase_options {
    struct asking_options asking;
    struct naming_options naming;
    bool dry_run;
    poise_erased answer;
};

static const struct argp_option option_list[] = {{"dry-run", 'n', NULL, 0, "only say how many there are", 0},
                                                 {0}};

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct erase_options *options = state->input;
    (void)argument;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->asking;
        state->child_inputs[1] = &options->naming;
        return 0;
    case 'n':
        options->dry_run = true;
        return 0;
    case ARGP_KEY_END:
        if (!options->naming.measure && !options->naming.org) {
            argp_error(state, "name a MEASURE, or orgs with --org: '--org **' is all");
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = {{&asking_argp, 0, NULL, 0}, {&naming_argp, 0, NULL, 0}, {0}};
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
    const poise_erasure order = {.measure = options->naming.measure,
                                 .org = options->naming.org,
                                 .from_ms = options->naming.from_ms,
                                 .to_ms = options->naming.to_ms,
                                 .reason = options->naming.reason,
                                 .dry_run = options->dry_run};
    return poise_erase(client, &order, options->asking.timeout_ms, &options->answer, err);
}

int cli_erase(int argc, char **argv)
{
    struct erase_options options = {0};
    poise_error err;
    asking_defaults(&options.asking, "10m");
    naming_defaults(&options.naming);
    argp_parse(&parser, argc, argv, 0, NULL, &options);
    if (asking_ask(&options.asking, ask, &options, &err) != POISE_OK) {
        return cli_fail("erase", &err);
    }
    if (options.dry_run) {
        printf("%" PRIu64 " would be erased\n", options.answer.rows);
    } else {
        printf("%" PRIu64 " erased, of which %" PRIu64 " counted\n", options.answer.rows,
               options.answer.counted);
    }
    return cli_end("erase", CLI_OK);
}
