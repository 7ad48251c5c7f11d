/* poise check: reads scorecards and names every problem. */
#include "cli.h"
#include <argp.h>
#include <base/error.h>
#include <model/scorecard.h>
#include <stdlib.h>
#include <string.h>

struct check_options {
    char **files;
    int count;
};

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct check_options *options = state->input;
    (void)argument;
    switch (key) {
    case ARGP_KEY_ARGS:
        options->files = state->argv + state->next;
        options->count = state->argc - state->next;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "name at least one scorecard file");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp parser = {
    .parser = parse_option,
    .args_doc = "FILE...",
    .doc = "Reads scorecards and names every problem as FILE:LINE:COLUMN: TEXT on standard error. Warnings "
           "about "
           "the balance of the weights do not count as problems.\v"
           "Exit status: 0 all files are right, 1 problems were found, 2 wrong usage.\n\n"
           "Examples:\n"
           "  poise check scorecard.yaml\n"
           "  poise check scorecards/*.yaml && echo all right\n",
};

/* scorecard_warnings writes lines; the file's name goes before each. */
static poise_code print_warnings(const char *file, const struct scorecard *card, poise_error *err)
{
    char *text = NULL;
    size_t length = 0;
    FILE *memory = open_memstream(&text, &length);
    if (!memory) {
        return error_nomem(err, "the warnings");
    }
    scorecard_warnings(card, memory);
    if (fclose(memory) != 0) {
        free(text);
        return error_nomem(err, "the warnings");
    }
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n"));) {
        if (*line) {
            fprintf(stderr, "%s: warning: %s\n", file, line);
        }
    }
    free(text);
    return POISE_OK;
}

int cli_check(int argc, char **argv)
{
    struct check_options options = {0};
    argp_parse(&parser, argc, argv, 0, NULL, &options);
    int how = CLI_OK;
    for (int i = 0; i < options.count; i++) {
        struct scorecard *card = NULL;
        struct problems problems = {0};
        poise_error err;
        if (scorecard_read_file(options.files[i], &card, &problems) != POISE_OK) {
            problems_print(&problems, stderr);
            how = CLI_FAILED;
        } else if (print_warnings(options.files[i], card, &err) != POISE_OK) {
            how = cli_fail("check", &err);
        } else {
            printf("%s: ok\n", options.files[i]);
        }
        scorecard_free(card);
        problems_free(&problems);
    }
    return cli_end("check", how);
}
