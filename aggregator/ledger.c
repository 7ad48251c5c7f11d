#include "ledger.h"

#include <stdlib.h>
#include <string.h>

struct name {
    const char *producer;
    uint64_t epoch;
};

static uint64_t name_hash(const char *producer, uint64_t epoch)
{
    return hash64(producer, strlen(producer), epoch);
}

static bool name_matches(const void *entry, const void *key)
{
    const struct ledger_entry *known = entry;
    const struct name *name = key;
    return known->epoch == name->epoch && strcmp(known->producer, name->producer) == 0;
}

static void entry_free(struct ledger_entry *entry)
{
    if (!entry)
        return;
    free(entry->producer);
    free(entry->refusals);
    free(entry->losses);
    free(entry);
}

void ledger_free(struct ledger *ledger)
{
    struct ledger_entry *entry;
    for (size_t at = 0; (entry = hmap_next(&ledger->map, &at));)
        entry_free(entry);
    hmap_free(&ledger->map);
}

struct ledger_entry *ledger_find(const struct ledger *ledger, const char *producer, uint64_t epoch)
{
    struct name name = {producer, epoch};
    return hmap_get(&ledger->map, name_hash(producer, epoch), name_matches, &name);
}

struct ledger_entry *ledger_add(struct ledger *ledger, const char *producer, uint64_t epoch)
{
    struct ledger_entry *entry = ledger_find(ledger, producer, epoch);
    if (entry)
        return entry;
    entry = calloc(1, sizeof *entry);
    if (!entry)
        return NULL;
    entry->producer = strdup(producer);
    entry->epoch = epoch;
    if (!entry->producer || !hmap_add(&ledger->map, name_hash(producer, epoch), entry)) {
        entry_free(entry);
        return NULL;
    }
    return entry;
}

void ledger_remove(struct ledger *ledger, struct ledger_entry *entry)
{
    struct name name = {entry->producer, entry->epoch};
    entry_free(hmap_remove(&ledger->map, name_hash(entry->producer, entry->epoch), name_matches, &name));
}

static void forget_first(struct ledger_entry *entry, size_t count)
{
    entry->refusal_count -= count;
    memmove(entry->refusals, entry->refusals + count, entry->refusal_count * sizeof *entry->refusals);
}

static bool remember(struct ledger_entry *entry, struct wire_refusal refusal)
{
    if (entry->refusal_count == LEDGER_REFUSALS_MAX)
        forget_first(entry, LEDGER_REFUSALS_MAX / 2);
    if (entry->refusal_count == entry->refusal_capacity) {
        size_t capacity = entry->refusal_capacity ? entry->refusal_capacity * 2 : 16;
        struct wire_refusal *grown = realloc(entry->refusals, capacity * sizeof *grown);
        if (!grown)
            return false;
        entry->refusals = grown;
        entry->refusal_capacity = capacity;
    }
    entry->refusals[entry->refusal_count++] = refusal;
    return true;
}

bool ledger_commit(struct ledger_entry *entry, uint64_t seq, uint64_t hash, const uint32_t *refused,
                   const uint8_t *reasons, size_t count)
{
    if (seq <= entry->seq) /* the journal is replayed from before the checkpoint that the entry is of */
        return true;
    uint64_t first = entry->seq + 1; /* a loss takes many numbers, and a place in the window */
    entry->seq = seq;
    entry->hash = hash;
    entry->dirty = true;
    size_t old = 0;
    while (old < entry->refusal_count && entry->refusals[old].seq + LEDGER_WINDOW <= first)
        old++;
    if (old)
        forget_first(entry, old);
    for (size_t i = 0; i < count; i++)
        if (!remember(entry, (struct wire_refusal){seq, refused[i], (poise_refusal)reasons[i]}))
            return false;
    return true;
}

/* Puts two losses together, whatever came between them. */
static void merge(poise_loss *into, const poise_loss *next)
{
    if (next->rows > 0 && (into->rows == 0 || next->from_ms < into->from_ms))
        into->from_ms = next->from_ms;
    if (next->rows > 0 && (into->rows == 0 || next->to_ms > into->to_ms))
        into->to_ms = next->to_ms;
    into->rows += next->rows;
    into->last_seq = next->last_seq;
    into->reason = next->reason;
    into->lsn = next->lsn;
    into->as_of_ms = next->as_of_ms;
}

bool ledger_lose(struct ledger_entry *entry, const poise_loss *loss)
{
    poise_loss *last = entry->loss_count > 0 ? &entry->losses[entry->loss_count - 1] : NULL;
    if (last && (loss->lsn < last->lsn || (loss->lsn == last->lsn && loss->last_seq <= last->last_seq)))
        return true; /* replayed */
    if (last && last->last_seq + 1 == loss->first_seq && last->reason == loss->reason) {
        merge(last, loss);
        return true;
    }
    if (!entry->losses && !(entry->losses = calloc(LEDGER_LOSSES_MAX, sizeof *entry->losses)))
        return false;
    if (entry->loss_count == LEDGER_LOSSES_MAX) {
        merge(&entry->losses[0], &entry->losses[1]);
        entry->loss_count--;
        memmove(entry->losses + 1, entry->losses + 2, (entry->loss_count - 1) * sizeof *entry->losses);
    }
    entry->losses[entry->loss_count] = *loss;
    entry->losses[entry->loss_count++].producer = NULL;
    return true;
}

poise_loss ledger_loss_of(const struct wire_batch *batch, uint64_t lsn, int64_t as_of_ms)
{
    const struct wire_loss *loss = &batch->loss;
    uint64_t batches = loss->last_seq - batch->seq + 1;
    bool known = loss->rows <= LEDGER_LOST_ROWS_MAX &&
                 (loss->rows + WIRE_BATCH_ROWS_MAX - 1) / WIRE_BATCH_ROWS_MAX <= batches;
    return (poise_loss){.epoch = batch->epoch,
                        .first_seq = batch->seq,
                        .last_seq = loss->last_seq,
                        .rows = known ? loss->rows : 0, /* more than can be: who says so knows nothing */
                        .from_ms = known ? loss->from_ms : 0,
                        .to_ms = known ? loss->to_ms : 0,
                        .reason = loss->reason,
                        .lsn = lsn,
                        .as_of_ms = as_of_ms};
}

poise_code ledger_put_losses(const struct ledger *ledger, uint64_t id, struct buf *out)
{
    struct ledger_entry *entry;
    struct wire_losses answer = {.id = id};
    poise_loss *losses = calloc(WIRE_LOSSES_MAX, sizeof *losses);
    if (!losses)
        return POISE_ENOMEM;
    for (size_t at = 0; (entry = hmap_next(&ledger->map, &at));)
        for (size_t i = entry->loss_count; i-- > 0;) {
            if (answer.count == WIRE_LOSSES_MAX) {
                answer.left_out++;
                continue;
            }
            losses[answer.count] = entry->losses[i];
            losses[answer.count++].producer = entry->producer;
        }
    answer.losses = losses;
    poise_code code = wire_encode_losses(&answer, out);
    free(losses);
    return code;
}

void ledger_sum_losses(const struct ledger *ledger, uint64_t *ret_losses, uint64_t *ret_rows)
{
    struct ledger_entry *entry;
    uint64_t losses = 0, rows = 0;
    for (size_t at = 0; (entry = hmap_next(&ledger->map, &at));) {
        losses += entry->loss_count;
        for (size_t i = 0; i < entry->loss_count; i++)
            rows += entry->losses[i].rows;
    }
    *ret_losses = losses;
    *ret_rows = rows;
}

const struct wire_refusal *ledger_refusals(const struct ledger_entry *entry, uint64_t from, size_t *ret_count)
{
    size_t first = 0;
    while (first < entry->refusal_count && entry->refusals[first].seq < from)
        first++;
    *ret_count = entry->refusal_count - first;
    return *ret_count ? entry->refusals + first : NULL;
}

void ledger_encode(const struct ledger_entry *entry, struct buf *key, struct buf *value)
{
    buf_put_u64(key, entry->epoch);
    buf_put(key, entry->producer, strlen(entry->producer));
    buf_put_u64(value, entry->seq);
    buf_put_u64(value, entry->hash);
    buf_put_varint(value, entry->refusal_count);
    for (size_t i = 0; i < entry->refusal_count; i++) {
        buf_put_varint(value, entry->refusals[i].seq);
        buf_put_varint(value, entry->refusals[i].row);
        buf_put_u8(value, (uint8_t)entry->refusals[i].reason);
    }
    if (entry->loss_count > 0)
        buf_put_varint(value, entry->loss_count);
    for (size_t i = 0; i < entry->loss_count; i++) {
        const poise_loss *loss = &entry->losses[i];
        const uint64_t numbers[] = {loss->first_seq, loss->last_seq, loss->rows, loss->lsn};
        const int64_t times[] = {loss->from_ms, loss->to_ms, loss->as_of_ms};
        for (size_t n = 0; n < sizeof numbers / sizeof numbers[0]; n++)
            buf_put_varint(value, numbers[n]);
        for (size_t n = 0; n < sizeof times / sizeof times[0]; n++)
            buf_put_svarint(value, times[n]);
        buf_put_u8(value, (uint8_t)loss->reason);
    }
}

/* Where there are none, as in stores of before there were losses, nothing is said. */
static poise_code decode_losses(struct ledger_entry *entry, struct cursor *value)
{
    uint64_t count = cursor_left(value) > 0 ? cursor_varint(value) : 0;
    for (uint64_t i = 0; i < count && !value->failed; i++) {
        poise_loss loss = {.epoch = entry->epoch, .first_seq = cursor_varint(value)};
        loss.last_seq = cursor_varint(value);
        loss.rows = cursor_varint(value);
        loss.lsn = cursor_varint(value);
        loss.from_ms = cursor_svarint(value);
        loss.to_ms = cursor_svarint(value);
        loss.as_of_ms = cursor_svarint(value);
        loss.reason = (poise_loss_reason)cursor_u8(value);
        if (!value->failed && !ledger_lose(entry, &loss))
            return POISE_ENOMEM;
    }
    return value->failed ? POISE_ECORRUPT : POISE_OK;
}

poise_code ledger_decode(struct ledger *ledger, struct cursor key, struct cursor value)
{
    char producer[POISE_ID_MAX + 1] = {0};
    uint64_t epoch = cursor_u64(&key);
    size_t length = cursor_left(&key);
    if (key.failed || length == 0 || length > POISE_ID_MAX || memchr(key.at, 0, length))
        return POISE_ECORRUPT;
    memcpy(producer, key.at, length);
    struct ledger_entry *entry = ledger_add(ledger, producer, epoch);
    if (!entry)
        return POISE_ENOMEM;
    entry->seq = cursor_u64(&value);
    entry->hash = cursor_u64(&value);
    uint64_t count = cursor_varint(&value);
    for (uint64_t i = 0; i < count && !value.failed; i++) {
        struct wire_refusal refusal = {.seq = cursor_varint(&value)};
        refusal.row = (uint32_t)cursor_varint(&value);
        refusal.reason = (poise_refusal)cursor_u8(&value);
        if (!value.failed && !remember(entry, refusal))
            return POISE_ENOMEM;
    }
    return value.failed ? POISE_ECORRUPT : decode_losses(entry, &value);
}

poise_code ledger_copy(const struct ledger *ledger, struct ledger *ret_copy)
{
    struct ledger copy = {0};
    struct buf key = {0}, value = {0};
    struct ledger_entry *entry;
    poise_code code = POISE_OK;
    for (size_t at = 0; !code && (entry = hmap_next(&ledger->map, &at));) {
        buf_reset(&key);
        buf_reset(&value);
        ledger_encode(entry, &key, &value);
        code = key.failed || value.failed ? POISE_ENOMEM
                                          : ledger_decode(&copy, cursor_of(key.data, key.length),
                                                          cursor_of(value.data, value.length));
    }
    buf_free(&key);
    buf_free(&value);
    if (code)
        ledger_free(&copy);
    else
        *ret_copy = copy;
    return code;
}
