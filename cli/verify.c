/* poise verify: proves that an aggregator's scores are what its journal says. */
#include "cli.h"
#include "options.h"
#include "view.h"
#include <aggregator/audit.h>
#include <base/buf.h>
#include <base/error.h>
#include <base/text.h>
#include <inttypes.h>
#include <stdlib.h>
#include <store/check.h>
#include <string.h>

struct verify_options {
    struct live_options live;
    int64_t timeout_ms;
    const char *store; /* NULL: ask an aggregator */
};

enum { KEY_TIMEOUT = 512, KEY_STORE, CARDS_MAX = 1024, DIFFERENCE_MAX = 1024 };
enum { LIVE_MS = 10000 }; /* for the live scores, which are there: so long means that nobody answers */

static const struct argp_option option_list[] = {
    {"store", KEY_STORE, "DIRECTORY", 0,
     "instead of asking an aggregator look at a backup, or at a store that nobody has: at every page, value "
     "and "
     "record",
     0},
    {"timeout", KEY_TIMEOUT, "DURATION", 0, "give up when there is no answer for so long; default: 10m", 0},
    {0}};

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct verify_options *options = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->live;
        return 0;
    case KEY_TIMEOUT:
        options->timeout_ms = option_duration(state, "timeout", argument);
        return 0;
    case KEY_STORE:
        options->store = argument;
        return 0;
    case ARGP_KEY_END:
        if (options->store && (options->live.scorecard || options->live.org || options->live.all_orgs)) {
            argp_error(state, "with --store all is verified, not one scorecard or org");
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = {{&live_argp, 0, NULL, 0}, {0}};
static const struct argp parser = {
    .options = option_list,
    .parser = parse_option,
    .children = children,
    .doc =
        "Takes an aggregator's live scores, has it compute them again from its journal, offline and from an "
        "empty "
        "state, and compares every number to the bit. Without --org at every org. This takes time in "
        "proportion to the journal; the aggregator goes on meanwhile.\n\n"
        "With --store it looks for damage in the files: the order, links and counts of the database's pages, "
        "the "
        "checksum of every value and record, missing records; and compares the scores that a start would "
        "show "
        "with those that the journal alone gives. To look at a store that is in use, verify a "
        "backup "
        "of it.\v"
        "Exit status: 0 all are the same, or whole; 1 some differ or are damaged (the first is named), or it "
        "failed; 2 wrong usage.\n\n"
        "Examples:\n"
        "  poise verify\n"
        "  poise verify acme --org plant-1\n"
        "  poise verify --store /var/backups/poise/monday\n",
};

struct verification {
    struct view live;
    char cards[CARDS_MAX][POISE_ID_MAX + 1];
    size_t card_count;
    uint64_t lsn;
    int64_t as_of_ms;
    size_t same;
    char difference[DIFFERENCE_MAX]; /* the first; "": none */
    poise_code code;
};

static bool take_live(void *context, const poise_event *event)
{
    struct verification *it = context;
    struct view_change change;
    if (event->kind == POISE_EVENT_READY) {
        it->lsn = event->lsn;
        it->as_of_ms = event->as_of_ms;
    } else if (event->kind == POISE_EVENT_STATE) {
        it->code = view_put(&it->live, event->state, 0, &change);
        size_t length = strcspn(event->state->node, "/");
        size_t at = 0;
        while (at < it->card_count &&
               (strlen(it->cards[at]) != length || memcmp(it->cards[at], event->state->node, length) != 0)) {
            at++;
        }
        if (at == it->card_count && at < CARDS_MAX && length <= POISE_ID_MAX) {
            memcpy(it->cards[it->card_count++], event->state->node, length);
        }
    }
    return it->code == POISE_OK;
}

static void put_number(struct buf *out, const char *name, double live, double again)
{
    char text[2][NUMBER_TEXT_MAX];
    if (memcmp(&live, &again, sizeof live) != 0 && !(live != live && again != again)) {
        text[0][format_double(live, text[0])] = '\0';
        text[1][format_double(again, text[1])] = '\0';
        buf_printf(out, ", %s %s live and %s again", name, text[0], text[1]);
    }
}

static void put_whole(struct buf *out, const char *name, int64_t live, int64_t again)
{
    if (live != again) {
        buf_printf(out, ", %s %" PRId64 " live and %" PRId64 " again", name, live, again);
    }
}

static void describe(struct verification *it, const poise_state *again, const poise_score *live)
{
    const poise_score *numbers = &again->numbers;
    struct buf out = {0};
    buf_printf(&out, "%s at %s differs", again->node, *again->org ? again->org : "the root");
    put_number(&out, "value", live->value, numbers->value);
    put_number(&out, "attainment", live->attainment, numbers->attainment);
    put_number(&out, "score", live->score, numbers->score);
    put_number(&out, "lo", live->lo, numbers->lo);
    put_number(&out, "hi", live->hi, numbers->hi);
    put_number(&out, "coverage", live->coverage, numbers->coverage);
    put_number(&out, "filled", live->filled, numbers->filled);
    put_number(&out, "trend", live->trend, numbers->trend);
    put_whole(&out, "count", live->count, numbers->count);
    put_whole(&out, "period start", live->period_start_ms, numbers->period_start_ms);
    put_whole(&out, "period end", live->period_end_ms, numbers->period_end_ms);
    put_whole(&out, "flags", live->flags, numbers->flags);
    put_whole(&out, "status", live->status, numbers->status);
    put_whole(&out, "uncertain", live->uncertain, numbers->uncertain);
    if (!out.failed) {
        snprintf(it->difference, sizeof it->difference, "%.*s", (int)out.length, (const char *)out.data);
    }
    buf_free(&out);
}

static bool compare(void *context, const poise_event *event)
{
    struct verification *it = context;
    struct view_change change;
    if (event->kind != POISE_EVENT_STATE) {
        return true;
    }
    it->code = view_put(&it->live, event->state, 1, &change);
    if (it->code == POISE_OK && !change.known) {
        snprintf(it->difference, sizeof it->difference, "%s at %s is in the journal, and has no live score",
                 event->state->node, *event->state->org ? event->state->org : "the root");
    } else if (it->code == POISE_OK && change.changed) {
        describe(it, event->state, &change.before);
    } else {
        it->same++;
    }
    return it->code == POISE_OK && !it->difference[0];
}

/* What is live, and the journal has not. */
static void find_unknown(struct verification *it)
{
    for (size_t i = 0; i < it->live.count && !it->difference[0]; i++) {
        if (!it->live.entries[i]->seen) {
            const poise_state *state = &it->live.entries[i]->state;
            snprintf(it->difference, sizeof it->difference,
                     "%s at %s has a live score, and is not in the journal", state->node,
                     *state->org ? state->org : "the root");
        }
    }
}

static poise_code run(struct verification *it, const struct verify_options *options, poise_error *err)
{
    poise_client *client = NULL;
    struct live_filter filter;
    poise_code code = live_open(&options->live, &client, err);
    if (code == POISE_OK) {
        int64_t timeout_ms = options->timeout_ms < LIVE_MS ? options->timeout_ms : LIVE_MS;
        code = poise_get(client, live_filter_of(&options->live, &filter), timeout_ms, take_live, it, err);
    }
    if (code == POISE_OK && it->live.count == 0) {
        code = error_set(err, POISE_ENOTFOUND,
                         "the aggregator has no scores of that yet: there is nothing to verify");
    }
    view_begin(&it->live);
    for (size_t i = 0; i < it->card_count && code == POISE_OK && it->code == POISE_OK && !it->difference[0];
         i++) {
        const poise_question question = {.scorecard = it->cards[i],
                                         .org = options->live.org ? options->live.org : "",
                                         .all_orgs = options->live.all_orgs,
                                         .as_of_ms = it->as_of_ms,
                                         .known_lsn = it->lsn};
        code = poise_ask(client, &question, options->timeout_ms, compare, it, err);
    }
    poise_client_close(client);
    if (code == POISE_OK && it->code != POISE_OK) {
        code = error_nomem(err, "the scores");
    }
    find_unknown(it);
    return code;
}

/* ---- a store ---- */

static poise_code take_shown(void *context, const poise_state *state)
{
    struct verification *it = context;
    struct view_change change;
    return view_put(&it->live, state, 0, &change);
}

static poise_code compare_again(void *context, const poise_state *state)
{
    struct verification *it = context;
    const poise_event event = {.kind = POISE_EVENT_STATE, .state = state};
    return compare(it, &event) || it->code == POISE_OK ? POISE_OK : it->code;
}

/* What a start would show, and what the journal alone says. */
static poise_code verify_scores(struct verification *it, const char *path, poise_error *err)
{
    struct audit *audit = NULL;
    poise_code code = audit_open(path, &audit, err);
    if (code != POISE_OK) {
        return code;
    }
    it->as_of_ms = audit_as_of_ms(audit);
    code = audit_shown(audit, take_shown, it, err);
    view_begin(&it->live);
    for (size_t i = 0; i < audit_cards(audit) && code == POISE_OK && it->live.count > 0 && !it->difference[0];
         i++) {
        code = audit_again(audit, i, compare_again, it, err);
    }
    if (code == POISE_OK) {
        find_unknown(it);
    }
    audit_close(audit);
    if (code == POISE_OK && it->difference[0]) {
        code = error_set(err, POISE_ECORRUPT, "%s", it->difference);
    }
    return code;
}

/* First in a child process: whatever damage does, it is found. Then nothing is in the way of reading it. */
static poise_code verify_store(struct verification *it, const char *path, poise_error *err)
{
    struct store_found found;
    poise_code code = store_check_apart(path, &found, err);
    if (code != POISE_OK) {
        return code;
    }
    printf("%s %s: %" PRIu64 " pages (%" PRIu64 " free) and %" PRIu64 " entries are whole, records %" PRIu64
           " to %" PRIu64 ", checkpoint of record %" PRIu64 "\n",
           found.backup ? "backup" : "store", path, found.pages, found.free_pages, found.entries,
           found.first_lsn, found.last_lsn, found.state_lsn);
    it->lsn = found.last_lsn;
    return verify_scores(it, path, err);
}

int cli_verify(int argc, char **argv)
{
    struct verify_options options = {.timeout_ms = 600000};
    live_defaults(&options.live);
    argp_parse(&parser, argc, argv, 0, NULL, &options);
    options.live.all_orgs |= options.live.org == NULL;
    struct verification *it = calloc(1, sizeof *it);
    poise_error err = {.code = POISE_OK};
    poise_code code = !it             ? error_nomem(&err, "the scores")
                      : options.store ? verify_store(it, options.store, &err)
                                      : run(it, &options, &err);
    if (code == POISE_OK && it->difference[0]) {
        code = error_set(&err, POISE_ECORRUPT, "%s", it->difference);
    }
    if (code == POISE_OK && options.store && it->live.count == 0) {
        printf("there are no scores yet\n");
    } else if (code == POISE_OK) {
        char as_of[TIME_TEXT_MAX];
        format_time_ms(it->as_of_ms, as_of);
        printf("%zu scores as of %s are what the journal says up to record %" PRIu64 "\n", it->same, as_of,
               it->lsn);
    }
    if (it) {
        view_free(&it->live);
    }
    free(it);
    return code == POISE_OK ? cli_end("verify", CLI_OK) : cli_fail("verify", &err);
}
