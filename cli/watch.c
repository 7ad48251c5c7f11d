/* poise watch: follows an aggregator's scores. A terminal shows the table; elsewhere a change is a line. */
#include "cli.h"
#include "options.h"
#include "screen.h"
#include "state_text.h"
#include "view.h"
#include <base/clock.h>
#include <base/error.h>
#include <base/text.h>
#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

struct watch_options {
    struct live_options live;
    enum output_format format;
    int64_t count;  /* changes after which to end; 0: none */
    int64_t for_ms; /* -1: no end */
    int64_t interval_ms;
    uint32_t kinds, changes; /* as in a poise_filter */
};

enum { KEY_COUNT = 512, KEY_FOR, KEY_INTERVAL, KEY_KIND, KEY_CHANGES };
enum { TICK_MS = 200, FRESH_US = 1500000 };

static const struct argp_option option_list[] = {
    {"count", KEY_COUNT, "N", 0, "end after N changes (the states at the start do not count)", 0},
    {"for", KEY_FOR, "DURATION", 0, "end after so long", 0},
    {"interval", KEY_INTERVAL, "DURATION", 0,
     "merge changes that follow each other faster; default: 100ms on a terminal, else none are merged", 0},
    {"kind", KEY_KIND, "KIND", 0,
     "only nodes of this kind: scorecard, perspective, objective or measure; may be given again", 0},
    {"changes", KEY_CHANGES, "WHAT", 0,
     "status: only when a status becomes another; numbers: no revisions of closed periods; revisions: "
     "nothing "
     "else; default: numbers and revisions",
     0},
    {0}};

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct watch_options *options = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->live;
        state->child_inputs[1] = &options->format;
        return 0;
    case KEY_COUNT:
        if (!parse_int64(argument, strlen(argument), &options->count) || options->count < 1) {
            argp_error(state, "--count '%s' is not right; a whole number from 1 is wanted", argument);
        }
        return 0;
    case KEY_FOR:
        options->for_ms = option_duration(state, "for", argument);
        return 0;
    case KEY_INTERVAL:
        options->interval_ms = option_duration(state, "interval", argument);
        return 0;
    case KEY_KIND:
        options->kinds |= option_kind(state, argument);
        return 0;
    case KEY_CHANGES:
        options->changes |= option_changes(state, argument);
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
    .doc = "Follows an aggregator's scores until Ctrl-C, across restarts of the aggregator. A terminal shows "
           "a table "
           "that is repainted; scores that just changed stand out. Elsewhere, and with --format json or csv, "
           "the "
           "states at the start and every change are a line each.\v"
           "A line of the table format is: TIME NODE ORG OLD -> NEW STATUS, for a measure then: value OLD -> "
           "NEW. A closed period that a late measurement changed is: END NODE ORG OLD -> NEW STATUS revision "
           "N by row "
           "R, with the row's place in the journal.\n"
           "Exit status: 0 ended as asked, 1 failed or nothing was ever received, 2 wrong usage.\n\n"
           "Examples:\n"
           "  poise watch\n"
           "  poise watch acme --org plant-1\n"
           "  poise watch --format json | jq -c 'select(.status == \"red\")'\n"
           "  poise watch --all-orgs --kind objective --changes status --format json\n"
           "  poise watch acme --count 1 > /dev/null && echo something changed\n",
};

struct watch {
    const struct watch_options *options;
    bool on_screen;
    struct view view;
    struct buf text;
    poise_code code;
    bool ready;                 /* a whole view was received */
    bool lost;                  /* the aggregator is silent */
    bool told;                  /* something came in the last step */
    bool fresh;                 /* something on the screen stands out as fresh, and will not for long */
    bool ended;                 /* --count is reached */
    int64_t changes, revisions; /* since the first whole view */
    int64_t as_of_ms;
    char trouble[256]; /* that keeps us from a connection; "": none that is known */
};

static void put_score(struct buf *out, double score)
{
    if (isnan(score)) {
        buf_printf(out, "none");
    } else {
        buf_printf(out, "%.1f", score);
    }
}

static void put_value(struct buf *out, double value)
{
    char text[NUMBER_TEXT_MAX];
    if (isnan(value)) {
        buf_printf(out, "none");
    } else {
        buf_put(out, text, format_double(value, text));
    }
}

static void put_scores(struct buf *out, const poise_state *state, double before)
{
    char time[TIME_TEXT_MAX];
    format_time_ms(state->as_of_ms, time);
    buf_printf(out, "%s %s %s ", time, state->node, *state->org ? state->org : "(root)");
    put_score(out, before);
    buf_printf(out, " -> ");
    put_score(out, state->numbers.score);
    buf_printf(out, " %s", poise_status_name(state->numbers.status));
}

static void put_change_line(struct buf *out, const poise_state *state, const struct view_change *change)
{
    put_scores(out, state, change->known ? change->before.score : NAN);
    if (state->kind == POISE_MEASURE) {
        buf_printf(out, " value ");
        put_value(out, change->known ? change->before.value : NAN);
        buf_printf(out, " -> ");
        put_value(out, state->numbers.value);
    }
    buf_printf(out, "\n");
}

static void put_change(struct watch *watch, const poise_state *state, const struct view_change *change)
{
    switch (watch->options->format) {
    case OUTPUT_TABLE:
        put_change_line(&watch->text, state, change);
        break;
    case OUTPUT_JSON:
        state_put_json(&watch->text, state);
        buf_printf(&watch->text, "\n");
        break;
    case OUTPUT_CSV:
        state_put_csv(&watch->text, state);
        break;
    }
}

static poise_code write_lines(struct watch *watch)
{
    if (watch->text.failed) {
        return POISE_ENOMEM;
    }
    if (watch->text.length == 0) {
        return POISE_OK;
    }
    fwrite(watch->text.data, 1, watch->text.length, stdout);
    buf_reset(&watch->text);
    return fflush(stdout) == 0 ? POISE_OK : POISE_EIO;
}

static poise_code take_state(struct watch *watch, const poise_state *state)
{
    struct view_change change;
    int64_t now_us =
        watch->ready ? clock_monotonic_us(&clock_system) : INT64_MIN / 2; /* at first nothing is fresh */
    poise_code code = view_put(&watch->view, state, now_us, &change);
    if (code != POISE_OK || !change.changed) {
        return code;
    }
    if (!watch->on_screen) {
        put_change(watch, state, &change);
    }
    watch->changes += watch->ready;
    watch->ended = watch->options->count > 0 && watch->changes >= watch->options->count;
    return POISE_OK;
}

/* A closed period has other scores than were published: a line, or a number at the foot of the screen. */
static void take_revision(struct watch *watch, const poise_state *state)
{
    watch->revisions++;
    if (watch->on_screen) {
        return;
    }
    if (watch->options->format != OUTPUT_TABLE) {
        put_change(watch, state, NULL);
        return;
    }
    put_scores(&watch->text, state, state->replaced);
    buf_printf(&watch->text, " revision %" PRIu64 " by row %" PRIu64 "\n", state->revision, state->cause);
}

/* A poise_on_event. Ends the step when there is something to show. */
static bool take_event(void *context, const poise_event *event)
{
    struct watch *watch = context;
    watch->told = true;
    switch (event->kind) {
    case POISE_EVENT_RESET:
        view_begin(&watch->view);
        watch->lost = false;
        return true;
    case POISE_EVENT_STATE:
        watch->code = take_state(watch, event->state);
        return watch->code == POISE_OK && !watch->ended;
    case POISE_EVENT_REVISION:
        take_revision(watch, event->state);
        return true;
    case POISE_EVENT_READY:
        view_finish(&watch->view);
        watch->ready = true;
        watch->lost = false;
        watch->as_of_ms = event->as_of_ms;
        return false;
    case POISE_EVENT_LOST:
        watch->lost = true;
        return false;
    }
    return true;
}

static bool same_table(const poise_state *a, const poise_state *b)
{
    size_t card = strcspn(a->node, "/");
    return strcmp(a->org, b->org) == 0 && strncmp(a->node, b->node, card) == 0 &&
           (b->node[card] == '/' || b->node[card] == '\0');
}

/* The tables of the view, one below the other. */
static poise_code put_tables(struct watch *watch)
{
    struct view *view = &watch->view;
    struct table_style style = screen_style(stdout);
    int64_t now_us = clock_monotonic_us(&clock_system);
    struct table_row *rows = calloc(view->count + 1, sizeof *rows);
    if (!rows) {
        return POISE_ENOMEM;
    }
    view_sort(view);
    watch->fresh = false;
    for (size_t i = 0; i < view->count; i++) {
        rows[i].state = &view->entries[i]->state;
        rows[i].fresh = now_us - view->entries[i]->changed_us < FRESH_US;
        watch->fresh = watch->fresh || rows[i].fresh;
    }
    for (size_t from = 0, to; from < view->count; from = to) {
        for (to = from + 1; to < view->count && same_table(rows[from].state, rows[to].state); to++) {
        }
        if (from > 0) {
            buf_put_u8(&watch->text, '\n');
        }
        table_put(&watch->text, &style, watch->as_of_ms, rows + from, to - from);
    }
    free(rows);
    return watch->text.failed ? POISE_ENOMEM : POISE_OK;
}

static poise_code paint(struct watch *watch)
{
    char status[512];
    const char *endpoint = watch->options->live.endpoint;
    if (watch->trouble[0]) {
        snprintf(status, sizeof status, "no connection to %s: %s; trying again; Ctrl-C ends", endpoint,
                 watch->trouble);
    } else if (watch->lost) {
        snprintf(status, sizeof status, "%s is silent: trying again; Ctrl-C ends", endpoint);
    } else if (!watch->ready) {
        snprintf(status, sizeof status, "waiting for %s; Ctrl-C ends", endpoint);
    } else {
        int length = snprintf(status, sizeof status, "live, %" PRId64 " change%s", watch->changes,
                              watch->changes == 1 ? "" : "s");
        if (watch->revisions > 0) {
            length += snprintf(status + length, sizeof status - (size_t)length,
                               ", %" PRId64 " revision%s of closed periods", watch->revisions,
                               watch->revisions == 1 ? "" : "s");
        }
        snprintf(status + length, sizeof status - (size_t)length, "; Ctrl-C ends");
    }
    poise_code code = watch->ready ? put_tables(watch) : POISE_OK;
    if (code == POISE_OK) {
        screen_paint(stdout, &watch->text, status);
    }
    buf_reset(&watch->text);
    return code;
}

/* Says on a new line of standard error, or the screen, why there is no connection. */
static void look_for_trouble(struct watch *watch, poise_client *client)
{
    const char *trouble = poise_client_trouble(client);
    if (strcmp(trouble, watch->trouble) == 0) {
        return;
    }
    snprintf(watch->trouble, sizeof watch->trouble, "%s", trouble);
    watch->told = true;
    if (trouble[0] && !watch->on_screen) {
        fprintf(stderr, "poise watch: no connection to %s: %s; trying again\n", watch->options->live.endpoint,
                trouble);
    }
}

/* SIGINT and SIGTERM are blocked and asked for here, so that nothing runs in a handler. */
static bool told_to_end(const sigset_t *signals)
{
    const struct timespec at_once = {0};
    return sigtimedwait(signals, NULL, &at_once) > 0;
}

static poise_code follow(struct watch *watch, poise_client *client, const sigset_t *signals, poise_error *err)
{
    int64_t end_us = watch->options->for_ms < 0
                         ? INT64_MAX
                         : clock_monotonic_us(&clock_system) + 1000 * watch->options->for_ms;
    poise_code code = POISE_OK;
    bool due = true;
    while (code == POISE_OK && !watch->ended && !told_to_end(signals)) {
        if (watch->on_screen && due) {
            code = paint(watch);
        }
        int64_t left_ms = (end_us - clock_monotonic_us(&clock_system)) / 1000;
        if (left_ms <= 0 || code != POISE_OK) {
            break;
        }
        watch->told = false;
        code = poise_client_step(client, left_ms < TICK_MS ? left_ms : TICK_MS, take_event, watch, err);
        if (code == POISE_OK) {
            code = watch->code;
        }
        look_for_trouble(watch, client);
        if (code == POISE_OK && !watch->on_screen) {
            code = write_lines(watch);
        }
        due = watch->told || watch->fresh;
    }
    return code;
}

static poise_code run(struct watch *watch, poise_error *err)
{
    const struct watch_options *options = watch->options;
    struct live_filter filter;
    poise_client *client = NULL;
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    poise_code code = live_open(&options->live, &client, err);
    if (code == POISE_OK) {
        int64_t interval_ms = options->interval_ms >= 0 ? options->interval_ms : watch->on_screen ? 100 : 0;
        (void)live_filter_of(&options->live, &filter);
        filter.filter.kinds = options->kinds;
        filter.filter.changes = options->changes;
        code = poise_subscribe(client, &filter.filter, interval_ms, err);
    }
    if (code == POISE_OK) {
        if (watch->on_screen) {
            screen_begin(stdout);
        } else if (options->format == OUTPUT_CSV) {
            state_put_csv_header(&watch->text);
        }
        code = follow(watch, client, &signals, err);
        if (watch->on_screen) {
            screen_end(stdout);
        }
    }
    poise_client_close(client);
    return code;
}

int cli_watch(int argc, char **argv)
{
    struct watch_options options = {.for_ms = -1, .interval_ms = -1};
    setlocale(LC_CTYPE, "");
    live_defaults(&options.live);
    argp_parse(&parser, argc, argv, 0, NULL, &options);
    struct watch watch = {.options = &options,
                          .on_screen = options.format == OUTPUT_TABLE && screen_possible(stdout)};
    poise_error err = {.code = POISE_OK};
    poise_code code = run(&watch, &err);
    bool received = watch.ready;
    view_free(&watch.view);
    buf_free(&watch.text);
    if (code == POISE_ENOMEM) {
        error_nomem(&err, "the view");
    }
    if (code == POISE_OK && !received) {
        code = error_set(&err, POISE_ETIMEOUT, "nothing was received from %s%s%s", options.live.endpoint,
                         watch.trouble[0] ? ": " : "", watch.trouble);
    }
    return code == POISE_OK || code == POISE_EIO ? cli_end("watch", CLI_OK) : cli_fail("watch", &err);
}
