#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unit/engine/plain.h>

void plain_free(struct plain *plain)
{
    free(plain->series);
    free(plain->keys);
    *plain = (struct plain){0};
}

static bool same(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") == 0;
}

static void *grown(void *items, size_t count, size_t *capacity, size_t size)
{
    if (count == *capacity) {
        *capacity = *capacity ? 2 * *capacity : 64;
        items = reallocarray(items, *capacity, size);
        assert_non_null(items);
    }
    return items;
}

uint32_t plain_number(const struct plain *plain, const char *measure, const char *org, const char *source)
{
    for (size_t i = 0; i < plain->series_count; i++) {
        const poise_measurement *first = &plain->series[i];
        if (same(first->measure, measure) && same(first->org, org) && same(first->source, source)) {
            return (uint32_t)i;
        }
    }
    return ENGINE_UNNUMBERED;
}

static struct plain_key *find_key(struct plain *plain, const poise_measurement *row)
{
    for (size_t i = 0; i < plain->key_count; i++) {
        struct plain_key *key = &plain->keys[i];
        if (same(key->measure, row->measure) && same(key->source, row->source) && same(key->key, row->key)) {
            return key;
        }
    }
    plain->keys = grown(plain->keys, plain->key_count, &plain->key_capacity, sizeof *plain->keys);
    struct plain_key *key = &plain->keys[plain->key_count++];
    *key = (struct plain_key){
        .measure = row->measure, .source = row->source, .key = row->key, .retracted = true};
    return key;
}

uint32_t plain_accept(struct plain *plain, const poise_measurement *row, uint64_t ordinal, bool *ret_went,
                      struct engine_gone *ret_gone)
{
    uint32_t number = plain_number(plain, row->measure, row->org, row->source);
    if (number == ENGINE_UNNUMBERED) {
        plain->series =
            grown(plain->series, plain->series_count, &plain->series_capacity, sizeof *plain->series);
        number = (uint32_t)plain->series_count;
        plain->series[plain->series_count++] = *row;
    }
    const struct engine_gone own = {.series = number, .time_ms = row->time_ms, .ordinal = ordinal};
    *ret_went = false;
    if (!row->key) {
        return number;
    }
    struct plain_key *key = find_key(plain, row);
    uint64_t rank = row->seq ? row->seq : ordinal;
    if (rank <= key->rank) {
        *ret_went = true;
        *ret_gone = own;
        return number;
    }
    *ret_went = !key->retracted;
    *ret_gone = key->standing;
    key->rank = rank;
    key->retracted = row->retract;
    key->standing = own;
    return number;
}

bool plain_stands(struct plain *plain, const poise_measurement *row, uint64_t ordinal)
{
    const struct plain_key *key = row->key ? find_key(plain, row) : NULL;
    return !key || (!key->retracted && key->standing.ordinal == ordinal);
}

void plain_erase(struct plain *plain, const poise_measurement *row, uint64_t ordinal)
{
    if (row->key && plain_stands(plain, row, ordinal)) {
        find_key(plain, row)->retracted = true;
    }
}
