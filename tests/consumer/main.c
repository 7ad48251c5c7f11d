/* A user's program, built against an installed libpoise: main SPOOL_DIRECTORY */
#include <poise/client.h>
#include <poise/version.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s SPOOL_DIRECTORY\n", argv[0]);
        return 2;
    }
    poise_sender_options options = {
        .endpoint = "tcp://127.0.0.1:5570", .producer = "consumer", .spool = argv[1]};
    poise_sender *sender;
    poise_error err;
    if (poise_sender_open(&options, &sender, &err) != POISE_OK) {
        fprintf(stderr, "%s: %s\n", poise_code_name(err.code), err.text);
        return 1;
    }
    poise_sender_close(sender);
    printf("%s\n", poise_version());
    return 0;
}
