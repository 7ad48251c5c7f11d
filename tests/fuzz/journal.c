/* What a start reads, pure bytes: a record of the journal (the harness puts its CRCs in), the notes of a
 * batch, a block of a run of state, an order about definitions, a producer's row, an accumulator, how far a
 * collector has read. The first byte says which. */
#include "fuzz.h"
#include <aggregator/definitions.h>
#include <aggregator/ledger.h>
#include <base/hash.h>
#include <collector/positions.h>
#include <stdlib.h>
#include <store/notes.h>
#include <store/record.h>
#include <store/sorted.h>
#include <string.h>

enum { RECORD, NOTES, SORTED, ORDER, LEDGER, ACCUMULATOR, POSITIONS, KINDS };

/* ---- records ---- */

static void put_crc(uint8_t *at, uint32_t crc)
{
    for (int i = 0; i < 4; i++) {
        at[i] = (uint8_t)(crc >> 8 * i);
    }
}

enum { BODY_CRC_AT = 52 };

static uint64_t lsn_of(const uint8_t *record)
{
    struct cursor in = cursor_of(record + 8, 8);
    return cursor_u64(&in);
}

static void check_record(const struct journal_record *record, size_t length)
{
    size_t bodies = 0;
    for (size_t i = 0; i < record->batch_count; i++) {
        const struct journal_batch *batch = &record->batches[i];
        MUST(strlen(batch->producer) < length);
        for (size_t row = 0; row < batch->refused_count; row++) {
            MUST(batch->refused[row] <= UINT32_MAX && batch->reasons[row] <= UINT8_MAX); /* reads them */
        }
        bodies += batch->body_length + batch->notes_length;
    }
    MUST(bodies + record->changes_length <= length);
}

static bool record_again(const uint8_t *bytes, size_t length, struct buf *out)
{
    struct journal_record record, head;
    struct arena arena;
    poise_error err;
    uint64_t lsn = lsn_of(bytes);
    arena_init(&arena, 16 * length + 4096);
    poise_code code = record_decode(bytes, length, lsn, &arena, &record, &err);
    MUST(code == POISE_OK || code == POISE_ECORRUPT || code == POISE_EVERSION);
    if (code == POISE_OK) {
        MUST(record_head(bytes, length, lsn, &head, &err) == POISE_OK && head.as_of_ms == record.as_of_ms);
        check_record(&record, length);
        code = record_encode(&record, out, &err);
        MUST(code == POISE_OK || code == POISE_EINVAL); /* a producer's name was too long */
    }
    arena_free(&arena);
    return code == POISE_OK;
}

static void try_record(const uint8_t *data, size_t size)
{
    struct buf record = {0}, first = {0}, second = {0};
    if (size < RECORD_HEAD) {
        return;
    }
    buf_put(&record, data, size);
    MUST(!record.failed);
    put_crc(record.data + BODY_CRC_AT, crc32c(record.data + RECORD_HEAD, size - RECORD_HEAD));
    put_crc(record.data, crc32c(record.data + 4, RECORD_HEAD - 4));
    if (record_again(record.data, record.length, &first)) {
        MUST(record_again(first.data, first.length, &second));
        fuzz_same_bytes(&first, &second);
    }
    buf_free(&record);
    buf_free(&first);
    buf_free(&second);
}

/* ---- notes ---- */

static bool notes_again(const struct journal_batch *batch, struct buf *out)
{
    struct journal_notes notes;
    struct arena arena;
    poise_error err;
    arena_init(&arena, 1 << 22);
    poise_code code = notes_decode(batch, &arena, &notes, &err);
    MUST(code == POISE_OK || code == POISE_ECORRUPT);
    if (code == POISE_OK) {
        MUST(notes.series_count <= batch->body_length && notes.gone_count <= batch->rows);
        for (size_t i = 0; i < notes.gone_count; i++) {
            MUST(notes.gone[i].row < batch->rows && (i == 0 || notes.gone[i].row > notes.gone[i - 1].row));
            MUST(notes.gone[i].series != JOURNAL_NO_SERIES && notes.gone[i].ordinal > 0);
        }
        MUST(notes_encode(&notes, out) == POISE_OK);
    }
    arena_free(&arena);
    return code == POISE_OK;
}

static void try_notes(struct cursor in)
{
    struct buf first = {0}, second = {0};
    struct journal_batch batch = {.producer = "p", .seq = 1};
    batch.rows = cursor_u16(&in);
    batch.body_length = cursor_u16(&in);
    batch.notes = in.at;
    batch.notes_length = cursor_left(&in);
    if (!in.failed && notes_again(&batch, &first)) {
        batch.notes = first.data;
        batch.notes_length = first.length;
        MUST(notes_again(&batch, &second));
        fuzz_same_bytes(&first, &second);
    }
    buf_free(&first);
    buf_free(&second);
}

/* ---- blocks of state ---- */

/* Writes the entries as long as their keys rise, as a run has them; false: they do not. */
static bool build(struct sorted_reader *reader, struct sorted_writer *writer)
{
    struct sorted_entry entry;
    bool fits = true;
    while (fits && sorted_next(reader, &entry)) {
        MUST(entry.key_length <= SORTED_KEY_MAX);
        fits = entry.key_length > 0 &&
               (writer->count == 0 ||
                sorted_compare(entry.key, entry.key_length, writer->last, writer->last_length) > 0) &&
               sorted_add(writer, &entry);
    }
    sorted_finish(writer);
    MUST(!writer->bytes.failed);
    return fits && !reader->failed && writer->count > 0;
}

/* Each entry of a block that was built is found. */
static void find_all(const struct buf *block)
{
    struct sorted_reader all, one;
    struct sorted_entry entry, found;
    sorted_open(&all, block->data, block->length);
    while (sorted_next(&all, &entry)) {
        sorted_open(&one, block->data, block->length);
        sorted_seek(&one, entry.key, entry.key_length);
        MUST(sorted_next(&one, &found));
        MUST(sorted_compare(entry.key, entry.key_length, found.key, found.key_length) == 0 &&
             entry.value == found.value && entry.value_length == found.value_length);
    }
    MUST(!all.failed);
}

static void try_sorted(struct cursor in)
{
    struct sorted_reader reader;
    struct sorted_entry entry;
    struct sorted_writer writer = {0};
    size_t length;
    const char *key = cursor_text(&in, &length);
    if (in.failed) {
        return;
    }
    sorted_open(&reader, in.at, cursor_left(&in));
    if (build(&reader, &writer)) {
        find_all(&writer.bytes);
    }
    sorted_open(&reader, in.at, cursor_left(&in));
    sorted_seek(&reader, (const uint8_t *)key, length);
    while (sorted_next(&reader, &entry)) {
        MUST(entry.key_length <= SORTED_KEY_MAX);
    }
    sorted_writer_free(&writer);
}

/* ---- orders ---- */

static poise_code see_card(void *visitor, const char *card, int64_t after_ms)
{
    (void)after_ms;
    MUST(strnlen(card, POISE_ID_MAX + 1) <= POISE_ID_MAX);
    return ++*(size_t *)visitor < 1000 ? POISE_OK : POISE_ELIMIT;
}

/* ---- a producer's row ---- */

static void encode_ledger(const struct ledger *ledger, const char *producer, uint64_t epoch, struct buf *key,
                          struct buf *value)
{
    const struct ledger_entry *entry = ledger_find(ledger, producer, epoch);
    MUST(entry && entry->refusal_count <= LEDGER_REFUSALS_MAX);
    ledger_encode(entry, key, value);
}

static void try_ledger(struct cursor in)
{
    size_t length;
    char producer[POISE_ID_MAX + 1] = {0};
    struct buf key = {0}, value = {0}, key_again = {0}, value_again = {0};
    struct ledger ledger = {0}, again = {0};
    const char *text = cursor_text(&in, &length);
    struct cursor row = cursor_of(text, length);
    if (!in.failed && ledger_decode(&ledger, row, in) == POISE_OK) {
        uint64_t epoch = cursor_u64(&row);
        for (size_t i = 0; cursor_left(&row) > 0; i++) {
            producer[i] = (char)cursor_u8(&row);
        }
        encode_ledger(&ledger, producer, epoch, &key, &value);
        MUST(ledger_decode(&again, cursor_of(key.data, key.length), cursor_of(value.data, value.length)) ==
             POISE_OK);
        encode_ledger(&again, producer, epoch, &key_again, &value_again);
        fuzz_same_bytes(&key, &key_again);
        fuzz_same_bytes(&value, &value_again);
    }
    ledger_free(&ledger);
    ledger_free(&again);
    buf_free(&key);
    buf_free(&value);
    buf_free(&key_again);
    buf_free(&value_again);
}

/* ---- an accumulator ---- */

static bool accumulator_again(const struct accumulator_layout *layout, struct cursor in, struct buf *out)
{
    struct accumulator *cell = calloc(1, layout->size);
    MUST(cell);
    poise_code code = accumulator_decode(layout, cell, &in);
    MUST(code == POISE_OK || code == POISE_ECORRUPT);
    MUST(code == POISE_OK || accumulator_count(cell) == 0);
    accumulator_encode(layout, cell, out);
    accumulator_clear(layout, cell);
    free(cell);
    return code == POISE_OK;
}

static void try_accumulator(struct cursor in)
{
    struct intern sources = {0};
    struct buf first = {0}, second = {0};
    struct accumulator_layout layout;
    MUST(intern_add(&sources, "", 0) == 0 && intern_add(&sources, "s", 1) == 1);
    layout = accumulator_layout(cursor_u16(&in) % (1u << ACCUMULATOR_PARTS), &sources);
    if (accumulator_again(&layout, in, &first)) {
        MUST(accumulator_again(&layout, cursor_of(first.data, first.length), &second));
        fuzz_same_bytes(&first, &second);
    }
    intern_free(&sources);
    buf_free(&first);
    buf_free(&second);
}

/* ---- positions ---- */

static void try_positions(struct cursor in)
{
    enum { ENCODED_MAX = 4096 };
    struct positions positions = {0}, again = {0};
    struct buf first = {0}, second = {0};
    if (positions_decode(in.at, cursor_left(&in), &positions, NULL) == POISE_OK) {
        MUST(positions.count <= POSITIONS_MAX);
        positions_encode(&positions, &first);
        MUST(first.length <= ENCODED_MAX);
        MUST(positions_decode(first.data, first.length, &again, NULL) == POISE_OK);
        positions_encode(&again, &second);
        fuzz_same_bytes(&first, &second);
    }
    buf_free(&first);
    buf_free(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t cards = 0;
    if (size == 0) {
        return 0;
    }
    struct cursor in = cursor_of(data + 1, size - 1);
    switch (data[0] % KINDS) {
    case RECORD:
        try_record(in.at, cursor_left(&in));
        break;
    case NOTES:
        try_notes(in);
        break;
    case SORTED:
        try_sorted(in);
        break;
    case ORDER:
        (void)order_each(in.at, cursor_left(&in), see_card, &cards, NULL);
        break;
    case LEDGER:
        try_ledger(in);
        break;
    case ACCUMULATOR:
        try_accumulator(in);
        break;
    default:
        try_positions(in);
    }
    return 0;
}
