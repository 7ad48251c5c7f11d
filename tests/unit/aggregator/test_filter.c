/* What filters keep of their last updates, for whoever wants the same, has a bound. */
#include "aggregator_test.h"
#include <aggregator/subscription.h>
#include <stdio.h>

enum { ORGS = 15, ORG_BYTES = 16, MEASURES = 40, FILTERS = 160, SCRATCH = 4096 };

struct pair { /* of subscriptions that want the same */
    struct subscription *first, *second;
};

struct world {
    struct scorecard *card;
    const struct scorecard *cards[1];
    char orgs[ORGS][ORG_BYTES];
    struct board board;
    struct pair pairs[FILTERS];
    poise_state scratch[SCRATCH];
    struct buf spare;
};

static void change_all(struct world *w)
{
    struct changes *changes =
        changes_make(w->board.lsn + 1, (int64_t)w->board.lsn + 1, (size_t)ORGS * w->card->node_count);
    for (int org = 0; org < ORGS; org++)
        for (uint32_t node = 0; node < w->card->node_count; node++)
            changes->states[changes->count++] = state_make(w->card, node, w->orgs[org], (double)changes->lsn);
    assert_int_equal(board_apply(&w->board, changes, NULL), POISE_OK);
    free(changes);
}

/* Takes all that there is. */
static void pump(struct world *w, struct subscription *s)
{
    for (;;) {
        struct subscription_message message = {0};
        subscription_next(s, &w->board, 1, w->scratch, SCRATCH, &message);
        if (message.kind == 0)
            return;
        assert_non_null(subscription_keep(s, &w->board, &message, &w->spare));
        subscription_sent(s, &message, 1);
    }
}

/* Everything, in words that no other has. */
static struct subscription *subscribe(struct world *w, int number)
{
    char other[16];
    const char *nodes[] = {"c", other};
    const struct wire_subscribe wanted = {.id = 7, .filter = {.nodes = nodes, .node_count = 2}};
    const struct net_peer peer = {.length = 1};
    struct subscription *subscription;
    snprintf(other, sizeof other, "x%d", number);
    assert_int_equal(subscription_open(&wanted, &peer, &filter_everybody, &w->board, &subscription, NULL),
                     POISE_OK);
    pump(w, subscription);
    return subscription;
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    if (!w)
        return -1;
    *state = w;
    w->card = card_make("c", MEASURES);
    w->cards[0] = w->card;
    for (int i = 0; i < ORGS; i++)
        snprintf(w->orgs[i], ORG_BYTES, "o%d", i);
    if (board_init(&w->board, w->cards, 1, NULL))
        return -1;
    change_all(w);
    for (int i = 0; i < FILTERS; i++)
        w->pairs[i] = (struct pair){subscribe(w, i), subscribe(w, i)};
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    board_free(&w->board);
    scorecard_free(w->card);
    buf_free(&w->spare);
    free(w);
    return 0;
}

static size_t kept_bytes(const struct world *w)
{
    size_t bytes = 0;
    for (int i = 0; i < FILTERS; i++)
        bytes += w->pairs[i].first->filter->sent.tail.capacity;
    return bytes;
}

/* Whether the second would get what was made for the first. */
static bool is_kept(const struct world *w, int pair)
{
    struct subscription_message same;
    return subscription_same(w->pairs[pair].second, &w->board, 1, &same) != NULL;
}

static void what_is_kept_has_a_bound(void **state)
{
    struct world *w = *state;
    size_t most = 0, one = 0;
    change_all(w);
    for (int i = 0; i < FILTERS; i++) {
        pump(w, w->pairs[i].first);
        assert_true(is_kept(w, i));
        assert_true(is_kept(w, 0) || i > 5);
        one = w->pairs[i].first->filter->sent.tail.capacity;
        most = kept_bytes(w) > most ? kept_bytes(w) : most;
        assert_int_equal(w->board.kept_bytes, kept_bytes(w));
    }
    assert_true(FILTERS * one > FILTER_KEPT_MAX);
    assert_in_range(most, FILTER_KEPT_MAX / 2, FILTER_KEPT_MAX);
    assert_false(is_kept(w, 0));
    for (int i = 0; i < FILTERS; i++) { /* made again */
        pump(w, w->pairs[i].second);
        assert_true(w->pairs[i].second->lsn == w->board.lsn);
    }
    for (int i = 0; i < FILTERS; i++) {
        subscription_close(w->pairs[i].first);
        subscription_close(w->pairs[i].second);
    }
    assert_int_equal(w->board.kept_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_kept_has_a_bound, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
