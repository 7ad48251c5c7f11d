/* poise get: an aggregator's scores, now or as of a time. */
#include "cli.h"
#include "options.h"
#include <base/error.h>
#include <locale.h>
#include <string.h>

struct get_options {
    struct live_options live;
    enum output_format format;
    int64_t as_of_ms;    /* INT64_MIN: now */
    int64_t known_at_ms; /* 0: all that is known now */
    int64_t timeout_ms;
    bool history;
};

enum { KEY_AS_OF = 512, KEY_KNOWN_AT, KEY_HISTORY, KEY_TIMEOUT };

static const struct argp_option option_list[] = {
    {"as-of", KEY_AS_OF, "TIME", 0, "as of this time (RFC 3339), from what is stored now; default: live", 0},
    {"as-known-at", KEY_KNOWN_AT, "TIME", 0,
     "without what was committed later: what this said then; without --as-of as of the same time", 0},
    {"history", KEY_HISTORY, NULL, 0, "as of the end of every period of the scorecard's calendar, too", 0},
    {"timeout", KEY_TIMEOUT, "DURATION", 0, "give up when there is no answer for so long; default: 10s", 0},
    {0}};

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct get_options *options = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->live;
        state->child_inputs[1] = &options->format;
        return 0;
    case KEY_AS_OF:
        options->as_of_ms = option_time(state, "as-of", argument);
        return 0;
    case KEY_KNOWN_AT:
        options->known_at_ms = option_time(state, "as-known-at", argument);
        return 0;
    case KEY_HISTORY:
        options->history = true;
        return 0;
    case KEY_TIMEOUT:
        options->timeout_ms = option_duration(state, "timeout", argument);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = {{&live_argp, 0, NULL, 0}, {&format_options, 0, NULL, 0}, {0}};
static const struct argp parser = {
    .options = option_list,
    .parser = parse_option,
    .children = children,
    .doc =
        "Prints an aggregator's scores. With --as-of, --as-known-at or --history a SCORECARD is needed where "
        "there are several.\v"
        "Exit status: 0 done, 1 failed, 2 wrong usage.\n\n"
        "Examples:\n"
        "  poise get\n"
        "  poise get acme --all-orgs --format csv > scores.csv\n"
        "  poise get acme --org plant-1 --as-of 2026-03-31T22:59:59Z\n"
        "  poise get acme --as-of 2026-03-31T22:59:59Z --as-known-at 2026-04-02T08:00:00Z\n"
        "  poise get acme --history --format json | jq '.[] | .score'\n",
};

/* What goes on between the library's events and the printer. */
struct listener {
    struct printer *printer;
    poise_code code; /* of the printer */
    size_t states;
};

static bool print_event(void *context, const poise_event *event)
{
    struct listener *listener = context;
    if (event->kind == POISE_EVENT_STATE) {
        listener->states++;
        listener->code = printer_state(listener->printer, event->state);
    }
    return listener->code == POISE_OK;
}

/* The one scorecard there is, and the aggregator's time. */
struct only_card {
    char id[POISE_ID_MAX + 1]; /* "": there is none */
    bool several;
    int64_t as_of_ms;
};

static bool note_card(void *context, const poise_event *event)
{
    struct only_card *only = context;
    if (event->kind == POISE_EVENT_STATE) {
        only->several = only->several || (only->id[0] && strcmp(only->id, event->state->node) != 0);
        snprintf(only->id, sizeof only->id, "%s", event->state->node);
    } else if (event->kind == POISE_EVENT_READY) {
        only->as_of_ms = event->as_of_ms;
    }
    return true;
}

/* Fills in what the question lacks: which scorecard, and now. Where neither the root nor the org that is
 * asked about may be seen, nothing may be asked. */
static poise_code complete_question(poise_client *client, int64_t timeout_ms, struct only_card *only,
                                    poise_question *question, poise_error *err)
{
    if (question->scorecard && question->as_of_ms != INT64_MIN) {
        return POISE_OK;
    }
    const char *const orgs[] = {"", question->org};
    const poise_filter filter = {.scorecards = &question->scorecard,
                                 .scorecard_count = question->scorecard ? 1 : 0,
                                 .orgs = orgs,
                                 .org_count = question->all_orgs ? 0 : 2,
                                 .kinds = UINT32_C(1) << POISE_SCORECARD};
    poise_code code = poise_get(client, &filter, timeout_ms, note_card, only, err);
    if (code != POISE_OK) {
        return code;
    }
    if (!question->scorecard && (only->several || !only->id[0])) {
        return error_set(err, POISE_ENOTFOUND, "the aggregator has %s; name the scorecard",
                         only->several ? "several" : "no scores there yet");
    }
    if (!question->scorecard) {
        question->scorecard = only->id;
    }
    if (question->as_of_ms == INT64_MIN) {
        question->as_of_ms = only->as_of_ms;
    }
    return POISE_OK;
}

static poise_code ask_past(poise_client *client, const struct get_options *options, struct listener *listener,
                           poise_error *err)
{
    struct only_card only = {0};
    poise_question question = {.scorecard = options->live.scorecard,
                               .org = options->live.org ? options->live.org : "",
                               .all_orgs = options->live.all_orgs,
                               .history = options->history,
                               .as_of_ms = options->as_of_ms,
                               .known_at_ms = options->known_at_ms};
    poise_code code = complete_question(client, options->timeout_ms, &only, &question, err);
    if (code == POISE_OK) {
        code = poise_ask(client, &question, options->timeout_ms, print_event, listener, err);
    }
    return code;
}

static poise_code ask_now(poise_client *client, const struct get_options *options, struct listener *listener,
                          poise_error *err)
{
    struct live_filter filter;
    poise_code code = poise_get(client, live_filter_of(&options->live, &filter), options->timeout_ms,
                                print_event, listener, err);
    if (code == POISE_OK && listener->code == POISE_OK && listener->states == 0) {
        const struct live_options *live = &options->live;
        return error_set(err, POISE_ENOTFOUND, "the aggregator has nothing for %s%s%s%s",
                         live->scorecard ? "scorecard " : "any scorecard",
                         live->scorecard ? live->scorecard : "", live->org ? " at org " : "",
                         live->org ? live->org : "");
    }
    return code;
}

int cli_get(int argc, char **argv)
{
    struct get_options options = {.as_of_ms = INT64_MIN, .timeout_ms = 10000};
    setlocale(LC_CTYPE, "");
    live_defaults(&options.live);
    argp_parse(&parser, argc, argv, 0, NULL, &options);
    struct table_style style = table_style_of(stdout);
    struct listener listener = {.printer = printer_open(options.format, &style, stdout)};
    if (options.known_at_ms && options.as_of_ms == INT64_MIN) {
        options.as_of_ms = options.known_at_ms;
    }
    bool past = options.history || options.as_of_ms != INT64_MIN;
    poise_client *client = NULL;
    poise_error err;
    poise_code code =
        listener.printer ? live_open(&options.live, &client, &err) : error_nomem(&err, "the output");
    if (code == POISE_OK) {
        code =
            past ? ask_past(client, &options, &listener, &err) : ask_now(client, &options, &listener, &err);
    }
    if (code == POISE_OK && (listener.code != POISE_OK || printer_end(listener.printer) != POISE_OK)) {
        code = error_nomem(&err, "the output");
    }
    poise_client_close(client);
    printer_close(listener.printer);
    return code == POISE_OK ? cli_end("get", CLI_OK) : cli_fail("get", &err);
}
