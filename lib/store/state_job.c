#include "inner.h"
#include <base/error.h>
#include <stdlib.h>
#include <string.h>

enum { LEVEL_BYTES = 1 << 18, LEVELS = 24, MERGED_AT_ONCE = 4, SMALL_PART = 8, SLICE_LOOKS = 50000 };

static bool has_room(const struct state_job *job)
{
    return job->build.slice.length < STATE_SLICE_BYTES;
}

/* ---- puts ---- */

poise_code state_job_of_puts(struct store *store, struct state_job *job, uint32_t cleared, poise_error *err)
{
    uint64_t id = state_new_id(&store->runs);
    *job = (struct state_job){.store = store};
    job->build.run = (struct state_run){.id = id, .rank = id, .cleared = cleared};
    return state_build_open(&job->build, 0, err);
}

bool state_job_takes(const struct state_job *job, const struct state_part *part)
{
    return job->from_length == 0 || state_part_is_behind(part, job->from, job->from_length);
}

poise_code state_job_add(struct state_job *job, struct state_part *part, poise_error *err)
{
    struct sorted_entry entry;
    poise_code code = POISE_OK;
    while (code == POISE_OK && has_room(job) && state_part_next(part, &entry)) {
        code = state_build_add(&job->build, &entry, err);
        memcpy(job->from, entry.key, entry.key_length);
        job->from_length = entry.key_length;
    }
    return code;
}

poise_code state_job_end(struct state_job *job, poise_error *err)
{
    poise_code code = job->read ? POISE_OK : state_build_end(&job->build, err);
    job->read = true;
    return code == POISE_OK ? state_build_filter(&job->build, &job->done, err) : code;
}

/* ---- several runs ---- */

poise_code state_job_of_runs(struct store *store, struct state_job *job, size_t count, poise_error *err)
{
    const struct state_runs *runs = &store->runs;
    *job = (struct state_job){.store = store, .source_count = count, .oldest = count == runs->whole};
    job->sources = malloc(count * sizeof *job->sources);
    if (!job->sources) {
        return error_nomem(err, "a merge of runs");
    }
    memcpy(job->sources, runs->items, count * sizeof *job->sources);
    job->build.run = (struct state_run){.id = state_new_id(&store->runs), .rank = job->sources[0].rank};
    uint64_t entries = 0;
    for (size_t i = 0; i < count; i++) {
        job->build.run.cleared |= job->oldest ? 0 : job->sources[i].cleared;
        entries += state_run_entries(&job->sources[i]);
    }
    return state_build_open(&job->build, (size_t)entries, err);
}

/* Each slice in a transaction of its own: what the sources say does not change, but no page is held long. */
static poise_code merge_some(struct state_job *job, struct state_reader *reader, bool *ret_read,
                             poise_error *err)
{
    struct sorted_entry entry;
    poise_code code = POISE_OK;
    while (has_room(job)) {
        code = reader->looked < reader->budget ? state_reader_next(reader, &entry, err) : POISE_EBUSY;
        if (code == POISE_EBUSY) {
            memcpy(job->from, reader->last, reader->last_length);
            job->from_length = reader->last_length;
            return POISE_OK;
        }
        if (code != POISE_OK) {
            *ret_read = code == POISE_ENOTFOUND;
            return *ret_read ? POISE_OK : code;
        }
        if (sorted_compare(entry.key, entry.key_length, job->from, job->from_length) == 0) {
            continue; /* it was the last of the slice before */
        }
        memcpy(job->from, entry.key, entry.key_length);
        job->from_length = entry.key_length;
        if (entry.value || !job->oldest) { /* below the last run there is nothing to hide */
            code = state_build_add(&job->build, &entry, err);
            if (code != POISE_OK) {
                return code;
            }
        }
    }
    return code;
}

static poise_code fill_from_runs(struct state_job *job, bool *ret_read, poise_error *err)
{
    MDB_txn *txn;
    struct state_reader reader;
    poise_code code = env_read(job->store, &txn, err);
    if (code != POISE_OK) {
        return code;
    }
    code = state_reader_open(job->store, txn, job->sources, job->source_count, job->from, job->from_length,
                             &reader, err);
    if (code == POISE_OK) {
        reader.budget = SLICE_LOOKS;
        code = merge_some(job, &reader, ret_read, err);
        state_reader_close(&reader);
    }
    env_read_end(job->store, txn);
    return code;
}

poise_code state_job_fill(struct state_job *job, poise_error *err)
{
    poise_code code = POISE_OK;
    bool read = job->read;
    if (!read) {
        code = fill_from_runs(job, &read, err);
    }
    return code == POISE_OK && read ? state_job_end(job, err) : code;
}

bool state_job_has_slice(const struct state_job *job)
{
    return job->done || !has_room(job);
}

void state_job_free(struct state_job *job)
{
    state_build_free(&job->build);
    free(job->sources);
    *job = (struct state_job){0};
}

/* ---- which to merge ---- */

static unsigned level_of(const struct state_run *run)
{
    unsigned level = 0;
    for (uint64_t bytes = run->bytes / LEVEL_BYTES; bytes > 0; bytes /= MERGED_AT_ONCE) {
        level++;
    }
    return level;
}

/* All, where what is newer than the oldest may take its place; else the newest ones up to some size, the
 * smallest of which there are four: so an entry is written about once a level, and a large run is not written
 * again for a few small ones. */
size_t state_to_merge(const struct state_runs *runs, bool idle)
{
    uint64_t newer = 0;
    for (size_t i = 0; i + 1 < runs->whole; i++) {
        newer += runs->items[i].bytes;
    }
    if (runs->whole > 1 && newer >= runs->items[runs->whole - 1].bytes / (idle ? SMALL_PART : 1)) {
        return runs->whole;
    }
    for (unsigned level = 0; level < LEVELS; level++) {
        size_t count = 0, of_level = 0;
        while (count < runs->whole && level_of(&runs->items[count]) <= level) {
            of_level += level_of(&runs->items[count++]) == level;
        }
        if (of_level >= MERGED_AT_ONCE) {
            return count;
        }
    }
    return 0;
}
