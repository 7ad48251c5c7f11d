#include "cli_test.h"
#include <cli/view.h>

static struct view_change put(struct view *view, poise_state state, const char *org, int64_t now_us)
{
    struct view_change change;
    state.org = org;
    assert_int_equal(view_put(view, &state, now_us, &change), POISE_OK);
    return change;
}

/* "org:node " of every entry. */
static const char *order_of(struct view *view, struct buf *out)
{
    view_sort(view);
    for (size_t i = 0; i < view->count; i++) {
        buf_printf(out, "%s:%s ", view->entries[i]->state.org, view->entries[i]->state.node);
    }
    return text_of(out);
}

static poise_state node(const char *path)
{
    return branch(path, "name", POISE_PERSPECTIVE, 50, POISE_AMBER);
}

static void tells_what_changed(void **unused)
{
    (void)unused;
    struct view view = {0};
    struct view_change change = put(&view, node("a"), "", 1);
    assert_true(change.changed && !change.known);
    poise_state same = node("a");
    same.as_of_ms++;
    change = put(&view, same, "", 2);
    assert_true(!change.changed && change.known);
    assert_int_equal(view.entries[0]->changed_us, 1);
    assert_int_equal(view.entries[0]->state.as_of_ms, same.as_of_ms);
    same.numbers.score = 51;
    same.name = "a longer name";
    change = put(&view, same, "", 3);
    assert_true(change.changed && change.known);
    assert_float_equal(change.before.score, 50, 0);
    assert_int_equal(view.entries[0]->changed_us, 3);
    assert_string_equal(view.entries[0]->state.name, "a longer name");
    change = put(&view, same, "plant-1", 4);
    assert_true(change.changed && !change.known);
    assert_int_equal(view.count, 2);
    view_free(&view);
}

static void keeps_the_order_of_the_tree(void **unused)
{
    (void)unused;
    struct view view = {0};
    struct buf out = {0};
    static const char *const snapshot[] = {"z",   "z/customer", "z/customer/o", "z/customer/o/m",
                                           "z/a", "z/a-b"};
    for (size_t i = 0; i < sizeof snapshot / sizeof snapshot[0]; i++) {
        put(&view, node(snapshot[i]), "", 0);
    }
    /* A new org comes leaves first, another scorecard and a node that the root does not have later. */
    for (size_t i = sizeof snapshot / sizeof snapshot[0]; i-- > 0;) {
        put(&view, node(snapshot[i]), "p", 0);
    }
    put(&view, node("b"), "", 0);
    put(&view, node("z/customer/o/late"), "p", 0);
    assert_string_equal(
        order_of(&view, &out),
        ":z :z/customer :z/customer/o :z/customer/o/m :z/a :z/a-b p:z p:z/customer p:z/customer/o "
        "p:z/customer/o/m p:z/customer/o/late p:z/a p:z/a-b :b ");
    buf_free(&out);
    view_free(&view);
}

static void a_snapshot_forgets_the_rest(void **unused)
{
    (void)unused;
    struct view view = {0};
    struct buf out = {0};
    put(&view, node("a"), "", 0);
    put(&view, node("a/gone"), "", 0);
    put(&view, node("a/stays"), "", 0);
    view_begin(&view);
    put(&view, node("a"), "", 0);
    put(&view, node("a/stays"), "", 0);
    view_finish(&view);
    assert_string_equal(order_of(&view, &out), ":a :a/stays ");
    assert_false(put(&view, node("a/gone"), "", 0).known);
    buf_free(&out);
    view_free(&view);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_what_changed),
        cmocka_unit_test(keeps_the_order_of_the_tree),
        cmocka_unit_test(a_snapshot_forgets_the_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
