/* Formulas as postfix steps, and the order in which a scorecard is computed. */
#include <base/buf.h>
#include <base/text.h>
#include <math.h>
#include <model/scorecard.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct scorecard *read(struct buf *text)
{
    struct scorecard *card = NULL;
    struct problems problems = {0};
    buf_put_u8(text, 0);
    const char *bytes = (const char *)text->data;
    if (scorecard_read_bytes("t", bytes, strlen(bytes), &card, &problems) != POISE_OK) {
        problems_print(&problems, stderr);
        fail();
    }
    problems_free(&problems);
    buf_free(text);
    return card;
}

static void put_head(struct buf *out)
{
    buf_printf(out, "{scorecard: c, perspectives: [{id: p, objectives: [{id: o, measures: [\n");
}

static void put_measure(struct buf *out, const char *id)
{
    buf_printf(out, "{id: '%s', aggregate: sum, score: {binary: {}}},\n", id);
}

/* "a 2 +"; checks that one value is left and no more than may be wait. */
static void put_postfix(struct buf *out, const struct scorecard *card, const struct formula *formula)
{
    static const char *const signs[] = {[FORMULA_ADD] = "+",
                                        [FORMULA_SUBTRACT] = "-",
                                        [FORMULA_MULTIPLY] = "*",
                                        [FORMULA_DIVIDE] = "/",
                                        [FORMULA_NEGATE] = "neg"};
    size_t depth = 0;
    for (size_t i = 0; i < formula->count; i++) {
        const struct formula_step *step = &formula->steps[i];
        char number[NUMBER_TEXT_MAX];
        if (step->op == FORMULA_NUMBER)
            format_double(step->number, number);
        assert_false(step->op == FORMULA_NUMBER && step->number == 0 && signbit(step->number));
        const char *word = step->op == FORMULA_NUMBER ? number
                           : step->op == FORMULA_LEAF ? card->nodes[step->node].id
                                                      : signs[step->op];
        buf_printf(out, "%s%s", i == 0 ? "" : " ", word);
        bool value = step->op == FORMULA_NUMBER || step->op == FORMULA_LEAF;
        size_t taken = value ? 0 : step->op == FORMULA_NEGATE ? 1 : 2;
        assert_true(depth >= taken);
        depth += 1 - taken;
        assert_true(depth <= FORMULA_DEPTH_MAX);
    }
    assert_int_equal(depth, 1);
    buf_put_u8(out, 0);
}

static const char *const ids[] = {"a", "b", "c", "a-b", "x.y", "-a", "1e", "e-5", "-", "7"};

static const struct {
    const char *text, *postfix;
} formulas[] = {
    {"a", "a"},
    {"a + b * c", "a b c * +"},
    {"a * b + c", "a b * c +"},
    {"a - b - c", "a b - c -"},
    {"a / b / c", "a b / c /"},
    {"a / b * c", "a b / c *"},
    {"a - b + c", "a b - c +"},
    {"a - (b - c)", "a b c - -"},
    {"a / (b * c)", "a b c * /"},
    {"(a + b) * c", "a b + c *"},
    {"a * (b + c) / (a - b)", "a b c + * a b - /"},
    {"a+b*c/(a+b)", "a b c * a b + / +"},
    {"((((a))))", "a"},
    {"  a  +  b  ", "a b +"},
    /* Minus before a value binds closest; two of them are none. */
    {"- a * b", "a neg b *"},
    {"- a + b", "a neg b +"},
    {"-(a + b)", "a b + neg"},
    {"a - - b", "a b neg -"},
    {"a * - b", "a b neg *"},
    {"- - a", "a"},
    {"- - - (a)", "a neg"},
    /* An id is the longest run of its characters. */
    {"a-b", "a-b"},
    {"a-b - a", "a-b a -"},
    {"a - b", "a b -"},
    {"x.y*x.y", "x.y x.y *"},
    {"-a", "-a"},
    {"- -a", "-a neg"},
    {"e-5 + 1e", "e-5 1e +"},
    /* What reads as a number is one, whatever measures are called; - alone is a minus. */
    {"7 * a", "7 a *"},
    {"1e-5 * a", "1e-05 a *"},
    {"2e3 - 0.5", "2000 0.5 -"},
    {"-5 + a", "-5 a +"},
    {"a - -5", "a -5 -"},
    {".5 / 5.", "0.5 5 /"},
    {"-0 + 1e100", "0 1e+100 +"},
    {"1 / (2 - 2)", "1 2 2 - /"},
};
enum { FORMULAS = sizeof formulas / sizeof *formulas };

static void postfix(void **state)
{
    (void)state;
    struct buf text = {0};
    put_head(&text);
    for (size_t i = 0; i < FORMULAS; i++)
        buf_printf(&text, "{id: f%zu, formula: '%s', score: {binary: {}}},\n", i, formulas[i].text);
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        put_measure(&text, ids[i]);
    buf_printf(&text, "]}]}]}");
    struct scorecard *card = read(&text);
    for (size_t i = 0; i < FORMULAS; i++) {
        const struct measure *measure = card->nodes[3 + i].measure;
        assert_int_equal(measure->aggregate, AGGREGATE_FORMULA);
        assert_string_equal(measure->formula->text, formulas[i].text);
        struct buf got = {0};
        put_postfix(&got, card, measure->formula);
        if (strcmp((const char *)got.data, formulas[i].postfix) != 0)
            fail_msg("%s: %s, not %s", formulas[i].text, (const char *)got.data, formulas[i].postfix);
        buf_free(&got);
    }
    scorecard_free(card);
}

/* Random trees, written with no parentheses but those that precedence needs, give their own postfix. */
static uint32_t random_below(uint32_t *seed, uint32_t bound)
{
    *seed = *seed * 1664525 + 1013904223;
    return (uint32_t)(((uint64_t)*seed * bound) >> 32);
}

/* Of sums 1, of products 2, of values 3: what stands in a place of `least` or more needs no parentheses. */
static void grow(uint32_t *seed, int height, int least, struct buf *infix, struct buf *out)
{
    static const char signs[] = "+-*/";
    if (height == 0 || random_below(seed, 6) == 0) {
        const char *id = ids[random_below(seed, 5)];
        buf_printf(infix, "%s", id);
        buf_printf(out, "%s ", id);
        return;
    }
    if (random_below(seed, 6) == 0) {
        buf_printf(infix, "- (");
        grow(seed, height - 1, 1, infix, out);
        buf_printf(infix, ")");
        buf_printf(out, "neg ");
        return;
    }
    uint32_t op = random_below(seed, 4);
    int rank = op < 2 ? 1 : 2;
    buf_printf(infix, "%s", rank < least ? "(" : "");
    grow(seed, height - 1, rank, infix, out);
    buf_printf(infix, " %c ", signs[op]);
    grow(seed, height - 1, rank + 1, infix, out); /* of equals the left goes first */
    buf_printf(infix, "%s", rank < least ? ")" : "");
    buf_printf(out, "%c ", signs[op]);
}

static void random_trees(void **state)
{
    (void)state;
    enum { TREES = 500 };
    static struct buf expected[TREES];
    struct buf text = {0};
    uint32_t seed = 7;
    put_head(&text);
    for (size_t i = 0; i < TREES; i++) {
        buf_printf(&text, "{id: f%zu, formula: '", i);
        grow(&seed, 6, 1, &text, &expected[i]);
        buf_printf(&text, "', score: {binary: {}}},\n");
        buf_put_u8(&expected[i], 0);
    }
    for (size_t i = 0; i < 5; i++)
        put_measure(&text, ids[i]);
    buf_printf(&text, "]}]}]}");
    struct scorecard *card = read(&text);
    for (size_t i = 0; i < TREES; i++) {
        struct buf got = {0};
        put_postfix(&got, card, card->nodes[3 + i].measure->formula);
        size_t length = got.length - 1;
        assert_int_equal(length + 1, expected[i].length - 1); /* without the last blank */
        assert_memory_equal(got.data, expected[i].data, length);
        buf_free(&got);
        buf_free(&expected[i]);
    }
    scorecard_free(card);
}

/* As long and as deep as may be; what goes beyond is among the planted errors of test_refusals.c. */
static void largest(void **state)
{
    (void)state;
    struct buf text = {0};
    put_head(&text);
    put_measure(&text, "a");
    buf_printf(&text, "{id: long, formula: '- a");
    for (int i = 0; i < 127; i++)
        buf_printf(&text, " + a");
    buf_printf(&text, "', score: {binary: {}}},\n{id: deep, formula: '");
    for (int i = 0; i < 31; i++)
        buf_printf(&text, "1 + (");
    buf_printf(&text, "(a%.*s', score: {binary: {}}}]}]}]}", 32, "))))))))))))))))))))))))))))))))");
    struct scorecard *card = read(&text);
    assert_int_equal(card->nodes[4].measure->formula->count, FORMULA_STEPS_MAX);
    assert_int_equal(card->nodes[5].measure->formula->count, 63);
    assert_int_equal(card->nodes[3].reader_count, 2);
    scorecard_free(card);
}

static void what_a_formula_has_not(void **state)
{
    (void)state;
    struct buf text = {0};
    buf_printf(&text, "{scorecard: c, period: week, perspectives: [{id: p, objectives: [{id: o, measures: ["
                      "{id: f, formula: 1, critical: true, score: {binary: {}}}]}]}]}");
    struct scorecard *card = read(&text);
    const struct measure *measure = card->nodes[3].measure;
    assert_null(measure->input);
    assert_int_equal(measure->period, PERIOD_WEEK);
    assert_int_equal(measure->carry, 0);
    assert_int_equal(measure->min_count, 0);
    assert_int_equal(measure->max_ahead_ms, 0);
    assert_int_equal(measure->rolling_ms, 0);
    assert_true(measure->critical && measure->subtree && !measure->basis_closed && !measure->pace);
    scorecard_free(card);
}

/* Each node once, behind all that it reads; rank is where. */
static void check_order(const struct scorecard *card)
{
    for (uint32_t i = 0; i < card->node_count; i++) {
        const struct node *node = &card->nodes[i];
        assert_true(card->order[i] < card->node_count);
        assert_int_equal(card->rank[card->order[i]], i);
        if (node->parent != NODE_NONE)
            assert_true(card->rank[node->parent] > card->rank[i]);
        const struct formula *formula = node->measure ? node->measure->formula : NULL;
        for (size_t step = 0; formula && step < formula->count; step++)
            if (formula->steps[step].op == FORMULA_LEAF)
                assert_true(card->rank[formula->steps[step].node] < card->rank[i]);
        for (uint32_t reader = 0; reader < node->reader_count; reader++)
            assert_true(card->rank[node->readers[reader]] > card->rank[i]);
    }
}

static void order_of_computation(void **state)
{
    (void)state;
    struct buf text = {0};
    buf_printf(&text, "scorecard: c\n"
                      "perspectives:\n"
                      "  - id: p\n"
                      "    objectives:\n"
                      "      - id: o\n"
                      "        measures:\n"
                      "          - {id: f, formula: g + a, score: {binary: {}}}\n"
                      "          - {id: a, aggregate: sum, score: {binary: {}}}\n"
                      "          - {id: g, formula: b * b / 2, score: {binary: {}}}\n"
                      "  - id: q\n"
                      "    objectives:\n"
                      "      - id: o\n"
                      "        measures:\n"
                      "          - {id: h, formula: a - (a + b), score: {binary: {}}}\n"
                      "          - {id: b, aggregate: sum, score: {binary: {}}}\n");
    static const uint32_t expected[] = {4, 9, 5, 3, 8, 7, 6, 2, 1, 0};
    struct scorecard *card = read(&text);
    assert_int_equal(card->node_count, 10);
    check_order(card);
    assert_memory_equal(card->order, expected, sizeof expected);
    assert_int_equal(card->nodes[3].measure->formula->steps[0].node, 5);
    const struct node *a = &card->nodes[4], *b = &card->nodes[9];
    assert_int_equal(a->reader_count, 2);
    assert_true(a->readers[0] == 3 && a->readers[1] == 8);
    assert_int_equal(b->reader_count, 2);
    assert_true(b->readers[0] == 5 && b->readers[1] == 8);
    assert_int_equal(card->nodes[5].reader_count, 1);
    assert_int_equal(card->nodes[5].readers[0], 3);
    assert_int_equal(card->nodes[3].reader_count, 0);
    assert_int_equal(card->nodes[2].reader_count, 0);
    scorecard_free(card);
}

/* 9,000 formulas, each of the next: no stack grows with them. */
static void a_long_chain(void **state)
{
    (void)state;
    enum { CHAIN = 9000 };
    struct buf text = {0};
    put_head(&text);
    for (int i = 0; i < CHAIN; i++)
        buf_printf(&text, "{id: f%d, formula: f%d + a, score: {binary: {}}},\n", i, i + 1);
    buf_printf(&text, "{id: f%d, formula: a, score: {binary: {}}},\n", CHAIN);
    put_measure(&text, "a");
    buf_printf(&text, "]}]}]}");
    struct scorecard *card = read(&text);
    check_order(card);
    assert_int_equal(card->nodes[card->node_count - 1].reader_count, CHAIN + 1);
    assert_int_equal(card->order[0], card->node_count - 1);
    assert_int_equal(card->order[1], 3 + CHAIN);
    scorecard_free(card);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(postfix),
        cmocka_unit_test(random_trees),
        cmocka_unit_test(largest),
        cmocka_unit_test(what_a_formula_has_not),
        cmocka_unit_test(order_of_computation),
        cmocka_unit_test(a_long_chain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
