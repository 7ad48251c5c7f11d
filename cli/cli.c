#include "cli.h"
#include <argp.h>
#include <errno.h>
#include <poise/version.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct verb {
    const char *name;
    int (*run)(int argc, char **argv);
    char *shown; /* as argv[0], so that argp says "poise VERB" */
    const char *help;
};
static char shown_send[] = "poise send", shown_get[] = "poise get", shown_watch[] = "poise watch",
            shown_eval[] = "poise eval", shown_check[] = "poise check", shown_verify[] = "poise verify",
            shown_restate[] = "poise restate", shown_erase[] = "poise erase",
            shown_rescore[] = "poise rescore", shown_dump[] = "poise dump", shown_import[] = "poise import",
            shown_stats[] = "poise stats", shown_backup[] = "poise backup", shown_restore[] = "poise restore",
            shown_keygen[] = "poise keygen", shown_losses[] = "poise losses",
            shown_changes[] = "poise changes";

static const struct verb verbs[] = {
    {"check", cli_check, shown_check, "check scorecard files and name every problem"},
    {"eval", cli_eval, shown_eval, "score a file of measurements offline, without a server"},
    {"send", cli_send, shown_send, "send measurements to an aggregator and wait until they are safe there"},
    {"get", cli_get, shown_get, "print an aggregator's scores, now or as of a time"},
    {"watch", cli_watch, shown_watch, "follow an aggregator's scores as they change"},
    {"changes", cli_changes, shown_changes, "write the log of changes, each once, as CSV or JSON Lines"},
    {"erase", cli_erase, shown_erase, "erase measurements for good"},
    {"restate", cli_restate, shown_restate, "let in what locked periods have held up"},
    {"rescore", cli_rescore, shown_rescore, "score closed periods by the current definition"},
    {"dump", cli_dump, shown_dump,
     "write the measurements that an aggregator has counted, as CSV or JSON Lines"},
    {"import", cli_import, shown_import,
     "send files of measurements, and go on where an import was interrupted"},
    {"stats", cli_stats, shown_stats, "print an aggregator's own numbers: its store, and what it counts"},
    {"losses", cli_losses, shown_losses, "print what producers have lost before it came to an aggregator"},
    {"verify", cli_verify, shown_verify, "prove that scores are what the journal says, and a store whole"},
    {"backup", cli_backup, shown_backup, "have an aggregator write a backup of its store"},
    {"restore", cli_restore, shown_restore, "make a store of a backup"},
    {"keygen", cli_keygen, shown_keygen, "make a pair of keys, for an aggregator or for who speaks to it"},
};
enum { VERB_COUNT = sizeof verbs / sizeof verbs[0] };

static void print_help(FILE *out)
{
    fputs("Usage: poise VERB [OPTION...] [ARGUMENT...]\n"
          "Poise, a streaming balanced scorecard: the tool for people and scripts.\n\n",
          out);
    for (size_t i = 0; i < VERB_COUNT; i++) {
        fprintf(out, "  %-7s %s\n", verbs[i].name, verbs[i].help);
    }
    fputs("\n`poise VERB --help` explains a verb, with examples. `poise --version` prints the version.\n"
          "Exit status: 0 done, 1 failed or found problems, 2 wrong usage.\n",
          out);
}

static const struct verb *find_verb(const char *name)
{
    for (size_t i = 0; i < VERB_COUNT; i++) {
        if (strcmp(verbs[i].name, name) == 0) {
            return &verbs[i];
        }
    }
    return NULL;
}

int cli_main(int argc, char **argv)
{
    argp_err_exit_status = CLI_USAGE;
    if (setenv("ARGP_HELP_FMT", "no-dup-args-note", 0) != 0) {
        return CLI_FAILED;
    }
    if (argc < 2) {
        print_help(stderr);
        return CLI_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-?") == 0 || strcmp(argv[1], "help") == 0) {
        print_help(stdout);
        return cli_end("", CLI_OK);
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("poise %s\n", poise_version());
        return cli_end("", CLI_OK);
    }
    const struct verb *verb = find_verb(argv[1]);
    if (!verb) {
        fprintf(stderr, "poise: there is no verb '%s'; `poise --help` lists them\n", argv[1]);
        return CLI_USAGE;
    }
    argv[1] = verb->shown;
    return verb->run(argc - 1, argv + 1);
}

int cli_fail(const char *verb, const poise_error *err)
{
    fprintf(stderr, "poise %s: %s\n", verb, err->text);
    return CLI_FAILED;
}

int cli_end(const char *verb, int how)
{
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "poise %s: the output could not be written: %s\n", verb, strerror(errno));
        return CLI_FAILED;
    }
    return how;
}
