#include <base/error.h>
#include <client/link.h>
#include <client/outbox.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { HEAD = 4 };

static poise_code random_epoch(uint64_t *ret_epoch, poise_error *err)
{
    uint64_t epoch;
    if (getrandom(&epoch, sizeof epoch, 0) != (ssize_t)sizeof epoch) {
        return error_errno(err, POISE_EIO, "cannot get a random number for a spool's epoch");
    }
    *ret_epoch = epoch;
    return POISE_OK;
}

/* ---- losses ---- */

static poise_loss_reason reason_of(enum spool_reason reason)
{
    switch (reason) {
    case SPOOL_DROPPED_OLDEST:
        return POISE_LOSS_OLDEST;
    case SPOOL_DROPPED_NEWEST:
        return POISE_LOSS_NEWEST;
    case SPOOL_DAMAGED:
        return POISE_LOSS_DAMAGED;
    case SPOOL_FORKED:
        return POISE_LOSS_FORKED;
    default:
        return POISE_LOSS_UNKNOWN; /* of a later version */
    }
}

void outbox_extend(struct spool_loss *loss, const struct spool_loss *next)
{
    if (next->rows > 0 && (loss->rows == 0 || next->from_ms < loss->from_ms)) {
        loss->from_ms = next->from_ms;
    }
    if (next->rows > 0 && (loss->rows == 0 || next->to_ms > loss->to_ms)) {
        loss->to_ms = next->to_ms;
    }
    loss->rows += next->rows;
    loss->last = next->last;
    loss->hash = next->hash;
}

void outbox_tell_loss(struct outbox *outbox, const struct spool_loss *loss, const char *aside)
{
    outbox->lost_count += loss->rows;
    if (outbox->lost) {
        const poise_loss told = {.producer = outbox->producer,
                                 .epoch = outbox->spool ? spool_epoch(outbox->spool) : 0,
                                 .first_seq = loss->first,
                                 .last_seq = loss->last,
                                 .rows = loss->rows,
                                 .from_ms = loss->from_ms,
                                 .to_ms = loss->to_ms,
                                 .reason = reason_of(loss->reason)};
        outbox->lost(outbox->context, &told, aside);
    }
}

static void on_damaged(void *context, const struct spool_loss *loss, const char *aside)
{
    outbox_tell_loss(context, loss, aside);
}

/* Rows of a batch as it is spooled, and the times of those that have one. */
void outbox_describe(struct outbox *outbox, const void *record, size_t length, struct spool_loss *loss)
{
    struct wire_batch batch = {0};
    struct cursor cursor = cursor_of(record, length);
    loss->rows = cursor_u32(&cursor);
    arena_reset(&outbox->rows);
    if (cursor.failed || wire_decode_batch(cursor.at, cursor_left(&cursor), &outbox->rows, &batch, NULL)) {
        return;
    }
    bool any = false;
    for (size_t i = 0; i < batch.rows; i++) {
        int64_t time_ms = batch.time_ms[i];
        if (batch.retract && batch.retract[i]) {
            continue;
        }
        loss->from_ms = any && loss->from_ms < time_ms ? loss->from_ms : time_ms;
        loss->to_ms = any && loss->to_ms > time_ms ? loss->to_ms : time_ms;
        any = true;
    }
}

static void describe(void *context, const void *record, size_t length, struct spool_loss *loss)
{
    struct outbox *outbox = context;
    outbox_describe(outbox, record, length, loss);
    if (outbox->dropping.last == 0) {
        outbox->dropping = *loss;
    } else {
        outbox_extend(&outbox->dropping, loss);
    }
}

/* ---- what waits ---- */

void outbox_look(struct outbox *outbox)
{
    const struct spool *spool = outbox->spool;
    waits_look(&outbox->waits, spool_first_seq(spool), spool_next_seq(spool), link_now());
}

int64_t outbox_age_ms(const struct outbox *outbox)
{
    return waits_age_ms(&outbox->waits, spool_first_seq(outbox->spool), link_now());
}

/* ---- opening and closing ---- */

poise_code outbox_open(struct outbox *outbox, const char *path, int64_t max_bytes, int64_t keep_ms,
                       poise_error *err)
{
    arena_init(&outbox->rows, WIRE_ARENA);
    outbox->path = strdup(path);
    if (!outbox->path) {
        return error_nomem(err, "a path");
    }
    struct spool_options options = {.path = outbox->path,
                                    .max_bytes = max_bytes,
                                    .keep_ms = keep_ms,
                                    .sync = true,
                                    .sent_max = OUTBOX_WINDOW,
                                    .describe = describe,
                                    .damaged = on_damaged,
                                    .context = outbox};
    poise_code code = random_epoch(&options.new_epoch, err);
    if (code == POISE_OK) {
        code = spool_open(&options, &outbox->spool, err);
    }
    if (code == POISE_OK) {
        outbox_look(outbox);
    }
    return code;
}

void outbox_close(struct outbox *outbox)
{
    spool_close(outbox->spool);
    buf_free(&outbox->record);
    arena_free(&outbox->rows);
    free(outbox->path);
    *outbox = (struct outbox){0};
}

void outbox_begin(struct buf *record, uint32_t rows)
{
    buf_put_u32(record, rows);
}

static uint32_t record_rows(const struct buf *record)
{
    struct cursor cursor = cursor_of(record->data, record->length);
    return cursor_u32(&cursor);
}

/* False: that makes no room, because nothing is left, or the disk itself is full. */
static bool drop_oldest(struct outbox *outbox)
{
    outbox->dropping.last = 0;
    bool dropped = spool_drop_batches(outbox->spool, NULL) == POISE_OK;
    if (dropped && outbox->dropping.last > 0) {
        outbox_tell_loss(outbox, &outbox->dropping, NULL);
    }
    return dropped;
}

static poise_code drop_newest(struct outbox *outbox, const struct buf *record, uint64_t hash,
                              const struct buf *mark, poise_error *err)
{
    uint64_t seq = spool_next_seq(outbox->spool);
    struct spool_loss loss = {.first = seq, .last = seq, .reason = SPOOL_DROPPED_NEWEST, .hash = hash};
    outbox_describe(outbox, record->data, record->length, &loss);
    poise_code code = spool_append_loss(outbox->spool, &loss, mark->data, mark->length, err);
    if (code == POISE_OK) {
        outbox_look(outbox);
        outbox_tell_loss(outbox, &loss, NULL);
    }
    return code;
}

/* A batch that was made before the spool took its present epoch. */
static poise_code renumber(struct outbox *outbox, struct buf *record, uint64_t epoch, uint64_t seq,
                           poise_error *err)
{
    uint64_t was_epoch, was_seq;
    const uint8_t *body = record->data + HEAD;
    size_t length = record->length - HEAD;
    bool known = wire_peek_batch(body, length, &was_epoch, &was_seq);
    if (!known || (was_epoch == epoch && was_seq == seq)) {
        return POISE_OK;
    }
    struct buf anew = {0};
    outbox_begin(&anew, record_rows(record));
    if (!wire_renumber(body, length, epoch, seq, &anew)) {
        buf_free(&anew);
        return error_set(err, POISE_ECORRUPT,
                         "batch %llu in the spool %s cannot go under a new epoch: it is of another program",
                         (unsigned long long)seq, outbox->path);
    }
    if (anew.failed) {
        buf_free(&anew);
        return error_nomem(err, "a batch");
    }
    buf_free(record);
    *record = anew;
    return POISE_OK;
}

poise_code outbox_append(struct outbox *outbox, struct buf *record, const struct buf *mark, poise_error *err)
{
    poise_code renumbered =
        renumber(outbox, record, spool_epoch(outbox->spool), spool_next_seq(outbox->spool), err);
    if (renumbered != POISE_OK) {
        return renumbered;
    }
    uint64_t hash = wire_batch_hash(record->data + HEAD, record->length - HEAD);
    poise_code code =
        spool_append(outbox->spool, record->data, record->length, hash, mark->data, mark->length, err);
    while (code == POISE_EFULL && outbox->when_full == POISE_DROP_OLDEST && drop_oldest(outbox)) {
        code = spool_append(outbox->spool, record->data, record->length, hash, mark->data, mark->length, err);
    }
    if (code == POISE_EFULL && outbox->when_full == POISE_DROP_NEWEST) {
        return drop_newest(outbox, record, hash, mark, err);
    }
    if (code == POISE_OK) {
        outbox->accepted += record_rows(record);
        outbox_look(outbox);
    }
    return code;
}

/* Reads a batch into outbox->record; never shorter than its head. */
poise_code outbox_read(struct outbox *outbox, uint64_t seq, poise_error *err)
{
    buf_reset(&outbox->record);
    poise_code code = spool_read(outbox->spool, seq, &outbox->record, err);
    if (code == POISE_OK && outbox->record.failed) {
        return error_nomem(err, "a batch");
    }
    if (code == POISE_OK && outbox->record.length < HEAD) {
        return error_set(err, POISE_ECORRUPT,
                         "batch %llu in the spool %s has no head: the spool is of another program",
                         (unsigned long long)seq, outbox->path);
    }
    return code == POISE_OK ? renumber(outbox, &outbox->record, spool_epoch(outbox->spool), seq, err) : code;
}

static const uint8_t *record_body(const struct outbox *outbox)
{
    return outbox->record.data + HEAD;
}

static size_t record_length(const struct outbox *outbox)
{
    return outbox->record.length - HEAD;
}

uint64_t outbox_record_hash(const struct outbox *outbox)
{
    return wire_batch_hash(record_body(outbox), record_length(outbox));
}

poise_code outbox_hash_under(struct outbox *outbox, uint64_t seq, uint64_t epoch, uint64_t *ret_hash,
                             poise_error *err)
{
    *ret_hash = 0;
    poise_code code = outbox_read(outbox, seq, err);
    if (code == POISE_ENOTFOUND || code == POISE_EGAP || code == POISE_ECORRUPT) {
        return POISE_OK;
    }
    code = code == POISE_OK ? renumber(outbox, &outbox->record, epoch, seq, err) : code;
    if (code == POISE_OK) {
        *ret_hash = outbox_record_hash(outbox);
    }
    return code;
}

poise_code outbox_lost(struct outbox *outbox, uint64_t seq, struct spool_loss *ret_loss, poise_error *err)
{
    poise_code code = spool_lost(outbox->spool, seq, ret_loss, err);
    if (code != POISE_OK || ret_loss->last == 0 || ret_loss->reason != SPOOL_FORKED) {
        return code;
    }
    code = outbox_read(outbox, seq, err);
    if (code == POISE_OK) {
        outbox_describe(outbox, outbox->record.data, outbox->record.length, ret_loss);
        ret_loss->hash = outbox_record_hash(outbox);
    }
    return code == POISE_EGAP ? POISE_OK : code; /* it was dropped */
}

/* All that is lost from there on for one reason, in one message; but only of what the spool takes for sent:
 * it puts together what lies beyond, of which the aggregator must not have a part. What is in doubt goes as a
 * whole: other copies take a part of it for batches of others. */
static poise_code take_loss(struct outbox *outbox, struct spool_loss *loss, uint64_t *ret_last,
                            poise_error *err)
{
    struct spool_loss next = {0};
    poise_code code = POISE_OK;
    uint64_t end = spool_next_seq(outbox->spool), window = spool_first_seq(outbox->spool) + OUTBOX_WINDOW;
    end = end < window || loss->reason == SPOOL_FORKED ? end : window;
    while (loss->last + 1 < end && (code = outbox_lost(outbox, loss->last + 1, &next, err)) == POISE_OK &&
           next.last > 0 && next.reason == loss->reason) {
        outbox_extend(loss, &next);
    }
    if (code != POISE_OK) {
        return code;
    }
    for (size_t i = 0; i < OUTBOX_WINDOW; i++) { /* those that it takes do not count as sent */
        struct outbox_sent *sent = &outbox->sent[i];
        sent->seq = sent->seq >= loss->first && sent->seq <= loss->last ? 0 : sent->seq;
    }
    const struct wire_loss told = {.last_seq = loss->last,
                                   .rows = loss->rows,
                                   .from_ms = loss->from_ms,
                                   .to_ms = loss->to_ms,
                                   .reason = reason_of(loss->reason),
                                   .last_hash = loss->hash};
    buf_reset(&outbox->record);
    outbox_begin(&outbox->record, 0);
    code = wire_encode_loss(spool_epoch(outbox->spool), loss->first, &told, &outbox->record);
    *ret_last = loss->last;
    return code != POISE_OK || outbox->record.failed ? error_nomem(err, "a loss") : POISE_OK;
}

poise_code outbox_take(struct outbox *outbox, uint64_t seq, const void **ret_body, size_t *ret_length,
                       uint64_t *ret_last, poise_error *err)
{
    struct spool_loss loss = {0};
    poise_code code = outbox_lost(outbox, seq, &loss, err);
    if (code == POISE_OK && loss.last > 0 && loss.first != seq) {
        return error_set(
            err, POISE_EFORK,
            "batch %llu is wanted, but the spool %s has lost %llu to %llu before any of them was sent",
            (unsigned long long)seq, outbox->path, (unsigned long long)loss.first,
            (unsigned long long)loss.last);
    }
    if (code == POISE_OK && loss.last > 0) {
        code = take_loss(outbox, &loss, ret_last, err);
        *ret_body = record_body(outbox);
        *ret_length = code == POISE_OK ? record_length(outbox) : 0;
        return code;
    }
    code = code == POISE_OK ? outbox_read(outbox, seq, err) : code;
    if (code == POISE_OK) {
        *ret_last = seq;
        outbox->sent[seq % OUTBOX_WINDOW] =
            (struct outbox_sent){.seq = seq, .rows = record_rows(&outbox->record)};
        *ret_body = record_body(outbox);
        *ret_length = record_length(outbox);
    }
    return code;
}

/* Of a batch; of a loss 0, and *ret_last is where it ends. */
static poise_code rows_of(struct outbox *outbox, uint64_t seq, uint32_t *ret_rows, uint64_t *ret_last,
                          poise_error *err)
{
    const struct outbox_sent *sent = &outbox->sent[seq % OUTBOX_WINDOW];
    struct spool_loss loss = {0};
    *ret_last = seq;
    if (sent->seq == seq) {
        *ret_rows = sent->rows;
        return POISE_OK;
    }
    poise_code code = spool_lost(outbox->spool, seq, &loss, err);
    if (code == POISE_OK && loss.last > 0) {
        *ret_rows = 0;
        *ret_last = loss.last;
        return POISE_OK;
    }
    code = code == POISE_OK ? outbox_read(outbox, seq, err) : code;
    if (code == POISE_OK) {
        *ret_rows = record_rows(&outbox->record);
    }
    return code;
}

poise_code outbox_rewind(struct outbox *outbox, uint64_t seq, poise_error *err)
{
    uint64_t first = spool_first_seq(outbox->spool);
    poise_code code = spool_rewind(outbox->spool, seq, err);
    if (code == POISE_OK && seq < first && outbox->again_seq < first) {
        outbox->again_seq = first;
    }
    if (code == POISE_OK) {
        outbox_look(outbox);
    }
    return code;
}

/* Reads and decodes a batch that was refused, or rows of it. One that cannot be decoded is left without rows:
 * they are only counted, since to hold up all that follows would be worse. */
static poise_code load_refused(struct outbox *outbox, uint64_t seq, struct wire_batch *ret_batch,
                               poise_error *err)
{
    struct spool_loss loss = {0};
    poise_code code = spool_lost(outbox->spool, seq, &loss, err);
    if (code == POISE_OK && loss.last > 0) { /* dropped since it was sent, or told as in doubt */
        buf_reset(&outbox->record);
        *ret_batch = (struct wire_batch){0};
        return POISE_OK;
    }
    code = code == POISE_OK ? outbox_read(outbox, seq, err) : code;
    if (code != POISE_OK) {
        return code;
    }
    struct wire_batch batch;
    arena_reset(&outbox->rows);
    code = wire_decode_batch(record_body(outbox), record_length(outbox), &outbox->rows, &batch, NULL);
    if (code == POISE_ENOMEM) {
        return error_nomem(err, "a refused batch");
    }
    *ret_batch = code == POISE_OK ? batch : (struct wire_batch){0};
    return POISE_OK;
}

/* The rows of a batch that were refused, no more of them than it has, whatever the aggregator says. */
static size_t refused_rows(const struct wire_batch *batch, const struct wire_refusal *refusals, size_t count,
                           poise_refused *items)
{
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        bool all = refusals[i].row == WIRE_ROW_ALL;
        size_t row = all ? 0 : refusals[i].row, end = all ? batch->rows : row + 1;
        for (; row < end && row < batch->rows && found < batch->rows; row++) {
            items[found++] = (poise_refused){wire_batch_row(batch, row), refusals[i].reason};
        }
    }
    return found;
}

/* All refusals of one batch. */
poise_code outbox_tell(struct outbox *outbox, const struct wire_refusal *refusals, size_t count,
                       poise_error *err)
{
    struct wire_batch batch;
    poise_code code = load_refused(outbox, refusals->seq, &batch, err);
    if (code != POISE_OK) {
        return code;
    }
    poise_refused *items = calloc(batch.rows + 1, sizeof *items);
    if (!items) {
        return error_nomem(err, "refused rows");
    }
    size_t found = refused_rows(&batch, refusals, count, items);
    if (outbox->refused && found > 0) {
        code = outbox->refused(outbox->context, items, found);
    }
    free(items);
    if (code != POISE_OK) {
        return error_set(err, code, "what was refused of batch %llu could not be kept: %s",
                         (unsigned long long)refusals->seq, poise_code_text(code));
    }
    if (refusals->seq >= outbox->again_seq) { /* not counted before */
        outbox->refused_count += batch.rows > 0 ? found : record_rows(&outbox->record);
    }
    return POISE_OK;
}

poise_code outbox_rows(struct outbox *outbox, uint64_t first, uint64_t end, uint64_t *ret_rows,
                       poise_error *err)
{
    *ret_rows = 0;
    for (uint64_t at = first, last; at < end; at = last + 1) {
        uint32_t rows;
        poise_code code = rows_of(outbox, at, &rows, &last, err);
        if (code != POISE_OK) {
            return code;
        }
        *ret_rows += at < outbox->again_seq ? 0 : rows; /* counted before */
    }
    return POISE_OK;
}

static poise_code note(struct outbox *outbox, uint64_t seq, poise_error *err)
{
    uint64_t total;
    poise_code code = outbox_rows(outbox, spool_first_seq(outbox->spool), seq + 1, &total, err);
    if (code == POISE_OK) {
        code = spool_ack(outbox->spool, seq, err);
    }
    if (code == POISE_OK) {
        outbox->acknowledged += total;
    }
    return code;
}

poise_code outbox_acknowledge(struct outbox *outbox, const struct wire_ack *ack, poise_error *err)
{
    const struct wire_refusal *refusals = ack->refusals;
    size_t next;
    for (size_t at = 0; at < ack->refusal_count; at = next) {
        uint64_t seq = refusals[at].seq;
        for (next = at + 1; next < ack->refusal_count && refusals[next].seq == seq;) {
            next++;
        }
        if (seq < spool_first_seq(outbox->spool) || seq > ack->seq) {
            continue;
        }
        poise_code code = outbox_tell(outbox, refusals + at, next - at, err);
        if (code == POISE_OK) {
            code = note(outbox, seq, err);
        }
        if (code != POISE_OK) {
            return code;
        }
    }
    return note(outbox, ack->seq, err);
}
