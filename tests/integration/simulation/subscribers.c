#include "simulation.h"

#include <base/buf.h>
#include <string.h>

/* A revision that was seen: of a node, an org and the end of a period. */
struct seen {
    const char *org, *node;
    int64_t end_ms;
    uint64_t number;
};
struct subscriber {
    poise_client *client;
    struct view view;
    bool ready; /* the view is one of a time, not in the midst of a snapshot */
    bool fresh; /* after RESET, before its READY */
    uint64_t lsn;
    int64_t as_of_ms;
    bool set_back; /* an aggregator went on from a T before as_of_ms */
    struct hmap seen;
    struct arena memory; /* of seen */
    size_t resets;
};

static struct subscriber subscribers[SUBSCRIBERS], asker; /* asker: who asks with poise_get */
static int64_t opened_ms;                                 /* the wall clock when an aggregator opened last */

static const poise_filter filters[SUBSCRIBERS] = {
    {0},
    {.orgs = (const char *const[]){"p1", "p1/**", ""}, .org_count = 3},
    {.scorecards = (const char *const[]){"third", "census"},
     .scorecard_count = 2,
     .nodes = (const char *const[]){"third/time/pace", "third/shape", TALLY},
     .node_count = 3},
    {0},
};
static const int64_t intervals_ms[SUBSCRIBERS] = {0, 0, 0, 400};

/* ---- events ---- */

static bool is_seen(const void *entry, const void *key)
{
    const struct seen *a = entry, *b = key;
    return a->end_ms == b->end_ms && strcmp(a->org, b->org) == 0 && strcmp(a->node, b->node) == 0;
}

/* The number of a node and period never repeats and never goes back, whatever crashed, and what is shown is
 * journaled. */
static void on_revision(struct subscriber *s, const poise_state *state)
{
    const struct seen wanted = {.org = state->org, .node = state->node, .end_ms = state->as_of_ms};
    uint64_t hash =
        hash_mix(hash64(state->org, strlen(state->org), 0),
                 hash_mix(hash64(state->node, strlen(state->node), 0), (uint64_t)state->as_of_ms));
    struct seen *seen = hmap_get(&s->seen, hash, is_seen, &wanted);
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
        assert_true(seen->org && seen->node && hmap_add(&s->seen, hash, seen));
    }
    if (state->revision <= seen->number) {
        fail_msg("revision %llu of %s at '%s' after %llu", (unsigned long long)state->revision, state->node,
                 state->org, (unsigned long long)seen->number);
    }
    seen->number = state->revision;
}

/* What is consistent as of an lsn and a T is what an offline engine makes of the journal up to there. */
static void check_against_journal(const struct subscriber *s)
{
    size_t which = (size_t)(s - subscribers);
    struct view all = {0}, wanted = {0};
    journal_reference(s->lsn, s->as_of_ms, journal_set(s->lsn), &all);
    view_copy(&all, &filters[which], &wanted);
    view_same("a subscriber's view and the journal", &s->view, &wanted);
    view_free(&all);
    view_free(&wanted);
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
    assert_int_equal(poise_subscribe(s->client, &filters[which], intervals_ms[which], NULL), POISE_OK);
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

void subscribers_agree(const struct view *all)
{
    for (size_t i = 0; i < SUBSCRIBERS; i++) {
        struct subscriber *s = &subscribers[i];
        struct view wanted = {0};
        assert_true(s->ready);
        view_copy(all, &filters[i], &wanted);
        view_same("a subscriber's view and poise_get", &s->view, &wanted);
        view_free(&wanted);
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
    poise_code code = poise_ask(client, question, PATIENCE_MS, on_answer, ret_view, &err);
    bool erased = code == POISE_EBUSY && erased_lsn() > before; /* meanwhile */
    return answered(client, code,
                    erased                ? POISE_EBUSY
                    : question->known_lsn ? POISE_ENOTFOUND
                                          : POISE_OK,
                    &err); /* not yet there */
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
    poise_error err = {0};
    poise_client *client = open_client();
    poise_code code = poise_restate(client, &order, PATIENCE_MS, ret_rows, &refused, &err);
    return answered(client, code, POISE_OK, &err);
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
    return answered(client, code, POISE_EBUSY, &err); /* another order came first */
}

bool rescore(poise_rescored *ret_rescored)
{
    const poise_rescoring order = {.scorecard = one_in(2) ? "census" : NULL,
                                   .from_ms = wall_ms() - between(0, 30) * DAY,
                                   .reason = "as the test wants"};
    poise_error err = {0};
    poise_client *client = open_client();
    poise_code code = poise_rescore(client, &order, PATIENCE_MS, ret_rescored, &err);
    return answered(client, code, POISE_EBUSY, &err); /* while a backfill runs */
}
