/* Clients of a board: what a client that applies the parts sees must be what the board has, whenever it is
 * told that its view is whole, however changes, credit, time and lost room interleave. */
#include "aggregator_test.h"
#include <aggregator/subscription.h>
#include <stdio.h>

enum { ORGS = 64, ORG_BYTES = 16, NODES_MAX = 40, SCRATCH = 4096 };

struct world {
    struct scorecard *owned[2];
    const struct scorecard *cards[2];
    char orgs[ORGS][ORG_BYTES]; /* the same strings for board and clients: told apart by address */
    struct board board;
    struct rng rng;
    uint64_t version; /* the latest number */
    int64_t now_us;
    poise_state scratch[SCRATCH];
    struct buf bytes;
};

/* ---- the board's side ---- */

static int open_world(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    if (!w)
        return -1;
    w->owned[0] = card_make("first", 30);
    w->owned[1] = card_make("second", 12);
    for (int i = 0; i < 2; i++)
        w->cards[i] = w->owned[i];
    for (int i = 1; i < ORGS; i++) /* [0] is the root */
        snprintf(w->orgs[i], ORG_BYTES, i % 4 ? "p%d/l%d" : "p%d", i / 4, i % 4);
    w->rng.state = 42;
    w->now_us = 1000000;
    *state = w;
    return board_init(&w->board, w->cards, 2, NULL) == POISE_OK ? 0 : -1;
}

static int close_world(void **state)
{
    struct world *w = *state;
    board_free(&w->board);
    for (int i = 0; i < 2; i++)
        scorecard_free(w->owned[i]);
    buf_free(&w->bytes);
    free(w);
    return 0;
}

static void note(struct world *w, struct changes *changes, int card, int org, uint32_t node)
{
    changes->states[changes->count++] = state_make(w->cards[card], node, w->orgs[org], (double)++w->version);
}

static void publish(struct world *w, struct changes *changes)
{
    changes->lsn = w->board.lsn + 1;
    changes->as_of_ms = (int64_t)changes->lsn * 10;
    assert_int_equal(board_apply(&w->board, changes, NULL), POISE_OK);
    free(changes);
}

static void change(struct world *w, int card, int org, uint32_t node)
{
    struct changes *changes = changes_make(0, 0, 1);
    note(w, changes, card, org, node);
    publish(w, changes);
}

static void change_any(struct world *w, size_t count, int orgs)
{
    struct changes *changes = changes_make(0, 0, count);
    for (size_t i = 0; i < count; i++) {
        int card = (int)rng_between(&w->rng, 0, 1);
        note(w, changes, card, (int)rng_between(&w->rng, 0, orgs - 1),
             (uint32_t)rng_between(&w->rng, 0, w->cards[card]->node_count - 1));
    }
    publish(w, changes);
}

static void change_all(struct world *w)
{
    struct changes *changes = changes_make(0, 0, (size_t)2 * ORGS * NODES_MAX);
    for (int card = 0; card < 2; card++)
        for (int org = 0; org < ORGS; org++)
            for (uint32_t node = 0; node < w->cards[card]->node_count; node++)
                note(w, changes, card, org, node);
    publish(w, changes);
}

static void overrun_the_ring(struct world *w)
{
    for (uint64_t until = w->board.head + BOARD_RING + 1; w->board.head < until;)
        change_any(w, 1024, ORGS);
}

/* ---- a client ---- */

typedef bool wanted_fn(const char *card, const char *org, const char *node);

struct client {
    struct subscription *subscription;
    wanted_fn *wanted;
    double values[2][ORGS][NODES_MAX];
    bool whole, parted; /* parts of an update came, not yet the last */
    uint64_t lsn;
    int64_t heard_us;
    size_t snapshots, updates;
};

static bool everything(const char *card, const char *org, const char *node)
{
    (void)card;
    (void)org;
    (void)node;
    return true;
}

static struct client *open_client(struct world *w, struct wire_filter filter, wanted_fn *wanted,
                                  uint32_t interval_ms)
{
    struct client *client = calloc(1, sizeof *client);
    struct wire_subscribe subscribe = {.id = 7, .filter = filter, .least_interval_ms = interval_ms};
    struct net_peer peer = {.length = 1};
    assert_non_null(client);
    client->wanted = wanted;
    assert_int_equal(
        subscription_open(&subscribe, &peer, &filter_everybody, &w->board, &client->subscription, NULL),
        POISE_OK);
    return client;
}

static void close_client(struct client *client)
{
    subscription_close(client->subscription);
    free(client);
}

static double *slot_of(const struct world *w, struct client *client, const poise_state *state)
{
    int card = strncmp(state->node, "first", 5) == 0 ? 0 : 1;
    size_t org = (size_t)(state->org - w->orgs[0]) / ORG_BYTES;
    uint32_t node = 0;
    while (w->cards[card]->nodes[node].path != state->node)
        assert_true(++node < w->cards[card]->node_count);
    return &client->values[card][org][node];
}

/* As it would travel. */
static void check_bytes(struct world *w, const struct subscription_message *message)
{
    buf_reset(&w->bytes);
    assert_int_equal(wire_encode_states(message->kind, &message->states, &w->bytes), POISE_OK);
    assert_true(w->bytes.length <= WIRE_MESSAGE_MAX);
}

static void check_view(struct world *w, struct client *client)
{
    for (int card = 0; card < 2; card++)
        for (int org = 0; org < ORGS; org++)
            for (uint32_t node = 0; node < w->cards[card]->node_count; node++) {
                double seen = client->values[card][org][node], there = 0;
                for (size_t i = 0; i < w->board.unit_count; i++)
                    if (w->board.order[i]->card_index == (uint32_t)card &&
                        w->board.order[i]->org == w->orgs[org])
                        there = w->board.order[i]->states[node].numbers.value;
                if (!client->wanted(w->cards[card]->id, w->orgs[org], w->cards[card]->nodes[node].path))
                    there = 0;
                if (seen != there)
                    fail_msg("%s at '%s': seen %g, is %g", w->cards[card]->nodes[node].path, w->orgs[org],
                             seen, there);
            }
}

static void take(struct world *w, struct client *client, const struct subscription_message *message)
{
    const struct wire_states *states = &message->states;
    assert_int_equal(states->id, 7);
    if (message->kind == WIRE_UPDATE) {
        assert_true(client->whole || client->parted);
        assert_int_equal(states->prev, client->lsn);
        assert_true(states->part ? states->lsn == client->lsn : states->lsn > client->lsn);
        assert_true(states->count > 0 || (client->parted && !states->part));
        client->updates += !states->part;
        client->whole = !(client->parted = states->part);
    } else {
        assert_int_equal(message->kind, WIRE_SNAPSHOT);
        client->snapshots += states->last;
        if (client->whole || client->parted) /* it begins again, and so does the view */
            memset(client->values, 0, sizeof client->values);
        client->parted = false;
        client->whole = states->last;
    }
    for (size_t i = 0; i < states->count; i++) {
        double *slot = slot_of(w, client, &states->states[i]);
        assert_true(states->states[i].numbers.value >= *slot);
        assert_int_equal(states->states[i].as_of_ms, states->as_of_ms);
        *slot = states->states[i].numbers.value;
    }
    client->lsn = states->lsn;
    client->heard_us = w->now_us;
}

/* The next message, with room for so many states; `lost`: it could not be sent. False: there is none. */
static bool pump(struct world *w, struct client *client, size_t room, bool lost)
{
    struct subscription_message message = {0};
    subscription_next(client->subscription, &w->board, w->now_us, w->scratch, room, &message);
    if (message.kind == 0)
        return false;
    if (client->whole)
        assert_true(w->now_us - client->heard_us >= client->subscription->least_interval_us);
    assert_true(message.states.count <= room);
    if (lost)
        return true;
    if (room > 64)
        check_bytes(w, &message);
    take(w, client, &message);
    client->subscription->credit = 1;
    subscription_sent(client->subscription, &message, w->now_us);
    assert_int_equal(client->subscription->credit, 0);
    if (client->whole)
        check_view(w, client);
    return true;
}

static void pump_all(struct world *w, struct client *client)
{
    int messages = 0;
    while (pump(w, client, SCRATCH, false))
        assert_true(++messages < 10000);
    assert_true(client->whole);
}

/* ---- tests ---- */

static void an_empty_board_gives_an_empty_snapshot(void **state)
{
    struct world *w = *state;
    struct client *client = open_client(w, (struct wire_filter){0}, everything, 0);
    assert_true(pump(w, client, SCRATCH, false));
    assert_true(client->whole);
    assert_int_equal(client->snapshots, 1);
    assert_false(pump(w, client, SCRATCH, false));
    change(w, 0, 1, 3);
    assert_true(pump(w, client, SCRATCH, false));
    assert_int_equal(client->updates, 1);
    close_client(client);
}

static void a_snapshot_comes_in_parts(void **state)
{
    struct world *w = *state;
    change_all(w);
    struct client *client = open_client(w, (struct wire_filter){0}, everything, 0);
    int parts = 0;
    while (pump(w, client, SCRATCH, false))
        parts++;
    assert_true(parts > 1); /* about 1,900 states of 120 bytes and more */
    assert_int_equal(client->snapshots, 1);
    close_client(client);
    client = open_client(w, (struct wire_filter){0}, everything, 0);
    for (parts = 0; pump(w, client, 7, false); parts++) /* units are cut anywhere */
        if (parts == 100)
            change(w, 0, 0, 1);
    assert_int_equal(client->snapshots, 1);
    assert_int_equal(parts, (int)(w->board.nodes + 1 + 6) / 7);
    close_client(client);
}

static void changes_are_merged(void **state)
{
    struct world *w = *state;
    change(w, 0, 1, 3);
    struct client *client = open_client(w, (struct wire_filter){0}, everything, 0);
    pump_all(w, client);
    for (int i = 0; i < 1000; i++)
        change(w, 0, 1, 3);
    struct subscription_message message = {0};
    subscription_next(client->subscription, &w->board, w->now_us, w->scratch, SCRATCH, &message);
    assert_int_equal(message.kind, WIRE_UPDATE);
    assert_int_equal(message.states.count, 1);
    pump_all(w, client);
    assert_int_equal(client->updates, 1);
    close_client(client);
}

static void the_interval_is_kept(void **state)
{
    struct world *w = *state;
    change_all(w);
    struct client *client = open_client(w, (struct wire_filter){0}, everything, 100);
    pump_all(w, client); /* parts of a snapshot do not wait for it */
    change(w, 0, 1, 3);
    w->now_us += 99999;
    assert_false(pump(w, client, SCRATCH, false));
    w->now_us += 1;
    assert_true(pump(w, client, SCRATCH, false));
    assert_int_equal(client->updates, 1);
    overrun_the_ring(w);
    assert_false(pump(w, client, SCRATCH, false)); /* nor does falling behind break it */
    w->now_us += 100000;
    pump_all(w, client);
    assert_int_equal(client->snapshots, 2);
    close_client(client);
}

static void who_is_too_far_behind_gets_a_snapshot(void **state)
{
    struct world *w = *state;
    change_all(w);
    struct client *client = open_client(w, (struct wire_filter){0}, everything, 0);
    assert_true(pump(w, client, 10, false)); /* a part, then the ring goes round under it */
    overrun_the_ring(w);
    pump_all(w, client);
    assert_int_equal(client->snapshots, 1);
    change_any(w, 100, ORGS);
    assert_true(pump(w, client, 10, false)); /* a part of an update, likewise */
    overrun_the_ring(w);
    pump_all(w, client);
    assert_int_equal(client->snapshots, 2);
    assert_int_equal(client->updates, 0);
    close_client(client);
}

static void what_one_message_cannot_hold_comes_in_parts(void **state)
{
    struct world *w = *state;
    change_all(w);
    struct client *client = open_client(w, (struct wire_filter){0}, everything, 100);
    pump_all(w, client);
    w->now_us += 100000; /* which is not between parts */
    change_all(w);
    pump_all(w, client);
    w->now_us += 100000;
    change_any(w, 100, ORGS);
    assert_true(pump(w, client, 10, false) && client->parted);
    change_any(w, 100, ORGS); /* some of what came already, some of what is left */
    pump_all(w, client);
    assert_int_equal(client->updates, 2);
    close_client(client);
}

static bool first_p1(const char *card, const char *org, const char *node)
{
    (void)node;
    return strcmp(card, "first") == 0 && strncmp(org, "p1/", 3) == 0;
}

static bool objective_o(const char *card, const char *org, const char *node)
{
    (void)card;
    (void)org;
    const char *rest = strstr(node, "/p/o");
    return rest && (rest[4] == '\0' || rest[4] == '/');
}

static bool root_and_plants(const char *card, const char *org, const char *node)
{
    (void)card;
    (void)node;
    return !strchr(org, '/');
}

static bool nothing(const char *card, const char *org, const char *node)
{
    (void)card;
    (void)org;
    (void)node;
    return false;
}

static struct {
    const char *card[1], *orgs[2], *nodes[2];
} texts = {{"first"}, {"", "*"}, {"first/p/o", "second/p/o"}};
static const char *p1[] = {"p1/**"}, *nobody[] = {"nobody"};

static struct client *filtering_client(struct world *w, int which, uint32_t interval_ms)
{
    struct wire_filter filters[] = {
        {0},
        {.scorecards = texts.card, .scorecard_count = 1, .orgs = p1, .org_count = 1},
        {.nodes = texts.nodes, .node_count = 2},
        {.orgs = texts.orgs, .org_count = 2},
        {.orgs = nobody, .org_count = 1}};
    static wanted_fn *const wanted[] = {everything, first_p1, objective_o, root_and_plants, nothing};
    return open_client(w, filters[which], wanted[which], interval_ms);
}

static void filters_let_through_what_they_name(void **state)
{
    struct world *w = *state;
    change_all(w);
    for (int which = 0; which < 5; which++) {
        struct client *client = filtering_client(w, which, 0);
        pump_all(w, client);
        change_all(w);
        pump_all(w, client);
        assert_int_equal(client->updates + client->snapshots, which == 4 ? 1 : 2);
        close_client(client);
    }
}

/* They do not move the view, also where nothing else has changed; who fell behind too far begins anew, and so
 * knows that it has missed some. */
static void revisions_come_beside_the_view(void **state)
{
    struct world *w = *state;
    change(w, 0, 1, 3);
    struct client *client = open_client(w, (struct wire_filter){0}, everything, 100);
    pump_all(w, client);
    for (uint64_t count = 1; count < 3 * BOARD_REVISIONS; count *= 7) {
        w->now_us += 100000; /* once for all messages of an update */
        struct changes *changes = changes_make(w->board.lsn, 5, count);
        for (uint64_t i = 1; i <= count; i++) {
            changes->states[changes->count] = state_make(w->cards[0], 3, w->orgs[1], 0);
            changes->states[changes->count++].revision = i;
        }
        assert_int_equal(board_apply(&w->board, changes, NULL), POISE_OK);
        free(changes);
        uint64_t next = 1;
        if (count > BOARD_REVISIONS) {
            size_t snapshots = client->snapshots;
            pump_all(w, client);
            assert_int_equal(client->snapshots, snapshots + 1);
            next = count + 1;
        }
        while (next <= count) {
            struct subscription_message message = {0};
            subscription_next(client->subscription, &w->board, w->now_us, w->scratch, SCRATCH, &message);
            assert_int_equal(message.kind, WIRE_UPDATE);
            for (size_t i = 0; i < message.states.count; i++)
                assert_int_equal(w->scratch[i].revision, next++);
            subscription_sent(client->subscription, &message, w->now_us);
        }
        assert_false(pump(w, client, SCRATCH, false));
    }
    check_view(w, client);
    close_client(client);
}

/* A revision of a node, and, with `moving`, a change of it in the same commit. */
static void revise(struct world *w, int card, int org, uint32_t node, uint64_t number, bool moving)
{
    struct changes *changes = changes_make(0, 0, 2);
    if (moving)
        note(w, changes, card, org, node);
    poise_state *revision = &changes->states[changes->count++];
    *revision = state_make(w->cards[card], node, w->orgs[org], -1);
    revision->as_of_ms = 3;
    revision->revision = number;
    revision->replaced = 40;
    revision->cause = 5;
    publish(w, changes);
}

/* The next message has these revisions, after `live` states; -1: there is no message. */
static void expect_revisions(struct world *w, struct client *client, int live, uint64_t from, uint64_t to)
{
    struct subscription_message message = {0};
    subscription_next(client->subscription, &w->board, w->now_us, w->scratch, SCRATCH, &message);
    if (live < 0) {
        assert_int_equal(message.kind, 0);
        return;
    }
    assert_int_equal(message.kind, WIRE_UPDATE);
    assert_int_equal(message.states.count, (size_t)live + (size_t)(to + 1 - from));
    assert_int_equal(message.states.prev, client->lsn);
    assert_int_equal(message.states.lsn, w->board.lsn);
    for (int i = 0; i < live; i++)
        assert_true(w->scratch[i].revision == 0 && w->scratch[i].as_of_ms == w->board.as_of_ms);
    for (uint64_t number = from; number <= to; number++) {
        const poise_state *state = &w->scratch[(uint64_t)live + number - from];
        assert_int_equal(state->revision, number);
        assert_true(state->as_of_ms == 3 && state->replaced == 40 && state->cause == 5);
    }
    check_bytes(w, &message);
    client->lsn = message.states.lsn;
    subscription_sent(client->subscription, &message, w->now_us);
}

static void a_revision_comes_with_the_changes_of_its_commit(void **state)
{
    struct world *w = *state;
    change(w, 0, 1, 3);
    struct client *client = open_client(w, (struct wire_filter){0}, everything, 100);
    pump_all(w, client);
    revise(w, 0, 1, 3, 1, true);
    revise(w, 0, 1, 3, 2, false);
    assert_true(subscription_lags(client->subscription, &w->board));
    expect_revisions(w, client, -1, 0, 0); /* not before the interval is over */
    w->now_us += 100000;
    expect_revisions(w, client, 1, 1, 2); /* live states are merged, revisions are not */
    assert_false(subscription_lags(client->subscription, &w->board));
    revise(w, 0, 1, 3, 3, false);
    w->now_us += 100000;
    expect_revisions(w, client, 0, 3, 3);
    struct client *late = open_client(w, (struct wire_filter){0}, everything, 0);
    pump_all(w, late); /* who comes later was not told of what was before */
    assert_int_equal(late->updates, 0);
    close_client(late);
    close_client(client);
}

static void revisions_pass_the_filter(void **state)
{
    struct world *w = *state;
    change_all(w);
    static const struct {
        int card, org;
        uint32_t node;
        bool passes[5];                                       /* by filtering_client */
    } cases[] = {{0, 5, 3, {true, true, true, false, false}}, /* p1/l1; node 3 is below ID/p/o */
                 {0, 4, 3, {true, false, true, true, false}}, /* p1 */
                 {1, 5, 3, {true, false, true, false, false}},
                 {0, 0, 3, {true, false, true, true, false}},
                 {0, 5, 0, {true, true, false, false, false}}};
    for (int which = 0; which < 5; which++) {
        struct client *client = filtering_client(w, which, 0);
        pump_all(w, client);
        for (uint64_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            revise(w, cases[i].card, cases[i].org, cases[i].node, i + 1, false);
            expect_revisions(w, client, cases[i].passes[which] ? 0 : -1, i + 1, i + 1);
            assert_false(subscription_lags(client->subscription, &w->board));
        }
        close_client(client);
    }
}

/* Those that come while a snapshot is under way come after it. */
static void revisions_wait_for_a_snapshot(void **state)
{
    struct world *w = *state;
    change_all(w);
    struct client *client = open_client(w, (struct wire_filter){0}, everything, 0);
    assert_true(pump(w, client, 10, false));
    revise(w, 0, 1, 3, 1, true);
    while (!client->whole)
        assert_true(pump(w, client, SCRATCH, false));
    expect_revisions(w, client, 0, 1, 1);
    revise(w, 0, 1, 3, 2, true);
    overrun_the_ring(w);
    revise(w, 0, 1, 3, 3, false);
    while (client->snapshots < 2)
        assert_true(pump(w, client, SCRATCH, false));
    expect_revisions(w, client, 0, 2, 3);
    close_client(client);
}

static void revisions_come_with_the_last_part(void **state)
{
    struct world *w = *state;
    change_all(w);
    struct client *client = open_client(w, (struct wire_filter){0}, everything, 0);
    pump_all(w, client);
    for (uint32_t node = 0; node < 8; node++)
        change(w, 0, 1, node);
    revise(w, 0, 1, 3, 1, true);
    assert_true(pump(w, client, 6, false) && client->parted); /* 3 is left for later: it changes again */
    expect_revisions(w, client, 2, 1, 1);
    close_client(client);
}

/* ---- going on where one was cut off ---- */

static struct client *resume_client(struct world *w, const struct client *old,
                                    struct wire_subscribe subscribe)
{
    struct client *client = calloc(1, sizeof *client);
    struct net_peer peer = {.length = 1};
    assert_non_null(client);
    *client = *old;
    client->snapshots = client->updates = 0;
    subscribe.id = 7;
    assert_int_equal(
        subscription_open(&subscribe, &peer, &filter_everybody, &w->board, &client->subscription, NULL),
        POISE_OK);
    return client;
}

static void who_was_cut_off_goes_on(void **state)
{
    struct world *w = *state;
    w->board.view = 5;
    change_all(w);
    struct client *old = open_client(w, (struct wire_filter){0}, everything, 0);
    pump_all(w, old);
    change_any(w, 50, ORGS);
    pump_all(w, old);
    struct wire_subscribe from = {.from_lsn = old->lsn, .from_view = 5};
    for (int missed = 0; missed < 3; missed++) { /* nothing, one settle, more */
        struct client *client = resume_client(w, old, from);
        assert_true(client->subscription->resumed);
        struct wire_states sign = subscription_keepalive(client->subscription, &w->board);
        assert_true(sign.lsn == from.from_lsn && sign.prev == from.from_lsn);
        pump_all(w, client);
        check_view(w, client);
        assert_int_equal(client->snapshots, 0);
        assert_int_equal(client->updates, missed > 0);
        close_client(client);
        change_any(w, 30, ORGS);
    }
    close_client(old);
}

static void who_cannot_go_on_gets_a_snapshot(void **state)
{
    struct world *w = *state;
    w->board.view = 5;
    change_all(w);
    change(w, 0, 1, 3);
    struct client *old = open_client(w, (struct wire_filter){0}, everything, 0);
    pump_all(w, old);
    const struct wire_subscribe cases[] = {
        {.from_lsn = old->lsn, .from_view = 6},              /* of another store */
        {.from_lsn = old->lsn + 1, .from_view = 5},          /* which is yet to come */
        {.from_lsn = old->lsn, .from_view = 5, .once = true} /* a question */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct client *client = resume_client(w, old, cases[i]);
        assert_false(client->subscription->resumed);
        pump_all(w, client);
        assert_int_equal(client->snapshots, 1);
        close_client(client);
    }
    overrun_the_ring(w);
    struct client *client =
        resume_client(w, old, (struct wire_subscribe){.from_lsn = old->lsn, .from_view = 5});
    assert_false(client->subscription->resumed);
    pump_all(w, client);
    check_view(w, client);
    close_client(client);
    for (int i = 0; i < BOARD_MARKS; i++)
        change(w, 0, 1, 3);
    uint64_t lsn = w->board.lsn - BOARD_MARKS; /* few changes, but too many settles */
    client = resume_client(w, old, (struct wire_subscribe){.from_lsn = lsn, .from_view = 5});
    assert_false(client->subscription->resumed);
    close_client(client);
    client = resume_client(w, old, (struct wire_subscribe){.from_lsn = lsn + 1, .from_view = 5});
    assert_true(client->subscription->resumed);
    close_client(client);
    close_client(old);
}

/* Of the revisions behind its lsn those come that it has not seen. */
static void revisions_go_on_where_they_were(void **state)
{
    struct world *w = *state;
    w->board.view = 5;
    change_all(w);
    struct client *old = filtering_client(w, 1, 0);
    pump_all(w, old);
    for (uint64_t number = 1; number <= 6; number++) {
        revise(w, 0, 5, 3, number, false);
        revise(w, 0, 4, 3, number, false); /* none of its */
    }
    struct wire_subscribe from = {
        .from_lsn = old->lsn, .from_revised = 2, .from_view = 5, .filter = old->subscription->filter->wanted};
    struct client *client = resume_client(w, old, from);
    expect_revisions(w, client, 0, 3, 6);
    close_client(client);
    close_client(old);
}

/* ---- kinds ---- */

static poise_state *status_of(struct world *w, struct changes *changes, uint32_t node, poise_status status)
{
    note(w, changes, 0, 1, node);
    poise_state *state = &changes->states[changes->count - 1];
    state->numbers.status = status;
    return state;
}

static void change_status(struct world *w, uint32_t node, poise_status status)
{
    struct changes *changes = changes_make(0, 0, 1);
    status_of(w, changes, node, status);
    publish(w, changes);
}

/* The nodes of the next update; -1: there is none. */
static int count_next(struct world *w, struct client *client)
{
    struct subscription_message message;
    subscription_next(client->subscription, &w->board, w->now_us, w->scratch, SCRATCH, &message);
    if (message.kind == 0)
        return -1;
    assert_int_equal(message.kind, WIRE_UPDATE);
    subscription_sent(client->subscription, &message, w->now_us);
    return (int)message.states.count;
}

static void a_status_that_stays_is_no_change_of_it(void **state)
{
    struct world *w = *state;
    struct wire_filter filter = {.changes = POISE_CHANGES_STATUS};
    change_status(w, 3, POISE_RED);
    change_status(w, 4, POISE_GREEN);
    struct client *client = open_client(w, filter, everything, 0);
    pump_all(w, client);
    change_status(w, 3, POISE_RED);
    assert_int_equal(count_next(w, client), -1);
    change_status(w, 3, POISE_GREEN);
    assert_int_equal(count_next(w, client), 1);
    change_status(w, 3, POISE_RED); /* and back, before anybody looks */
    change_status(w, 3, POISE_GREEN);
    change_status(w, 3, POISE_GREEN);
    change_status(w, 4, POISE_GREEN);
    assert_int_equal(count_next(w, client), 1);
    change_status(w, 5, POISE_NO_DATA); /* which was not there */
    assert_int_equal(count_next(w, client), 1);
    revise(w, 0, 1, 3, 1, false);
    assert_int_equal(count_next(w, client), -1);
    close_client(client);
}

/* It became another, which a later number of the node stands for in a later part. */
static void a_status_is_not_lost_between_parts(void **state)
{
    struct world *w = *state;
    struct wire_filter filter = {.changes = POISE_CHANGES_STATUS};
    change_status(w, 3, POISE_RED);
    change_status(w, 4, POISE_RED);
    struct client *client = open_client(w, filter, everything, 0);
    pump_all(w, client);
    change_status(w, 3, POISE_GREEN);
    change_status(w, 4, POISE_GREEN);
    change_status(w, 3, POISE_GREEN);
    assert_true(pump(w, client, 1, false));
    assert_true(client->parted && pump(w, client, 1, false));
    assert_true(client->whole && client->values[0][1][3] == (double)w->version);
    close_client(client);
}

static void revisions_alone_bring_no_states(void **state)
{
    struct world *w = *state;
    struct wire_filter filter = {.changes = POISE_CHANGES_REVISIONS};
    change_all(w);
    struct client *client = open_client(w, filter, nothing, 0);
    assert_true(pump(w, client, SCRATCH, false)); /* an empty snapshot */
    assert_true(client->whole);
    change_all(w);
    assert_int_equal(count_next(w, client), -1);
    revise(w, 0, 1, 3, 1, true);
    expect_revisions(w, client, 0, 1, 1);
    close_client(client);
}

static void kinds_of_nodes_are_told_apart(void **state)
{
    struct world *w = *state;
    change_all(w);
    for (int kind = POISE_SCORECARD; kind <= POISE_MEASURE; kind++) {
        struct client *client = open_client(w, (struct wire_filter){.kinds = 1u << kind}, everything, 0);
        size_t wanted = 0, got = 0;
        for (int card = 0; card < 2; card++)
            for (uint32_t node = 0; node < w->cards[card]->node_count; node++)
                wanted += w->cards[card]->nodes[node].kind == (poise_kind)kind ? ORGS : 0;
        struct subscription_message message;
        do {
            subscription_next(client->subscription, &w->board, w->now_us, w->scratch, SCRATCH, &message);
            subscription_sent(client->subscription, &message, w->now_us);
            client->subscription->credit++;
            got += message.states.count;
        } while (!message.states.last);
        assert_int_equal(got, wanted);
        assert_true(wanted > 0);
        close_client(client);
    }
}

/* ---- the same for many ---- */

static void many_get_the_same_bytes(void **state)
{
    struct world *w = *state;
    struct buf spare = {0}, whole = {0}, joined = {0};
    change_all(w);
    struct client *clients[3];
    for (int i = 0; i < 3; i++) {
        clients[i] = filtering_client(w, 0, 0);
        pump_all(w, clients[i]);
        assert_ptr_equal(clients[i]->subscription->filter, clients[0]->subscription->filter);
    }
    for (int round = 0; round < 20; round++) {
        struct subscription_message message, same;
        change_any(w, 5, ORGS);
        assert_null(subscription_same(clients[1]->subscription, &w->board, w->now_us, &same));
        subscription_next(clients[0]->subscription, &w->board, w->now_us, w->scratch, SCRATCH, &message);
        const struct buf *tail = subscription_keep(clients[0]->subscription, &w->board, &message, &spare);
        assert_non_null(tail);
        subscription_sent(clients[0]->subscription, &message, w->now_us);
        assert_null(subscription_same(clients[0]->subscription, &w->board, w->now_us, &same));
        tail = subscription_same(clients[1]->subscription, &w->board, w->now_us, &same);
        assert_non_null(tail);
        subscription_next(clients[1]->subscription, &w->board, w->now_us, w->scratch, SCRATCH, &message);
        buf_reset(&whole);
        buf_reset(&joined);
        assert_int_equal(wire_encode_states(message.kind, &message.states, &whole), POISE_OK);
        assert_int_equal(wire_encode_states_head(same.kind, &same.states, &joined), POISE_OK);
        buf_put(&joined, tail->data, tail->length);
        assert_int_equal(joined.length, whole.length);
        assert_memory_equal(joined.data, whole.data, whole.length);
        assert_true(same.position == message.position && same.revised == message.revised);
        subscription_sent(clients[1]->subscription, round % 2 ? &same : &message, w->now_us);
        pump_all(w, clients[2]);
    }
    buf_free(&spare);
    buf_free(&whole);
    buf_free(&joined);
    for (int i = 0; i < 3; i++)
        close_client(clients[i]);
    assert_int_equal(w->board.filters.count, 0);
}

static void a_sign_of_life_says_where_the_stream_is(void **state)
{
    struct world *w = *state;
    change(w, 0, 1, 3);
    struct client *client = filtering_client(w, 4, 0);
    pump_all(w, client);
    change(w, 0, 1, 3); /* not for this client: its lsn stays */
    assert_false(pump(w, client, SCRATCH, false));
    struct wire_states sign = subscription_keepalive(client->subscription, &w->board);
    assert_int_equal(sign.id, 7);
    assert_int_equal(sign.lsn, 1);
    assert_int_equal(sign.prev, 1);
    assert_int_equal(sign.count, 0);
    assert_int_equal(sign.as_of_ms, 20);
    close_client(client);
}

static void one_random_step(struct world *w, struct client **clients, int count, int step)
{
    struct client *client = clients[rng_between(&w->rng, 0, count - 1)];
    int64_t dice = rng_between(&w->rng, 0, 999);
    int orgs = 1 + step * (ORGS - 1) / 4000; /* new orgs appear for a while */
    if (dice < 2)
        overrun_the_ring(w);
    else if (dice < 10)
        change_any(w, 3000, orgs < ORGS ? orgs : ORGS);
    else if (dice < 300)
        change_any(w, (size_t)rng_between(&w->rng, 0, 20), orgs < ORGS ? orgs : ORGS);
    else if (dice < 400)
        w->now_us += rng_between(&w->rng, 1, 20000);
    else
        pump(w, client, rng_between(&w->rng, 0, 1) ? SCRATCH : (size_t)rng_between(&w->rng, 1, 64),
             rng_between(&w->rng, 0, 7) == 0);
}

static void whole_views_are_the_board_in_any_order(void **state)
{
    struct world *w = *state;
    enum { CLIENTS = 10 };
    struct client *clients[CLIENTS];
    for (int i = 0; i < CLIENTS; i++)
        clients[i] = filtering_client(w, i % 5, i < 5 ? 0 : (uint32_t)i);
    for (int step = 0; step < 8000; step++)
        one_random_step(w, clients, CLIENTS, step);
    w->now_us += 1000000;
    for (int i = 0; i < CLIENTS; i++) {
        pump_all(w, clients[i]);
        assert_true(clients[i]->snapshots > (i % 5 == 4 ? 0 : 1));
        assert_true(clients[i]->updates > (i % 5 == 4 ? 0 : 5) || i % 5 == 4);
        close_client(clients[i]);
    }
}

int main(void)
{
#define WORLD_TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
    const struct CMUnitTest tests[] = {
        WORLD_TEST(an_empty_board_gives_an_empty_snapshot),
        WORLD_TEST(a_snapshot_comes_in_parts),
        WORLD_TEST(changes_are_merged),
        WORLD_TEST(the_interval_is_kept),
        WORLD_TEST(who_is_too_far_behind_gets_a_snapshot),
        WORLD_TEST(what_one_message_cannot_hold_comes_in_parts),
        WORLD_TEST(filters_let_through_what_they_name),
        WORLD_TEST(revisions_come_beside_the_view),
        WORLD_TEST(a_revision_comes_with_the_changes_of_its_commit),
        WORLD_TEST(revisions_pass_the_filter),
        WORLD_TEST(revisions_wait_for_a_snapshot),
        WORLD_TEST(revisions_come_with_the_last_part),
        WORLD_TEST(who_was_cut_off_goes_on),
        WORLD_TEST(who_cannot_go_on_gets_a_snapshot),
        WORLD_TEST(revisions_go_on_where_they_were),
        WORLD_TEST(a_status_that_stays_is_no_change_of_it),
        WORLD_TEST(a_status_is_not_lost_between_parts),
        WORLD_TEST(revisions_alone_bring_no_states),
        WORLD_TEST(kinds_of_nodes_are_told_apart),
        WORLD_TEST(many_get_the_same_bytes),
        WORLD_TEST(a_sign_of_life_says_where_the_stream_is),
        WORLD_TEST(whole_views_are_the_board_in_any_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
