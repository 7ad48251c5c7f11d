/* poise losses: what producers have lost of the measurements that they were to send. */
#include "cli.h"
#include "options.h"
#include "state_text.h"
#include <base/buf.h>
#include <base/error.h>
#include <base/text.h>
#include <inttypes.h>
#include <stdio.h>

struct losses_options {
    struct asking_options asking;
    bool json;
    struct buf out;
    uint64_t count, rows, unknown, left_out;
};

enum { KEY_JSON = 512 };

static const struct argp_option option_list[] = {{"json", KEY_JSON, NULL, 0, "as JSON Lines", 0}, {0}};

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct losses_options *options = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->asking;
        return 0;
    case KEY_JSON:
        options->json = true;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "'%s' is one argument too many", argument);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = {{&asking_argp, 0, NULL, 0}, {0}};
static const struct argp parser = {
    .options = option_list,
    .parser = parse_option,
    .children = children,
    .doc =
        "Prints what producers have told the aggregator that they lost: batches of measurements that were "
        "dropped because a spool was full (`oldest`, `newest`), or that a spool's disk has `damaged`, or "
        "that "
        "another copy of a spool may have sent, or not (`forked`). But for the last, what is listed is in no "
        "score. SINCE is the time from which on scores lack it; FROM and TO are the "
        "measurements' own times.\v"
        "Exit status: 0 done, 1 failed, 2 wrong usage.\n\n"
        "Examples:\n"
        "  poise losses\n"
        "  poise losses --json | jq -s 'map(.rows) | add'\n",
};

static void put_json(struct losses_options *options, const poise_loss *loss, const char *since,
                     const char *from, const char *to)
{
    struct buf *out = &options->out;
    buf_printf(out, "{\"producer\": ");
    json_put_text(out, loss->producer);
    buf_printf(out,
               ", \"epoch\": \"%016" PRIx64 "\", \"first\": %" PRIu64 ", \"last\": %" PRIu64
               ", \"reason\": \"%s\", \"rows\": ",
               loss->epoch, loss->first_seq, loss->last_seq, poise_loss_text(loss->reason));
    if (loss->rows > 0) {
        buf_printf(out, "%" PRIu64 ", \"from\": \"%s\", \"to\": \"%s\"", loss->rows, from, to);
    } else {
        buf_printf(out, "null");
    }
    buf_printf(out, ", \"since\": \"%s\", \"lsn\": %" PRIu64 "}\n", since, loss->lsn);
}

static void put_line(struct losses_options *options, const poise_loss *loss, const char *since,
                     const char *from, const char *to)
{
    char rows[24] = "unknown", batches[48];
    if (loss->rows > 0) {
        snprintf(rows, sizeof rows, "%" PRIu64, loss->rows);
    }
    snprintf(batches, sizeof batches, "%" PRIu64 "-%" PRIu64, loss->first_seq, loss->last_seq);
    if (options->count == 0) {
        buf_printf(&options->out, "%-24s %-8s %12s  %-24s  %-24s  %-24s  %s\n", "PRODUCER", "REASON", "ROWS",
                   "FROM", "TO", "SINCE", "BATCHES");
    }
    buf_printf(&options->out, "%-24s %-8s %12s  %-24s  %-24s  %-24s  %s\n", loss->producer,
               poise_loss_text(loss->reason), rows, loss->rows > 0 ? from : "-", loss->rows > 0 ? to : "-",
               since, batches);
}

static void take_loss(void *context, const poise_loss *loss)
{
    struct losses_options *options = context;
    char since[TIME_TEXT_MAX], from[TIME_TEXT_MAX], to[TIME_TEXT_MAX];
    format_time_ms(loss->as_of_ms, since);
    format_time_ms(loss->from_ms, from);
    format_time_ms(loss->to_ms, to);
    (options->json ? put_json : put_line)(options, loss, since, from, to);
    options->count++;
    options->rows += loss->rows;
    options->unknown += loss->rows == 0;
}

static poise_code ask(poise_client *client, void *context, poise_error *err)
{
    struct losses_options *options = context;
    return poise_get_losses(client, options->asking.timeout_ms, take_loss, options, &options->left_out, err);
}

static void put_sum(struct losses_options *options)
{
    struct buf *out = &options->out;
    if (options->count == 0) {
        buf_printf(out, "nothing was lost\n");
        return;
    }
    buf_printf(out, "%" PRIu64 " measurements lost", options->rows);
    if (options->unknown > 0) {
        buf_printf(out, ", and an unknown number in %" PRIu64 " of these", options->unknown);
    }
    if (options->left_out > 0) {
        buf_printf(out, "; %" PRIu64 " more losses are not listed", options->left_out);
    }
    buf_printf(out, "\n");
}

int cli_losses(int argc, char **argv)
{
    struct losses_options options = {0};
    poise_error err;
    asking_defaults(&options.asking, "10s");
    argp_parse(&parser, argc, argv, 0, NULL, &options);
    poise_code code = asking_ask(&options.asking, ask, &options, &err);
    if (code == POISE_OK && !options.json) {
        put_sum(&options);
    }
    if (code == POISE_OK && options.out.failed) {
        code = error_nomem(&err, "the losses");
    }
    if (code == POISE_OK && options.out.length > 0) {
        fwrite(options.out.data, 1, options.out.length, stdout);
    }
    buf_free(&options.out);
    return code == POISE_OK ? cli_end("losses", CLI_OK) : cli_fail("losses", &err);
}
