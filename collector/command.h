/* poise-collector as a command: options, configuration, signals, summary, exit code. */
#ifndef COLLECTOR_COMMAND_H
#define COLLECTOR_COMMAND_H

enum {
    EXIT_FINE = 0,
    EXIT_REFUSED = 1, /* some rows or measurements were */
    EXIT_FAILED = 2   /* usage, configuration, or it could not go on */
};

int command_run(int argc, char **argv);

#endif
