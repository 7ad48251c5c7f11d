#include "inner.h"
#include <base/clock.h>
#include <base/error.h>
#include <base/file.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

static const int64_t MAX_DEFAULT = INT64_C(1) << 30;
static const int64_t SEGMENT_DEFAULT = INT64_C(8) << 20;
enum { SEGMENT_LEAST = 64 << 10 };

/* ---- opening and closing ---- */

static void set_sizes(struct spool *spool, const struct spool_options *options)
{
    spool->max_bytes = options->max_bytes > 0 ? options->max_bytes : MAX_DEFAULT;
    spool->segment_bytes = options->segment_bytes > 0 ? options->segment_bytes : SEGMENT_DEFAULT;
    if (spool->segment_bytes > SPOOL_SEGMENT_MAX) {
        spool->segment_bytes = SPOOL_SEGMENT_MAX;
    }
    if (spool->segment_bytes > spool->max_bytes / 4) {
        spool->segment_bytes = spool->max_bytes / 4; /* room comes back a segment at a time */
    }
}

/* On a disk that has less room than max_bytes segments are smaller, too: else the last one, which cannot go,
 * would fill it. */
static void fit_to_disk(struct spool *spool)
{
    struct statvfs disk;
    if (statvfs(spool->path, &disk) != 0) {
        return; /* it is only better to know */
    }
    uint64_t room = (uint64_t)disk.f_bavail * disk.f_frsize + (uint64_t)spool->bytes;
    uint64_t part = room / 4 > SEGMENT_LEAST ? room / 4 : SEGMENT_LEAST;
    if ((uint64_t)spool->segment_bytes > part) {
        spool->segment_bytes = (int64_t)part;
    }
}

poise_code spool_open(const struct spool_options *options, struct spool **ret_spool, poise_error *err)
{
    if (!options->path || options->path[0] == '\0' || options->max_bytes < 0 || options->segment_bytes < 0 ||
        options->keep_ms < 0) {
        return error_set(err, POISE_EINVAL, "a spool needs a path, and sizes that are not negative");
    }
    struct spool *spool = calloc(1, sizeof *spool);
    if (!spool) {
        return error_nomem(err, "a spool");
    }
    spool->lock_fd = spool->acked_fd = spool->active_fd = -1;
    spool->reading = spool->acking = PLACE_NOWHERE;
    spool->sync = options->sync;
    spool->sent_max = options->sent_max;
    spool->describe = options->describe;
    spool->damaged = options->damaged;
    spool->context = options->context;
    spool->keep_ms = options->keep_ms;
    set_sizes(spool, options);
    spool->path = strdup(options->path);
    poise_code code = spool->path ? spool_load(spool, options->new_epoch, err) : error_nomem(err, "a spool");
    if (code != POISE_OK) {
        spool_close(spool);
        return code;
    }
    fit_to_disk(spool);
    (void)spool_fill_reserve(spool);
    *ret_spool = spool;
    return POISE_OK;
}

static void close_fd(int fd)
{
    if (fd >= 0) {
        close(fd);
    }
}

void spool_close(struct spool *spool)
{
    if (!spool) {
        return;
    }
    if (spool->acked_fd >= 0 && spool->sync) {
        fdatasync(spool->acked_fd); /* should it fail: some batches are sent once more */
    }
    place_leave(&spool->reading);
    place_leave(&spool->acking);
    close_fd(spool->active_fd);
    close_fd(spool->acked_fd);
    close_fd(spool->lock_fd);
    buf_free(&spool->record);
    buf_free(&spool->mark.bytes);
    free(spool->segments);
    free(spool->path);
    free(spool);
}

/* ---- what it holds ---- */

uint64_t spool_epoch(const struct spool *spool)
{
    return spool->fork.epoch ? spool->fork.epoch : spool->epoch;
}

uint64_t spool_next_seq(const struct spool *spool)
{
    return spool->next_seq;
}

uint64_t spool_first_seq(const struct spool *spool)
{
    return spool->first_seq;
}

int64_t spool_bytes(const struct spool *spool)
{
    return spool->bytes;
}

uint64_t spool_last_hash(const struct spool *spool)
{
    return spool->acked_hash;
}

bool spool_store(const struct spool *spool, uint8_t ret_store_id[16], uint64_t *ret_incarnation)
{
    if (spool->has_store) {
        memcpy(ret_store_id, spool->store_id, sizeof spool->store_id);
        *ret_incarnation = spool->incarnation;
    }
    return spool->has_store;
}

/* A sync says only once what it could not write: a second try that succeeds means nothing. */
static poise_code check_whole(const struct spool *spool, poise_error *err)
{
    return !spool->broken ? POISE_OK
                          : error_set(err, POISE_EIO,
                                      "a write to the spool %s failed before: look at the disk, start the "
                                      "process again",
                                      spool->path);
}

static poise_code break_on_eio(struct spool *spool, poise_code code)
{
    spool->broken = spool->broken || code == POISE_EIO;
    return code;
}

poise_code spool_set_store(struct spool *spool, const uint8_t store_id[16], uint64_t incarnation,
                           poise_error *err)
{
    struct spool changed = *spool;
    changed.has_store = true;
    changed.incarnation = incarnation;
    memcpy(changed.store_id, store_id, sizeof changed.store_id);
    poise_code code = check_whole(spool, err);
    if (code == POISE_OK) {
        code = spool_write_meta(&changed, err);
    }
    if (code == POISE_OK) {
        *spool = changed;
    }
    return break_on_eio(spool, code);
}

/* ---- segments ---- */

int64_t spool_now_ms(void)
{
    return clock_monotonic_us(&clock_system) / 1000;
}

static poise_code reserve_segment(struct spool *spool, poise_error *err)
{
    if (spool->count == spool->capacity) {
        size_t capacity = spool->capacity ? 2 * spool->capacity : 16;
        struct segment *segments = realloc(spool->segments, capacity * sizeof *segments);
        if (!segments) {
            return error_nomem(err, "the spool's segments");
        }
        spool->segments = segments;
        spool->capacity = capacity;
    }
    return POISE_OK;
}

poise_code spool_add_segment(struct spool *spool, const struct segment *segment, poise_error *err)
{
    poise_code code = reserve_segment(spool, err);
    if (code == POISE_OK) {
        spool->segments[spool->count++] = *segment;
        spool->bytes += segment->size;
    }
    return code;
}

poise_code spool_unlink(struct spool *spool, size_t i, poise_error *err)
{
    char path[PATH_MAX];
    struct segment *oldest = &spool->segments[i];
    poise_code code = segment_path(spool->path, oldest->first_seq, path, sizeof path, err);
    if (code != POISE_OK) {
        return code;
    }
    if (unlink(path) != 0 && errno != ENOENT) {
        return error_errno(err, POISE_EIO, "cannot remove %s", path);
    }
    if (spool->reading.segment == oldest->first_seq) {
        place_leave(&spool->reading);
    }
    if (spool->acking.segment == oldest->first_seq) {
        place_leave(&spool->acking);
    }
    spool->bytes -= oldest->size;
    spool->count--;
    memmove(oldest, oldest + 1, (spool->count - i) * sizeof *oldest);
    return POISE_OK;
}

poise_code spool_drop_oldest(struct spool *spool, poise_error *err)
{
    return spool_unlink(spool, 0, err);
}

bool spool_all_acked(const struct spool *spool, size_t i)
{
    return i + 1 < spool->count && spool->segments[i + 1].first_seq <= spool->first_seq;
}

/* Whether the oldest segment need not be kept any longer. */
static bool may_go(const struct spool *spool, int64_t wanted)
{
    int64_t age_ms = spool_now_ms() - spool->segments[0].touched_ms;
    return spool_all_acked(spool, 0) &&
           (spool->keep_ms == 0 || age_ms >= spool->keep_ms || spool->bytes + wanted > spool->max_bytes);
}

poise_code spool_drop_acked(struct spool *spool, int64_t wanted, poise_error *err)
{
    bool synced = !spool->sync;
    while (spool->count > 1 && may_go(spool, wanted)) {
        /* What is acknowledged must be known before it is gone, or its lack would look like a loss. */
        if (!synced && fdatasync(spool->acked_fd) != 0) {
            return error_errno(err, POISE_EIO, "cannot sync %s/acked", spool->path);
        }
        synced = true;
        poise_code code = spool_drop_oldest(spool, err);
        if (code != POISE_OK) {
            return code;
        }
        (void)spool_fill_reserve(spool);
    }
    return POISE_OK;
}

/* Before a segment is begun: those before it, with their marks, may go. */
static poise_code save_mark(struct spool *spool, poise_error *err)
{
    if (spool->mark_saved || spool->mark.bytes.length == 0) {
        return POISE_OK;
    }
    poise_code code = spool_write_meta(spool, err);
    spool->mark_saved = code == POISE_OK;
    return code;
}

poise_code spool_rotate(struct spool *spool, poise_error *err)
{
    struct segment fresh = {.first_seq = spool->next_seq,
                            .previous_hash = spool->last_hash,
                            .last_hash = spool->last_hash,
                            .touched_ms = spool_now_ms(),
                            .size = SEGMENT_HEAD};
    int fd;
    poise_code code = save_mark(spool, err);
    if (code == POISE_OK) {
        code = reserve_segment(spool, err); /* its file would be in the way of the next try */
    }
    if (code == POISE_OK) {
        code = segment_create(spool->path, spool->epoch, &fresh, spool->sync, &fd, err);
    }
    if (code != POISE_OK) {
        return code;
    }
    spool->segments[spool->count++] = fresh;
    spool->bytes += fresh.size;
    close_fd(spool->active_fd);
    spool->active_fd = fd;
    return POISE_OK;
}

/* The segment with the batch, which must be there. */
static const struct segment *segment_of(const struct spool *spool, uint64_t seq)
{
    size_t i = spool->count - 1;
    while (spool->segments[i].first_seq > seq) {
        i--;
    }
    return &spool->segments[i];
}

int64_t spool_waiting_bytes(const struct spool *spool)
{
    if (spool->first_seq == spool->next_seq) {
        return 0;
    }
    const struct segment *first = segment_of(spool, spool->first_seq);
    const struct place *acked = &spool->acking;
    bool within = acked->fd >= 0 && acked->segment == first->first_seq && acked->seq < spool->first_seq;
    int64_t bytes = within ? -acked->offset : 0;
    for (const struct segment *s = first; s < spool->segments + spool->count; s++) {
        bytes += s->size;
    }
    return bytes;
}

/* ---- appending ---- */

static bool over_limit(const struct spool *spool, int64_t wanted, int64_t more)
{
    return spool->bytes + wanted > spool->max_bytes + more;
}

static poise_code make_room(struct spool *spool, int64_t wanted, int64_t more, poise_error *err)
{
    poise_code dropped = spool_drop_acked(spool, wanted, err);
    if (dropped != POISE_OK) {
        return dropped;
    }
    const struct segment *active = &spool->segments[spool->count - 1];
    bool full = over_limit(spool, wanted, 0);
    bool all_acked = spool->first_seq == spool->next_seq;
    if (active->count > 0 && (active->size + wanted > spool->segment_bytes || (full && all_acked))) {
        poise_code code = spool_rotate(spool, err);
        if (code == POISE_OK) {
            code = spool_drop_acked(spool, wanted, err);
        }
        if (code != POISE_OK) {
            return code;
        }
        (void)spool_fill_reserve(spool);
    }
    if (over_limit(spool, wanted, more)) {
        return error_set(err, POISE_EFULL,
                         "the spool %s is full (%" PRId64 " of %" PRId64
                         " bytes): it goes on once the aggregator acknowledges; or raise its limit",
                         spool->path, spool->bytes, spool->max_bytes);
    }
    if (more == 0 && spool->reserve < spool->reserve_most && !spool_fill_reserve(spool)) {
        return error_set(err, POISE_EFULL,
                         "the disk of the spool %s is full: it goes on once there is room, or the aggregator "
                         "acknowledges",
                         spool->path);
    }
    return POISE_OK;
}

/* Takes back what of a failed append may have reached the file; for good, or half a record would be found in
 * a segment behind which another was begun. */
static void cut_back(struct spool *spool)
{
    if (ftruncate(spool->active_fd, spool->segments[spool->count - 1].size) != 0 ||
        (spool->sync && fdatasync(spool->active_fd) != 0)) {
        spool->broken = true;
    }
}

static poise_code write_record(struct spool *spool, poise_error *err)
{
    poise_code code = file_write_all(spool->active_fd, spool->record.data, spool->record.length, err);
    if (code != POISE_OK) {
        error_wrap(err, "the spool %s", spool->path);
        cut_back(spool);
        return code;
    }
    if (spool->sync && fdatasync(spool->active_fd) != 0) {
        code = error_errno(err, POISE_EIO,
                           "cannot sync the spool %s: end the process, look at the disk, start again",
                           spool->path);
        cut_back(spool);
    }
    return code;
}

/* With so many bytes more than max_bytes. */
static poise_code put_record(struct spool *spool, int64_t more, poise_error *err)
{
    poise_code code = make_room(spool, (int64_t)spool->record.length, more, err);
    return code == POISE_OK ? write_record(spool, err) : code;
}

static poise_code check_lengths(size_t length, size_t mark_length, poise_error *err)
{
    if (length > SPOOL_BODY_MAX) {
        return error_set(err, POISE_ELIMIT, "a batch of %zu bytes; the spool takes %d at most", length,
                         SPOOL_BODY_MAX);
    }
    if (mark_length > SPOOL_MARK_MAX) {
        return error_set(err, POISE_ELIMIT, "a mark of %zu bytes; the spool takes %d at most", mark_length,
                         SPOOL_MARK_MAX);
    }
    return POISE_OK;
}

/* There is room: buf_reserve went before. */
static void set_mark(struct spool *spool, const void *mark, size_t length)
{
    spool->mark.seq = spool->next_seq;
    buf_reset(&spool->mark.bytes);
    buf_put(&spool->mark.bytes, mark, length);
}

/* Whatever is acknowledged goes, of the active segment too where all of it is. */
static bool give_back(struct spool *spool)
{
    if (spool->first_seq == spool->next_seq && spool->segments[spool->count - 1].count > 0) {
        (void)break_on_eio(spool, spool_rotate(spool, NULL)); /* without room for its head it stays */
    }
    return !spool->broken && spool->count > 1 && spool_all_acked(spool, 0) &&
           break_on_eio(spool, spool_drop_acked(spool, spool->max_bytes, NULL)) == POISE_OK;
}

/* Appends spool->record, of one number. */
static poise_code append(struct spool *spool, bool held, uint64_t hash, const void *mark, size_t mark_length,
                         int64_t more, poise_error *err)
{
    if (spool->record.failed || !buf_reserve(&spool->mark.bytes, mark_length)) {
        spool->mark.bytes.failed = false; /* the mark of before still stands */
        return error_nomem(err, "a batch of the spool");
    }
    poise_code code = put_record(spool, more, err);
    if (code == POISE_EFULL && give_back(spool)) { /* those make room on the disk, too */
        code = put_record(spool, more, err);
    }
    if (code != POISE_OK) {
        return break_on_eio(spool, code);
    }
    struct segment *active = &spool->segments[spool->count - 1];
    active->size += (int64_t)spool->record.length;
    active->last_hash = hash;
    active->touched_ms = spool_now_ms();
    active->count++;
    active->held += held;
    spool->bytes += (int64_t)spool->record.length;
    spool->last_hash = hash;
    if (mark_length > 0) {
        set_mark(spool, mark, mark_length);
        spool->mark_saved = false;
    }
    spool->next_seq++;
    return POISE_OK;
}

poise_code spool_append(struct spool *spool, const void *body, size_t length, uint64_t hash, const void *mark,
                        size_t mark_length, poise_error *err)
{
    poise_code code = check_whole(spool, err);
    if (code == POISE_OK) {
        code = check_lengths(length, mark_length, err);
    }
    if (code != POISE_OK) {
        return code;
    }
    buf_reset(&spool->record);
    segment_put_record(&spool->record, spool->next_seq, hash, mark, mark_length, body, length);
    return append(spool, true, hash, mark, mark_length, 0, err);
}

/* Where the disk is full, in what is kept for it; to a segment without batches, since one with many of them
 * cannot be written anew there. */
static poise_code append_one_loss(struct spool *spool, uint64_t hash, const void *mark, size_t mark_length,
                                  poise_error *err)
{
    poise_code code = append(spool, false, hash, mark, mark_length, LOSS_ROOM, err);
    while (code == POISE_EFULL && !over_limit(spool, (int64_t)spool->record.length, LOSS_ROOM) &&
           spool->segments[spool->count - 1].held == 0 && spool_use_some(spool)) {
        code = append(spool, false, hash, mark, mark_length, LOSS_ROOM, err);
    }
    return code;
}

poise_code spool_append_loss(struct spool *spool, const struct spool_loss *loss, const void *mark,
                             size_t mark_length, poise_error *err)
{
    poise_code code = check_whole(spool, err);
    if (code == POISE_OK) {
        code = check_lengths(0, mark_length, err);
    }
    if (code != POISE_OK) {
        return code;
    }
    struct spool_loss one = *loss;
    one.first = one.last = spool->next_seq;
    buf_reset(&spool->record);
    segment_put_loss(&spool->record, &one, mark, mark_length);
    code = append_one_loss(spool, one.hash, mark, mark_length, err);
    if (code == POISE_EFULL && spool_squeeze(spool, NULL) == POISE_OK) {
        code = append_one_loss(spool, one.hash, mark, mark_length, err);
    }
    return code;
}

const void *spool_mark(const struct spool *spool, size_t *ret_length)
{
    if (spool->mark.bytes.length == 0) {
        return NULL;
    }
    *ret_length = spool->mark.bytes.length;
    return spool->mark.bytes.data;
}

poise_code spool_set_mark(struct spool *spool, const void *mark, size_t length, poise_error *err)
{
    struct spool changed = *spool;
    changed.mark = (struct mark){0};
    poise_code code = check_whole(spool, err);
    if (code == POISE_OK) {
        code = check_lengths(0, length, err);
    }
    if (code == POISE_OK && !buf_reserve(&changed.mark.bytes, length)) {
        code = error_nomem(err, "the spool's mark");
    }
    if (code == POISE_OK) {
        set_mark(&changed, mark, length);
        code = spool_write_meta(&changed, err);
    }
    struct mark *old = code == POISE_OK ? &spool->mark : &changed.mark;
    buf_free(&old->bytes);
    if (code == POISE_OK) {
        spool->mark = changed.mark;
        spool->mark_saved = true;
    }
    return break_on_eio(spool, code);
}

/* ---- reading and acknowledging ---- */

/* Whether the epoch has it, and it is still there. */
static bool is_kept(const struct spool *spool, uint64_t seq)
{
    return seq >= spool_kept_seq(spool) && seq < spool_next_seq(spool);
}

poise_code spool_read(struct spool *spool, uint64_t seq, struct buf *out, poise_error *err)
{
    uint64_t oldest = spool->segments[0].first_seq;
    if (seq < oldest || seq >= spool->next_seq) {
        return error_set(err, POISE_ENOTFOUND,
                         "batch %" PRIu64 " is not in the spool, which has %" PRIu64 " to before %" PRIu64,
                         seq, oldest, spool->next_seq);
    }
    struct record_head head;
    poise_code code = place_go(&spool->reading, spool->path, segment_of(spool, seq), seq, &head, err);
    if (code == POISE_OK && head.lost) {
        code = error_set(err, POISE_EGAP, "batch %" PRIu64 " of the spool %s is lost", seq, spool->path);
    }
    return code == POISE_OK ? place_body(&spool->reading, &head, out, err) : code;
}

poise_code spool_lost(struct spool *spool, uint64_t seq, struct spool_loss *ret_loss, poise_error *err)
{
    if (!is_kept(spool, seq)) {
        return error_set(err, POISE_ENOTFOUND, "batch %" PRIu64 " is not in the spool", seq);
    }
    if (seq <= spool->fork.doubt) {
        *ret_loss = (struct spool_loss){.first = seq, .last = seq, .reason = SPOOL_FORKED};
        return POISE_OK;
    }
    struct record_head head;
    poise_code code = place_go(&spool->reading, spool->path, segment_of(spool, seq), seq, &head, err);
    if (code == POISE_OK && head.lost) {
        code = place_loss(&spool->reading, &head, ret_loss, err);
        *ret_loss = code == POISE_OK ? spool_loss_of(spool, ret_loss) : *ret_loss;
        return code;
    }
    if (code == POISE_OK) {
        *ret_loss = (struct spool_loss){0};
    }
    return code;
}

/* Of the last number of a record; one within a loss has none that is known. */
static uint64_t hash_of(const struct record_head *head, uint64_t seq)
{
    return seq == head->seq + head->span - 1 ? head->hash : 0;
}

poise_code spool_ack(struct spool *spool, uint64_t seq, poise_error *err)
{
    if (seq >= spool->next_seq) {
        return error_set(err, POISE_EINVAL,
                         "batch %" PRIu64 " is acknowledged, but the next is only %" PRIu64, seq,
                         spool->next_seq);
    }
    if (seq < spool->first_seq) {
        return POISE_OK;
    }
    struct record_head head;
    poise_code code = check_whole(spool, err);
    if (code == POISE_OK) {
        code = place_go(&spool->acking, spool->path, segment_of(spool, seq), seq, &head, err);
    }
    if (code == POISE_OK) {
        code = spool_write_acked(spool, seq, hash_of(&head, seq), err);
    }
    if (code != POISE_OK) {
        return break_on_eio(spool, code);
    }
    spool->first_seq = seq + 1;
    spool->acked_hash = spool_hash(spool, seq, hash_of(&head, seq));
    return break_on_eio(spool, spool_drop_acked(spool, 0, err));
}

/* ---- going back ---- */

uint64_t spool_kept_seq(const struct spool *spool)
{
    uint64_t kept = spool->segments[0].first_seq, start = spool_start_seq(spool);
    kept = kept > start ? kept : start;
    return kept < spool->first_seq ? kept : spool->first_seq;
}

/* What was only kept is read before it is relied on. */
static poise_code check_kept(struct spool *spool, uint64_t seq, poise_error *err)
{
    struct mark ignored = {0};
    poise_code code = POISE_OK;
    for (size_t i = 0; i + 1 < spool->count && spool_all_acked(spool, i) && code == POISE_OK; i++) {
        char path[PATH_MAX];
        const struct segment *next = &spool->segments[i + 1];
        struct segment segment = {0};
        if (next->first_seq <= seq) {
            continue;
        }
        code = segment_path(spool->path, spool->segments[i].first_seq, path, sizeof path, err);
        if (code == POISE_OK) {
            code = segment_scan(path, spool->epoch, spool->segments[i].first_seq, false, &segment, &ignored,
                                err);
        }
        if (code == POISE_ECORRUPT && spool->describe) {
            segment = spool->segments[i];
            code = spool_set_aside(spool, &segment, next->first_seq, err);
            spool->bytes += code == POISE_OK ? segment.size - spool->segments[i].size : 0;
            spool->segments[i] = code == POISE_OK ? segment : spool->segments[i];
        }
        if (code == POISE_OK && segment.first_seq + segment.count != next->first_seq) {
            code = error_set(err, POISE_ECORRUPT, "the spool %s lacks batches %" PRIu64 " to %" PRIu64,
                             spool->path, segment.first_seq + segment.count, next->first_seq - 1);
        }
    }
    buf_free(&ignored.bytes);
    return code;
}

/* Of the batch before seq. */
static poise_code hash_before(struct spool *spool, uint64_t seq, uint64_t *ret_hash, poise_error *err)
{
    const struct segment *segment = segment_of(spool, seq);
    struct record_head head;
    if (segment->first_seq == seq) {
        *ret_hash = segment->previous_hash;
        return POISE_OK;
    }
    poise_code code = place_go(&spool->acking, spool->path, segment, seq - 1, &head, err);
    if (code == POISE_OK) {
        *ret_hash = hash_of(&head, seq - 1);
    }
    return code;
}

poise_code spool_rewind(struct spool *spool, uint64_t seq, poise_error *err)
{
    uint64_t hash = 0;
    if (seq >= spool->first_seq) {
        return POISE_OK;
    }
    if (seq < spool_kept_seq(spool)) {
        return error_set(err, POISE_ENOTFOUND,
                         "batch %" PRIu64 " is not in the spool %s any more, which was kept from %" PRIu64
                         " on",
                         seq, spool->path, spool_kept_seq(spool));
    }
    poise_code code = check_whole(spool, err);
    if (code == POISE_OK) {
        code = check_kept(spool, seq, err);
    }
    if (code == POISE_OK) {
        code = hash_before(spool, seq, &hash, err);
    }
    if (code == POISE_OK) {
        code = spool_write_acked(spool, seq - 1, hash, err);
    }
    if (code == POISE_OK && spool->sync &&
        fdatasync(spool->acked_fd) != 0) { /* back, they may go at the next start */
        code = error_errno(err, POISE_EIO, "cannot sync %s/acked", spool->path);
    }
    if (code != POISE_OK) {
        return break_on_eio(spool, code);
    }
    spool->first_seq = seq;
    spool->acked_hash = seq == spool_start_seq(spool) ? spool->fork.hash : spool_hash(spool, seq - 1, hash);
    return POISE_OK;
}
