#include "plain.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DAY_MS = 86400000 };

static void *room(size_t count, size_t size)
{
    void *bytes = calloc(count + 1, size);
    assert_non_null(bytes);
    return bytes;
}

/* ---- rows ---- */

static double value_of(uint64_t series, size_t i, uint64_t *random)
{
    double value;
    uint64_t bits;
    switch (series % 5) {
    case 0:
        return 7; /* takes nearly no room: chunks as long as they may be */
    case 1:
        return (double)test_between(random, 0, 100000) / 100;
    case 2:
        return (double)i;
    case 3:
        return (double)(test_random(random) >> 11) * 0x1p-53;
    default:
        do {
            bits = test_random(random);
            memcpy(&value, &bits, sizeof value);
        } while (value != value);
        return value;
    }
}

/* A few series have most of the rows. */
static uint64_t any_series(const struct plain_shape *shape, uint64_t *random)
{
    int64_t most = (int64_t)shape->series - 1;
    return (uint64_t)test_between(random, 0,
                                  test_between(random, 0, 2) ? most : test_between(random, 0, most));
}

static void make_row(struct plain_row *row, size_t i, const struct plain_shape *shape, uint64_t *random)
{
    uint64_t series = test_between(random, 0, 3) ? any_series(shape, random) % 4 : any_series(shape, random);
    int64_t of_day = (int64_t)i * 977 % DAY_MS;
    *row = (struct plain_row){.bucket = (int32_t)test_between(random, 0, shape->buckets - 1) - 1,
                              .input = (uint32_t)test_between(random, 1, shape->inputs),
                              .series = 1000 * series,
                              .place = i + 1,
                              .of = 1};
    if (test_between(random, 0, 9) == 0) { /* late */
        of_day = test_between(random, 0, 50) * 1000;
    }
    row->time_ms = (int64_t)row->bucket * DAY_MS + of_day;
    if (series % 7 == 3) { /* many at the same time */
        row->time_ms -= of_day % 3600000;
    }
    row->value = value_of(series, i, random);
    if (series % 3 == 1) {
        row->of = test_between(random, 0, 4) ? 1 : 2.5;
        row->seq = test_random(random) >> 40;
        row->retract = test_between(random, 0, 30) == 0;
    }
    if (series % 4 == 2 && test_between(random, 0, 9)) {
        row->has_key = true;
        snprintf(row->key, sizeof row->key, "order-%llu", (unsigned long long)(test_random(random) % 100000));
    }
}

void plain_make(struct plain *plain, const struct plain_shape *shape, uint64_t *random)
{
    plain->count = shape->rows;
    plain->rows = room(shape->rows, sizeof *plain->rows);
    for (size_t i = 0; i < shape->rows; i++) {
        make_row(&plain->rows[i], i, shape, random);
        size_t before = test_between(random, 0, 1) ? i : i < 50 ? i : 50; /* lately, or ever */
        if (before > 0 && test_between(random, 1, 1000) <= shape->corrected) {
            struct plain_row *old = &plain->rows[i - 1 - test_random(random) % before];
            old->again = old->gone ? plain->rows[i].place : 0;
            old->gone = old->gone ? old->gone : plain->rows[i].place;
        } else if (test_between(random, 0, 5000) == 0) {
            plain->rows[i].gone = plain->rows[i].place; /* never stood */
        }
    }
}

void plain_free(struct plain *plain)
{
    free(plain->rows);
}

static int compare(const void *a, const void *b)
{
    const struct plain_row *x = a, *y = b;
    if (x->bucket != y->bucket) {
        return x->bucket < y->bucket ? -1 : 1;
    }
    if (x->input != y->input) {
        return x->input < y->input ? -1 : 1;
    }
    if (x->series != y->series) {
        return x->series < y->series ? -1 : 1;
    }
    if (x->time_ms != y->time_ms) {
        return x->time_ms < y->time_ms ? -1 : 1;
    }
    return x->place != y->place ? (x->place < y->place ? -1 : 1) : (int)x->is_mark - (int)y->is_mark;
}

size_t plain_run(const struct plain *plain, uint64_t from, uint64_t until, uint64_t *random,
                 struct plain_row **ret_items)
{
    struct plain_row *items = room(2 * plain->count, sizeof *items);
    size_t count = 0;
    for (size_t i = 0; i < plain->count; i++) {
        struct plain_row row = plain->rows[i];
        bool is_in = row.place >= from && row.place <= until;
        bool went_in = row.gone >= from && row.gone <= until;
        bool went_again = !is_in && !went_in && row.again >= from && row.again <= until;
        bool is_marked = went_again || (went_in && (!is_in || test_between(random, 0, 1)));
        if (is_in) {
            struct plain_row kept = row;
            kept.gone = went_in && !is_marked ? row.gone : 0;
            items[count++] = kept;
        }
        if (is_marked) {
            items[count++] = (struct plain_row){.bucket = row.bucket,
                                                .input = row.input,
                                                .series = row.series,
                                                .time_ms = row.time_ms,
                                                .place = row.place,
                                                .gone = went_again ? row.again : row.gone,
                                                .of = 1,
                                                .is_mark = true};
        }
    }
    qsort(items, count, sizeof *items, compare);
    *ret_items = items;
    return count;
}

size_t plain_known(const struct plain *plain, uint64_t from, uint64_t until, struct plain_row **ret_rows)
{
    struct plain_row *rows = room(plain->count, sizeof *rows);
    size_t count = 0;
    for (size_t i = 0; i < plain->count; i++) {
        if (plain->rows[i].place >= from && plain->rows[i].place <= until) {
            rows[count] = plain->rows[i];
            rows[count].gone = rows[count].gone <= until ? rows[count].gone : 0;
            count++;
        }
    }
    qsort(rows, count, sizeof *rows, compare);
    *ret_rows = rows;
    return count;
}

/* ---- to blocks ---- */

static bool is_same_place(const struct plain_row *a, const struct plain_row *b)
{
    return a->bucket == b->bucket && a->input == b->input && a->series == b->series &&
           a->is_mark == b->is_mark;
}

static void feed(struct block_builder *builder, struct columns *columns, const struct plain_row *items,
                 size_t count)
{
    const struct block_place place = {
        .bucket = items->bucket, .input = items->input, .series = items->series};
    bool has_of = false, has_seq = false, has_gone = false, has_key = false, has_retract = false;
    for (size_t i = 0; i < count; i++) {
        columns->time_ms[i] = items[i].time_ms;
        columns->ordinal[i] = items[i].place;
        columns->value[i] = items[i].value;
        columns->of[i] = items[i].of;
        columns->seq[i] = items[i].seq;
        columns->gone[i] = items[i].gone;
        columns->retract[i] = items[i].retract;
        columns->key[i] = (struct chunk_key){.text = items[i].has_key ? items[i].key : NULL,
                                             .length = items[i].has_key ? strlen(items[i].key) : 0};
        has_of |= items[i].of != 1;
        has_seq |= items[i].seq != 0;
        has_gone |= items[i].gone != 0;
        has_key |= items[i].has_key;
        has_retract |= items[i].retract;
    }
    struct chunk_rows rows = columns->rows;
    rows.count = count;
    rows.of = has_of ? rows.of : NULL;
    rows.seq = has_seq ? rows.seq : NULL;
    rows.gone = has_gone ? rows.gone : NULL;
    rows.key = has_key ? rows.key : NULL;
    rows.retract = has_retract ? rows.retract : NULL;
    poise_error err = {0};
    poise_code code = items->is_mark ? block_builder_add_marks(builder, &place, &rows, &err)
                                     : block_builder_add(builder, &place, &rows, &err);
    if (code != POISE_OK) {
        fail_msg("%s", err.text);
    }
}

void plain_build(struct block_builder *builder, const struct plain_row *items, size_t count, uint64_t *random)
{
    struct columns columns;
    columns_make(&columns, count + 1);
    for (size_t at = 0; at < count;) {
        size_t most = (size_t)test_between(random, 1, test_between(random, 0, 3) ? 40000 : 20), end = at + 1;
        while (end < count && end - at < most && is_same_place(&items[at], &items[end])) {
            end++;
        }
        feed(builder, &columns, items + at, end - at);
        at = end;
    }
    columns_free(&columns);
    assert_int_equal(block_builder_end(builder, NULL), POISE_OK);
}

poise_code blocks_take(void *taker, const struct block *block, poise_error *err)
{
    struct blocks *blocks = taker;
    (void)err;
    blocks->all = realloc(blocks->all, (blocks->count + 1) * sizeof *blocks->all);
    assert_non_null(blocks->all);
    struct kept_block *kept = &blocks->all[blocks->count++];
    kept->block = *block;
    kept->bytes = room(block->length, 1);
    memcpy(kept->bytes, block->bytes, block->length);
    kept->block.bytes = kept->bytes;
    return POISE_OK;
}

void blocks_free(struct blocks *blocks)
{
    for (size_t i = 0; i < blocks->count; i++) {
        free(blocks->all[i].bytes);
    }
    free(blocks->all);
    *blocks = (struct blocks){0};
}

void blocks_build(struct blocks *blocks, const struct plain *plain, uint64_t from, uint64_t until,
                  uint64_t run, uint64_t *random)
{
    struct plain_row *items;
    size_t count = plain_run(plain, from, until, random, &items);
    struct block_builder *builder = block_builder_open(run, blocks_take, blocks);
    assert_non_null(builder);
    plain_build(builder, items, count, random);
    block_builder_close(builder);
    free(items);
}

poise_code blocks_next(void *run, struct block_reader *ret_block, bool *ret_more, poise_error *err)
{
    struct blocks_at *at = run;
    *ret_more = at->next < at->blocks->count;
    if (!*ret_more) {
        return POISE_OK;
    }
    const struct block *block = &at->blocks->all[at->next++].block;
    return block_open(ret_block, &block->key, block->bytes, block->length, err);
}

/* ---- what came ---- */

void came_add(struct came *came, int32_t bucket, uint32_t input, uint64_t series,
              const struct chunk_rows *rows, bool are_marks)
{
    assert_true(rows->count > 0);
    if (came->count + rows->count > came->capacity) {
        came->capacity = 2 * (came->count + rows->count);
        came->rows = realloc(came->rows, came->capacity * sizeof *came->rows);
        assert_non_null(came->rows);
    }
    for (size_t i = 0; i < rows->count; i++) {
        struct plain_row *row = &came->rows[came->count++];
        *row = (struct plain_row){.bucket = bucket,
                                  .input = input,
                                  .series = series,
                                  .time_ms = rows->time_ms[i],
                                  .place = rows->ordinal[i],
                                  .seq = rows->seq ? rows->seq[i] : 0,
                                  .gone = rows->gone ? rows->gone[i] : 0,
                                  .value = are_marks ? 0 : rows->value[i],
                                  .of = rows->of ? rows->of[i] : 1,
                                  .has_key = rows->key && rows->key[i].text,
                                  .retract = rows->retract && rows->retract[i],
                                  .is_mark = are_marks};
        if (row->has_key) {
            assert_true(rows->key[i].length < PLAIN_KEY);
            memcpy(row->key, rows->key[i].text, rows->key[i].length);
        }
    }
}

void came_check(const struct came *came, const struct plain_row *rows, size_t count)
{
    for (size_t i = 0; i < count && i < came->count; i++) {
        const struct plain_row *a = &came->rows[i], *b = &rows[i];
        bool same = a->bucket == b->bucket && a->input == b->input && a->series == b->series &&
                    a->time_ms == b->time_ms && a->place == b->place && a->seq == b->seq &&
                    a->gone == b->gone && memcmp(&a->value, &b->value, sizeof a->value) == 0 &&
                    memcmp(&a->of, &b->of, sizeof a->of) == 0 && a->has_key == b->has_key &&
                    strcmp(a->key, b->key) == 0 && a->retract == b->retract && a->is_mark == b->is_mark;
        if (!same) {
            fail_msg(
                "row %zu: series %d place %d gone %d time %lld, not series %d place %d gone %d time %lld", i,
                (int)a->series, (int)a->place, (int)a->gone, (long long)a->time_ms, (int)b->series,
                (int)b->place, (int)b->gone, (long long)b->time_ms);
        }
    }
    assert_int_equal(came->count, count);
}

void came_free(struct came *came)
{
    free(came->rows);
    *came = (struct came){0};
}
