#include "inner.h"
#include <base/error.h>
#include <stdlib.h>
#include <string.h>

enum { LEVEL_BYTES = 1 << 18, LEVELS = 24, MERGED_AT_ONCE = 4, SMALL_PART = 8, SLICE_LOOKS = 50000 };

/* ---- puts in the order of their keys ---- */

struct put { /* as collected; what has the same key in a later place counts */
    uint64_t prefix;
    const uint8_t *key;
    uint32_t key_length;
};

static uint64_t prefix_of(const uint8_t *key, size_t length)
{
    uint8_t bytes[8] = {0};
    memcpy(bytes, key, length < sizeof bytes ? length : sizeof bytes);
    return big64(bytes);
}

static int compare_puts(const void *left, const void *right)
{
    const struct put *a = left, *b = right;
    if (a->prefix != b->prefix) {
        return a->prefix < b->prefix ? -1 : 1;
    }
    int order = sorted_compare(a->key, a->key_length, b->key, b->key_length);
    return order != 0 ? order : (a->key > b->key) - (a->key < b->key);
}

void puts_add(struct buf *puts, const uint8_t *key, size_t key_length, const void *value, size_t length)
{
    buf_put_text(puts, (const char *)key, key_length);
    buf_put_varint(puts, value ? length + 1 : 0);
    buf_put(puts, value, value ? length : 0);
}

/* The value behind a key; NULL: a deletion. */
static struct sorted_entry take_value(struct cursor *in, const uint8_t *key, size_t key_length)
{
    struct sorted_entry entry = {.key = key, .key_length = key_length};
    uint64_t length = cursor_varint(in);
    if (length > 0) {
        entry.value_length = (size_t)length - 1;
        entry.value = cursor_bytes(in, entry.value_length);
    }
    return entry;
}

void puts_skip(struct cursor *in)
{
    size_t length;
    const uint8_t *key = (const uint8_t *)cursor_text(in, &length);
    (void)take_value(in, key, length);
}

poise_code state_job_of_puts(struct store *store, struct state_job *job, struct buf *puts, size_t count,
                             uint32_t cleared, poise_error *err)
{
    *job = (struct state_job){.store = store, .puts = *puts};
    *puts = (struct buf){0};
    uint64_t id = state_new_id(&store->runs);
    job->build.run = (struct state_run){.id = id, .rank = id, .cleared = cleared};
    job->sorted = malloc((count ? count : 1) * sizeof *job->sorted);
    if (!job->sorted) {
        return error_nomem(err, "a checkpoint");
    }
    struct cursor in = cursor_of(job->puts.data, job->puts.length);
    while (cursor_left(&in) > 0) {
        size_t length;
        const uint8_t *key = (const uint8_t *)cursor_text(&in, &length);
        (void)take_value(&in, key, length);
        job->sorted[job->count++] =
            (struct put){.prefix = prefix_of(key, length), .key = key, .key_length = (uint32_t)length};
    }
    qsort(job->sorted, job->count, sizeof *job->sorted, compare_puts);
    return state_build_open(&job->build, job->count, err);
}

static bool has_room(const struct state_job *job)
{
    return job->build.slice.length < STATE_SLICE_BYTES;
}

static poise_code fill_from_puts(struct state_job *job, poise_error *err)
{
    const uint8_t *end = job->puts.data + job->puts.length;
    poise_code code = POISE_OK;
    while (code == POISE_OK && job->at < job->count && has_room(job)) {
        const struct put *put = &job->sorted[job->at++];
        bool last = job->at == job->count ||
                    sorted_compare(put->key, put->key_length, put[1].key, put[1].key_length) != 0;
        struct cursor in = cursor_of(put->key + put->key_length, (size_t)(end - put->key) - put->key_length);
        struct sorted_entry entry = take_value(&in, put->key, put->key_length);
        code = last ? state_build_add(&job->build, &entry, err) : POISE_OK;
    }
    job->read = job->at == job->count;
    return code;
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
static poise_code merge_some(struct state_job *job, struct state_reader *reader, poise_error *err)
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
            job->read = code == POISE_ENOTFOUND;
            return job->read ? POISE_OK : code;
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

static poise_code fill_from_runs(struct state_job *job, poise_error *err)
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
        code = merge_some(job, &reader, err);
        state_reader_close(&reader);
    }
    env_read_end(job->store, txn);
    return code;
}

poise_code state_job_fill(struct state_job *job, poise_error *err)
{
    poise_code code = POISE_OK;
    if (!job->read) {
        code = job->source_count ? fill_from_runs(job, err) : fill_from_puts(job, err);
        if (code == POISE_OK && job->read) {
            code = state_build_end(&job->build, err);
        }
    }
    return code == POISE_OK && job->read ? state_build_filter(&job->build, &job->done, err) : code;
}

void state_job_free(struct state_job *job)
{
    state_build_free(&job->build);
    buf_free(&job->puts);
    free(job->sorted);
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
