/* The specification's cases, offline and live. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <base/csv.h>
#include <base/text.h>
#include <cmocka.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unit/engine/world.h>

struct conformance {
    json_t *vectors;
    double tolerance;
};

struct node_check {
    const json_t *expect;
    double tolerance;
    const char *name;
    size_t met;
};

static struct scorecard *read_card(const json_t *test)
{
    char *yaml = json_dumps(json_object_get(test, "scorecard"), JSON_COMPACT);
    assert_non_null(yaml);
    struct problems problems = {0};
    struct scorecard *card = NULL;
    poise_code code = scorecard_read_bytes("scorecard", yaml, strlen(yaml), &card, &problems);
    free(yaml);
    if (code != POISE_OK) {
        fail_msg("%s: %s", json_string_value(json_object_get(test, "name")),
                 problems.kept ? problems.items[0].text : "cannot be read");
    }
    problems_free(&problems);
    return card;
}

/* ---- rows ---- */

enum column { TIME, MEASURE, ORG, VALUE, OF, KEY, SEQ, SOURCE, RETRACT, COLUMNS };

struct row {
    char text[COLUMNS][256];
    poise_measurement measurement;
};

static void read_header(const struct csv_record *record, int columns[CSV_FIELDS_MAX])
{
    static const char *const names[COLUMNS] = {"time", "measure", "org",    "value",  "of",
                                               "key",  "seq",     "source", "retract"};
    for (size_t i = 0; i < record->count; i++) {
        columns[i] = 0;
        while (strlen(names[columns[i]]) != record->fields[i].length ||
               memcmp(names[columns[i]], record->fields[i].text, record->fields[i].length) != 0) {
            assert_true(++columns[i] < COLUMNS);
        }
    }
}

static void read_row(const struct csv_record *record, const int columns[CSV_FIELDS_MAX], struct row *row)
{
    memset(row, 0, sizeof *row);
    for (size_t i = 0; i < record->count; i++) {
        assert_true(record->fields[i].length < sizeof row->text[0]);
        memcpy(row->text[columns[i]], record->fields[i].text, record->fields[i].length);
    }
    int64_t seq = 0;
    poise_measurement *m = &row->measurement;
    *m = (poise_measurement){.measure = row->text[MEASURE],
                             .org = row->text[ORG],
                             .source = row->text[SOURCE],
                             .key = row->text[KEY][0] ? row->text[KEY] : NULL,
                             .of = 1,
                             .retract = strcmp(row->text[RETRACT], "true") == 0};
    assert_true(parse_time_ms(row->text[TIME], strlen(row->text[TIME]), &m->time_ms) || m->retract);
    assert_true(parse_double(row->text[VALUE], strlen(row->text[VALUE]), &m->value) || m->retract);
    assert_true(!row->text[OF][0] || parse_double(row->text[OF], strlen(row->text[OF]), &m->of));
    assert_true(!row->text[SEQ][0] || parse_int64(row->text[SEQ], strlen(row->text[SEQ]), &seq));
    m->seq = (uint64_t)seq;
}

typedef void after_row(struct world *world, const struct row *row, int64_t as_of_ms);

static void apply_rows(struct world *world, const json_t *test, int64_t as_of_ms, after_row *after)
{
    const char *csv = json_string_value(json_object_get(test, "measurements"));
    struct csv_reader *reader = csv_open(',');
    static struct csv_record record;
    int columns[CSV_FIELDS_MAX];
    assert_non_null(reader);
    assert_int_equal(csv_feed(reader, csv, strlen(csv)), POISE_OK);
    assert_true(csv_next(reader, true, &record));
    read_header(&record, columns);
    while (csv_next(reader, true, &record)) {
        struct row row;
        read_row(&record, columns, &row);
        world_apply(world, &row.measurement, INT64_MAX);
        if (after) {
            after(world, &row, as_of_ms);
        }
    }
    csv_close(reader);
}

/* ---- states ---- */

static void check_number(const struct node_check *check, const json_t *node, const char *what, double got)
{
    const json_t *wanted = json_object_get(node, what);
    bool ok = json_is_null(wanted) ? isnan(got)
                                   : fabs(got - json_number_value(wanted)) <=
                                         check->tolerance * fmax(1, fabs(json_number_value(wanted)));
    if (!wanted || !ok) {
        fail_msg("%s: %s is %.17g, wanted %.17g", check->name, what, got, json_number_value(wanted));
    }
}

static void check_period(const struct node_check *check, const json_t *node, const poise_score *numbers)
{
    const json_t *wanted = json_object_get(node, "period");
    if (json_is_null(wanted)) {
        assert_true(numbers->period_start_ms == INT64_MIN && numbers->period_end_ms == INT64_MIN);
        return;
    }
    int64_t times[2] = {numbers->period_start_ms, numbers->period_end_ms};
    for (size_t i = 0; i < 2; i++) {
        char text[TIME_TEXT_MAX];
        format_time_ms(times[i], text);
        if (strcmp(text, json_string_value(json_array_get(wanted, i))) != 0) {
            fail_msg("%s: the period has %s", check->name, text);
        }
    }
}

static uint32_t flags_of(const json_t *names)
{
    static const char *const known[] = {"capped", "carried", "imputed", "overflow", "stale"};
    uint32_t flags = 0;
    for (size_t i = 0; i < json_array_size(names); i++) {
        for (size_t flag = 0; flag < sizeof known / sizeof *known; flag++) {
            bool is_it = strcmp(json_string_value(json_array_get(names, i)), known[flag]) == 0;
            flags |= is_it ? 1U << flag : 0;
        }
    }
    return flags;
}

static poise_code check_state(void *visitor, const poise_state *state)
{
    struct node_check *check = visitor;
    const poise_score *numbers = &state->numbers;
    const json_t *node = json_object_get(check->expect, state->node);
    if (!node) {
        fail_msg("%s: %s should not be there", check->name, state->node);
    }
    check->met++;
    check_number(check, node, "score", numbers->score);
    check_number(check, node, "value", numbers->value);
    check_number(check, node, "attainment", numbers->attainment);
    check_number(check, node, "coverage", numbers->coverage);
    check_number(check, node, "filled", numbers->filled);
    check_number(check, node, "lo", numbers->lo);
    check_number(check, node, "hi", numbers->hi);
    check_number(check, node, "count", numbers->count < 0 ? NAN : (double)numbers->count);
    check_period(check, node, numbers);
    assert_string_equal(poise_status_name(numbers->status),
                        json_string_value(json_object_get(node, "status")));
    assert_int_equal(numbers->uncertain, json_is_true(json_object_get(node, "uncertain")));
    assert_int_equal(numbers->flags, flags_of(json_object_get(node, "flags")));
    return POISE_OK;
}

static void check_states(const struct conformance *conformance, const json_t *test, struct world *world)
{
    struct node_check check = {.expect = json_object_get(test, "expect"),
                               .tolerance = conformance->tolerance,
                               .name = json_string_value(json_object_get(test, "name"))};
    const char *card = world->options.cards[0]->id, *org = json_string_value(json_object_get(test, "org"));
    assert_int_equal(engine_states(world->engine, card, org, check_state, &check, NULL), POISE_OK);
    assert_int_equal(check.met, json_object_size(check.expect));
}

/* ---- the ways a case may go ---- */

typedef void way(struct world *world, const json_t *test, int64_t as_of_ms);

static void offline(struct world *world, const json_t *test, int64_t as_of_ms)
{
    world_begin(world, as_of_ms);
    apply_rows(world, test, as_of_ms, NULL);
    world_settle(world);
}

static void live_at_once(struct world *world, const json_t *test, int64_t as_of_ms)
{
    world_begin(world, as_of_ms);
    apply_rows(world, test, as_of_ms, NULL);
    world_settle(world);
    world_checkpoint(world);
    world_reopen(world);
}

/* T follows the rows, some of which are late or in the future; a commit and a restart each. */
static void settle_at_row(struct world *world, const struct row *row, int64_t as_of_ms)
{
    if (!row->measurement.retract && row->measurement.time_ms <= as_of_ms) {
        world_begin(world, row->measurement.time_ms);
    }
    world_settle(world);
    world_checkpoint(world);
    world_reopen(world);
}

static void live_row_by_row(struct world *world, const json_t *test, int64_t as_of_ms)
{
    world_begin(world, TIME_MIN_MS);
    apply_rows(world, test, as_of_ms, settle_at_row);
    world_begin(world, as_of_ms);
    world_settle(world);
}

static void run_all(void **state, bool is_offline, way *go)
{
    const struct conformance *conformance = *state;
    size_t count = json_array_size(json_object_get(conformance->vectors, "cases"));
    for (size_t i = 0; i < count; i++) {
        const json_t *test = json_array_get(json_object_get(conformance->vectors, "cases"), i);
        struct scorecard *card = read_card(test);
        const struct scorecard *const cards[] = {card};
        const struct engine_options options = {
            .cards = cards, .card_count = 1, .max_orgs = 1000, .max_series = 1000, .offline = is_offline};
        const char *as_of = json_string_value(json_object_get(test, "as_of"));
        int64_t as_of_ms;
        assert_true(parse_time_ms(as_of, strlen(as_of), &as_of_ms));
        struct world world;
        world_open(&world, &options);
        go(&world, test, as_of_ms);
        check_states(conformance, test, &world);
        world_close(&world);
        scorecard_free(card);
    }
    assert_true(count > 100);
}

static void test_offline(void **state)
{
    run_all(state, true, offline);
}

static void test_live_at_once(void **state)
{
    run_all(state, false, live_at_once);
}

static void test_live_row_by_row(void **state)
{
    run_all(state, false, live_row_by_row);
}

int main(void)
{
    json_error_t problem;
    struct conformance conformance = {.vectors = json_load_file(CONFORMANCE_VECTORS, 0, &problem)};
    if (!conformance.vectors) {
        print_message("skipped: %s: %s\n", CONFORMANCE_VECTORS, problem.text);
        return 0;
    }
    const json_t *tolerance = json_object_get(conformance.vectors, "tolerance");
    conformance.tolerance = json_is_number(tolerance) ? json_number_value(tolerance) : 1e-9;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_offline, &conformance),
        cmocka_unit_test_prestate(test_live_at_once, &conformance),
        cmocka_unit_test_prestate(test_live_row_by_row, &conformance),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    json_decref(conformance.vectors);
    return failed;
}
