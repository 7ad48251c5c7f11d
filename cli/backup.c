/* poise backup: has a running aggregator write a backup of its store. */
#include "cli.h"
#include "options.h"
#include <base/error.h>
#include <inttypes.h>
#include <stdio.h>

struct backup_options {
    struct live_options live; /* whom to ask */
    const char *name;
    int64_t timeout_ms;
};

enum { KEY_TIMEOUT = 512, KEY_INSECURE };

static const struct argp_option option_list[] = {
    {"from", 'F', "ENDPOINT", 0,
     "the aggregator's query endpoint; default: $POISE_QUERY, else tcp://127.0.0.1:5571", 0},
    {"insecure", KEY_INSECURE, NULL, 0, "allow plain TCP to other machines", 0},
    {"timeout", KEY_TIMEOUT, "DURATION", 0, "give up when there is no answer for so long; default: 1h", 0},
    {0}};

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct backup_options *options = state->input;
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
    case KEY_TIMEOUT:
        options->timeout_ms = option_duration(state, "timeout", argument);
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

static const struct argp_child children[] = {{&key_argp, 0, NULL, 0}, {0}};
static const struct argp parser = {
    .options = option_list,
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

int cli_backup(int argc, char **argv)
{
    struct backup_options options = {.timeout_ms = 3600000};
    live_defaults(&options.live);
    argp_parse(&parser, argc, argv, 0, NULL, &options);
    poise_client *client = NULL;
    poise_error err;
    poise_backed_up done = {0};
    poise_code code = live_open(&options.live, &client, &err);
    if (code == POISE_OK) {
        code = poise_backup(client, options.name, options.timeout_ms, &done, &err);
    }
    poise_client_close(client);
    if (code != POISE_OK) {
        return cli_fail("backup", &err);
    }
    printf("%s: %" PRIu64 " bytes, up to record %" PRIu64 ", in %.1f s\n", done.path, done.bytes, done.lsn,
           (double)done.duration_ms / 1000);
    return cli_end("backup", CLI_OK);
}
