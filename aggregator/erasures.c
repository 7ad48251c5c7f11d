#include "erasures.h"

#include "marks.h"
#include <base/error.h>
#include <model/org.h>
#include <stdlib.h>
#include <string.h>

enum { ORDER_FORMAT = 1 };

void erasures_free(struct erasures *erasures)
{
    for (size_t i = 0; i < erasures->count; i++)
        free(erasures->items[i].body);
    free(erasures->items);
    *erasures = (struct erasures){0};
}

/* ---- an order ---- */

/* With its ending 0, so that it can be used in place. */
static void put_text(struct buf *out, const char *text)
{
    buf_put_text(out, text, strlen(text) + 1);
}

static const char *take_text(struct cursor *in)
{
    size_t length;
    const char *text = cursor_text(in, &length);
    in->failed |= !text || length == 0 || memchr(text, 0, length) != text + length - 1;
    return in->failed ? "" : text;
}

void erasure_put(struct buf *body, const struct erasure *erasure, const char *who, size_t seen_count)
{
    buf_put_u8(body, ORDER_FORMAT);
    put_text(body, erasure->measure);
    put_text(body, erasure->org);
    put_text(body, erasure->reason);
    put_text(body, who);
    buf_put_svarint(body, erasure->from_ms);
    buf_put_svarint(body, erasure->to_ms);
    buf_put_varint(body, erasure->place);
    buf_put_varint(body, erasure->rows);
    buf_put_varint(body, seen_count);
}

void erasure_put_seen(struct buf *body, const char *measure, const char *org, uint64_t place)
{
    put_text(body, measure);
    put_text(body, org);
    buf_put_varint(body, place);
}

static poise_code unreadable(uint64_t lsn, poise_error *err)
{
    return error_set(err, POISE_ECORRUPT, "the order to erase in record %llu of the journal cannot be read",
                     (unsigned long long)lsn);
}

static bool take_seen(struct cursor *in, const char **ret_measure, const char **ret_org, uint64_t *ret_place)
{
    *ret_measure = take_text(in);
    *ret_org = take_text(in);
    *ret_place = cursor_varint(in);
    return !in->failed;
}

static bool take_order(struct cursor in, struct erasure *erasure)
{
    const char *measure, *org;
    uint64_t place;
    bool known = cursor_u8(&in) == ORDER_FORMAT;
    erasure->measure = take_text(&in);
    erasure->org = take_text(&in);
    erasure->reason = take_text(&in);
    (void)take_text(&in); /* who, for those who read the journal */
    erasure->from_ms = cursor_svarint(&in);
    erasure->to_ms = cursor_svarint(&in);
    erasure->place = cursor_varint(&in);
    erasure->rows = cursor_varint(&in);
    uint64_t count = cursor_varint(&in);
    erasure->seen = in;
    for (uint64_t i = 0; i < count && take_seen(&in, &measure, &org, &place); i++)
        ;
    return known && !in.failed && cursor_left(&in) == 0 && (!erasure->org[0] || glob_valid(erasure->org));
}

poise_code erasures_take(struct erasures *erasures, const void *body, size_t length, uint64_t lsn,
                         poise_error *err)
{
    if (erasures->count == erasures->capacity) {
        size_t capacity = erasures->capacity ? 2 * erasures->capacity : 8;
        struct erasure *items = realloc(erasures->items, capacity * sizeof *items);
        if (!items)
            return error_nomem(err, "what was erased");
        erasures->items = items;
        erasures->capacity = capacity;
    }
    struct erasure erasure = {.body = malloc(length + 1), .lsn = lsn};
    if (!erasure.body)
        return error_nomem(err, "what was erased");
    if (length > 0)
        memcpy(erasure.body, body, length);
    if (!take_order(cursor_of(erasure.body, length), &erasure)) {
        free(erasure.body);
        return unreadable(lsn, err);
    }
    erasures->items[erasures->count++] = erasure;
    return POISE_OK;
}

/* ---- the journal ---- */

struct folding {
    struct erasures *erasures;
    const _Atomic bool *stop;
    poise_error *err;
};

static poise_code fold_record(void *visitor, const struct journal_record *record)
{
    struct folding *folding = visitor;
    poise_code code = POISE_OK;
    if (folding->stop && atomic_load_explicit(folding->stop, memory_order_relaxed))
        return error_set(folding->err, POISE_EBUSY, "the aggregator is stopping");
    for (size_t i = 0; !code && i < record->batch_count; i++) {
        const struct journal_batch *batch = &record->batches[i];
        if (strcmp(batch->producer, ERASE_PRODUCER) == 0)
            code =
                erasures_take(folding->erasures, batch->body, batch->body_length, record->lsn, folding->err);
    }
    return code;
}

poise_code erasures_fold(struct erasures *erasures, struct store *store, uint64_t until,
                         const _Atomic bool *stop, poise_error *err)
{
    struct folding folding = {erasures, stop, err};
    const struct marks_visit visit = {MARK_ORDERS, fold_record, &folding, stop};
    struct store_reader *reader;
    if (erasures->folded_lsn >= until)
        return POISE_OK;
    poise_code code = store_reader_open(store, &reader, err);
    if (code)
        return code;
    code = marks_read(NULL, reader, erasures->folded_lsn + 1, until, &visit, err);
    store_reader_close(reader);
    if (code)
        erasures_free(erasures); /* none twice */
    else
        erasures->folded_lsn = until;
    return code;
}

/* ---- which rows ---- */

bool erasure_names(const struct erasure *erasure, const char *measure, const char *org)
{
    return (!erasure->measure[0] || strcmp(erasure->measure, measure) == 0) &&
           (!erasure->org[0] || org_matches(erasure->org, org));
}

bool erasures_have(const struct erasures *erasures, const char *measure, const char *org, int64_t time_ms,
                   uint64_t place)
{
    for (size_t i = 0; i < erasures->count; i++) {
        const struct erasure *erasure = &erasures->items[i];
        if (place <= erasure->place && time_ms >= erasure->from_ms && time_ms < erasure->to_ms &&
            erasure_names(erasure, measure, org))
            return true;
    }
    return false;
}

poise_code erasures_seen(const struct erasures *erasures, uint64_t until_place,
                         poise_code (*visit)(void *visitor, const char *measure, const char *org),
                         void *visitor)
{
    poise_code code = POISE_OK;
    for (size_t i = 0; !code && i < erasures->count; i++) {
        struct cursor in = erasures->items[i].seen;
        const char *measure, *org;
        uint64_t place;
        while (!code && cursor_left(&in) > 0 && take_seen(&in, &measure, &org, &place))
            if (place <= until_place)
                code = visit(visitor, measure, org);
    }
    return code;
}
