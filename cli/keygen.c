/* poise keygen: makes a pair of keys. */
#include "cli.h"
#include <argp.h>
#include <poise/client.h>
#include <stdio.h>

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    const char **path = state->input;
    switch (key) {
    case ARGP_KEY_ARG:
        if (state->arg_num > 0) {
            argp_error(state, "one name only; '%s' is another", argument);
        }
        *path = argument;
        return 0;
    case ARGP_KEY_END:
        if (!*path || !**path) {
            argp_error(state, "the NAME of the pair is missing");
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp parser = {
    .parser = parse_option,
    .args_doc = "NAME",
    .doc = "Makes a pair of keys: NAME.key, which nobody but its owner may read and which stays where it is "
           "used, and NAME.pub with the public key, which the other side must know. The public key is "
           "printed, too. NAME may begin with a directory. No file is ever overwritten.\v"
           "docs/access.md says where the keys go.\n\n"
           "Exit status: 0 they are there, 1 they are not, 2 wrong usage.\n\n"
           "Examples:\n"
           "  poise keygen aggregator\n"
           "  poise keygen /etc/poise/shopfloor\n",
};

int cli_keygen(int argc, char **argv)
{
    const char *path = NULL;
    char public_key[POISE_KEY_TEXT_MAX];
    poise_error err;
    argp_parse(&parser, argc, argv, 0, NULL, &path);
    if (poise_keygen(path, public_key, &err) != POISE_OK) {
        return cli_fail("keygen", &err);
    }
    printf("%s\n", public_key);
    return cli_end("keygen", CLI_OK);
}
