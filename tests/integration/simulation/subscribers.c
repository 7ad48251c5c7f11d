#include "simulation.h"

#include <base/buf.h>
#include <string.h>

/* A revision that was seen: of a node, an org and the end of a period. */
struct seen {
    const char *org, *node;
    int64_t end_ms;
    uint64_t number;
    size_t resets; /* of the view, when it came */
};
enum { TEXTS_MAX = 3 };
struct wish { /* a filter, and its texts */
    poise_filter filter;
    const char *cards[TEXTS_MAX], *orgs[TEXTS_MAX], *nodes[TEXTS_MAX];
    int64_t least_interval_ms;
};
struct subscriber {
    poise_client *client;
    struct wish wish;
    struct view view;
    bool ready;              /* the view is one of a time, not in the midst of a snapshot */
    bool fresh;              /* after RESET, before its READY */
    uint64_t lsn, since_lsn; /* since_lsn: of the first READY behind the last RESET */
    int64_t as_of_ms;
    bool set_back; /* an aggregator went on from a T before as_of_ms */
    struct hmap seen;
    struct arena memory; /* of seen */
    size_t resets;
};

static struct subscriber subscribers[SUBSCRIBERS], asker; /* asker: who asks with poise_get */
static int64_t opened_ms;                                 /* the wall clock when an aggregator opened last */

/* ---- what they want ---- */

static size_t some_of(const char *const *choices, int64_t count, const char *ret_texts[TEXTS_MAX])
{
    size_t some = one_in(2) ? 0 : (size_t)between(1, TEXTS_MAX);
    for (size_t i = 0; i < some; i++) {
        ret_texts[i] = choices[between(0, count - 1)];
    }
    return some;
}

static void wish(struct wish *wish)
{
    static const char *const cards[] = {"first", "second", "third", "census"};
    static const char *const orgs[] = {"", "p1", "p1/**", "*", "p2/*", "**", "p*/l1"};
    static const char *const nodes[] = {"third/time/pace", "third/shape", TALLY, "first", "second/only"};
    static const uint32_t numbers = POISE_CHANGES_NUMBERS, status = POISE_CHANGES_STATUS,
                          revised = POISE_CHANGES_REVISIONS;
    const uint32_t changes[] = {0, 0, numbers, status, revised, status | revised, numbers | status | revised};
    *wish = (struct wish){.least_interval_ms = one_in(2) ? 0 : between(1, 600)};
    poise_filter *filter = &wish->filter;
    filter->scorecard_count = one_in(2) ? some_of(cards, 4, wish->cards) : 0;
    filter->scorecards = wish->cards;
    filter->org_count = some_of(orgs, 7, wish->orgs);
    filter->orgs = wish->orgs;
    filter->node_count = one_in(2) ? some_of(nodes, 5, wish->nodes) : 0;
    filter->nodes = wish->nodes;
    filter->kinds = one_in(3) ? (uint32_t)between(1, (1 << (POISE_MEASURE + 1)) - 1) : 0;
    filter->changes = changes[between(0, 6)];
}

static bool wants_revisions(const struct subscriber *s)
{
    return !s->wish.filter.changes || (s->wish.filter.changes & POISE_CHANGES_REVISIONS);
}

/* Where only another status is a change the other numbers grow old. */
static void same_view(const char *what, const struct subscriber *s, const struct view *all)
{
    struct view wanted = {0};
    uint32_t changes = s->wish.filter.changes;
    bool old = (changes & POISE_CHANGES_STATUS) && !(changes & POISE_CHANGES_NUMBERS);
    view_copy(all, &s->wish.filter, &wanted);
    (old ? view_same_status : view_same)(what, &s->view, &wanted);
    view_free(&wanted);
}

/* ---- events ---- */

static bool is_seen(const void *entry, const void *key)
{
    const struct seen *a = entry, *b = key;
    return a->end_ms == b->end_ms && strcmp(a->org, b->org) == 0 && strcmp(a->node, b->node) == 0;
}

static uint64_t hash_of_seen(const poise_state *state)
{
    return hash_mix(hash64(state->org, strlen(state->org), 0),
                    hash_mix(hash64(state->node, strlen(state->node), 0), (uint64_t)state->as_of_ms));
}

static struct seen *find_seen(const struct subscriber *s, const poise_state *state)
{
    const struct seen wanted = {.org = state->org, .node = state->node, .end_ms = state->as_of_ms};
    return hmap_get(&s->seen, hash_of_seen(state), is_seen, &wanted);
}

/* The number of a node and period never repeats and never goes back, whatever crashed, and what is shown is
 * journaled. */
static void on_revision(struct subscriber *s, const poise_state *state)
{
    struct seen *seen = find_seen(s, state);
    if (!revision_is_journaled(state)) {
        fail_msg("revision %llu of %s at '%s' is not in the journal", (unsigned long long)state->revision,
                 state->node, state->org);
    }
    if (!seen) {
        seen = arena_zalloc(&s->memory, 1, sizeof *seen);
        assert_non_null(seen);
        *seen = (struct seen){.org = arena_strndup(&s->memory, state->org, strlen(state->org)),
                              .node = arena_strndup(&s->memory, state->node, strlen(state->node)),
                              .end_ms = state->as_of_ms};
        assert_true(seen->org && seen->node && hmap_add(&s->seen, hash_of_seen(state), seen));
    }
    assert_true(wants_revisions(s));
    if (state->revision <= seen->number ||
        (seen->number && seen->resets == s->resets && state->revision != seen->number + 1)) {
        fail_msg("revision %llu of %s at '%s' after %llu", (unsigned long long)state->revision, state->node,
                 state->org, (unsigned long long)seen->number);
    }
    seen->number = state->revision;
    seen->resets = s->resets;
}

/* What is consistent as of an lsn and a T is what an offline engine makes of the journal up to there. */
static void check_against_journal(const struct subscriber *s)
{
    struct view all = {0};
    journal_reference(s->lsn, s->as_of_ms, journal_set(s->lsn), &all);
    same_view("a subscriber's view and the journal", s, &all);
    view_free(&all);
}

/* Neither lsn nor T goes back. But a T at which nothing changed is published and not journaled: it is lost
 * where the aggregator dies, and the wall clock is put back or there is no room for a commit at the start. */
static void check_progress(struct subscriber *s, const poise_event *event)
{
    bool back = event->as_of_ms < s->as_of_ms, set_back = s->set_back || opened_ms < s->as_of_ms;
    if ((back && !set_back) || event->lsn < s->lsn) {
        fail_msg("as of %lld, lsn %llu was seen, now %lld, lsn %llu", (long long)s->as_of_ms,
                 (unsigned long long)s->lsn, (long long)event->as_of_ms, (unsigned long long)event->lsn);
    }
    if (event->lsn > journal_lsn()) {
        fail_msg("lsn %llu was published, the journal ends at %llu", (unsigned long long)event->lsn,
                 (unsigned long long)journal_lsn());
    }
    s->lsn = event->lsn;
    s->as_of_ms = event->as_of_ms;
    s->set_back &= !back;
}

static void on_ready(struct subscriber *s, const poise_event *event)
{
    check_progress(s, event);
    s->ready = true;
    s->since_lsn = s->fresh ? event->lsn : s->since_lsn;
    if (s->view.definition && (s->fresh || one_in(12))) {
        check_against_journal(s);
    }
    s->fresh = false;
}

static bool on_event(void *context, const poise_event *event)
{
    struct subscriber *s = context;
    switch (event->kind) {
    case POISE_EVENT_RESET:
        view_clear(&s->view);
        s->ready = false;
        s->fresh = true;
        s->resets++;
        break;
    case POISE_EVENT_STATE:
        view_set(&s->view, event->state);
        break;
    case POISE_EVENT_REVISION:
        on_revision(s, event->state);
        break;
    case POISE_EVENT_READY:
        on_ready(s, event);
        break;
    default:
        break; /* LOST: the view stays until RESET */
    }
    return !one_in(50); /* now and then the call ends with this event */
}

/* ---- life ---- */

static poise_client *open_client(void)
{
    const poise_client_options options = {.endpoint = QUERY_ENDPOINT};
    poise_client *client = NULL;
    assert_int_equal(poise_client_open(&options, &client, NULL), POISE_OK);
    return client;
}

static void subscribe(size_t which)
{
    struct subscriber *s = &subscribers[which];
    s->client = open_client();
    s->ready = false;
    if (which > 0) { /* the first one wants all */
        wish(&s->wish);
    }
    assert_int_equal(poise_subscribe(s->client, &s->wish.filter, s->wish.least_interval_ms, NULL), POISE_OK);
}

void subscribers_open(void)
{
    memset(subscribers, 0, sizeof subscribers);
    asker = (struct subscriber){.as_of_ms = INT64_MIN};
    for (size_t i = 0; i < SUBSCRIBERS; i++) {
        subscribers[i].as_of_ms = INT64_MIN;
        subscribe(i);
    }
}

void subscribers_close(void)
{
    for (size_t i = 0; i < SUBSCRIBERS; i++) {
        struct subscriber *s = &subscribers[i];
        poise_client_close(s->client);
        view_free(&s->view);
        hmap_free(&s->seen);
        arena_free(&s->memory);
    }
    memset(subscribers, 0, sizeof subscribers);
}

void subscriber_reopen(size_t which)
{
    poise_client_close(subscribers[which].client);
    subscribe(which);
}

void subscriber_step(size_t which)
{
    poise_error err = {0};
    struct subscriber *s = &subscribers[which];
    if (poise_client_step(s->client, 0, on_event, s, &err) != POISE_OK) {
        fail_msg("a subscription: %s", err.text);
    }
}

void subscribers_meet_aggregator(int64_t from_ms)
{
    opened_ms = from_ms;
    asker.set_back |= opened_ms < asker.as_of_ms;
    for (size_t i = 0; i < SUBSCRIBERS; i++) {
        subscribers[i].set_back |= opened_ms < subscribers[i].as_of_ms;
    }
}

struct telling {
    const struct subscriber *subscriber;
    size_t missing;
};

static bool is_configured(const char *path)
{
    const struct card_set *set = journal_opening();
    for (size_t c = 0; c < set->count; c++) {
        for (uint32_t n = 0; n < set->cards[c]->node_count; n++) {
            if (strcmp(set->cards[c]->nodes[n].path, path) == 0) {
                return true;
            }
        }
    }
    return false; /* it comes with what lies around it */
}

static void must_be_told(void *visitor, const poise_state *state)
{
    struct telling *telling = visitor;
    if (filter_lets(&telling->subscriber->wish.filter, state->org, state->node, state->kind) &&
        is_configured(state->node)) {
        const struct seen *seen = find_seen(telling->subscriber, state);
        telling->missing += !seen || seen->number != state->revision;
    }
}

bool subscribers_are_told(void)
{
    size_t missing = 0;
    for (size_t i = 0; i < SUBSCRIBERS; i++) {
        struct telling telling = {.subscriber = &subscribers[i]};
        if (wants_revisions(&subscribers[i])) {
            revisions_each(subscribers[i].since_lsn, must_be_told, &telling);
        }
        missing += telling.missing;
    }
    return missing == 0;
}

void subscribers_agree(const struct view *all)
{
    for (size_t i = 0; i < SUBSCRIBERS; i++) {
        assert_true(subscribers[i].ready);
        same_view("a subscriber's view and poise_get", &subscribers[i], all);
    }
}

size_t subscribers_resets(void)
{
    size_t resets = 0;
    for (size_t i = 0; i < SUBSCRIBERS; i++) {
        resets += subscribers[i].resets;
    }
    return resets;
}

/* ---- answers ---- */

static bool on_answer(void *context, const poise_event *event)
{
    struct view *view = context;
    if (event->kind == POISE_EVENT_STATE) {
        view_set(view, event->state);
    } else if (event->kind == POISE_EVENT_READY) {
        view->lsn = event->lsn;
        view->as_of_ms = event->as_of_ms;
    }
    return true;
}

enum { PATIENCE_MS = 20000 };

static bool answered(poise_client *client, poise_code code, poise_code allowed, const poise_error *err)
{
    poise_client_close(client);
    if (code != POISE_OK && code != POISE_ETIMEOUT && code != allowed) {
        fail_msg("%s", err->text);
    }
    return code == POISE_OK;
}

static bool on_got(void *context, const poise_event *event)
{
    if (event->kind == POISE_EVENT_READY) {
        check_progress(&asker, event);
    }
    return on_answer(context, event);
}

bool get_all(const poise_filter *filter, struct view *ret_view)
{
    poise_error err = {0};
    poise_client *client = open_client();
    view_clear(ret_view);
    return answered(client, poise_get(client, filter, PATIENCE_MS, on_got, ret_view, &err), POISE_OK, &err);
}

static void add_loss(void *rows, const poise_loss *loss)
{
    *(uint64_t *)rows += loss->rows;
}

bool get_losses(uint64_t *ret_rows)
{
    poise_error err = {0};
    poise_client *client = open_client();
    *ret_rows = 0;
    return answered(client, poise_get_losses(client, PATIENCE_MS, add_loss, ret_rows, NULL, &err), POISE_OK,
                    &err);
}

bool ask(const poise_question *question, struct view *ret_view)
{
    poise_error err = {0};
    poise_client *client = open_client();
    view_clear(ret_view);
    uint64_t before = erased_lsn();
    size_t frozen_before = frozen_orders();
    poise_code code = poise_ask(client, question, PATIENCE_MS, on_answer, ret_view, &err);
    bool gone = erased_lsn() > before || frozen_orders() > frozen_before; /* meanwhile */
    bool none = question->known_lsn || frozen_orders() > 0; /* it was not there yet, or is dropped */
    return answered(client, code,
                    code == POISE_EBUSY && gone ? POISE_EBUSY
                    : none                      ? POISE_ENOTFOUND
                                                : POISE_OK,
                    &err);
}

/* It is refused where periods are frozen, another order came first, a backfill runs, or there is no room; it
 * is not known any more where a cut or a crash came first: then it may have been carried out. */
static bool ordered(poise_client *client, poise_code code, const poise_error *err)
{
    bool frozen = code == POISE_EINVAL && frozen_orders() > 0;
    bool lost = code == POISE_ENOTFOUND;
    return answered(client, code, frozen || lost || code == POISE_EFULL ? code : POISE_EBUSY, err);
}

bool restate(uint64_t *ret_rows)
{
    static const char *const measures[] = {NULL, "a", "b", "c"};
    const poise_restatement order = {.measure = measures[between(0, 3)],
                                     .org = one_in(2) ? "p1/**" : NULL,
                                     .from_ms = MARCH - 300 * DAY,
                                     .to_ms = MARCH + 300 * DAY,
                                     .reason = "as the test wants"};
    uint64_t refused;
    struct row *rows;
    const struct wire_restate asked = {.measure = order.measure ? order.measure : "",
                                       .org = order.org ? order.org : "",
                                       .from_ms = order.from_ms,
                                       .to_ms = order.to_ms,
                                       .place = journal_rows(&rows)};
    poise_error err = {0};
    poise_client *client = open_client();
    poise_code code = poise_restate(client, &order, PATIENCE_MS, ret_rows, &refused, &err);
    bool done = ordered(client, code, &err);
    if (done) {
        journal_all_in(&asked);
    }
    return done;
}

bool erase(poise_erased *ret_erased)
{
    static const char *const measures[] = {NULL, "a", "b", "c", "d", "f"};
    static const char *const orgs[] = {"p1", "p1/**", "p2/**", "*"};
    const char *measure = measures[between(0, 5)];
    int64_t from_ms = wall_ms() - between(-1, 12) * DAY;
    const poise_erasure order = {.measure = measure,
                                 .org = measure && one_in(2) ? NULL : orgs[between(0, 3)],
                                 .from_ms = from_ms,
                                 .to_ms = from_ms + (one_in(2) ? between(1, 9) * DAY : between(1, 30) * HOUR),
                                 .reason = "as the test wants",
                                 .dry_run = one_in(8)};
    poise_error err = {0};
    poise_client *client = open_client();
    poise_code code = poise_erase(client, &order, PATIENCE_MS, ret_erased, &err);
    return ordered(client, code, &err);
}

bool rescore(poise_rescored *ret_rescored)
{
    const poise_rescoring order = {.scorecard = one_in(2) ? "census" : NULL,
                                   .from_ms = wall_ms() - between(0, 30) * DAY,
                                   .reason = "as the test wants"};
    poise_error err = {0};
    poise_client *client = open_client();
    poise_code code = poise_rescore(client, &order, PATIENCE_MS, ret_rescored, &err);
    return ordered(client, code, &err);
}
