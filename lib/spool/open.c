/* Opening: what the directory holds decides where the spool goes on. Files of a new spool are made in an
 * order in which a crash leaves either no spool or a whole one: segment, acked, meta. */
#include "inner.h"
#include <base/clock.h>
#include <base/error.h>
#include <base/file.h>
#include <base/hash.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    VERSION = 4,
    FORK_VERSION = 3,  /* a fork had numbers of its own */
    LOSS_VERSION = 2,  /* without forks */
    FIRST_VERSION = 1, /* without losses */
    META_MAX = 8192,
    ACKED_BYTES = 28,
    CRC_BYTES = 4,
    NAME_DIGITS = 20
};
static const char META_MAGIC[4] = {'P', 'S', 'P', 'L'};

static poise_code path_of(const struct spool *spool, const char *name, char path[PATH_MAX], poise_error *err)
{
    int length = snprintf(path, PATH_MAX, "%s/%s", spool->path, name);
    if (length < 0 || length >= PATH_MAX) {
        return error_set(err, POISE_EINVAL, "the spool's path %.64s... is too long", spool->path);
    }
    return POISE_OK;
}

/* ---- lock ---- */

static poise_code lock(struct spool *spool, poise_error *err)
{
    char path[PATH_MAX];
    poise_code code = path_of(spool, "lock", path, err);
    if (code != POISE_OK) {
        return code;
    }
    spool->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (spool->lock_fd < 0) {
        return error_errno(err, errno == ENOSPC ? POISE_EFULL : POISE_EIO, "cannot open %s", path);
    }
    if (flock(spool->lock_fd, LOCK_EX | LOCK_NB) == 0) {
        return POISE_OK;
    }
    return errno == EWOULDBLOCK ? error_set(err, POISE_EBUSY,
                                            "the spool %s is in use: end the process that has it (fuser %s "
                                            "names it), or choose another "
                                            "directory",
                                            spool->path, path)
                                : error_errno(err, POISE_EIO, "cannot lock %s", path);
}

/* ---- spool.meta: "PSPL" version u32 epoch u64 has_store u32 store_id incarnation u64
 * mark_seq u64 mark_length u32 mark, crc32c u32 of it all; before that, from version 3 on: the fork's epoch,
 * before, start, hash, end, doubt u64 ---- */

static void put_fork(struct buf *meta, const struct spool_epoch *fork)
{
    buf_put_u64(meta, fork->epoch);
    buf_put_u64(meta, fork->before);
    buf_put_u64(meta, fork->start);
    buf_put_u64(meta, fork->hash);
    buf_put_u64(meta, fork->end);
    buf_put_u64(meta, fork->doubt);
}

static struct spool_epoch take_fork(struct cursor *in)
{
    struct spool_epoch fork = {.epoch = cursor_u64(in)};
    fork.before = cursor_u64(in);
    fork.start = cursor_u64(in);
    fork.hash = cursor_u64(in);
    fork.end = cursor_u64(in);
    fork.doubt = cursor_u64(in);
    return fork;
}

poise_code spool_write_meta(const struct spool *spool, poise_error *err)
{
    char path[PATH_MAX];
    poise_code code = path_of(spool, "spool.meta", path, err);
    if (code != POISE_OK) {
        return code;
    }
    struct buf meta = {0};
    buf_put(&meta, META_MAGIC, sizeof META_MAGIC);
    buf_put_u32(&meta, VERSION);
    buf_put_u64(&meta, spool->epoch);
    buf_put_u32(&meta, spool->has_store);
    buf_put(&meta, spool->store_id, sizeof spool->store_id);
    buf_put_u64(&meta, spool->incarnation);
    buf_put_u64(&meta, spool->mark.seq);
    buf_put_u32(&meta, (uint32_t)spool->mark.bytes.length);
    buf_put(&meta, spool->mark.bytes.data, spool->mark.bytes.length);
    put_fork(&meta, &spool->fork);
    buf_put_u32(&meta, crc32c(meta.data, meta.length));
    code = meta.failed ? error_nomem(err, "spool.meta") : file_replace(path, meta.data, meta.length, err);
    buf_free(&meta);
    return code;
}

/* Every version begins with magic and version and ends with the CRC. */
static bool meta_whole(const struct buf *bytes)
{
    if (bytes->length < sizeof META_MAGIC + CRC_BYTES ||
        memcmp(bytes->data, META_MAGIC, sizeof META_MAGIC) != 0) {
        return false;
    }
    size_t length = bytes->length - CRC_BYTES;
    struct cursor crc = cursor_of(bytes->data + length, CRC_BYTES);
    return cursor_u32(&crc) == crc32c(bytes->data, length);
}

static poise_code parse_meta(struct spool *spool, const char *path, const struct buf *bytes, poise_error *err)
{
    if (!meta_whole(bytes)) {
        return error_set(err, POISE_ECORRUPT, "%s is damaged: its CRC does not match; restore it", path);
    }
    struct cursor in = cursor_of(bytes->data + sizeof META_MAGIC, bytes->length - sizeof META_MAGIC);
    uint32_t version = cursor_u32(&in);
    if (version < FIRST_VERSION || version > VERSION) {
        return error_set(err, POISE_EVERSION,
                         "%s has version %" PRIu32 ", this program knows versions %d to %d only", path,
                         version, FIRST_VERSION, VERSION);
    }
    spool->old = version < VERSION;
    spool->epoch = cursor_u64(&in);
    spool->has_store = cursor_u32(&in) != 0;
    const uint8_t *id = cursor_bytes(&in, sizeof spool->store_id);
    spool->incarnation = cursor_u64(&in);
    spool->mark.seq = cursor_u64(&in);
    uint32_t mark_length = cursor_u32(&in);
    const uint8_t *mark = mark_length <= SPOOL_MARK_MAX ? cursor_bytes(&in, mark_length) : NULL;
    if (!mark) {
        return error_set(err, POISE_ECORRUPT, "%s is too short; restore it", path);
    }
    if (version > LOSS_VERSION) {
        spool->fork = take_fork(&in);
    }
    bool forked = spool->fork.epoch != 0;
    if (in.failed || (forked && (spool->fork.start == 0 || spool->fork.start > SPOOL_NUMBER_MAX))) {
        return error_set(err, POISE_ECORRUPT, "%s is damaged; restore it", path);
    }
    if (version == FORK_VERSION && forked) {
        return error_set(err, POISE_EVERSION,
                         "%s is of version %d and was forked, which this program cannot go on from: have the "
                         "program that made it send what is left, then begin an empty spool",
                         path, FORK_VERSION);
    }
    memcpy(spool->store_id, id, sizeof spool->store_id);
    buf_put(&spool->mark.bytes, mark, mark_length);
    return spool->mark.bytes.failed ? error_nomem(err, "the spool's mark") : POISE_OK;
}

static poise_code read_meta(struct spool *spool, poise_error *err)
{
    char path[PATH_MAX];
    struct buf bytes = {0};
    poise_code code = path_of(spool, "spool.meta", path, err);
    if (code == POISE_OK) {
        code = file_read(path, META_MAX, &bytes, err);
    }
    if (code == POISE_OK) {
        code = parse_meta(spool, path, &bytes, err);
    }
    buf_free(&bytes);
    return code;
}

/* ---- acked: epoch u64 seq u64 hash u64 crc32c u32, written in place ---- */

/* Not synced: an older one after a power cut makes some batches be sent once more, no worse. */
poise_code spool_write_acked(const struct spool *spool, uint64_t seq, uint64_t hash, poise_error *err)
{
    uint8_t bytes[ACKED_BYTES];
    struct buf acked = {.data = bytes, .capacity = sizeof bytes}; /* filled exactly: never grows */
    buf_put_u64(&acked, spool->epoch);
    buf_put_u64(&acked, seq);
    buf_put_u64(&acked, hash);
    buf_put_u32(&acked, crc32c(bytes, acked.length));
    poise_code code = file_write_at(spool->acked_fd, bytes, sizeof bytes, 0, err);
    if (code != POISE_OK) {
        error_wrap(err, "%s/acked", spool->path);
    }
    return code;
}

static poise_code open_acked(struct spool *spool, poise_error *err)
{
    char path[PATH_MAX];
    poise_code code = path_of(spool, "acked", path, err);
    if (code != POISE_OK) {
        return code;
    }
    spool->acked_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (spool->acked_fd < 0) {
        code = errno == ENOSPC || errno == EDQUOT ? POISE_EFULL : POISE_EIO;
        return error_errno(err, code, "cannot open %s", path);
    }
    return POISE_OK;
}

/* Not known when it is missing, torn, of another spool or of a batch that there cannot be: then all batches
 * count as not acknowledged. */
static poise_code read_acked(const struct spool *spool, bool *ret_known, uint64_t *ret_seq,
                             uint64_t *ret_hash, poise_error *err)
{
    uint8_t bytes[ACKED_BYTES];
    size_t length = 0;
    poise_code code = file_read_at(spool->acked_fd, bytes, sizeof bytes, 0, &length, err);
    if (code != POISE_OK) {
        error_wrap(err, "%s/acked", spool->path);
        return code;
    }
    struct cursor in = cursor_of(bytes, length);
    uint64_t epoch = cursor_u64(&in), seq = cursor_u64(&in), hash = cursor_u64(&in);
    uint32_t crc = cursor_u32(&in);
    *ret_known = !in.failed && crc == crc32c(bytes, ACKED_BYTES - CRC_BYTES) && epoch == spool->epoch &&
                 seq < SPOOL_NUMBER_MAX; /* the next one has a number, too */
    if (*ret_known) {
        *ret_seq = seq;
        *ret_hash = hash;
    }
    return POISE_OK;
}

/* ---- segments ---- */

static bool parse_name(const char *name, uint64_t *ret_seq)
{
    if (strspn(name, "0123456789") != NAME_DIGITS || strcmp(name + NAME_DIGITS, ".seg") != 0) {
        return false;
    }
    errno = 0;
    *ret_seq = strtoull(name, NULL, 10);
    return errno == 0 && *ret_seq > 0 && *ret_seq <= SPOOL_NUMBER_MAX;
}

static int by_seq(const void *a, const void *b)
{
    const struct segment *left = a, *right = b;
    return (left->first_seq > right->first_seq) - (left->first_seq < right->first_seq);
}

/* How old a file is only the time of day can say. What is of the future was written while that was wrong. */
static int64_t touched_ms(const struct stat *file)
{
    int64_t age_ms = clock_wall_ms(&clock_system) - (int64_t)file->st_mtim.tv_sec * 1000;
    return spool_now_ms() - (age_ms > 0 ? age_ms : 0);
}

/* Sequences only; nothing is read yet. */
static poise_code list_segments(struct spool *spool, poise_error *err)
{
    DIR *dir = opendir(spool->path);
    if (!dir) {
        return error_errno(err, POISE_EIO, "cannot read the directory %s", spool->path);
    }
    poise_code code = POISE_OK;
    struct dirent *entry;
    errno = 0;
    while (code == POISE_OK && (entry = readdir(dir))) {
        struct segment segment = {0};
        if (parse_name(entry->d_name, &segment.first_seq)) {
            struct stat file;
            if (fstatat(dirfd(dir), entry->d_name, &file, 0) != 0) {
                code = error_errno(err, POISE_EIO, "cannot look at %s/%s", spool->path, entry->d_name);
                break;
            }
            segment.touched_ms = touched_ms(&file);
            code = spool_add_segment(spool, &segment, err);
        }
        errno = 0;
    }
    if (code == POISE_OK && errno != 0) {
        code = error_errno(err, POISE_EIO, "cannot read the directory %s", spool->path);
    }
    closedir(dir);
    if (spool->count > 0) {
        qsort(spool->segments, spool->count, sizeof *spool->segments, by_seq);
    }
    return code;
}

/* Segments of which all is acknowledged are only kept in case that they are wanted again: then they are read.
 * One that is damaged, and what is older, is no loss. */
static poise_code glance_at_kept(struct spool *spool, poise_error *err)
{
    size_t kept = 0;
    while (spool_all_acked(spool, kept)) {
        kept++;
    }
    for (size_t i = kept; i-- > 0;) {
        char path[PATH_MAX];
        struct segment *segment = &spool->segments[i];
        poise_code code = segment_path(spool->path, segment->first_seq, path, sizeof path, err);
        poise_code glance = code == POISE_OK ? segment_glance(path, spool->epoch, segment, err) : code;
        if (glance == POISE_OK) {
            segment->held = segment->count = segment[1].first_seq - segment->first_seq;
            continue;
        }
        if (glance != POISE_ECORRUPT && glance != POISE_EVERSION) {
            return glance; /* it may be fine */
        }
        for (size_t old = 0; old <= i && code == POISE_OK; old++) {
            code = spool_drop_oldest(spool, err);
        }
        return code;
    }
    return POISE_OK;
}

/* A segment that was put together with the one before it, and not removed before the machine stopped. */
static bool is_leftover(const struct spool *spool, size_t i)
{
    const struct segment *before = i > 0 ? &spool->segments[i - 1] : NULL;
    return before && before->held == 0 && i + 1 < spool->count &&
           before->first_seq + before->count == spool->segments[i + 1].first_seq &&
           before->first_seq + before->count > spool->segments[i].first_seq;
}

static poise_code scan_one(struct spool *spool, const char *path, size_t i, poise_error *err)
{
    bool last = i + 1 == spool->count, lost = false;
    struct segment *segment = &spool->segments[i];
    poise_code code = segment_scan(path, spool->epoch, segment->first_seq, last, segment, &spool->mark, err);
    if (code == POISE_OK && last && spool->describe) {
        code = spool_tail_lost(spool, segment, &lost, err);
    }
    if ((code == POISE_ECORRUPT || lost) && spool->describe) {
        code = spool_set_aside(spool, segment, last ? 0 : segment[1].first_seq, err);
    }
    return code;
}

static poise_code scan_segments(struct spool *spool, bool known, poise_error *err)
{
    poise_code code = known ? glance_at_kept(spool, err) : POISE_OK;
    spool->bytes = 0;
    for (size_t i = 0; i < spool->count && code == POISE_OK; i++) {
        char path[PATH_MAX];
        struct segment *segment = &spool->segments[i];
        code = segment_path(spool->path, segment->first_seq, path, sizeof path, err);
        if (code == POISE_OK && !(known && spool_all_acked(spool, i))) {
            int64_t touched_ms = segment->touched_ms;
            code = scan_one(spool, path, i, err);
            segment->touched_ms = touched_ms;
        }
        if (code == POISE_OK && is_leftover(spool, i)) {
            spool->bytes += segment->size;
            code = spool_unlink(spool, i--, err);
            continue;
        }
        const struct segment *before = i > 0 ? segment - 1 : NULL;
        if (code == POISE_OK && before && before->first_seq + before->count != segment->first_seq) {
            code = error_set(err, POISE_ECORRUPT,
                             "the spool %s lacks batches %" PRIu64 " to %" PRIu64
                             ": restore the missing segment",
                             spool->path, before->first_seq + before->count, segment->first_seq - 1);
        }
        spool->bytes += segment->size;
    }
    return code;
}

/* A process may have died between making a file and syncing its name. */
static poise_code sync_names(const struct spool *spool, poise_error *err)
{
    return spool->sync ? file_sync_dir(spool->path, err) : POISE_OK;
}

/* The last record may be of a process that died before it was synced, or when its sync failed, and counts as
 * appended from here on. What a sync failed to write only another write puts on the disk. */
static poise_code write_again(int fd, const struct segment *last, poise_error *err)
{
    struct buf bytes = {0};
    size_t length = (size_t)(last->size - last->last_at);
    poise_code code = buf_reserve(&bytes, length) ? POISE_OK : error_nomem(err, "a batch of the spool");
    if (code == POISE_OK) {
        code = file_read_at(fd, bytes.data, length, last->last_at, &length, err);
    }
    if (code == POISE_OK) {
        code = file_write_at(fd, bytes.data, length, last->last_at, err);
    }
    if (code == POISE_OK && fdatasync(fd) != 0) {
        code = error_errno(err, POISE_EIO, "cannot sync it");
    }
    buf_free(&bytes);
    return code;
}

/* The machine stopped while a record was being appended. */
static poise_code mend_tail(struct spool *spool, poise_error *err)
{
    char path[PATH_MAX];
    struct stat file;
    const struct segment *last = &spool->segments[spool->count - 1];
    poise_code code = segment_path(spool->path, last->first_seq, path, sizeof path, err);
    if (code != POISE_OK) {
        return code;
    }
    int fd = spool->active_fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &file) != 0) {
        return error_errno(err, POISE_EIO, "cannot open %s", path);
    }
    if (file.st_size > last->size && ftruncate(fd, last->size) != 0) {
        return error_errno(err, POISE_EIO, "cannot cut the torn end of %s", path);
    }
    code = spool->sync ? write_again(fd, last, err) : POISE_OK;
    if (code != POISE_OK) {
        error_wrap(err, "the end of %s", path);
        return code;
    }
    return fcntl(fd, F_SETFL, O_APPEND) == 0 ? POISE_OK
                                             : error_errno(err, POISE_EIO, "cannot append to %s", path);
}

/* ---- opening ---- */

/* Without meta there may be an empty first segment at most: the machine stopped while the spool was being
 * made. */
static poise_code make_new(struct spool *spool, uint64_t new_epoch, poise_error *err)
{
    char path[PATH_MAX];
    struct stat file;
    poise_code code = segment_path(spool->path, 1, path, sizeof path, err);
    if (code != POISE_OK) {
        return code;
    }
    if (spool->count > 1 || (spool->count == 1 && (stat(path, &file) != 0 || file.st_size > SEGMENT_HEAD))) {
        return error_set(err, POISE_ECORRUPT,
                         "%s has segments but no spool.meta: restore it, or move all away", spool->path);
    }
    if (spool->count == 1 && unlink(path) != 0) {
        return error_errno(err, POISE_EIO, "cannot remove %s", path);
    }
    spool->count = 0;
    spool->epoch = new_epoch;
    spool->first_seq = spool->next_seq = 1;
    code = spool_rotate(spool, err);
    if (code == POISE_OK) {
        code = spool_write_acked(spool, 0, 0, err);
    }
    if (code == POISE_OK && spool->sync) {
        code = file_sync_dirs(spool->path, err);
    }
    return code == POISE_OK ? spool_write_meta(spool, err) : code;
}

static poise_code lost(const struct spool *spool, uint64_t acked, poise_error *err)
{
    return error_set(err, POISE_ECORRUPT,
                     "the spool %s lacks the segment with batch %" PRIu64
                     ", which is not acknowledged: restore it",
                     spool->path, acked + 1);
}

/* Where the spool goes on, from its segments and what is known to be acknowledged. */
static poise_code set_sequences(struct spool *spool, bool known, uint64_t acked, uint64_t acked_hash,
                                poise_error *err)
{
    if (spool->count == 0 || (known && spool->segments[0].first_seq > acked + 1)) {
        return lost(spool, acked, err);
    }
    const struct segment *last = &spool->segments[spool->count - 1];
    spool->next_seq = last->first_seq + last->count;
    spool->last_hash = last->last_hash;
    spool->first_seq = known ? acked + 1 : spool->segments[0].first_seq;
    spool->acked_hash = known ? acked_hash : spool->segments[0].previous_hash;
    spool->acked_hash = spool_hash(spool, spool->first_seq - 1, spool->acked_hash);
    if (spool->first_seq <= spool_start_seq(spool)) { /* the rest was done with when it was forked */
        spool->first_seq = spool_start_seq(spool);
        spool->acked_hash = spool->fork.hash;
    }
    if (spool->first_seq > spool->next_seq) {
        /* Its end was damaged after it was acknowledged. Those numbers must not be given again. */
        spool->next_seq = spool->first_seq;
        spool->last_hash = spool->acked_hash;
        poise_code code = spool_rotate(spool, err);
        if (code != POISE_OK) {
            return code;
        }
    }
    if (spool->mark.seq > spool->next_seq || spool->fork.doubt >= spool->next_seq) {
        /* Of batches that are lost: those that take their place have newer marks, and are not in doubt. */
        spool->mark.seq = spool->mark.seq < spool->next_seq ? spool->mark.seq : spool->next_seq;
        spool->fork.doubt = spool->fork.doubt < spool->next_seq ? spool->fork.doubt : spool->next_seq - 1;
        poise_code code = spool_write_meta(spool, err);
        if (code != POISE_OK) {
            return code;
        }
    }
    return spool_drop_acked(spool, 0, err);
}

static poise_code load_old(struct spool *spool, poise_error *err)
{
    uint64_t acked = 0, acked_hash = 0;
    bool known = false;
    poise_code code = read_acked(spool, &known, &acked, &acked_hash, err);
    if (code == POISE_OK && known && spool->sync) {
        /* a sync of it may have failed before: only what is written again will be synced */
        code = spool_write_acked(spool, acked, acked_hash, err);
    }
    uint64_t passed = spool_start_seq(spool) - 1;
    if (code == POISE_OK && passed > 0 && (!known || acked < passed)) {
        acked = passed;
        known = true;
    }
    if (code == POISE_OK && known) {
        /* leftovers of a removal that a power cut undid in part need not be whole */
        spool->first_seq = acked + 1;
        code = spool_drop_acked(spool, 0, err);
    }
    if (code == POISE_OK) {
        code = scan_segments(spool, known, err);
    }
    if (code == POISE_OK && spool->count > 0) {
        code = mend_tail(spool, err);
    }
    return code == POISE_OK ? set_sequences(spool, known, acked, acked_hash, err) : code;
}

poise_code spool_load(struct spool *spool, uint64_t new_epoch, poise_error *err)
{
    poise_code code = file_make_dirs(spool->path, err);
    if (code == POISE_OK) {
        code = lock(spool, err);
    }
    if (code == POISE_OK) {
        code = list_segments(spool, err);
    }
    if (code == POISE_OK) {
        code = open_acked(spool, err);
    }
    if (code != POISE_OK) {
        return code;
    }
    code = read_meta(spool, err);
    if (code == POISE_ENOTFOUND) {
        return make_new(spool, new_epoch, err);
    }
    if (code == POISE_OK) {
        code = sync_names(spool, err);
    }
    if (code == POISE_OK && spool->old) {
        code =
            spool_write_meta(spool, err); /* a program that knows no losses or forks must not misread them */
    }
    return code == POISE_OK ? load_old(spool, err) : code;
}
