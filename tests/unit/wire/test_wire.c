#include "wire_test.h"
#include <math.h>

struct fixture {
    struct arena arena;
    struct buf body;
    poise_error err;
};

static int setup(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){0};
    arena_init(&fixture.arena, WIRE_ARENA);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    arena_free(&f->arena);
    buf_free(&f->body);
    return 0;
}

static void head_is_two_bytes_of_a_known_version(void **state)
{
    (void)state;
    enum wire_kind kind;
    uint8_t head[2];
    wire_head(WIRE_UPDATE, head);
    assert_int_equal(wire_head_parse(head, 2, &kind, NULL), POISE_OK);
    assert_int_equal(kind, WIRE_UPDATE);
    assert_int_equal(wire_head_parse(head, 1, &kind, NULL), POISE_EPROTO);
    assert_int_equal(wire_head_parse("\1\3\0", 3, &kind, NULL), POISE_EPROTO);
    assert_int_equal(wire_head_parse("\2\3", 2, &kind, NULL), POISE_EVERSION);
    assert_int_equal(wire_head_parse("\1\0", 2, &kind, NULL), POISE_EPROTO);
    assert_int_equal(wire_head_parse("\1\377", 2, &kind, NULL), POISE_OK); /* of a later minor version */
    assert_int_equal(kind, 255);
}

/* ---- batches ---- */

/* Columns of two rows of one series, each of which a test may spoil. */
struct sample {
    const char *symbol;
    size_t symbol_length;
    const char *series_measure, *series_org, *series_source;
    const char *series, *delta, *key, *row_seq, *retract;
    size_t values, ofs;
    int64_t base;
};

static struct sample good(void)
{
    return (struct sample){.symbol = "rejects",
                           .symbol_length = 7,
                           .series_measure = "\1", /* so that no column holds a 0, which would end its text */
                           .series_org = "\1",
                           .series_source = "",
                           .series = "",
                           .delta = "\2\2",
                           .key = "",
                           .row_seq = "",
                           .retract = "",
                           .values = 2,
                           .base = 1000};
}

static void put_sample(struct buf *out, const struct sample *sample)
{
    static const double numbers[8] = {1.5, NAN, INFINITY, 1e300};
    uint8_t zeros[2] = {0, 0};
    buf_reset(out);
    put_fixed(out, 1, 99);
    put_number(out, 2, 1);
    put_bytes(out, 3, sample->symbol, sample->symbol_length);
    put_text(out, 3, "plant");
    put_text(out, 4, sample->series_measure);
    put_text(out, 5, sample->series_org);
    put_text(out, 6, sample->series_source);
    put_number(out, 7, (uint64_t)sample->base << 1);
    if (sample->series[0]) {
        put_text(out, 8, sample->series);
    } else {
        put_bytes(out, 8, zeros, 2);
    }
    put_text(out, 9, sample->delta);
    put_bytes(out, 10, numbers, sample->values * sizeof(double));
    put_bytes(out, 11, numbers, sample->ofs * sizeof(double));
    put_text(out, 12, sample->key);
    put_text(out, 13, sample->row_seq);
    put_text(out, 14, sample->retract);
}

static poise_code decode(struct fixture *f, const struct sample *sample, struct wire_batch *ret_batch)
{
    put_sample(&f->body, sample);
    arena_reset(&f->arena);
    return wire_decode_batch(f->body.data, f->body.length, &f->arena, ret_batch, &f->err);
}

static void good_batch_passes_whatever_its_numbers(void **state)
{
    struct fixture *f = *state;
    struct sample sample = good();
    sample.ofs = 2;
    sample.key = "\1\2";
    sample.row_seq = "\5\6";
    sample.retract = "\1\1";
    sample.series_source = "\1";
    struct wire_batch batch;
    assert_int_equal(decode(f, &sample, &batch), POISE_OK);
    assert_int_equal(batch.rows, 2);
    assert_int_equal(batch.series_count, 1);
    assert_int_equal(batch.time_ms[0], 1001);
    assert_int_equal(batch.time_ms[1], 1002);
    assert_true(batch.value[0] == 1.5 && isnan(batch.value[1]) && isnan(batch.of[1]));
    poise_measurement row = wire_batch_row(&batch, 1);
    assert_string_equal(row.measure, "plant");
    assert_string_equal(row.source, "plant");
    assert_string_equal(row.key, "plant");
    assert_int_equal(row.seq, 6);
    assert_true(row.retract);
}

static void expect_refused(struct fixture *f, const struct sample *sample, const char *column)
{
    struct wire_batch batch = {.rows = 77};
    if (decode(f, sample, &batch) != POISE_EPROTO || !strstr(f->err.text, column)) {
        fail_msg("expected a refusal that names %s, got: %s", column, f->err.text);
    }
    assert_int_equal(batch.rows, 77);
}

static void indices_out_of_range_are_refused(void **state)
{
    struct fixture *f = *state;
    struct sample sample = good();
    sample.series_measure = "\2";
    expect_refused(f, &sample, "series_measure");
    sample = good();
    sample.series_org = "\2";
    expect_refused(f, &sample, "series_org");
    sample = good();
    sample.series_source = "\2";
    expect_refused(f, &sample, "series_source");
    sample = good();
    sample.series = "\1\1";
    expect_refused(f, &sample, "`series`");
    sample = good();
    sample.key = "\1\3";
    expect_refused(f, &sample, "key");
}

static void columns_of_other_lengths_are_refused(void **state)
{
    struct fixture *f = *state;
    struct sample sample = good();
    sample.series_org = "\1\1";
    expect_refused(f, &sample, "series columns");
    sample = good();
    sample.series_source = "\1\1";
    expect_refused(f, &sample, "series columns");
    sample = good();
    sample.delta = "\2";
    expect_refused(f, &sample, "time_delta_ms");
    sample = good();
    sample.values = 3;
    expect_refused(f, &sample, "value");
    sample = good();
    sample.ofs = 1;
    expect_refused(f, &sample, "of");
    sample = good();
    sample.key = "\1";
    expect_refused(f, &sample, "key");
    sample = good();
    sample.row_seq = "\1\1\1";
    expect_refused(f, &sample, "row_seq");
    sample = good();
    sample.retract = "\1";
    expect_refused(f, &sample, "retract");
}

static void symbols_must_be_printable_utf8_of_255_bytes(void **state)
{
    struct fixture *f = *state;
    char longest[256];
    memset(longest, 'x', sizeof longest);
    struct sample sample = good();
    sample.symbol = longest;
    sample.symbol_length = 255;
    struct wire_batch batch;
    assert_int_equal(decode(f, &sample, &batch), POISE_OK);
    sample.symbol_length = 256;
    expect_refused(f, &sample, "symbols");
    static const struct {
        const char *text;
        size_t length;
    } bad[] = {{"re\0jects", 8}, {"\xff", 1}, {"\xc3", 1}, {"\xed\xa0\x80", 3}, {"a\nb", 3}, {"\x1b[2J", 4}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        sample.symbol = bad[i].text;
        sample.symbol_length = bad[i].length;
        expect_refused(f, &sample, "symbols");
    }
}

static void times_beyond_64_bits_are_refused(void **state)
{
    struct fixture *f = *state;
    buf_reset(&f->body);
    put_fixed(&f->body, 1, 99);
    put_number(&f->body, 2, 1);
    put_text(&f->body, 3, "m");
    put_bytes(&f->body, 4, "", 1);
    put_bytes(&f->body, 5, "", 1);
    put_number(&f->body, 7, UINT64_MAX - 1); /* zigzag of INT64_MAX */
    put_bytes(&f->body, 8, "", 1);
    put_bytes(&f->body, 9, "\2", 1);
    put_bytes(&f->body, 10, "\0\0\0\0\0\0\0", 8);
    struct wire_batch batch;
    assert_int_equal(wire_decode_batch(f->body.data, f->body.length, &f->arena, &batch, &f->err),
                     POISE_EPROTO);
    assert_non_null(strstr(f->err.text, "row 0"));
}

static void too_many_rows_are_refused(void **state)
{
    struct fixture *f = *state;
    static uint8_t zeros[WIRE_BATCH_ROWS_MAX + 1];
    put_fixed(&f->body, 1, 99);
    put_number(&f->body, 2, 1);
    put_bytes(&f->body, 8, zeros, sizeof zeros);
    struct wire_batch batch;
    assert_int_equal(wire_decode_batch(f->body.data, f->body.length, &f->arena, &batch, &f->err),
                     POISE_ELIMIT);
}

static void a_broken_batch_still_tells_its_sequence(void **state)
{
    struct fixture *f = *state;
    struct sample sample = good();
    put_sample(&f->body, &sample);
    uint64_t epoch = 5, seq = 5;
    assert_true(wire_peek_batch(f->body.data, f->body.length - 1, &epoch, &seq));
    assert_int_equal(epoch, 99);
    assert_int_equal(seq, 1);
    epoch = seq = 5;
    assert_false(wire_peek_batch(f->body.data, 10, &epoch, &seq)); /* cut within seq */
    assert_false(wire_peek_batch(NULL, 0, &epoch, &seq));
    assert_true(epoch == 5 && seq == 5);
    buf_reset(&f->body); /* another order, something unknown between */
    put_number(&f->body, 2, 300);
    put_text(&f->body, 100, "later");
    put_fixed(&f->body, 1, 7);
    assert_true(wire_peek_batch(f->body.data, f->body.length, &epoch, &seq));
    assert_true(epoch == 7 && seq == 300);
}

/* Protobuf takes the last: who looked at the first would count it as another batch. */
static void a_batch_with_two_sequences_or_epochs_is_refused(void **state)
{
    struct fixture *f = *state;
    static const struct {
        unsigned field;
        uint64_t value;
        poise_code wanted;
    } cases[] = {{1, 99, POISE_OK}, {1, 98, POISE_EPROTO}, {2, 1, POISE_OK}, {2, 3, POISE_EPROTO}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sample sample = good();
        buf_reset(&f->body);
        put_sample(&f->body, &sample);
        if (cases[i].field == 1) {
            put_fixed(&f->body, 1, cases[i].value);
        } else {
            put_number(&f->body, 2, cases[i].value);
        }
        struct wire_batch batch;
        assert_int_equal(wire_decode_batch(f->body.data, f->body.length, &f->arena, &batch, &f->err),
                         cases[i].wanted);
    }
}

/* ---- other messages ---- */

static void hello_needs_an_id_an_epoch_and_a_whole_store(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *producer;
        uint64_t epoch, seq;
        size_t store;
        poise_code wanted;
    } cases[] = {{"plant-1.mes", 1, 1, 16, POISE_OK}, {"plant-1.mes", 1, 1, 0, POISE_OK},
                 {"", 1, 1, 16, POISE_EPROTO},        {"plant/1", 1, 1, 16, POISE_EPROTO},
                 {"a b", 1, 1, 16, POISE_EPROTO},     {"a", 0, 1, 16, POISE_EPROTO},
                 {"a", 1, 0, 16, POISE_EPROTO},       {"a", 1, 1, 15, POISE_EPROTO},
                 {"a", 1, 1, 17, POISE_EPROTO}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        buf_reset(&f->body);
        put_text(&f->body, 1, cases[i].producer);
        put_fixed(&f->body, 2, cases[i].epoch);
        put_number(&f->body, 3, cases[i].seq);
        put_bytes(&f->body, 5, "0123456789abcdefg", cases[i].store);
        struct wire_hello hello;
        poise_code code = wire_decode_hello(f->body.data, f->body.length, &f->arena, &hello, &f->err);
        assert_int_equal(code, cases[i].wanted);
    }
}

static void unknown_fields_are_passed_over(void **state)
{
    struct fixture *f = *state;
    put_number(&f->body, 100, 1);
    put_number(&f->body, 1, 5);
    put_text(&f->body, 101, "\xff");
    put_fixed(&f->body, 102, 1);
    put_number(&f->body, 2, 3);
    struct wire_credit credit;
    assert_int_equal(wire_decode_credit(f->body.data, f->body.length, &f->arena, &credit, &f->err), POISE_OK);
    assert_true(credit.id == 5 && credit.more == 3);
}

static void requests_need_an_id(void **state)
{
    struct fixture *f = *state;
    struct wire_subscribe subscribe;
    struct wire_credit credit;
    struct wire_query query;
    uint64_t id;
    assert_int_equal(wire_decode_subscribe(NULL, 0, &f->arena, &subscribe, NULL), POISE_EPROTO);
    assert_int_equal(wire_decode_credit(NULL, 0, &f->arena, &credit, NULL), POISE_EPROTO);
    assert_int_equal(wire_decode_unsubscribe(NULL, 0, &f->arena, &id, NULL), POISE_EPROTO);
    assert_int_equal(wire_decode_query(NULL, 0, &f->arena, &query, NULL), POISE_EPROTO);
    assert_int_equal(wire_decode_stats_request(NULL, 0, &f->arena, &id, NULL), POISE_EPROTO);
    struct wire_rescore rescore;
    assert_int_equal(wire_decode_rescore(NULL, 0, &f->arena, &rescore, NULL), POISE_EPROTO);
}

static void backups_come_back(void **state)
{
    struct fixture *f = *state;
    struct wire_backup backup = {.id = 7, .name = "monday"};
    assert_int_equal(wire_encode_backup(&backup, &f->body), POISE_OK);
    backup = (struct wire_backup){0};
    assert_int_equal(wire_decode_backup(f->body.data, f->body.length, &f->arena, &backup, &f->err), POISE_OK);
    assert_int_equal(backup.id, 7);
    assert_string_equal(backup.name, "monday");
    assert_int_equal(wire_decode_backup(NULL, 0, &f->arena, &backup, NULL), POISE_EPROTO);
    buf_reset(&f->body);
    struct wire_backed_up done = {.id = 7, .lsn = 8, .bytes = 9, .duration_ms = 10, .path = "/b/monday"};
    assert_int_equal(wire_encode_backed_up(&done, &f->body), POISE_OK);
    done = (struct wire_backed_up){0};
    assert_int_equal(wire_decode_backed_up(f->body.data, f->body.length, &f->arena, &done, &f->err),
                     POISE_OK);
    assert_true(done.id == 7 && done.lsn == 8 && done.bytes == 9 && done.duration_ms == 10);
    assert_string_equal(done.path, "/b/monday");
}

static void rescores_come_back(void **state)
{
    struct fixture *f = *state;
    struct wire_rescore rescore = {.id = 7, .scorecard = "acme", .reason = "as decided", .from_ms = -5};
    assert_int_equal(wire_encode_rescore(&rescore, &f->body), POISE_OK);
    rescore = (struct wire_rescore){0};
    assert_int_equal(wire_decode_rescore(f->body.data, f->body.length, &f->arena, &rescore, &f->err),
                     POISE_OK);
    assert_true(rescore.id == 7 && rescore.from_ms == -5);
    assert_string_equal(rescore.scorecard, "acme");
    assert_string_equal(rescore.reason, "as decided");
    buf_reset(&f->body);
    struct wire_rescored rescored = {
        .id = 7, .scorecards = 2, .revised = 300, .locked = 1, .lsn = UINT64_MAX};
    assert_int_equal(wire_encode_rescored(&rescored, &f->body), POISE_OK);
    rescored = (struct wire_rescored){0};
    assert_int_equal(wire_decode_rescored(f->body.data, f->body.length, &f->arena, &rescored, &f->err),
                     POISE_OK);
    assert_true(rescored.id == 7 && rescored.scorecards == 2 && rescored.revised == 300 &&
                rescored.locked == 1 && rescored.lsn == UINT64_MAX);
}

static void long_filters_are_refused(void **state)
{
    struct fixture *f = *state;
    const char *nodes[WIRE_FILTER_MAX + 1];
    for (size_t i = 0; i < WIRE_FILTER_MAX + 1; i++) {
        nodes[i] = "production";
    }
    struct wire_subscribe subscribe = {.id = 1, .filter = {.nodes = nodes, .node_count = WIRE_FILTER_MAX}};
    assert_int_equal(wire_encode_subscribe(&subscribe, &f->body), POISE_OK);
    assert_int_equal(wire_decode_subscribe(f->body.data, f->body.length, &f->arena, &subscribe, &f->err),
                     POISE_OK);
    assert_int_equal(subscribe.filter.node_count, WIRE_FILTER_MAX);
    subscribe.filter = (struct wire_filter){.nodes = nodes, .node_count = WIRE_FILTER_MAX + 1};
    buf_reset(&f->body);
    assert_int_equal(wire_encode_subscribe(&subscribe, &f->body), POISE_OK);
    assert_int_equal(wire_decode_subscribe(f->body.data, f->body.length, &f->arena, &subscribe, &f->err),
                     POISE_ELIMIT);
}

static void put_state(struct buf *out, const char *org, const char *node, uint64_t kind, uint64_t status,
                      const char *period)
{
    struct buf state = {0};
    put_text(&state, 1, org);
    put_text(&state, 2, node);
    put_number(&state, 4, kind);
    put_number(&state, 12, status);
    put_text(&state, 18, period);
    put_bytes(out, 4, state.data, state.length);
    buf_free(&state);
}

static void states_are_checked(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *org, *node;
        uint64_t kind, status;
        const char *period;
        poise_code wanted;
    } cases[] = {{"plant", "card", 3, 3, "\2\4", POISE_OK},
                 {"", "card", 0, 0, "", POISE_OK},
                 {"", "", 0, 0, "", POISE_EPROTO},
                 {"", "card", 4, 0, "", POISE_EPROTO},
                 {"", "card", UINT64_MAX, 0, "", POISE_EPROTO},
                 {"", "card", 0, 4, "", POISE_EPROTO},
                 {"", "card", 0, 0, "\2", POISE_EPROTO},
                 {"", "card", 0, 0, "\2\2\2", POISE_EPROTO},
                 {"a\tb", "card", 0, 0, "", POISE_EPROTO},
                 {"", "\xfe", 0, 0, "", POISE_EPROTO}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        buf_reset(&f->body);
        put_state(&f->body, cases[i].org, cases[i].node, cases[i].kind, cases[i].status, cases[i].period);
        struct wire_states states = {.count = 77};
        poise_code code =
            wire_decode_states(WIRE_RESULT, f->body.data, f->body.length, &f->arena, &states, &f->err);
        assert_int_equal(code, cases[i].wanted);
        assert_int_equal(states.count, code == POISE_OK ? 1 : 77);
    }
}

/* As large as a state can be, or nothing. */
static poise_state extreme_state(bool large)
{
    static char org[POISE_ORG_MAX + 1], node[4 * POISE_ID_MAX + 4], name[POISE_ORG_MAX + 1];
    memset(org, 'o', sizeof org - 1);
    memset(node, 'n', sizeof node - 1);
    memset(name, 'a', sizeof name - 1);
    if (!large) {
        return (poise_state){.org = "",
                             .node = "c",
                             .name = "",
                             .numbers = {.period_start_ms = INT64_MIN, .period_end_ms = INT64_MIN}};
    }
    return (poise_state){.org = org,
                         .node = node,
                         .name = name,
                         .kind = POISE_MEASURE,
                         .weight = 0.1,
                         .as_of_ms = INT64_MIN,
                         .definition = UINT64_MAX,
                         .revision = UINT64_MAX - 1,
                         .replaced = (double)NAN,
                         .cause = UINT64_MAX - 2,
                         .numbers = {.value = -1.5e300,
                                     .attainment = 1e-300,
                                     .score = 100,
                                     .lo = 0.25,
                                     .hi = 99.5,
                                     .coverage = 0.5,
                                     .filled = 0.75,
                                     .trend = -0.5,
                                     .count = INT64_MIN,
                                     .period_start_ms = INT64_MIN + 1,
                                     .period_end_ms = INT64_MAX,
                                     .flags = UINT32_MAX,
                                     .status = POISE_GREEN,
                                     .uncertain = true}};
}

static void assert_same_state(const poise_state *a, const poise_state *b)
{
    assert_string_equal(a->org, b->org);
    assert_string_equal(a->node, b->node);
    assert_string_equal(a->name, b->name);
    assert_true(a->kind == b->kind && a->weight == b->weight && a->as_of_ms == b->as_of_ms);
    assert_true(a->definition == b->definition && a->revision == b->revision && a->cause == b->cause);
    assert_true(a->replaced == b->replaced || (isnan(a->replaced) && isnan(b->replaced)));
    const poise_score *left = &a->numbers, *right = &b->numbers;
    assert_true(left->value == right->value && left->attainment == right->attainment);
    assert_true(left->score == right->score && left->lo == right->lo && left->hi == right->hi);
    assert_true(left->coverage == right->coverage && left->filled == right->filled);
    assert_true(left->trend == right->trend && left->count == right->count && left->flags == right->flags);
    assert_true(left->period_start_ms == right->period_start_ms &&
                left->period_end_ms == right->period_end_ms);
    assert_true(left->status == right->status && left->uncertain == right->uncertain);
}

static void states_come_back_and_have_their_size(void **state)
{
    struct fixture *f = *state;
    static const enum wire_kind kinds[] = {WIRE_SNAPSHOT, WIRE_UPDATE, WIRE_RESULT};
    for (int i = 0; i < 3 * 2; i++) {
        poise_state sent[] = {extreme_state(i / 3), extreme_state(!(i / 3)), extreme_state(true)};
        sent[0].replaced = 62.5;
        struct wire_states states = {.id = UINT64_MAX,
                                     .lsn = UINT64_MAX,
                                     .prev = UINT64_MAX,
                                     .as_of_ms = INT64_MIN,
                                     .last = true,
                                     .states = sent,
                                     .count = 3};
        buf_reset(&f->body);
        assert_int_equal(wire_encode_states(kinds[i % 3], &states, &f->body), POISE_OK);
        size_t most = WIRE_STATES_HEAD_MAX;
        for (int j = 0; j < 3; j++) {
            most += wire_state_size(&sent[j]);
        }
        assert_true(f->body.length <= most);
        struct wire_states got;
        assert_int_equal(
            wire_decode_states(kinds[i % 3], f->body.data, f->body.length, &f->arena, &got, &f->err),
            POISE_OK);
        assert_int_equal(got.count, 3);
        for (int j = 0; j < 3; j++) {
            assert_same_state(&got.states[j], &sent[j]);
        }
    }
}

static void a_state_has_its_size_at_most(void **state)
{
    struct fixture *f = *state;
    poise_state sent = extreme_state(true);
    struct wire_states states = {.states = &sent, .count = 1};
    assert_int_equal(wire_encode_states(WIRE_UPDATE, &states, &f->body), POISE_OK);
    assert_true(f->body.length <= wire_state_size(&sent)); /* a head of zeros is nothing */
}

struct seen { /* of the states of a fixture */
    const poise_state *wanted;
    size_t count;
    poise_code answer; /* to the second */
};

static poise_code see(void *visitor, const poise_state *state)
{
    struct seen *seen = visitor;
    assert_same_state(state, &seen->wanted[seen->count++]);
    return seen->count == 2 ? seen->answer : POISE_OK;
}

static void changes_are_read_one_by_one(void **state)
{
    struct fixture *f = *state;
    poise_state sent[] = {extreme_state(true), extreme_state(false), extreme_state(true)};
    sent[2].replaced = 62.5;
    const struct wire_states states = {.lsn = 5, .as_of_ms = 7, .states = sent, .count = 3};
    assert_int_equal(wire_encode_states(WIRE_UPDATE, &states, &f->body), POISE_OK);
    struct seen seen = {.wanted = sent};
    assert_int_equal(wire_each_change(f->body.data, f->body.length, &f->arena, see, &seen, &f->err),
                     POISE_OK);
    assert_int_equal(seen.count, 3);
    seen = (struct seen){.wanted = sent, .answer = POISE_EFULL};
    assert_int_equal(wire_each_change(f->body.data, f->body.length, &f->arena, see, &seen, &f->err),
                     POISE_EFULL);
    assert_int_equal(seen.count, 2);
    size_t whole = 0; /* cut off anywhere but between two, it says so */
    for (size_t length = 0; length < f->body.length; length++) {
        seen = (struct seen){.wanted = sent};
        poise_code code = wire_each_change(f->body.data, length, &f->arena, see, &seen, &f->err);
        assert_true(code == POISE_OK || code == POISE_EPROTO);
        whole += code == POISE_OK;
    }
    assert_true(whole <= 6); /* before and behind the three fields of the head, then behind states */
}

static void changes_that_are_none_are_refused(void **state)
{
    struct fixture *f = *state;
    struct buf text = {0};
    put_text(&text, 2, "card");
    put_number(&text, 4, 9); /* no kind */
    put_bytes(&f->body, 5, text.data, text.length);
    struct seen seen = {0};
    assert_int_equal(wire_each_change(f->body.data, f->body.length, &f->arena, see, &seen, &f->err),
                     POISE_EPROTO);
    assert_int_equal(seen.count, 0);
    buf_free(&text);
}

static void a_refusal_of_every_row_fits_into_one_ack(void **state)
{
    struct fixture *f = *state;
    static struct wire_refusal refusals[WIRE_BATCH_ROWS_MAX];
    for (uint32_t i = 0; i < WIRE_BATCH_ROWS_MAX; i++) {
        refusals[i] = (struct wire_refusal){UINT64_C(1) << 34, i, POISE_REFUSAL_VALUE};
    }
    struct wire_ack ack = {.epoch = UINT64_MAX,
                           .seq = UINT64_MAX,
                           .credit = UINT32_MAX,
                           .refusals = refusals,
                           .refusal_count = WIRE_BATCH_ROWS_MAX};
    assert_int_equal(wire_encode_ack(&ack, &f->body), POISE_OK);
    assert_true(f->body.length <= WIRE_MESSAGE_MAX);
    assert_int_equal(wire_decode_ack(f->body.data, f->body.length, &f->arena, &ack, &f->err), POISE_OK);
    assert_int_equal(ack.refusal_count, WIRE_BATCH_ROWS_MAX);
    assert_int_equal(ack.refusals[WIRE_BATCH_ROWS_MAX - 1].row, WIRE_BATCH_ROWS_MAX - 1);
}

static void the_hash_is_xxh3(void **state)
{
    (void)state;
    assert_true(wire_batch_hash("", 0) == 0x2d06800538d394c2u); /* XXH3-64 of nothing, seed 0 */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(head_is_two_bytes_of_a_known_version),
        TEST(good_batch_passes_whatever_its_numbers),
        TEST(indices_out_of_range_are_refused),
        TEST(columns_of_other_lengths_are_refused),
        TEST(symbols_must_be_printable_utf8_of_255_bytes),
        TEST(times_beyond_64_bits_are_refused),
        TEST(too_many_rows_are_refused),
        TEST(a_batch_with_two_sequences_or_epochs_is_refused),
        TEST(a_broken_batch_still_tells_its_sequence),
        TEST(hello_needs_an_id_an_epoch_and_a_whole_store),
        TEST(unknown_fields_are_passed_over),
        TEST(requests_need_an_id),
        TEST(rescores_come_back),
        TEST(backups_come_back),
        TEST(long_filters_are_refused),
        TEST(states_are_checked),
        TEST(states_come_back_and_have_their_size),
        TEST(a_state_has_its_size_at_most),
        TEST(changes_are_read_one_by_one),
        TEST(changes_that_are_none_are_refused),
        TEST(a_refusal_of_every_row_fits_into_one_ack),
        TEST(the_hash_is_xxh3),
    };
    return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
