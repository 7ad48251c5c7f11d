/* The tool `poise`: a table of verbs, one file a verb. May use all of lib; nothing uses it. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <poise/error.h>

/* How a verb ends; docs and scripts rely on the numbers. */
enum cli_exit {
    CLI_OK = 0,
    CLI_FAILED = 1, /* the job failed, or found problems */
    CLI_USAGE = 2   /* the command line is wrong (argp ends the process with it) */
};

int cli_main(int argc, char **argv);

/* The verbs. argv[0] is "poise VERB". */
int cli_send(int argc, char **argv);
int cli_get(int argc, char **argv);
int cli_watch(int argc, char **argv);
int cli_eval(int argc, char **argv);
int cli_check(int argc, char **argv);
int cli_erase(int argc, char **argv);
int cli_restate(int argc, char **argv);
int cli_rescore(int argc, char **argv);
int cli_verify(int argc, char **argv);
int cli_dump(int argc, char **argv);
int cli_changes(int argc, char **argv);
int cli_import(int argc, char **argv);
int cli_stats(int argc, char **argv);
int cli_losses(int argc, char **argv);
int cli_backup(int argc, char **argv);
int cli_restore(int argc, char **argv);
int cli_keygen(int argc, char **argv);

/* "poise VERB: TEXT" on stderr. Returns CLI_FAILED. */
int cli_fail(const char *verb, const poise_error *err);
/* Flushes stdout and says so if not all of it could be written: a verb's last line. Returns how, or
 * CLI_FAILED. */
int cli_end(const char *verb, int how);

#endif
