/* The aggregator's own numbers, declared once: name, kind, unit, text. docs/operations.md is made from this
 * list. Any thread may add; readers see each number alone, not all at one instant. */
#ifndef AGGREGATOR_STATS_H
#define AGGREGATOR_STATS_H

#include <net/net.h>
#include <poise/error.h>
#include <poise/types.h>
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
    X(batches_too_large, "counter", "batches",                                                               \
      "Batches above `max_batch_rows`, `max_batch_bytes` or `max_batch_symbols`, which were refused whole")  \
    X(batches_acknowledged, "counter", "batches", "Batches that are on disk, and told so")                   \
    X(batches_duplicate, "counter", "batches", "Batches that were there already and acknowledged again")     \
    X(gaps, "counter", "events", "Times a producer was told to go back to a missing batch")                  \
    X(forks, "counter", "events",                                                                            \
      "Producers whose history contradicts what is stored: their spool was copied")                          \
    X(losses, "gauge", "losses", "Ranges of batches that producers have lost, as `poise losses` tells")      \
    X(rows_lost, "gauge", "rows", "Measurements in them, as far as they are known")                          \
    X(erasures, "gauge", "orders", "Operators' orders to erase measurements")                                \
    X(erasures_pending, "gauge", "orders", "Those of them of which the disk still has something")            \
    X(rows_erased, "gauge", "rows", "Measurements that were erased")                                         \
    X(protocol_errors, "counter", "messages", "Messages thrown away because they broke the protocol")        \
    X(connections_denied, "counter", "connections",                                                          \
      "Peers that were not let in: an unknown key, or one that may do nothing at the endpoint")              \
    X(messages_denied, "counter", "messages", "Messages refused because their key may not ask that")         \
    X(batches_denied, "counter", "batches",                                                                  \
      "Batches with measurements that their key may not send, which were refused")                           \
    X(access_keys, "gauge", "keys", "Keys that the authorisation file names")                                \
    X(access_reloads, "counter", "events", "Times that file came in force anew")                             \
    X(access_reloads_failed, "counter", "events",                                                            \
      "Times it was broken, so that what it said before stayed in force")                                    \
    X(ingest_connections, "gauge", "connections", "Connections to the ingest endpoint")                      \
    X(query_connections, "gauge", "connections", "Connections to the query endpoint")                        \
    X(connections_refused, "counter", "connections",                                                         \
      "Connections that were cut because there were more than `max_connections`")                            \
    X(connections_endless, "counter", "connections",                                                         \
      "Connections that were cut because a message of theirs did not end")                                   \
    X(connections_slow, "counter", "connections",                                                            \
      "Connections that were cut because more than `max_handshakes` were not through their handshake")       \
    X(connections_revoked, "counter", "connections",                                                         \
      "Connections that were ended as their key was taken out of the authorisation file, or as nobody "      \
      "could "                                                                                               \
      "tell whose they were then")                                                                           \
    X(connections_greedy, "counter", "connections",                                                          \
      "Connections that were cut because queues held more than `max_queued`, and most for them")             \
    X(handshakes_failed, "counter", "connections", "Connections that spoke no ZeroMQ, or were not let in")   \
    X(pool_empty, "counter", "events", "Times ingest stopped reading because all batch slots were in use")   \
    X(producers, "gauge", "producers", "Producers and epochs that are known")                                \
    X(spool_bytes, "gauge", "bytes",                                                                         \
      "What waits in the spools of connected producers, as they said within a minute")                       \
    X(spool_age_ms, "gauge", "ms", "For how long the oldest of it has waited")                               \
    X(commits, "counter", "commits", "Journal records written and synced")                                   \
    X(commit_us, "counter", "us", "Time spent in those commits")                                             \
    X(commit_max_us, "gauge", "us", "The longest of them")                                                   \
    X(commits_overlapped, "counter", "commits", "Those of them beside which the next one was prepared")      \
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
    X(slices_max_us, "gauge", "us",                                                                          \
      "The longest that somebody waited for slices and pieces, one behind the other")                        \
    X(lsn, "gauge", "lsn", "Last journal record")                                                            \
    X(subscriptions, "gauge", "subscriptions", "Subscriptions that are open")                                \
    X(updates_sent, "counter", "messages", "Updates and snapshot parts sent")                                \
    X(changes_conflated, "counter", "changes",                                                               \
      "Changes that a subscriber was not sent because the node changed again before its turn")               \
    X(stream_lag, "gauge", "changes", "How many the subscriber that is furthest behind has not seen")        \
    X(stream_lag_ms, "gauge", "ms",                                                                          \
      "For how long a subscriber at most has had no credit, no room or no time for what there is")           \
    X(subscriptions_behind, "gauge", "subscriptions", "Subscriptions of which that is so")                   \
    X(snapshots, "counter", "snapshots", "Snapshots begun; more than subscriptions means some fell behind")  \
    X(resumed, "counter", "events", "Subscribers that were cut off and went on without a snapshot")          \
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
    X(inputs_frozen, "gauge", "inputs", "Inputs of which measurements were dropped (`keep`)")                \
    X(frozen_until_ms, "gauge", "ms", "Before it they were, since 1970 UTC: the latest of these inputs")     \
    X(rows_dropped, "counter", "rows", "Rows of runs that `keep` has dropped, replaced ones too")            \
    X(bytes_dropped, "counter", "bytes", "Bytes of their blocks")                                            \
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

/* Of each kind of a thing, as poise_...{LABEL="NAME"}: name, kind, unit, label, text. */
#define LABELLED_STATS(X)                                                                                    \
    X(refusals, "counter", "rows", "reason",                                                                 \
      "Refused measurements by reason (proto/README.md); a batch that could not be decoded counts as one")   \
    X(errors, "counter", "messages", "code", "Errors that peers were told, by code (proto/README.md)")       \
    X(handshakes, "counter", "connections", "reason",                                                        \
      "Of `poise_handshakes_failed` those that are over, by reason (docs/access.md)")

/* How long something took, as a histogram: poise_..._bucket{le="US"} counts what took so long or less. Bounds
 * are 64 us, half as much again, twice as much, ...: a quantile that is read from them is never below the
 * true one, and at most half of it above (but not below 64 us, and not above 67 s). */
#define HISTOGRAMS(X)                                                                                        \
    X(commit_time_us, "us", commits, commit_us, "How long commits took")                                     \
    X(settle_time_us, "us", settles, settle_us, "How long settles took")

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

enum labelled_stat {
#define STATS_ENUM(name, kind, unit, label, text) LABELLED_STAT_##name,
    LABELLED_STATS(STATS_ENUM)
#undef STATS_ENUM
        LABELLED_STAT_COUNT
};

enum histogram_stat {
#define STATS_ENUM(name, unit, count, sum, text) HISTOGRAM_##name,
    HISTOGRAMS(STATS_ENUM)
#undef STATS_ENUM
        HISTOGRAM_COUNT
};

enum {
    STATS_LABELS_MAX = 32, /* of a labelled one; more than there are reasons, and codes */
    STATS_BUCKETS = 42     /* with the last, which has no bound */
};

struct stats {
    _Atomic uint64_t values[STAT_COUNT];
    _Atomic uint64_t labelled[LABELLED_STAT_COUNT][STATS_LABELS_MAX];
    _Atomic uint64_t buckets[HISTOGRAM_COUNT][STATS_BUCKETS];
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
void stats_histogram(struct stats *stats, enum histogram_stat histogram, int64_t us);
void stats_refused(struct stats *stats, poise_refusal reason);
void stats_error(struct stats *stats, poise_code code);
void stats_handshakes(struct stats *stats, enum net_failing why, uint64_t more); /* that failed */

const char *stats_name(enum stat stat); /* "poise_rows_received" */
enum { STATS_NAME_MAX = 64 };
/* poise_table_entries{table="cells"} */
void stats_table_name(enum table_stat stat, const char *table, char name[STATS_NAME_MAX]);
enum {
    STATS_NUMBERS_MAX =
        STAT_COUNT + LABELLED_STAT_COUNT * STATS_LABELS_MAX + HISTOGRAM_COUNT * (STATS_BUCKETS + 2)
};
/* All but those of tables; at most STATS_NUMBERS_MAX calls, each name up to STATS_NAME_MAX and gone after it.
 */
void stats_each(const struct stats *stats, void (*visit)(void *context, const char *name, double value),
                void *context);
/* What a number of that name is; NULL: there is none, as of a newer aggregator. *ret_length is that of the
 * name that those of all labels and buckets have in common. */
struct stats_description {
    const char *name, *kind, *unit, *text;
};
const struct stats_description *stats_describe(const char *name, size_t *ret_length);
void stats_document(FILE *out); /* a Markdown table */

#endif
