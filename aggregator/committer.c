#include "committer.h"

#include <base/error.h>
#include <time.h>

enum { STREAM_WAIT_US = 10000000 };

/* ---- a commit ---- */

void flight_free(struct flight *flight)
{
    store_prepared_free(&flight->record);
    changes_free(flight->changes);
    flight->changes = NULL;
}

poise_code publish_changes(struct changes *changes, const struct writer_options *options, poise_error *err)
{
    int64_t deadline_us = clock_monotonic_us(options->clock) + STREAM_WAIT_US;
    while (!ring_push(options->to_stream, changes)) {
        if (clock_monotonic_us(options->clock) > deadline_us) {
            changes_free(changes);
            return error_set(err, POISE_ETIMEOUT, "the stream has taken no changes for %d s",
                             STREAM_WAIT_US / 1000000);
        }
        stats_add(options->stats, STAT_stream_full, 1);
        net_wake_up(options->stream_wake);
        nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
    }
    net_wake_up(options->stream_wake);
    return POISE_OK;
}

poise_code flight_commit(struct flight *flight, const struct writer_options *options, bool may_grow,
                         poise_error *err)
{
    struct stats *stats = options->stats;
    struct changes *changes = flight->changes;
    int64_t start = clock_monotonic_us(options->clock);
    poise_code code = store_append_prepared(options->store, &flight->record, may_grow, err);
    if (code)
        return code;
    int64_t spent_us = clock_monotonic_us(options->clock) - start;
    stats_time(stats, STAT_commits, STAT_commit_us, STAT_commit_max_us, spent_us);
    stats_histogram(stats, HISTOGRAM_commit_time_us, spent_us);
    stats_set(stats, STAT_lsn, flight->record.lsn);
    stats_set(stats, STAT_series, flight->series);
    stats_add(stats, STAT_rows_accepted, flight->summary.accepted);
    stats_add(stats, STAT_rows_refused, flight->summary.refused);
    flight->changes = NULL;
    return changes ? publish_changes(changes, options, err) : POISE_OK;
}

poise_code flight_give_back(struct flight *flight, const struct writer_options *options, poise_error *err)
{
    for (size_t i = 0; i < flight->batch_count; i++)
        if (!ring_push(options->to_ingest, flight->batches[i]))
            return error_set(err, POISE_EFULL, "ingest's queue is smaller than the pool of batches");
    if (flight->batch_count)
        net_wake_up(options->ingest_wake);
    flight->batch_count = 0;
    return POISE_OK;
}

/* ---- the thread ---- */

bool committer_open(struct committer *committer, const struct writer_options *options)
{
    committer->options = options;
    return ring_init(&committer->to_commit, 1) && ring_init(&committer->committed, 1);
}

void committer_close(struct committer *committer)
{
    ring_free(&committer->to_commit);
    ring_free(&committer->committed);
}

bool committer_send(struct committer *committer, struct errand *errand)
{
    atomic_store(&committer->wanted, false);
    bool sent = ring_push(&committer->to_commit, errand);
    net_wake_up(committer->options->committer_wake);
    return sent;
}

struct errand *committer_receive(struct committer *committer)
{
    return ring_pop(&committer->committed);
}

static void commit(struct flight *flight, const struct writer_options *options)
{
    flight->error = (poise_error){0};
    flight->code = flight_commit(flight, options, false, &flight->error);
    if (!flight->code)
        flight->code = flight_give_back(flight, options, &flight->error);
}

void committer_want(struct committer *committer)
{
    atomic_store(&committer->wanted, true);
}

bool committer_is_wanted(const struct committer *committer)
{
    return atomic_load(&committer->wanted);
}

/* Whether there is another. What fails is found by the writer's next step. */
static bool write_slice(struct errand *errand, const struct writer_options *options)
{
    int64_t start = clock_monotonic_us(options->clock), spent_us;
    int count = 0;
    bool more;
    do {
        more = store_step_apart(options->store, errand->steps);
        if (!more && errand->engine && !errand->given)
            more = !engine_checkpoint_give(errand->engine, SLICE_ENTRIES, &errand->given, NULL);
        spent_us = clock_monotonic_us(options->clock) - start;
    } while (more && ++count < SLICE_STEPS && spent_us < SLICE_US);
    if (errand->steps == STORE_MERGES)
        stats_time(options->stats, STAT_upkeep_slices, STAT_upkeep_us, STAT_upkeep_max_us, spent_us);
    else
        stats_time(options->stats, STAT_checkpoint_slices, STAT_checkpoint_us, STAT_checkpoint_max_us,
                   spent_us);
    return more;
}

static void write_slices(struct errand *errand, const struct committer *committer)
{
    unsigned count = 0;
    bool more = !errand->flight || !errand->flight->code;
    errand->sliced_us = clock_monotonic_us(committer->options->clock);
    while (more && count < errand->slices && !(count && committer_is_wanted(committer))) {
        more = write_slice(errand, committer->options);
        count++;
    }
    errand->slices = count;
}

void committer_step(struct committer *committer)
{
    const struct writer_options *options = committer->options;
    struct errand *errand = ring_pop(&committer->to_commit);
    if (!errand)
        return;
    if (errand->flight)
        commit(errand->flight, options);
    write_slices(errand, committer);
    (void)ring_push(&committer->committed, errand); /* there is room: no other one is under way */
    net_wake_up(options->writer_wake);
}
