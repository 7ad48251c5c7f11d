/* The first inputs of the harnesses whose bytes no hand writes, made by what writes them in earnest;
 * make_corpus runs it.
 *
 *     seeds DIRECTORY   */
#include "ground.h"
#include <aggregator/definitions.h>
#include <aggregator/ledger.h>
#include <collector/positions.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <store/block.h>
#include <store/copy.h>
#include <store/notes.h>
#include <store/record.h>
#include <store/runs.h>
#include <store/sorted.h>
#include <string.h>
#include <wire/wire.h>

enum { CHUNK, BLOCK };                                                 /* of the harness chunk */
enum { RECORD, NOTES, SORTED, ORDER, LEDGER, ACCUMULATOR, POSITIONS }; /* of journal */

static const char *directory;

/* Writes the input, and frees it. */
static void save(const char *harness, const char *name, struct buf *input)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s/%s", directory, harness, name);
    FILE *file = fopen(path, "wb");
    if (!file || input->failed || fwrite(input->data, 1, input->length, file) != input->length ||
        fclose(file) != 0) {
        fprintf(stderr, "cannot write %s: %s\n", path, strerror(errno));
        exit(1);
    }
    buf_free(input);
}

static struct buf input_of(int kind)
{
    struct buf input = {0};
    buf_put_u8(&input, (uint8_t)kind);
    return input;
}

/* ---- chunks and blocks ---- */

enum { ROWS = 300, TEXT = 24 };
struct columns {
    int64_t time_ms[ROWS];
    double value[ROWS], of[ROWS];
    uint64_t ordinal[ROWS], seq[ROWS], gone[ROWS];
    struct chunk_key key[ROWS];
    bool retract[ROWS];
    char texts[ROWS][TEXT];
};

static void fill(struct columns *c)
{
    for (size_t i = 0; i < ROWS; i++) {
        c->time_ms[i] = GROUND_T + (int64_t)(i * i % 7 + i * 1000);
        c->value[i] = i % 17 ? (double)(i * 37 % 1000) / 10 : 1e-30 * (double)i;
        c->of[i] = (double)(1 + i % 3);
        c->ordinal[i] = 5 + 2 * i;
        c->seq[i] = i % 5;
        c->gone[i] = i % 29 ? 0 : c->ordinal[i] + 1;
        c->retract[i] = i % 31 == 7;
        int length =
            i % 40 ? snprintf(c->texts[i], TEXT, "k-%04zu", i) : snprintf(c->texts[i], TEXT, "other %zu", i);
        c->key[i] = (struct chunk_key){i == 9 ? NULL : c->texts[i], i == 9 ? 0 : (size_t)length};
    }
}

static void chunk(const char *name, const struct chunk_rows *rows)
{
    struct buf input = input_of(CHUNK);
    MUST(chunk_encode_bare(rows, &input, NULL) == POISE_OK);
    save("chunk", name, &input);
}

#define TEN_BYTES   "abcdefghij"
#define FIFTY_BYTES TEN_BYTES TEN_BYTES TEN_BYTES TEN_BYTES TEN_BYTES
#define LONGEST_KEY FIFTY_BYTES FIFTY_BYTES FIFTY_BYTES FIFTY_BYTES FIFTY_BYTES "abcde"
_Static_assert(sizeof LONGEST_KEY == POISE_KEY_MAX + 1, "as long as a key may be");

static void chunks(struct columns *c)
{
    struct chunk_rows rows = {.count = ROWS, .time_ms = c->time_ms, .value = c->value, .ordinal = c->ordinal};
    rows.count = 70;
    chunk("plain", &rows);
    rows.count = 30;
    rows.key = c->key + 41;
    chunk("numbered", &rows);
    const struct chunk_key longest[2] = {{LONGEST_KEY, POISE_KEY_MAX - 1}, {LONGEST_KEY, POISE_KEY_MAX}};
    rows.count = 2;
    rows.key = longest;
    chunk("long_keys", &rows);
    rows.count = 30;
    rows.key = c->key;
    rows.of = c->of;
    rows.seq = c->seq;
    rows.gone = c->gone;
    rows.retract = c->retract;
    chunk("all", &rows);
    rows.count = ROWS;
    chunk("summed", &rows);
}

static poise_code save_block(void *taker, const struct block *block, poise_error *err)
{
    enum { CRC = 4 };
    (void)taker;
    (void)err;
    uint8_t key[BLOCK_KEY_BYTES];
    struct buf input = input_of(BLOCK);
    block_key_put(&block->key, key);
    buf_put(&input, key, sizeof key);
    buf_put(&input, (const uint8_t *)block->bytes + CRC, block->length - CRC);
    save("chunk", "block", &input);
    return POISE_OK;
}

static void block(struct columns *c)
{
    enum { COUNT = 12, MARKS = 2, AFTER = 20 };
    struct block_builder *builder = block_builder_open(block_run(9, 0), save_block, NULL);
    struct block_place place = {.bucket = block_bucket(c->time_ms[0]), .input = 3, .series = 7};
    const struct chunk_rows rows = {
        .count = COUNT, .time_ms = c->time_ms, .value = c->value, .ordinal = c->ordinal, .key = c->key};
    const struct chunk_rows marks = {.count = MARKS,
                                     .time_ms = c->time_ms + AFTER,
                                     .ordinal = c->ordinal + AFTER,
                                     .gone = (const uint64_t[MARKS]){100, 101}};
    MUST(builder && block_builder_add(builder, &place, &rows, NULL) == POISE_OK);
    place.series = 9;
    MUST(block_builder_add(builder, &place, &rows, NULL) == POISE_OK &&
         block_builder_add_marks(builder, &place, &marks, NULL) == POISE_OK &&
         block_builder_end(builder, NULL) == POISE_OK);
    block_builder_close(builder);
}

/* ---- the journal ---- */

static void journal(void)
{
    static const uint32_t refused[] = {1, 4}, series[] = {0, 7, JOURNAL_NO_SERIES};
    static const uint8_t reasons[] = {POISE_REFUSAL_VALUE, POISE_REFUSAL_LOCKED};
    static const struct journal_gone gone[] = {{0, 7, GROUND_T, 3}, {5, 0, GROUND_T + 5, 11}};
    const struct journal_notes noted = {series, 3, gone, 2};
    struct buf notes = {0}, record = {0}, input = input_of(NOTES);
    MUST(notes_encode(&noted, &notes) == POISE_OK);
    buf_put_u16(&input, 6); /* rows, bytes of the body */
    buf_put_u16(&input, 40);
    buf_put(&input, notes.data, notes.length);
    save("journal", "notes", &input);
    struct journal_batch batches[] = {{.producer = "p",
                                       .epoch = 5,
                                       .seq = 7,
                                       .hash = 9,
                                       .refused = refused,
                                       .reasons = reasons,
                                       .refused_count = 2,
                                       .rows = 6,
                                       .body = "a body of bytes",
                                       .body_length = 15,
                                       .notes = notes.data,
                                       .notes_length = notes.length},
                                      {.producer = RESCORE_PRODUCER, .seq = 1, .body = "", .body_length = 0}};
    const struct journal_record content = {.lsn = 12,
                                           .as_of_ms = GROUND_T,
                                           .settled = true,
                                           .orders = true,
                                           .first_ordinal = 100,
                                           .min_time_ms = GROUND_T,
                                           .max_time_ms = GROUND_T + 5,
                                           .batches = batches,
                                           .batch_count = 2,
                                           .changes = "changes",
                                           .changes_length = 7};
    MUST(record_encode(&content, &record, NULL) == POISE_OK);
    input = input_of(RECORD);
    buf_put(&input, record.data, record.length);
    save("journal", "record", &input);
    buf_free(&notes);
    buf_free(&record);
}

static void sorted(void)
{
    enum { ENTRIES = 40 };
    struct sorted_writer writer = {0};
    struct buf input = input_of(SORTED);
    for (int i = 0; i < ENTRIES; i++) {
        char key[TEXT];
        int length = snprintf(key, sizeof key, "key %c %03d", 'a' + i / 16, i);
        const struct sorted_entry entry = {.key = (const uint8_t *)key,
                                           .key_length = (size_t)length,
                                           .value = i % 5 ? (const uint8_t *)key : NULL,
                                           .value_length = (size_t)(i % 5)};
        MUST(sorted_add(&writer, &entry));
    }
    sorted_finish(&writer);
    buf_put_text(&input, "key b 018", 9);
    buf_put(&input, writer.bytes.data, writer.bytes.length);
    save("journal", "sorted", &input);
    sorted_writer_free(&writer);
}

/* Keys that are nearly too long. */
static void sorted_long(void)
{
    struct sorted_writer writer = {0};
    struct buf input = input_of(SORTED);
    uint8_t key[SORTED_KEY_MAX];
    memset(key, 'k', sizeof key);
    for (size_t i = 1; i <= 3; i++) {
        const struct sorted_entry entry = {
            .key = key, .key_length = sizeof key - 4 + i, .value = key, .value_length = i};
        MUST(sorted_add(&writer, &entry));
    }
    sorted_finish(&writer);
    buf_put_text(&input, "key", 3);
    buf_put(&input, writer.bytes.data, writer.bytes.length);
    save("journal", "sorted_long", &input);
    sorted_writer_free(&writer);
}

static void order(void)
{
    char text[] = "scorecard: card";
    const struct definition definition = {
        .card = "card", .number = 2, .after_ms = GROUND_T, .text = text, .length = sizeof text - 1};
    struct buf input = input_of(ORDER);
    order_put(&input, &definition, true);
    order_put(&input, &definition, false);
    order_put_reason(&input, "because");
    save("journal", "order", &input);
}

/* ---- state ---- */

static void tables(void)
{
    struct scorecard *card = ground_card();
    const struct scorecard *const cards[] = {card};
    struct ground ground;
    struct engine *engine;
    struct buf input = {0};
    ground_open(&ground, NULL, 0);
    const struct engine_options options = {
        .cards = cards, .card_count = 1, .max_cells = 100, .ports = ground_ports(&ground)};
    MUST(engine_open(&options, &engine, NULL) == POISE_OK);
    MUST(engine_begin(engine, GROUND_T, NULL) == POISE_OK);
    ground_rows(engine);
    ground_settle(engine);
    MUST(engine_checkpoint(engine, ground_put, &input, NULL) == POISE_OK);
    engine_close(engine);
    ground_close(&ground);
    scorecard_free(card);
    save("state", "tables", &input);
}

static void ledger(const char *name, const char *producer)
{
    static const uint32_t refused[] = {1, 4};
    static const uint8_t reasons[] = {POISE_REFUSAL_VALUE, POISE_REFUSAL_LOCKED};
    struct ledger ledger = {0};
    struct buf input = input_of(LEDGER), key = {0}, value = {0};
    struct ledger_entry *entry = ledger_add(&ledger, producer, 77);
    MUST(entry && ledger_commit(entry, 3, 99, refused, reasons, 2) &&
         ledger_commit(entry, 4, 98, refused, reasons, 1));
    ledger_encode(entry, &key, &value);
    buf_put_text(&input, (const char *)key.data, key.length);
    buf_put(&input, value.data, value.length);
    save("journal", name, &input);
    ledger_free(&ledger);
    buf_free(&key);
    buf_free(&value);
}

static void accumulator(const char *name, int samples)
{
    const uint32_t parts = (1u << ACCUMULATOR_PARTS) - 1;
    struct intern sources = {0};
    MUST(intern_add(&sources, "", 0) == 0 && intern_add(&sources, "s", 1) == 1);
    struct accumulator_layout layout = accumulator_layout(parts, &sources);
    struct accumulator *cell = calloc(1, layout.size);
    struct buf input = input_of(ACCUMULATOR);
    MUST(cell);
    for (int i = 0; i < samples; i++) {
        const struct sample sample = {.time_ms = GROUND_T + i,
                                      .value = i % 7 ? i * 1.25 : 1e40,
                                      .of = 1 + i % 3,
                                      .source = (uint32_t)i % 2,
                                      .rank = (uint64_t)i,
                                      .ordinal = (uint64_t)i + 1};
        MUST(accumulator_add(&layout, cell, &sample));
    }
    buf_put_u16(&input, (uint16_t)parts);
    accumulator_encode(&layout, cell, &input);
    save("journal", name, &input);
    accumulator_clear(&layout, cell);
    free(cell);
    intern_free(&sources);
}

static void positions(void)
{
    struct positions positions = {0};
    struct buf input = input_of(POSITIONS);
    positions_set(&positions, &(struct position){.path = 4, .inode = 5, .offset = 100, .line = 7});
    positions_set(&positions,
                  &(struct position){.path = 5, .inode = 6, .offset = 50, .line = 3, .head_length = 9});
    positions_encode(&positions, &input);
    save("journal", "positions", &input);
}

/* ---- a store ---- */

enum { ENTRIES }; /* of the harness store */

static poise_code commit_block(void *taker, const struct block *block, poise_error *err)
{
    const struct store_slice slice = {.blocks = block, .block_count = 1, .run = block->key.run};
    return store_commit(taker, NULL, &slice, NULL, err);
}

static void fill_store(struct store *store, struct columns *c)
{
    enum { RECORDS = 20 };
    static const struct past_name names[] = {
        {"m", "org/a", "s1", false}, {"m", "org/b", "s2", true}, {"n", "org/b", "", false}};
    struct past_commit commits[RECORDS];
    uint64_t lsn;
    for (size_t i = 0; i < RECORDS; i++) {
        const struct journal_record record = {.as_of_ms = (int64_t)i, .first_ordinal = i + 1};
        commits[i] = (struct past_commit){
            .as_of_ms = (int64_t)(i * 1000), .first_place = i * 2 + 1, .series = i < 3 ? i + 1 : 3};
        MUST(store_append(store, &record, &lsn, NULL) == POISE_OK);
    }
    uint64_t run = block_run(RECORDS, 0);
    struct block_builder *builder = block_builder_open(run, commit_block, store);
    const struct block_place place = {.bucket = block_bucket(c->time_ms[0]), .input = 3, .series = 7};
    const struct chunk_rows rows = {
        .count = 20, .time_ms = c->time_ms, .value = c->value, .ordinal = c->ordinal, .key = c->key};
    MUST(builder && block_builder_add(builder, &place, &rows, NULL) == POISE_OK &&
         block_builder_end(builder, NULL) == POISE_OK);
    block_builder_close(builder);
    struct buf entries = {0};
    past_put_commits(&entries, 1, commits, RECORDS / 2);
    past_put_commits(&entries, RECORDS / 2 + 1, commits + RECORDS / 2, RECORDS / 2);
    past_put_names(&entries, 0, names, 2);
    past_put_names(&entries, 2, names + 2, 1);
    const struct store_slice last = {.run = run,
                                     .whole = true,
                                     .entries = entries.data,
                                     .entries_length = entries.length,
                                     .last_place = 100,
                                     .as_of_ms = commits[RECORDS - 1].as_of_ms};
    MUST(!entries.failed && store_commit(store, NULL, &last, NULL, NULL) == POISE_OK);
    buf_free(&entries);
    const struct store_mark mark = {.state_lsn = RECORDS, .generation = 1};
    MUST(store_checkpoint_begin(store, NULL) == POISE_OK);
    for (size_t i = 0; i < RECORDS; i++) {
        MUST(store_put(store, STORE_CELLS, c->texts[i], strlen(c->texts[i]), "value", i % 5) == POISE_OK);
    }
    MUST(store_checkpoint_commit(store, &mark, NULL) == POISE_OK);
}

/* All entries of some tables, without their CRCs. */
static void save_tables(struct store *store, const char *name, const int *tables, size_t count)
{
    struct buf input = input_of(ENTRIES);
    struct store_reader *reader;
    MUST(store_reader_open(store, &reader, NULL) == POISE_OK);
    for (size_t i = 0; i < count; i++) {
        MDB_cursor *at;
        MDB_val key, value;
        MUST(mdb_cursor_open(reader->txn, store->lmdb[tables[i]], &at) == 0);
        while (mdb_cursor_get(at, &key, &value, MDB_NEXT) == 0) {
            buf_put_u8(&input, (uint8_t)tables[i]);
            buf_put_text(&input, key.mv_data, key.mv_size);
            buf_put_text(&input, (const char *)value.mv_data + VALUE_CRC, value.mv_size - VALUE_CRC);
        }
        mdb_cursor_close(at);
    }
    store_reader_close(reader);
    save("store", name, &input);
}

static void store_tables(struct columns *c)
{
    static const int past[] = {LMDB_META, LMDB_COMMITS, LMDB_NAMES}, runs[] = {LMDB_RUNS, LMDB_CHUNKS},
                     state[] = {LMDB_STATE_RUNS, LMDB_STATE};
    char path[512];
    struct store *store;
    snprintf(path, sizeof path, "%s/store/store.tmp", directory);
    const struct store_options options = {.path = path,
                                          .map_bytes = 16 << 20,
                                          .free_bytes = 1,
                                          .new_id = "sixteen bytes id",
                                          .new_incarnation = 1};
    MUST(store_open(&options, &store, NULL) == POISE_OK);
    fill_store(store, c);
    save_tables(store, "past", past, sizeof past / sizeof *past);
    save_tables(store, "runs", runs, sizeof runs / sizeof *runs);
    save_tables(store, "state", state, sizeof state / sizeof *state);
    store_close(store);
    MUST(store_remove(path, NULL) == POISE_OK);
}

int main(int argc, char **argv)
{
    static struct columns columns;
    if (argc != 2) {
        fprintf(stderr, "seeds DIRECTORY\n");
        return 2;
    }
    directory = argv[1];
    fill(&columns);
    chunks(&columns);
    block(&columns);
    journal();
    sorted();
    sorted_long();
    order();
    tables();
    ledger("ledger", "producer");
    ledger("ledger_long", FIFTY_BYTES TEN_BYTES "abcd");
    accumulator("few", 5);
    accumulator("many", 200);
    positions();
    store_tables(&columns);
    return 0;
}
