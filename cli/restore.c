/* poise restore: makes a store of a backup. */
#include "cli.h"
#include <aggregator/actions.h>
#include <argp.h>
#include <base/clock.h>
#include <base/error.h>
#include <inttypes.h>
#include <stdio.h>
#include <store/backup.h>
#include <sys/random.h>
#include <unistd.h>

struct restore_options {
    const char *backup, *store;
};

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct restore_options *options = state->input;
    switch (key) {
    case ARGP_KEY_ARG:
        if (state->arg_num > 1) {
            argp_error(state, "two directories only; '%s' is another", argument);
        }
        *(state->arg_num == 0 ? &options->backup : &options->store) = argument;
        return 0;
    case ARGP_KEY_END:
        if (!options->store) {
            argp_error(state, "the BACKUP and the directory of the new STORE are wanted");
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp parser = {
    .parser = parse_option,
    .args_doc = "BACKUP STORE",
    .doc = "Makes a new directory STORE of a BACKUP, after checking all of it: the same store in a new "
           "incarnation, "
           "so that collectors send again what it lacks as soon as an aggregator runs on it. What is in "
           "STORE already "
           "is never touched.\v"
           "Exit status: 0 it is there, 1 it is not, or that is not noted in it, 2 wrong usage.\n\n"
           "Example:\n"
           "  mv /var/lib/poise/store /var/lib/poise/store.broken\n"
           "  poise restore /var/backups/poise/monday /var/lib/poise/store\n",
};

/* The first line of the new store's audit log. */
static poise_code note(const struct restore_options *options, poise_error *err)
{
    char who[32];
    snprintf(who, sizeof who, "uid %ju", (uintmax_t)getuid());
    const struct action action = {.name = who, .what = "restore", .about = options->backup, .result = "done"};
    poise_code code = actions_note(options->store, &clock_system, &action, err);
    return code == POISE_OK ? code
                            : error_wrap(err, "%s is restored, but that is not noted in it", options->store);
}

int cli_restore(int argc, char **argv)
{
    struct restore_options options = {0};
    poise_error err;
    struct backup_result result;
    uint64_t incarnation;
    argp_parse(&parser, argc, argv, 0, NULL, &options);
    poise_code code = POISE_OK;
    if (getrandom(&incarnation, sizeof incarnation, 0) != (ssize_t)sizeof incarnation) {
        code = error_errno(&err, POISE_EIO, "cannot get a random number for the store's incarnation");
    }
    incarnation |= incarnation == 0; /* 0 is none */
    if (code == POISE_OK) {
        code = store_restore(options.backup, options.store, incarnation, &result, &err);
    }
    if (code == POISE_OK) {
        code = note(&options, &err);
    }
    if (code != POISE_OK) {
        return cli_fail("restore", &err);
    }
    printf("%s: %" PRId64 " bytes, up to record %" PRIu64 "\n", options.store, result.bytes, result.lsn);
    return cli_end("restore", CLI_OK);
}
