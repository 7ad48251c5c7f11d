#include "aggregator_test.h"
#include <stdio.h>

static const struct scorecard *cards[2];
static struct scorecard *owned[2];

static int read_cards(void **state)
{
    (void)state;
    owned[0] = card_make("zoo", 4); /* configured first, so it comes first */
    owned[1] = card_make("zo", 2);
    for (int i = 0; i < 2; i++)
        cards[i] = owned[i];
    return 0;
}

static int free_cards(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++)
        scorecard_free(owned[i]);
    return 0;
}

static int open_board(void **state)
{
    static struct board board;
    *state = &board;
    return board_init(&board, cards, 2, NULL) == POISE_OK ? 0 : -1;
}

static int close_board(void **state)
{
    board_free(*state);
    return 0;
}

static void change(struct board *board, uint64_t lsn, int card, uint32_t node, const char *org, double value)
{
    struct changes *changes = changes_make(lsn, (int64_t)lsn * 1000, 1);
    changes->count = 1;
    changes->states[0] = state_make(cards[card], node, org, value);
    assert_int_equal(board_apply(board, changes, NULL), POISE_OK);
    free(changes);
}

static void expect_order(struct board *board, const char *expected)
{
    struct buf seen = {0};
    for (struct board_unit *unit = board_next(board, NULL); unit; unit = board_next(board, unit))
        buf_printf(&seen, "%s:%s ", unit->card->id, unit->org);
    buf_put_u8(&seen, 0);
    assert_string_equal((const char *)seen.data, expected);
    buf_free(&seen);
}

static void a_new_board_is_empty(void **state)
{
    struct board *board = *state;
    assert_null(board_next(board, NULL));
    assert_int_equal(board->head, 0);
    assert_true(board->as_of_ms == INT64_MIN);
    assert_true(board_has(board, 0));
}

static void a_node_has_its_latest_numbers(void **state)
{
    struct board *board = *state;
    change(board, 5, 0, 3, "a", 1);
    change(board, 6, 0, 3, "a", 2);
    change(board, 7, 0, 4, "a", 3);
    assert_int_equal(board->nodes, 2);
    assert_int_equal(board->unit_count, 1);
    assert_int_equal(board->head, 3);
    assert_int_equal(board->lsn, 7);
    assert_int_equal(board->as_of_ms, 7000);
    struct board_unit *unit = board_next(board, NULL);
    assert_true(unit->states[3].numbers.value == 2 && unit->positions[3] == 2);
    assert_true(unit->states[4].numbers.value == 3 && unit->positions[4] == 3);
    assert_int_equal(unit->positions[0], 0);
    struct board_unit *changed = NULL;
    uint32_t node = 0;
    assert_null(board_changed(board, 1, &changed, &node)); /* there is a later one */
    assert_true(board_changed(board, 2, &changed, &node)->numbers.value == 2);
    assert_ptr_equal(changed, unit);
    assert_int_equal(node, 3);
}

static void time_moves_without_changes(void **state)
{
    struct board *board = *state;
    change(board, 5, 0, 3, "a", 1);
    struct changes *none = changes_make(0, 9999, 0);
    assert_int_equal(board_apply(board, none, NULL), POISE_OK);
    free(none);
    assert_int_equal(board->lsn, 5);
    assert_int_equal(board->as_of_ms, 9999);
    assert_int_equal(board->head, 1);
}

static void units_go_by_scorecard_then_org(void **state)
{
    struct board *board = *state;
    change(board, 1, 1, 3, "b", 1);
    change(board, 2, 0, 3, "b", 1);
    change(board, 3, 0, 3, "", 1);
    expect_order(board, "zoo: zoo:b zo:b ");
    const struct board_unit *place = board_next(board, board_next(board, NULL)); /* zoo:b */
    change(board, 4, 0, 3, "a/x", 1);
    change(board, 5, 1, 3, "", 1);
    change(board, 6, 0, 3, "c", 1);
    assert_string_equal(board_next(board, place)->org, "c");
    expect_order(board, "zoo: zoo:a/x zoo:b zoo:c zo: zo:b ");
    for (struct board_unit *unit = board_next(board, NULL); unit; unit = board_next(board, unit))
        assert_true(unit->states[3].numbers.value == 1 && unit->index < 6);
}

static void a_node_that_no_scorecard_has_is_an_error(void **state)
{
    static const char *const nodes[] = {"zoo/p/o/m9", "z/p", "zooo", "", "zo/p/o/m2"};
    struct board *board = *state;
    poise_error err = {0};
    for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++) {
        struct changes *changes = changes_make(1, 1, 1);
        changes->count = 1;
        changes->states[0] = state_make(cards[0], 0, "", 1);
        changes->states[0].node = nodes[i];
        assert_int_equal(board_apply(board, changes, &err), POISE_EINVAL);
        free(changes);
    }
    assert_int_equal(board->nodes, 0);
}

static void the_ring_forgets_what_is_too_old(void **state)
{
    struct board *board = *state;
    change(board, 1, 0, 3, "a", 1);
    for (uint64_t i = 1; i <= BOARD_RING; i++) {
        assert_true(board_has(board, 1));
        change(board, 1 + i, 0, 4, "a", (double)i);
    }
    assert_true(board_has(board, 1));
    assert_false(board_has(board, 0));
    struct board_unit *unit;
    uint32_t node;
    for (uint64_t position = 2; position < board->head; position++)
        assert_null(board_changed(board, position, &unit, &node));
    assert_true(board_changed(board, board->head, &unit, &node)->numbers.value == BOARD_RING);
}

static void revise(struct board *board, int card, uint32_t node, const char *org, uint64_t number,
                   double value)
{
    struct changes *changes = changes_make(board->lsn + 1, 9000, 1);
    changes->count = 1;
    changes->states[0] = state_make(cards[card], node, org, value);
    changes->states[0].as_of_ms = 77;
    changes->states[0].revision = number;
    changes->states[0].replaced = 40;
    changes->states[0].cause = 5;
    assert_int_equal(board_apply(board, changes, NULL), POISE_OK);
    free(changes);
}

static void revisions_stay_apart(void **state)
{
    struct board *board = *state;
    change(board, 5, 0, 3, "a", 1);
    assert_int_equal(board_oldest_revision(board), 1);
    revise(board, 0, 3, "a", 1, 2);
    revise(board, 0, 3, "a", 2, 3);
    struct board_unit *unit = board_next(board, NULL);
    assert_true(unit->states[3].numbers.value == 1 && unit->states[3].revision == 0);
    assert_int_equal(unit->positions[3], 1); /* nor is it a change */
    assert_int_equal(board->head, 1);
    assert_int_equal(board->nodes, 1);
    assert_int_equal(board->lsn, 7);
    assert_int_equal(board->revised, 2);
    const struct board_revision *second = &board->revisions[2 % BOARD_REVISIONS];
    assert_ptr_equal(second->unit, unit);
    assert_int_equal(second->node, 3);
    assert_true(second->state.numbers.value == 3 && second->state.revision == 2);
    assert_true(second->state.as_of_ms == 77 && second->state.replaced == 40 && second->state.cause == 5);
    assert_true(board->revisions[1].state.numbers.value == 2);
}

/* A node that only an older definition has: for those who want what is above it. */
static void a_revision_of_a_node_that_is_gone(void **state)
{
    struct board *board = *state;
    struct changes *changes = changes_make(7, 9000, 1);
    char path[200];
    snprintf(path, sizeof path, "%s/gone/and/more", cards[0]->nodes[1].path);
    changes->count = 1;
    changes->states[0] = state_make(cards[0], 3, "a", 2);
    changes->states[0].node = path;
    assert_int_equal(board_apply(board, changes, NULL), POISE_EINVAL); /* of an open period nobody has it */
    changes->states[0].revision = 1;
    assert_int_equal(board_apply(board, changes, NULL), POISE_OK);
    assert_int_equal(board->revisions[1].node, 1);
    assert_string_equal(board->revisions[1].state.node, path);
    assert_int_equal(board->nodes, 0);
    free(changes);
}

/* What closed before an org's first live state: it has a place, but no node yet. */
static void a_revision_of_an_org_that_was_not_there(void **state)
{
    struct board *board = *state;
    revise(board, 1, 3, "x", 1, 2);
    assert_int_equal(board->nodes, 0);
    assert_int_equal(board->head, 0);
    expect_order(board, "zo:x ");
    assert_int_equal(board_next(board, NULL)->positions[3], 0);
    change(board, 5, 1, 3, "x", 1);
    assert_int_equal(board->nodes, 1);
    assert_true(board_next(board, NULL)->states[3].numbers.value == 1);
}

static void the_oldest_revisions_go(void **state)
{
    struct board *board = *state;
    for (uint64_t i = 1; i <= BOARD_REVISIONS; i++)
        revise(board, 0, 3, "a", i, (double)i);
    assert_int_equal(board_oldest_revision(board), 1);
    assert_int_equal(board->revisions[1].state.revision, 1);
    for (uint64_t i = BOARD_REVISIONS + 1; i <= BOARD_REVISIONS + 3; i++)
        revise(board, 0, 3, "a", i, (double)i);
    assert_int_equal(board_oldest_revision(board), 4);
    for (uint64_t i = 4; i <= board->revised; i++)
        assert_int_equal(board->revisions[i % BOARD_REVISIONS].state.revision, i);
}

int main(void)
{
#define BOARD_TEST(name) cmocka_unit_test_setup_teardown(name, open_board, close_board)
    const struct CMUnitTest tests[] = {
        BOARD_TEST(a_new_board_is_empty),
        BOARD_TEST(a_node_has_its_latest_numbers),
        BOARD_TEST(time_moves_without_changes),
        BOARD_TEST(units_go_by_scorecard_then_org),
        BOARD_TEST(a_node_that_no_scorecard_has_is_an_error),
        BOARD_TEST(the_ring_forgets_what_is_too_old),
        BOARD_TEST(revisions_stay_apart),
        BOARD_TEST(a_revision_of_a_node_that_is_gone),
        BOARD_TEST(a_revision_of_an_org_that_was_not_there),
        BOARD_TEST(the_oldest_revisions_go),
    };
    return cmocka_run_group_tests(tests, read_cards, free_cards);
}
