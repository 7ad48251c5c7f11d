/* poise backup: has a running aggregator write a backup of its store. */
#include "cli.h"
#include "options.h"
#include <base/error.h>
#include <inttypes.h>
#include <stdio.h>

struct backup_options {
    struct asking_options asking;
    const char *name;
    poise_backed_up done;
};

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct backup_options *options = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->asking;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0) {
            argp_error(state, "one name only; '%s' is another", argument);
        }
        options->name = argument;
        return 0;
    case ARGP_KEY_END:
        if (!options->name) {
            argp_error(state, "the NAME of the backup is missing");
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = {{&asking_argp, 0, NULL, 0}, {0}};
static const struct argp parser = {
    .parser = parse_option,
    .children = children,
    .args_doc = "NAME",
    .doc = "Has a running aggregator write a backup NAME of its store, below the directory that `backups` of "
           "its "
           "configuration says. Nobody waits for it; all in it is as of one commit, and it is synced and "
           "checked "
           "before it has its name. `poise restore` makes a store of it.\v"
           "Exit status: 0 it is there, 1 it is not, 2 wrong usage.\n\n"
           "Examples:\n"
           "  poise backup monday\n"
           "  poise backup \"$(date +%Y-%m-%d)\" && ls /var/backups/poise\n",
};

static poise_code ask(poise_client *client, void *context, poise_error *err)
{
    struct backup_options *options = context;
    return poise_backup(client, options->name, options->asking.timeout_ms, &options->done, err);
}

int cli_backup(int argc, char **argv)
{
    struct backup_options options = {0};
    poise_error err;
    asking_defaults(&options.asking, "1h");
    argp_parse(&parser, argc, argv, 0, NULL, &options);
    if (asking_ask(&options.asking, ask, &options, &err) != POISE_OK) {
        return cli_fail("backup", &err);
    }
    const poise_backed_up *done = &options.done;
    printf("%s: %" PRIu64 " bytes, up to record %" PRIu64 ", in %.1f s\n", done->path, done->bytes, done->lsn,
           (double)done->duration_ms / 1000);
    return cli_end("backup", CLI_OK);
}
