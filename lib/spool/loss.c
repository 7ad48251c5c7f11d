/* Batches that are given up: because there is no room for them, or because the disk has lost them. Their
 * numbers stay in the segment, written anew with what is known of them in their place, so that the aggregator
 * is told what it does not get. */
#include "inner.h"
#include <base/error.h>
#include <base/file.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

enum {
    ASIDE_NAMES = 100,
    SEGMENT_MOST = SPOOL_SEGMENT_MAX + SPOOL_MARK_MAX + SPOOL_BODY_MAX + 64,
    SINGLES_MAX = 4096 /* batches of a hole that are told one by one */
};

/* A segment that is being written anew. */
struct rewriting {
    struct segment segment; /* as it becomes */
    struct buf bytes;
    struct spool_loss open; /* the latest loss, to which more may come; last 0: none */
    uint64_t sent_below;    /* losses from here on were never sent, and are put together */
};

static struct rewriting rewriting_of(const struct spool *spool, const struct segment *segment, bool together)
{
    struct rewriting r = {.segment = {.first_seq = segment->first_seq,
                                      .previous_hash = segment->previous_hash,
                                      .last_hash = segment->previous_hash,
                                      .touched_ms = spool_now_ms()},
                          .sent_below = UINT64_MAX};
    if (together && spool->sent_max > 0 && spool->first_seq > 0) {
        r.sent_below = spool->first_seq + spool->sent_max;
    }
    segment_put_head(&r.bytes, spool->epoch, segment);
    return r;
}

static void put_open(struct rewriting *r)
{
    if (r->open.last == 0) {
        return;
    }
    r->segment.last_at = (int64_t)r->bytes.length;
    r->segment.count += r->open.last - r->open.first + 1;
    r->segment.last_hash = r->open.hash;
    segment_put_loss(&r->bytes, &r->open, NULL, 0);
    r->open.last = 0;
}

static void add_loss(struct rewriting *r, const struct spool_loss *loss)
{
    struct spool_loss *open = &r->open;
    if (open->last == 0 || open->first < r->sent_below || open->reason != loss->reason) {
        put_open(r);
        *open = *loss;
        return;
    }
    bool times = loss->rows > 0;
    if (times && (open->rows == 0 || loss->from_ms < open->from_ms)) {
        open->from_ms = loss->from_ms;
    }
    if (times && (open->rows == 0 || loss->to_ms > open->to_ms)) {
        open->to_ms = loss->to_ms;
    }
    open->rows += loss->rows;
    open->last = loss->last;
    open->hash = loss->hash;
}

static void add_batch(struct rewriting *r, uint64_t seq, uint64_t hash, const struct buf *body)
{
    put_open(r);
    r->segment.last_at = (int64_t)r->bytes.length;
    r->segment.count++;
    r->segment.held++;
    r->segment.last_hash = hash;
    segment_put_record(&r->bytes, seq, hash, NULL, 0, body->data, body->length);
}

static void leave(struct spool *spool, uint64_t segment)
{
    if (spool->reading.segment == segment) {
        place_leave(&spool->reading);
    }
    if (spool->acking.segment == segment) {
        place_leave(&spool->acking);
    }
}

/* Puts what was written in the place of what was there: the old or the new, never half. */
static poise_code replace(struct spool *spool, struct rewriting *r, poise_error *err)
{
    char path[PATH_MAX];
    put_open(r);
    if (r->bytes.failed) {
        return error_nomem(err, "a segment of the spool");
    }
    r->segment.size = (int64_t)r->bytes.length;
    poise_code code = segment_path(spool->path, r->segment.first_seq, path, sizeof path, err);
    if (code == POISE_OK) {
        code = file_replace(path, r->bytes.data, r->bytes.length, err);
    }
    if (code == POISE_OK) {
        leave(spool, r->segment.first_seq);
    }
    return code;
}

/* ---- for want of room ---- */

/* One record; marks are in spool.meta since the segment was sealed. */
static poise_code add_record(struct spool *spool, struct rewriting *r, struct place *place,
                             const struct record_head *head, bool drop, poise_error *err)
{
    struct spool_loss loss = {
        .first = head->seq, .last = head->seq, .hash = head->hash, .reason = SPOOL_DROPPED_OLDEST};
    struct buf body = {0};
    poise_code code = head->lost ? place_loss(place, head, &loss, err) : place_body(place, head, &body, err);
    if (code == POISE_ECORRUPT && drop) {
        loss.reason = SPOOL_DAMAGED; /* since it was opened */
        code = POISE_OK;
    } else if (code == POISE_OK && !head->lost && drop && head->seq > spool->fork.doubt) {
        struct spool_loss told = loss;
        spool->describe(spool->context, body.data, body.length, &told);
        loss.rows = told.rows;
        loss.from_ms = told.from_ms;
        loss.to_ms = told.to_ms;
    }
    if (code == POISE_OK && !head->lost && !drop) {
        add_batch(r, head->seq, head->hash, &body);
    } else if (code == POISE_OK) {
        add_loss(r, &loss);
    }
    buf_free(&body);
    return code;
}

static poise_code add_segment(struct spool *spool, struct rewriting *r, const struct segment *segment,
                              bool drop, poise_error *err)
{
    struct place place = PLACE_NOWHERE;
    struct record_head head;
    poise_code code = POISE_OK;
    uint64_t end = segment->first_seq + segment->count;
    for (uint64_t seq = segment->first_seq; code == POISE_OK && seq < end; seq += head.span) {
        code = place_go(&place, spool->path, segment, seq, &head, err);
        if (code == POISE_OK) {
            code = add_record(spool, r, &place, &head, drop, err);
        }
    }
    place_leave(&place);
    return code;
}

/* Writes a sealed segment anew, with the one before it where that holds nothing either. */
static poise_code write_anew(struct spool *spool, size_t i, bool drop, poise_error *err)
{
    struct segment *segment = &spool->segments[i];
    bool gone = drop || segment->held == 0;
    bool both =
        gone && i > 0 && segment[-1].held == 0 && segment[-1].count > 0 && !spool_all_acked(spool, i - 1);
    struct segment *first = both ? segment - 1 : segment;
    struct rewriting r = rewriting_of(spool, first, true);
    poise_code code = both ? add_segment(spool, &r, first, drop, err) : POISE_OK;
    if (code == POISE_OK) {
        code = add_segment(spool, &r, segment, drop, err);
    }
    if (code == POISE_OK) {
        code = replace(spool, &r, err);
    }
    buf_free(&r.bytes);
    if (code != POISE_OK) {
        return code;
    }
    spool->bytes += r.segment.size - first->size;
    *first = r.segment;
    return both ? spool_unlink(spool, i, err) : POISE_OK;
}

poise_code spool_drop_batches(struct spool *spool, poise_error *err)
{
    size_t i = 0;
    while (i < spool->count && (spool_all_acked(spool, i) || spool->segments[i].held == 0)) {
        i++;
    }
    if (!spool->describe || spool->broken || i == spool->count || spool->first_seq == spool->next_seq) {
        return error_set(err, POISE_ENOTFOUND, "the spool %s has no batches that could be dropped",
                         spool->path);
    }
    (void)spool_use_reserve(spool, 0);
    poise_code code = i + 1 == spool->count ? spool_rotate(spool, err) : POISE_OK;
    if (code == POISE_OK) {
        code = write_anew(spool, i, true, err);
    }
    (void)spool_fill_reserve(spool);
    spool->broken |= code == POISE_EIO;
    return code;
}

/* Losses that came while there was no room fill segments of their own: those become one. */
static poise_code put_together(struct spool *spool, poise_error *err)
{
    poise_code code = POISE_OK;
    for (size_t i = 1; code == POISE_OK && i + 1 < spool->count;) {
        size_t count = spool->count;
        if (spool->segments[i].held == 0 && spool->segments[i - 1].held == 0 &&
            !spool_all_acked(spool, i - 1)) {
            code = write_anew(spool, i, false, err);
        }
        i += spool->count == count;
    }
    return code;
}

poise_code spool_squeeze(struct spool *spool, poise_error *err)
{
    const struct segment *active = &spool->segments[spool->count - 1];
    if (active->count == 0) {
        return error_set(err, POISE_ENOTFOUND, "there is nothing to squeeze");
    }
    bool losses = active->held < active->count;
    (void)spool_use_reserve(spool, 0);
    poise_code code = spool_rotate(spool, err);
    if (code == POISE_OK && losses) {
        poise_code anew = write_anew(spool, spool->count - 2, false, err);
        code = anew == POISE_EFULL ? POISE_OK : anew; /* it stays larger than need be */
    }
    if (code == POISE_OK) {
        code = put_together(spool, err);
    }
    (void)spool_fill_reserve(spool);
    spool->broken |= code == POISE_EIO;
    return code;
}

/* ---- for want of bytes ---- */

/* The next name beside the segment that is free, or that a start which was cut off has used for the same. */
static poise_code keep_aside(const char *path, const struct buf *bytes, char aside[PATH_MAX],
                             poise_error *err)
{
    for (int i = 1; i <= ASIDE_NAMES; i++) {
        struct buf there = {0};
        int length = i == 1 ? snprintf(aside, PATH_MAX, "%s.bad", path)
                            : snprintf(aside, PATH_MAX, "%s.bad.%d", path, i);
        if (length < 0 || length >= PATH_MAX) {
            return error_set(err, POISE_EINVAL, "the spool's path %.64s... is too long", path);
        }
        poise_code code = file_read(aside, SEGMENT_MOST, &there, err);
        bool same = code == POISE_OK && there.length == bytes->length &&
                    (there.length == 0 || memcmp(there.data, bytes->data, there.length) == 0);
        buf_free(&there);
        if (same) {
            return POISE_OK;
        }
        if (code == POISE_ENOTFOUND) {
            return file_replace(aside, bytes->data, bytes->length, err);
        }
        if (code != POISE_OK) {
            return code;
        }
    }
    return error_set(err, POISE_EFULL,
                     "%s is damaged, and there are %d copies of such already: move them away", path,
                     ASIDE_NAMES);
}

/* What of a damaged segment is looked at. */
struct salvage {
    struct spool *spool;
    const char *aside;
    const struct buf *bytes;
    struct rewriting rewriting;
    uint64_t next_seq; /* of the segment behind it; 0: it is the last */
    bool head;         /* its head is whole, and its own */
};

/* The next whole record behind `at` that can be one of this segment. */
static size_t find_whole(const struct salvage *s, size_t at, uint64_t seq, struct record_head *ret_head)
{
    const struct buf *bytes = s->bytes;
    size_t from = at;
    for (; at + SEGMENT_RECORD <= bytes->length; at++) {
        const uint8_t *record = bytes->data + at;
        struct cursor in = cursor_of(record + 8, 8);
        uint64_t found = cursor_u64(&in);
        bool may_be = found >= seq && found - seq <= (at - from) / SEGMENT_RECORD + 1 &&
                      (s->next_seq == 0 || found < s->next_seq);
        if (may_be && segment_whole(record, bytes->length - at, ret_head)) {
            return at;
        }
    }
    return bytes->length;
}

/* Batches from first to before end are gone. */
static void put_hole(struct salvage *s, uint64_t first, uint64_t end)
{
    struct spool_loss loss = {.reason = SPOOL_DAMAGED};
    for (uint64_t seq = first; seq < end; seq = loss.last + 1) { /* the aggregator may have some of them */
        loss.first = seq;
        loss.last = seq - first < SINGLES_MAX ? seq : end - 1;
        add_loss(&s->rewriting, &loss);
    }
}

/* Batches from first to before end are lost. */
static void add_hole(struct salvage *s, uint64_t first, uint64_t end)
{
    struct spool_loss loss = {.first = first, .last = end - 1, .reason = SPOOL_DAMAGED};
    if (first >= end) {
        return;
    }
    struct spool_loss told = spool_loss_of(s->spool, &loss);
    if (s->spool->damaged && told.last > 0) {
        s->spool->damaged(s->spool->context, &told, s->aside);
    }
    put_hole(s, first, end);
}

/* The last segment, and nothing of it is whole: how many batches it had is not known. The first one that is
 * not acknowledged stands for those that may be lost. */
static void add_all(struct salvage *s)
{
    uint64_t first = s->rewriting.segment.first_seq, wanted = s->spool->first_seq;
    wanted = wanted > first ? wanted : first;
    put_hole(s, first, wanted);
    add_hole(s, wanted, wanted + 1);
}

/* Whether what stands behind the last whole record of the last segment was a whole one, too: it has all its
 * bytes, and no mark (of one with a mark the caller learns that it is not there). What was only begun is
 * shorter. */
static bool was_whole(const uint8_t *bytes, size_t length, uint64_t seq)
{
    if (length < SEGMENT_RECORD) {
        return false;
    }
    struct cursor in = cursor_of(bytes, SEGMENT_RECORD);
    uint32_t body = cursor_u32(&in);
    (void)cursor_u32(&in); /* CRC */
    uint64_t found = cursor_u64(&in);
    (void)cursor_u64(&in); /* hash */
    return found == seq && cursor_u32(&in) == 0 && (size_t)body + SEGMENT_RECORD == length;
}

poise_code spool_tail_lost(const struct spool *spool, const struct segment *last, bool *ret_lost,
                           poise_error *err)
{
    char path[PATH_MAX];
    struct buf bytes = {0};
    poise_code code = segment_path(spool->path, last->first_seq, path, sizeof path, err);
    if (code == POISE_OK) {
        code = file_read(path, SEGMENT_MOST, &bytes, err);
    }
    size_t whole = (size_t)last->size;
    if (code == POISE_OK) {
        *ret_lost = bytes.length > whole &&
                    was_whole(bytes.data + whole, bytes.length - whole, last->first_seq + last->count);
    }
    buf_free(&bytes);
    return code;
}

/* Copies whole records, with their marks, and notes the holes between them. */
static void salvage_records(struct salvage *s)
{
    struct rewriting *r = &s->rewriting;
    uint64_t seq = r->segment.first_seq;
    struct record_head head;
    size_t length = s->bytes->length, at = SEGMENT_HEAD;
    while (at < length) {
        size_t next = find_whole(s, at, seq, &head);
        if (next == length) {
            break;
        }
        if (head.seq > seq) {
            add_hole(s, seq, head.seq);
        }
        put_open(r);
        size_t bytes = SEGMENT_RECORD + (size_t)head.length;
        buf_put(&r->bytes, s->bytes->data + next, bytes);
        seq = head.seq + head.span;
        at = next + bytes;
    }
    if (s->next_seq > 0) {
        add_hole(s, seq, s->next_seq);
    } else if (seq == r->segment.first_seq) {
        if (at < length || !s->head) {
            add_all(s);
        }
    } else if (at < length && was_whole(s->bytes->data + at, length - at, seq)) {
        add_hole(s, seq, seq + 1);
    }
}

poise_code spool_set_aside(struct spool *spool, struct segment *segment, uint64_t next_seq, poise_error *err)
{
    char path[PATH_MAX], aside[PATH_MAX];
    struct buf bytes = {0};
    struct segment empty = {.first_seq = segment->first_seq};
    poise_code code = segment_path(spool->path, segment->first_seq, path, sizeof path, err);
    if (code == POISE_OK) {
        code = file_read(path, SEGMENT_MOST, &bytes, err);
    }
    if (code == POISE_OK) {
        code = keep_aside(path, &bytes, aside, err);
    }
    if (code != POISE_OK) {
        buf_free(&bytes);
        return code;
    }
    struct salvage s = {.spool = spool, .aside = aside, .bytes = &bytes, .next_seq = next_seq};
    bool head = bytes.length >= SEGMENT_HEAD && segment_head_whole(bytes.data, bytes.length);
    s.head = head && segment_head_fits(bytes.data, spool->epoch, empty.first_seq);
    if (s.head) {
        struct cursor in = cursor_of(bytes.data + 24, 8);
        empty.previous_hash = cursor_u64(&in);
    } else if (head) { /* of another spool: no record of it is ours */
        bytes.length = SEGMENT_HEAD;
    }
    s.rewriting = rewriting_of(spool, &empty, false);
    salvage_records(&s);
    code = replace(spool, &s.rewriting, err);
    buf_free(&s.rewriting.bytes);
    buf_free(&bytes);
    return code == POISE_OK
               ? segment_scan(path, spool->epoch, empty.first_seq, next_seq == 0, segment, &spool->mark, err)
               : code;
}
