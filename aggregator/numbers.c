#include "numbers.h"

#include <base/error.h>
#include <wire/wire.h>

enum { NUMBERS_MAX = STAT_COUNT + STORE_TABLES_ALL * TABLE_STAT_COUNT };

struct numbers {
    const char *names[NUMBERS_MAX];
    double values[NUMBERS_MAX];
    size_t count;
    char table_names[STORE_TABLES_ALL * TABLE_STAT_COUNT][STATS_NAME_MAX];
};

static uint64_t size_of(int64_t bytes)
{
    return bytes > 0 ? (uint64_t)bytes : 0;
}

static void note_store(struct stats *stats, const struct store_stats *store)
{
    stats_set(stats, STAT_keys, store->entries[STORE_KEYS]);
    stats_set(stats, STAT_journal_lag, store->last_lsn - store->state_lsn);
    stats_set(stats, STAT_journal_lag_bytes, size_of(store->lag_bytes));
    stats_set(stats, STAT_uncompacted, store->last_lsn - store->chunks_lsn);
    stats_set(stats, STAT_journal_records, store->last_lsn ? store->last_lsn - store->first_lsn + 1 : 0);
    stats_set(stats, STAT_readers, store->readers);
    stats_set(stats, STAT_oldest_reader_ms, size_of(store->oldest_reader_ms));
    stats_set(stats, STAT_map_bytes, size_of(store->map_bytes));
    stats_set(stats, STAT_used_bytes, size_of(store->used_bytes));
    stats_set(stats, STAT_file_bytes, size_of(store->file_bytes));
    stats_set(stats, STAT_free_bytes, size_of(store->free_bytes));
}

static void add(struct numbers *numbers, const char *name, double value)
{
    numbers->names[numbers->count] = name;
    numbers->values[numbers->count++] = value;
}

static void add_tables(struct numbers *numbers, const struct store_stats *store)
{
    for (size_t i = 0; i < STORE_TABLES_ALL; i++) {
        const struct store_table_stats *table = &store->tables[i];
        char *entries = numbers->table_names[TABLE_STAT_COUNT * i + TABLE_STAT_table_entries];
        char *bytes = numbers->table_names[TABLE_STAT_COUNT * i + TABLE_STAT_table_bytes];
        stats_table_name(TABLE_STAT_table_entries, table->name, entries);
        stats_table_name(TABLE_STAT_table_bytes, table->name, bytes);
        add(numbers, entries, (double)table->entries);
        add(numbers, bytes, (double)table->bytes);
    }
}

poise_code numbers_put(uint64_t id, struct stats *stats, struct store *store, struct buf *out,
                       poise_error *err)
{
    struct numbers numbers = {.count = 0};
    struct store_stats found;
    bool said = store && !store_stats(store, &found, NULL);
    if (said)
        note_store(stats, &found);
    for (int i = 0; i < STAT_COUNT; i++)
        add(&numbers, stats_name((enum stat)i), (double)stats_get(stats, (enum stat)i));
    if (said)
        add_tables(&numbers, &found);
    const struct wire_stats answer = {
        .id = id, .names = numbers.names, .values = numbers.values, .count = numbers.count};
    return wire_encode_stats(&answer, out) ? error_nomem(err, "the stats") : POISE_OK;
}
