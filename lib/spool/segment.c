#include "segment.h"
#include "spool.h"
#include <base/error.h>
#include <base/file.h>
#include <base/hash.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    VERSION = 1,
    HEAD_CRC_AT = 32,
    RECORD_CRC_FROM = 8,
    SEGMENT_MAX = SPOOL_SEGMENT_MAX + SPOOL_MARK_MAX + SPOOL_BODY_MAX + 64
};
static const char MAGIC[4] = {'P', 'S', 'E', 'G'};
static const uint32_t LOST = UINT32_C(1) << 31;
static const uint64_t SPAN_MAX = UINT64_C(1) << 62;

poise_code segment_path(const char *dir, uint64_t first_seq, char *ret_path, size_t size, poise_error *err)
{
    int length = snprintf(ret_path, size, "%s/%020" PRIu64 ".seg", dir, first_seq);
    if (length < 0 || (size_t)length >= size) {
        return error_set(err, POISE_EINVAL, "the spool's path %.64s... is too long", dir);
    }
    return POISE_OK;
}

/* ---- making ---- */

void segment_put_head(struct buf *out, uint64_t epoch, const struct segment *segment)
{
    size_t start = out->length;
    if (!buf_reserve(out, SEGMENT_HEAD)) {
        return;
    }
    buf_put(out, MAGIC, sizeof MAGIC);
    buf_put_u32(out, VERSION);
    buf_put_u64(out, epoch);
    buf_put_u64(out, segment->first_seq);
    buf_put_u64(out, segment->previous_hash);
    buf_put_u32(out, crc32c(out->data + start, out->length - start));
}

static poise_code write_head(int fd, uint64_t epoch, const struct segment *segment, bool sync,
                             poise_error *err)
{
    struct buf head = {0};
    segment_put_head(&head, epoch, segment);
    poise_code code =
        head.failed ? error_nomem(err, "a segment's head") : file_write_all(fd, head.data, head.length, err);
    buf_free(&head);
    if (code == POISE_OK && sync && fdatasync(fd) != 0) {
        code = error_errno(err, POISE_EIO, "cannot sync a new segment");
    }
    return code;
}

static poise_code code_of_errno(void)
{
    return errno == ENOSPC || errno == EDQUOT ? POISE_EFULL : POISE_EIO;
}

/* It gets its name when its head is on the disk, so that one without a whole head is damaged. */
static poise_code make_file(const char *dir, const char *path, uint64_t epoch, const struct segment *segment,
                            bool sync, int *ret_fd, poise_error *err)
{
    char fresh[PATH_MAX];
    int length = snprintf(fresh, sizeof fresh, "%s/segment.new", dir);
    if (length < 0 || (size_t)length >= sizeof fresh) {
        return error_set(err, POISE_EINVAL, "the spool's path %.64s... is too long", dir);
    }
    int fd = open(fresh, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0640);
    if (fd < 0) {
        return error_errno(err, code_of_errno(), "cannot make %s", fresh);
    }
    poise_code code = write_head(fd, epoch, segment, sync, err);
    if (code != POISE_OK) {
        error_wrap(err, "%s", fresh);
    } else if (rename(fresh, path) != 0) {
        code = error_errno(err, code_of_errno(), "cannot rename %s to %s", fresh, path);
    }
    if (code != POISE_OK) {
        close(fd);
        unlink(fresh); /* should that fail too: the next one is made in it */
        return code;
    }
    *ret_fd = fd;
    return POISE_OK;
}

poise_code segment_create(const char *dir, uint64_t epoch, const struct segment *segment, bool sync,
                          int *ret_fd, poise_error *err)
{
    char path[PATH_MAX];
    poise_code code = segment_path(dir, segment->first_seq, path, sizeof path, err);
    if (code != POISE_OK) {
        return code;
    }
    code = make_file(dir, path, epoch, segment, sync, ret_fd, err);
    if (code != POISE_OK) {
        return code;
    }
    if (sync) {
        code = file_sync_dir(dir, err);
    }
    if (code != POISE_OK) {
        close(*ret_fd);
        unlink(path); /* should that fail too: an empty last segment is fine at open */
        /* but not one that comes back behind what is appended elsewhere meanwhile */
        return sync && file_sync_dir(dir, NULL) != POISE_OK
                   ? error_set(err, POISE_EIO, "cannot sync %s, in which %s could not be made", dir, path)
                   : code;
    }
    return POISE_OK;
}

static void put_record(struct buf *out, uint64_t seq, uint64_t hash, uint32_t flags, const void *mark,
                       size_t mark_length, const void *body, size_t length)
{
    size_t start = out->length;
    if (!buf_reserve(out, SEGMENT_RECORD + mark_length + length)) {
        return;
    }
    buf_put_u64(out, 0); /* length and CRC, below */
    buf_put_u64(out, seq);
    buf_put_u64(out, hash);
    buf_put_u32(out, (uint32_t)mark_length | flags);
    buf_put(out, mark, mark_length);
    buf_put(out, body, length);
    struct buf head = {.data = out->data + start, .capacity = RECORD_CRC_FROM};
    buf_put_u32(&head, (uint32_t)(mark_length + length));
    buf_put_u32(&head, crc32c(out->data + start + RECORD_CRC_FROM, out->length - start - RECORD_CRC_FROM));
}

void segment_put_record(struct buf *out, uint64_t seq, uint64_t hash, const void *mark, size_t mark_length,
                        const void *body, size_t length)
{
    put_record(out, seq, hash, 0, mark, mark_length, body, length);
}

void segment_put_loss(struct buf *out, const struct spool_loss *loss, const void *mark, size_t mark_length)
{
    uint8_t bytes[SEGMENT_LOSS];
    struct buf body = {.data = bytes, .capacity = sizeof bytes}; /* filled exactly: never grows */
    buf_put_u64(&body, loss->last - loss->first + 1);
    buf_put_u64(&body, loss->rows);
    buf_put_u64(&body, (uint64_t)loss->from_ms);
    buf_put_u64(&body, (uint64_t)loss->to_ms);
    buf_put_u32(&body, loss->reason);
    put_record(out, loss->first, loss->hash, LOST, mark, mark_length, bytes, sizeof bytes);
}

/* ---- checking ---- */

static struct record_head parse_record(const uint8_t *bytes)
{
    struct cursor in = cursor_of(bytes, SEGMENT_RECORD);
    struct record_head head = {.length = cursor_u32(&in), .crc = 0};
    head.crc = cursor_u32(&in);
    head.seq = cursor_u64(&in);
    head.hash = cursor_u64(&in);
    uint32_t mark_length = cursor_u32(&in);
    head.mark_length = mark_length & ~LOST;
    head.lost = (mark_length & LOST) != 0;
    head.span = 1;
    return head;
}

/* Behind the mark of a loss. False: it is none. */
static bool parse_loss(const struct record_head *head, const uint8_t *body, struct spool_loss *ret_loss)
{
    struct cursor in = cursor_of(body, SEGMENT_LOSS);
    uint64_t span = cursor_u64(&in);
    if (head->length != head->mark_length + SEGMENT_LOSS || span == 0 || span > SPAN_MAX ||
        head->seq > SPAN_MAX) {
        return false;
    }
    *ret_loss = (struct spool_loss){.first = head->seq, .last = head->seq + span - 1, .hash = head->hash};
    ret_loss->rows = cursor_u64(&in);
    ret_loss->from_ms = (int64_t)cursor_u64(&in);
    ret_loss->to_ms = (int64_t)cursor_u64(&in);
    ret_loss->reason = (enum spool_reason)cursor_u32(&in);
    return true;
}

bool segment_whole(const uint8_t *bytes, size_t length, struct record_head *ret_head)
{
    if (length < SEGMENT_RECORD) {
        return false;
    }
    struct spool_loss loss;
    struct record_head head = parse_record(bytes);
    *ret_head = head;
    if (head.length > SPOOL_MARK_MAX + SPOOL_BODY_MAX || head.length > length - SEGMENT_RECORD ||
        head.mark_length > SPOOL_MARK_MAX || head.mark_length > head.length ||
        head.crc != crc32c(bytes + RECORD_CRC_FROM, SEGMENT_RECORD - RECORD_CRC_FROM + head.length)) {
        return false;
    }
    if (head.lost) {
        if (!parse_loss(&head, bytes + SEGMENT_RECORD + head.mark_length, &loss)) {
            return false;
        }
        ret_head->span = loss.last - loss.first + 1;
    }
    return true;
}

/* One record at a time is written and synced, so a record that stopped half way has none behind it. */
static bool torn(const uint8_t *bytes, size_t length, uint64_t seq)
{
    if (length > (size_t)SEGMENT_RECORD + SPOOL_MARK_MAX + SPOOL_BODY_MAX) {
        return false;
    }
    for (size_t at = SEGMENT_RECORD; at + SEGMENT_RECORD <= length; at++) {
        struct record_head head = parse_record(bytes + at);
        if (head.seq > seq && head.seq - seq <= length && segment_whole(bytes + at, length - at, &head)) {
            return false;
        }
    }
    return true;
}

static poise_code damaged(poise_error *err, const char *path, size_t at, const char *what)
{
    return error_set(
        err, POISE_ECORRUPT,
        "%s is damaged at byte %zu: %s; batches in it may be lost: restore the file or move it away", path,
        at, what);
}

static poise_code scan_head(const char *path, const uint8_t *bytes, uint64_t epoch, struct segment *segment,
                            poise_error *err)
{
    struct cursor in = cursor_of(bytes + sizeof MAGIC, SEGMENT_HEAD - sizeof MAGIC);
    uint32_t version = cursor_u32(&in);
    if (version != VERSION) {
        return error_set(err, POISE_EVERSION,
                         "%s has version %" PRIu32 ", this program knows version %d only", path, version,
                         VERSION);
    }
    if (cursor_u64(&in) != epoch || cursor_u64(&in) != segment->first_seq) {
        return damaged(err, path, 0, "it belongs to another spool or has another's name");
    }
    segment->previous_hash = cursor_u64(&in);
    segment->last_hash = segment->previous_hash;
    segment->size = SEGMENT_HEAD;
    return POISE_OK;
}

bool segment_head_fits(const uint8_t *bytes, uint64_t epoch, uint64_t first_seq)
{
    struct cursor in = cursor_of(bytes + sizeof MAGIC + 4, 16);
    return cursor_u64(&in) == epoch && cursor_u64(&in) == first_seq;
}

bool segment_head_whole(const uint8_t *bytes, size_t length)
{
    struct cursor crc = cursor_of(bytes + HEAD_CRC_AT, SEGMENT_HEAD - HEAD_CRC_AT);
    return length >= SEGMENT_HEAD && memcmp(bytes, MAGIC, sizeof MAGIC) == 0 &&
           cursor_u32(&crc) == crc32c(bytes, HEAD_CRC_AT);
}

static poise_code note_mark(struct mark *mark, const struct record_head *head, const uint8_t *bytes,
                            poise_error *err)
{
    if (head->mark_length == 0 || head->seq < mark->seq) {
        return POISE_OK;
    }
    mark->seq = head->seq;
    buf_reset(&mark->bytes);
    buf_put(&mark->bytes, bytes, head->mark_length);
    return mark->bytes.failed ? error_nomem(err, "the spool's mark") : POISE_OK;
}

static poise_code scan(const char *path, const uint8_t *bytes, size_t length, uint64_t epoch, bool last,
                       struct segment *segment, struct mark *mark, poise_error *err)
{
    if (length < SEGMENT_HEAD || !segment_head_whole(bytes, length)) {
        return damaged(err, path, 0, "its head is not whole");
    }
    poise_code code = scan_head(path, bytes, epoch, segment, err);
    if (code != POISE_OK) {
        return code;
    }
    for (size_t at = SEGMENT_HEAD; at < length; at = (size_t)segment->size) {
        struct record_head head;
        uint64_t seq = segment->first_seq + segment->count;
        if (!segment_whole(bytes + at, length - at, &head)) {
            return last && torn(bytes + at, length - at, seq)
                       ? POISE_OK
                       : damaged(err, path, at, "the CRC of a record does not match");
        }
        if (head.seq != seq) {
            return damaged(err, path, at, "a record has another's sequence");
        }
        code = note_mark(mark, &head, bytes + at + SEGMENT_RECORD, err);
        if (code != POISE_OK) {
            return code;
        }
        segment->count += head.span;
        segment->held += !head.lost;
        segment->last_at = (int64_t)at;
        segment->last_hash = head.hash;
        segment->size += SEGMENT_RECORD + (int64_t)head.length;
    }
    return POISE_OK;
}

poise_code segment_scan(const char *path, uint64_t epoch, uint64_t first_seq, bool last,
                        struct segment *ret_segment, struct mark *mark, poise_error *err)
{
    struct buf bytes = {0};
    struct segment segment = {.first_seq = first_seq};
    poise_code code = file_read(path, SEGMENT_MAX, &bytes, err);
    if (code == POISE_OK) {
        code = scan(path, bytes.data, bytes.length, epoch, last, &segment, mark, err);
    }
    buf_free(&bytes);
    if (code == POISE_OK) {
        *ret_segment = segment;
    }
    return code;
}

poise_code segment_glance(const char *path, uint64_t epoch, struct segment *segment, poise_error *err)
{
    uint8_t bytes[SEGMENT_HEAD];
    struct stat file;
    struct segment found = {.first_seq = segment->first_seq};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return error_errno(err, POISE_EIO, "cannot open %s", path);
    }
    ssize_t count = fstat(fd, &file) == 0 ? pread(fd, bytes, sizeof bytes, 0) : -1;
    if (count < 0) {
        poise_code code = error_errno(err, POISE_EIO, "cannot read %s", path);
        close(fd);
        return code;
    }
    close(fd); /* only read: nothing can be lost */
    if (count != (ssize_t)sizeof bytes || !segment_head_whole(bytes, sizeof bytes)) {
        return damaged(err, path, 0, "its head is not whole");
    }
    poise_code code = scan_head(path, bytes, epoch, &found, err);
    if (code == POISE_OK) {
        segment->previous_hash = found.previous_hash;
        segment->size = file.st_size;
    }
    return code;
}

/* ---- reading ---- */

void place_leave(struct place *place)
{
    if (place->fd >= 0) {
        close(place->fd);
    }
    *place = PLACE_NOWHERE;
}

static poise_code read_at(int fd, int64_t offset, void *bytes, size_t length, poise_error *err)
{
    uint8_t *at = bytes;
    while (length > 0) {
        ssize_t count = pread(fd, at, length, offset);
        if (count < 0 && errno != EINTR) {
            return error_errno(err, POISE_EIO, "cannot read the spool");
        }
        if (count == 0) {
            return error_set(err, POISE_ECORRUPT, "a segment of the spool became shorter while in use");
        }
        if (count > 0) {
            at += count;
            offset += count;
            length -= (size_t)count;
        }
    }
    return POISE_OK;
}

static poise_code place_start(struct place *place, const char *dir, const struct segment *segment,
                              poise_error *err)
{
    char path[PATH_MAX];
    place_leave(place);
    poise_code code = segment_path(dir, segment->first_seq, path, sizeof path, err);
    if (code != POISE_OK) {
        return code;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return error_errno(err, errno == ENOENT ? POISE_ECORRUPT : POISE_EIO, "cannot open %s", path);
    }
    *place = (struct place){
        .fd = fd, .segment = segment->first_seq, .seq = segment->first_seq, .offset = SEGMENT_HEAD};
    return POISE_OK;
}

static poise_code place_head(const struct place *place, const struct segment *segment,
                             struct record_head *ret_head, poise_error *err)
{
    uint8_t bytes[SEGMENT_RECORD];
    poise_code code = read_at(place->fd, place->offset, bytes, sizeof bytes, err);
    if (code != POISE_OK) {
        return code;
    }
    *ret_head = parse_record(bytes);
    bool fits = ret_head->seq == place->seq && ret_head->mark_length <= ret_head->length &&
                place->offset + SEGMENT_RECORD + (int64_t)ret_head->length <= segment->size &&
                (!ret_head->lost || ret_head->length == ret_head->mark_length + SEGMENT_LOSS);
    if (fits && ret_head->lost) {
        uint8_t body[SEGMENT_LOSS];
        struct spool_loss loss;
        int64_t at = place->offset + SEGMENT_RECORD + (int64_t)ret_head->mark_length;
        code = read_at(place->fd, at, body, sizeof body, err);
        fits = code != POISE_OK || parse_loss(ret_head, body, &loss);
        ret_head->span = code == POISE_OK && fits ? loss.last - loss.first + 1 : 1;
    }
    return fits ? code
                : error_set(err, POISE_ECORRUPT,
                            "batch %" PRIu64 " in segment %" PRIu64 " of the spool is damaged", place->seq,
                            segment->first_seq);
}

poise_code place_go(struct place *place, const char *dir, const struct segment *segment, uint64_t seq,
                    struct record_head *ret_head, poise_error *err)
{
    poise_code code = POISE_OK;
    if (place->fd < 0 || place->segment != segment->first_seq || seq < place->seq) {
        code = place_start(place, dir, segment, err);
    }
    while (code == POISE_OK) {
        code = place_head(place, segment, ret_head, err);
        if (code != POISE_OK || seq - place->seq < ret_head->span) {
            break;
        }
        place->seq += ret_head->span;
        place->offset += SEGMENT_RECORD + (int64_t)ret_head->length;
    }
    return code;
}

poise_code place_body(const struct place *place, const struct record_head *head, struct buf *out,
                      poise_error *err)
{
    /* What the CRC covers, then cut to the body. */
    size_t start = out->length, before = SEGMENT_RECORD - RECORD_CRC_FROM + head->mark_length;
    size_t length = SEGMENT_RECORD - RECORD_CRC_FROM + head->length;
    if (!buf_reserve(out, length)) {
        return error_nomem(err, "a batch of the spool");
    }
    uint8_t *at = out->data + start;
    poise_code code = read_at(place->fd, place->offset + RECORD_CRC_FROM, at, length, err);
    if (code == POISE_OK && crc32c(at, length) != head->crc) {
        code = error_set(err, POISE_ECORRUPT,
                         "batch %" PRIu64 " in segment %" PRIu64
                         " of the spool is damaged: its CRC does not match",
                         place->seq, place->segment);
    }
    if (code == POISE_OK) {
        memmove(at, at + before, length - before);
        out->length = start + length - before;
    }
    return code;
}

poise_code place_loss(const struct place *place, const struct record_head *head, struct spool_loss *ret_loss,
                      poise_error *err)
{
    struct buf body = {0};
    poise_code code = place_body(place, head, &body, err);
    if (code == POISE_OK && (body.length != SEGMENT_LOSS || !parse_loss(head, body.data, ret_loss))) {
        code = error_set(err, POISE_ECORRUPT, "batch %" PRIu64 " of the spool is no loss", head->seq);
    }
    buf_free(&body);
    return code;
}
