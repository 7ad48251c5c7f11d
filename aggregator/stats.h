/* The aggregator's own numbers, declared once: name, kind, unit, text. docs/operations.md is made from this
 * list. Any thread may add; readers see each number alone, not all at one instant. */
#ifndef AGGREGATOR_STATS_H
#define AGGREGATOR_STATS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define STATS(X)                                                                                             \
    X(batches_received, "counter", "batches", "Batches that came in order and were taken")                   \
    X(rows_received, "counter", "rows", "Measurements in those batches")                                     \
    X(rows_accepted, "counter", "rows", "Measurements that were counted")                                    \
    X(rows_refused, "counter", "rows", "Measurements that were refused, with the reason sent back")          \
    X(batches_malformed, "counter", "batches", "Batches that could not be decoded and were refused whole")   \
    X(batches_duplicate, "counter", "batches", "Batches that were there already and acknowledged again")     \
    X(gaps, "counter", "events", "Times a producer was told to go back to a missing batch")                  \
    X(forks, "counter", "events", "Producers whose history contradicts what is stored")                      \
    X(protocol_errors, "counter", "messages", "Messages thrown away because they broke the protocol")        \
    X(pool_empty, "counter", "events", "Times ingest stopped reading because all batch slots were in use")   \
    X(producers, "gauge", "producers", "Producers and epochs that are known")                                \
    X(commits, "counter", "commits", "Journal records written and synced")                                   \
    X(commit_us, "counter", "us", "Time spent in those commits")                                             \
    X(commit_max_us, "gauge", "us", "The longest of them")                                                   \
    X(commit_retries, "counter", "events", "Commits tried again because there was no room")                  \
    X(settles, "counter", "settles", "Times the scores were settled")                                        \
    X(settle_us, "counter", "us", "Time spent settling")                                                     \
    X(settle_max_us, "gauge", "us", "The longest settle")                                                    \
    X(changes, "counter", "nodes", "Changes of nodes that were published")                                   \
    X(checkpoints, "counter", "checkpoints", "State checkpoints written")                                    \
    X(checkpoint_slices, "counter", "slices", "Slices that they were written in, between commits")           \
    X(checkpoint_us, "counter", "us", "Time spent in those slices")                                          \
    X(checkpoint_max_us, "gauge", "us", "The longest of them")                                               \
    X(upkeep_slices, "counter", "slices", "Slices of merging and deleting what checkpoints left")            \
    X(upkeep_us, "counter", "us", "Time spent in those slices")                                              \
    X(upkeep_max_us, "gauge", "us", "The longest of them")                                                   \
    X(compactions, "counter", "runs", "Runs of rows that were made of the journal")                          \
    X(compaction_us, "counter", "us", "Time spent in making them, beside all else")                          \
    X(compaction_max_us, "gauge", "us", "The longest of them")                                               \
    X(compactions_failed, "counter", "events", "Runs and merges that failed, and are tried again")           \
    X(merges, "counter", "merges", "Merges of runs of a day and measure")                                    \
    X(merge_us, "counter", "us", "Time spent in them, beside all else")                                      \
    X(merge_max_us, "gauge", "us", "The longest of them")                                                    \
    X(piece_puts, "counter", "pieces", "Pieces of runs that were put between commits")                       \
    X(piece_us, "counter", "us", "Time spent in putting them")                                               \
    X(piece_max_us, "gauge", "us", "The longest of them")                                                    \
    X(lsn, "gauge", "lsn", "Last journal record")                                                            \
    X(subscriptions, "gauge", "subscriptions", "Subscriptions that are open")                                \
    X(updates_sent, "counter", "messages", "Updates and snapshot parts sent")                                \
    X(snapshots, "counter", "snapshots", "Snapshots begun; more than subscriptions means some fell behind")  \
    X(stream_full, "counter", "events", "Times the writer waited for the stream")                            \
    X(questions, "counter", "questions", "Questions about the past that were answered")                      \
    X(questions_refused, "counter", "questions", "Questions refused because too many were waiting")          \
    X(replies_lost, "counter", "messages",                                                                   \
      "Errors and numbers for peers that asked and asked, and never read")                                   \
    X(backups, "counter", "backups", "Backups written")                                                      \
    X(backups_failed, "counter", "backups", "Backups that could not be written")                             \
    X(backup_us, "counter", "us", "Time spent in backups")                                                   \
    X(nodes, "gauge", "nodes", "Nodes that have a live state")                                               \
    X(sources_silent, "gauge", "sources", "Sources of which nothing was accepted for `silent_after`")        \
    X(series, "gauge", "series", "Inputs, orgs and sources that measurements, or retractions, were ever of") \
    X(keys, "gauge", "keys",                                                                                 \
      "Keys of measurements, and of retractions, as of the last checkpoint; one that has changed counts "    \
      "once a run")                                                                                          \
    X(journal_lag, "gauge", "records", "Journal records behind the last checkpoint, which a start replays")  \
    X(journal_lag_bytes, "gauge", "bytes", "Their bytes")                                                    \
    X(uncompacted, "gauge", "records", "Journal records that are in no run of rows yet")                     \
    X(journal_records, "gauge", "records", "Journal records that are not trimmed")                           \
    X(readers, "gauge", "readers", "Transactions that read the store")                                       \
    X(oldest_reader_ms, "gauge", "ms",                                                                       \
      "How long the oldest of them is open; above some seconds it keeps space from being used again")        \
    X(map_bytes, "gauge", "bytes", "Address space for the store, which doubles by itself when it is full")   \
    X(used_bytes, "gauge", "bytes", "Pages of the store's tables")                                           \
    X(file_bytes, "gauge", "bytes", "The store's file")                                                      \
    X(free_bytes, "gauge", "bytes", "What is free on its file system")

/* Of each table of the store, as poise_...{table="NAME"}. */
#define TABLE_STATS(X)                                                                                       \
    X(table_entries, "gauge", "entries",                                                                     \
      "Entries of a table of the store (docs/storage.md); one of the state that has changed counts once a "  \
      "run")                                                                                                 \
    X(table_bytes, "gauge", "bytes", "Its pages; of a table of the state, its entries")

enum stat {
#define STATS_ENUM(name, kind, unit, text) STAT_##name,
    STATS(STATS_ENUM)
#undef STATS_ENUM
        STAT_COUNT
};

enum table_stat {
#define STATS_ENUM(name, kind, unit, text) TABLE_STAT_##name,
    TABLE_STATS(STATS_ENUM)
#undef STATS_ENUM
        TABLE_STAT_COUNT
};

struct stats {
    _Atomic uint64_t values[STAT_COUNT];
};

static inline void stats_add(struct stats *stats, enum stat stat, uint64_t more)
{
    atomic_fetch_add_explicit(&stats->values[stat], more, memory_order_relaxed);
}
static inline void stats_set(struct stats *stats, enum stat stat, uint64_t value)
{
    atomic_store_explicit(&stats->values[stat], value, memory_order_relaxed);
}
static inline uint64_t stats_get(const struct stats *stats, enum stat stat)
{
    return atomic_load_explicit(&stats->values[stat], memory_order_relaxed);
}
/* Counts a duration of one of three: calls, their sum, the longest. One thread a trio. */
void stats_time(struct stats *stats, enum stat count, enum stat sum, enum stat longest, int64_t us);

const char *stats_name(enum stat stat); /* "poise_rows_received" */
enum { STATS_NAME_MAX = 64 };
/* poise_table_entries{table="cells"} */
void stats_table_name(enum table_stat stat, const char *table, char name[STATS_NAME_MAX]);
void stats_document(FILE *out); /* a Markdown table */

#endif
