#include "definitions.h"

#include "erasures.h"
#include <base/error.h>
#include <stdlib.h>
#include <string.h>

static void free_texts(struct definition *items, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(items[i].text);
}

void definitions_free(struct definitions *definitions)
{
    free_texts(definitions->items, definitions->count);
    free(definitions->items);
    free(definitions->frozen);
    buf_free(&definitions->configured);
    *definitions = (struct definitions){0};
}

static struct definition *newest(const struct definitions *definitions, const char *card)
{
    for (size_t i = definitions->count; i-- > 0;)
        if (strcmp(definitions->items[i].card, card) == 0)
            return &definitions->items[i];
    return NULL;
}

const struct definition *definitions_current(const struct definitions *definitions, const char *card)
{
    return newest(definitions, card);
}

bool definitions_configured(const struct definitions *definitions, const char *card)
{
    const char *at = (const char *)definitions->configured.data;
    size_t count = definitions->configured_count;
    while (count > 0 && strcmp(at, card) != 0) {
        at += strlen(at) + 1;
        count--;
    }
    return count > 0;
}

/* ---- changes ---- */

/* Where it ends to be in force: with the newer ones; not behind its beginning: it is so no more. */
static int64_t until_of(const struct definitions *definitions, size_t at)
{
    int64_t until_ms = INT64_MAX;
    for (size_t i = at + 1; i < definitions->count; i++) {
        const struct definition *item = &definitions->items[i];
        if (item->after_ms < until_ms && strcmp(item->card, definitions->items[at].card) == 0)
            until_ms = item->after_ms;
    }
    return until_ms;
}

void definitions_trim(struct definitions *definitions)
{
    size_t kept = 0;
    for (size_t i = 0; i < definitions->count; i++) { /* what is kept before it does not matter */
        struct definition *item = &definitions->items[i];
        if (until_of(definitions, i) <= item->after_ms)
            free(item->text);
        else
            definitions->items[kept++] = *item;
    }
    definitions->count = kept;
}

/* A copy of the definition, with a text of its own. */
static poise_code add(struct definitions *definitions, const struct definition *made, const char *text,
                      poise_error *err)
{
    if (definitions->count == definitions->capacity) {
        size_t capacity = definitions->capacity ? 2 * definitions->capacity : 8;
        struct definition *items = realloc(definitions->items, capacity * sizeof *items);
        if (!items)
            return error_nomem(err, "the definitions");
        definitions->items = items;
        definitions->capacity = capacity;
    }
    struct definition item = *made;
    item.text = malloc(made->length + 1);
    if (!item.text)
        return error_nomem(err, "a definition");
    memcpy(item.text, text, made->length);
    item.text[made->length] = '\0';
    definitions->items[definitions->count++] = item;
    return POISE_OK;
}

static size_t count_of(const struct definitions *definitions, const char *card)
{
    size_t count = 0;
    for (size_t i = 0; i < definitions->count; i++)
        count += strcmp(definitions->items[i].card, card) == 0;
    return count;
}

static poise_code add_current(struct definitions *definitions, const struct definition *made,
                              const char *text, poise_error *err)
{
    poise_code code = add(definitions, made, text, err);
    if (!code)
        definitions_trim(definitions);
    return code;
}

poise_code definitions_define(struct definitions *definitions, const struct scorecard *card,
                              int64_t closed_ms, poise_error *err)
{
    const struct definition *before = definitions_current(definitions, card->id);
    struct definition made = {.number = before ? before->number + 1 : 1,
                              .after_ms = closed_ms,
                              .closed_ms = closed_ms,
                              .hash = card->hash,
                              .length = card->text_length};
    memcpy(made.card, card->id, strnlen(card->id, sizeof made.card - 1));
    poise_code code = add_current(definitions, &made, card->text, err);
    if (!code && count_of(definitions, made.card) > DEFINITIONS_MAX)
        return error_set(
            err, POISE_ELIMIT,
            "closed periods of scorecard '%s' still have %d older definitions, as many as are kept; "
            "start once more with the file as it was, have `poise rescore --scorecard %s --from "
            "TIME` score more periods by it, then change it",
            made.card, DEFINITIONS_MAX, made.card);
    return code;
}

void definitions_rescore(struct definitions *definitions, const char *card, int64_t after_ms)
{
    struct definition *current = newest(definitions, card);
    if (current && after_ms < current->after_ms)
        current->after_ms = after_ms;
}

/* ---- what is frozen ---- */

static struct frozen *find_frozen(const struct definitions *definitions, const char *input, size_t length)
{
    for (size_t i = 0; i < definitions->frozen_count; i++) {
        struct frozen *frozen = &definitions->frozen[i];
        if (strlen(frozen->input) == length && memcmp(frozen->input, input, length) == 0)
            return frozen;
    }
    return NULL;
}

int64_t definitions_frozen_ms(const struct definitions *definitions, const char *input)
{
    const struct frozen *found = find_frozen(definitions, input, strlen(input));
    return found ? found->until_ms : INT64_MIN;
}

poise_code definitions_freeze(struct definitions *definitions, const char *input, size_t length,
                              int64_t until_ms, poise_error *err)
{
    struct frozen *frozen = find_frozen(definitions, input, length);
    if (!frozen) {
        size_t count = definitions->frozen_count + 1;
        frozen = realloc(definitions->frozen, count * sizeof *frozen);
        if (!frozen)
            return error_nomem(err, "what is frozen");
        definitions->frozen = frozen;
        definitions->frozen_count = count;
        frozen += count - 1;
        *frozen = (struct frozen){.until_ms = until_ms};
        memcpy(frozen->input, input, length);
    }
    if (until_ms > frozen->until_ms)
        frozen->until_ms = until_ms;
    return POISE_OK;
}

/* ---- bytes ---- */

enum { ENTRY_RESCORE = 'r', ENTRY_DEFINE = 'd', ENTRY_REASON = 'w', ENTRY_FREEZE = 'f' };

void order_put(struct buf *body, const struct definition *definition, bool with_text)
{
    buf_put_u8(body, with_text ? ENTRY_DEFINE : ENTRY_RESCORE);
    buf_put_text(body, definition->card, strlen(definition->card));
    buf_put_svarint(body, definition->after_ms);
    if (with_text) {
        buf_put_varint(body, definition->number);
        buf_put_svarint(body, definition->closed_ms);
        buf_put_u64(body, definition->hash);
        buf_put_text(body, definition->text, definition->length);
    }
}

void order_put_frozen(struct buf *body, const char *input, int64_t until_ms)
{
    buf_put_u8(body, ENTRY_FREEZE);
    buf_put_text(body, input, strlen(input));
    buf_put_svarint(body, until_ms);
}

void order_put_reason(struct buf *body, const char *reason)
{
    buf_put_u8(body, ENTRY_REASON);
    buf_put_text(body, reason, strlen(reason));
}

bool order_takes_place(const struct journal_batch *batch)
{
    return strcmp(batch->producer, RESCORE_PRODUCER) == 0 || strcmp(batch->producer, ERASE_PRODUCER) == 0;
}

/* The next entry of an order; the text is in place. false: there is none, or it cannot be read. */
static bool take_entry(struct cursor *in, const char **text, struct definition *ret, uint8_t *ret_kind)
{
    size_t length;
    *ret = (struct definition){0};
    *ret_kind = cursor_left(in) > 0 ? cursor_u8(in) : 0;
    if (*ret_kind == 0)
        return false;
    const char *id = cursor_text(in, &length);
    if (*ret_kind == ENTRY_REASON)
        return !in->failed;
    if (length > POISE_ID_MAX ||
        (*ret_kind != ENTRY_DEFINE && *ret_kind != ENTRY_RESCORE && *ret_kind != ENTRY_FREEZE))
        in->failed = true;
    if (in->failed)
        return false;
    memcpy(ret->card, id, length);
    ret->after_ms = cursor_svarint(in);
    if (*ret_kind == ENTRY_DEFINE) {
        ret->number = cursor_varint(in);
        ret->closed_ms = cursor_svarint(in);
        ret->hash = cursor_u64(in);
        *text = cursor_text(in, &ret->length);
    }
    return !in->failed;
}

static poise_code unreadable(poise_error *err)
{
    return error_set(err, POISE_ECORRUPT, "an order about definitions cannot be read");
}

poise_code order_each(const void *body, size_t length,
                      poise_code (*visit)(void *visitor, const char *card, int64_t after_ms), void *visitor,
                      poise_error *err)
{
    struct cursor in = cursor_of(body, length);
    struct definition entry;
    const char *text = NULL;
    uint8_t kind;
    poise_code code = POISE_OK;
    while (!code && take_entry(&in, &text, &entry, &kind))
        if (kind == ENTRY_RESCORE)
            code = visit(visitor, entry.card, entry.after_ms);
    return code || !in.failed ? code : unreadable(err);
}

static poise_code take_order(struct definitions *definitions, const struct journal_batch *batch,
                             poise_error *err)
{
    struct cursor in = cursor_of(batch->body, batch->body_length);
    struct definition entry;
    const char *text = NULL;
    uint8_t kind;
    poise_code code = POISE_OK;
    while (!code && take_entry(&in, &text, &entry, &kind)) {
        if (kind == ENTRY_RESCORE)
            definitions_rescore(definitions, entry.card, entry.after_ms);
        else if (kind == ENTRY_DEFINE)
            code = add_current(definitions, &entry, text, err);
        else if (kind == ENTRY_FREEZE) /* the id is an input's */
            code = definitions_freeze(definitions, entry.card, strlen(entry.card), entry.after_ms, err);
    }
    return code || !in.failed ? code : unreadable(err);
}

struct folding {
    struct definitions *definitions;
    int64_t known_at_ms;
    const _Atomic bool *stop;
    poise_error *err;
};

static poise_code fold_record(void *visitor, const struct journal_record *record)
{
    struct folding *folding = visitor;
    poise_code code = POISE_OK;
    if (folding->stop && atomic_load_explicit(folding->stop, memory_order_relaxed))
        return error_set(folding->err, POISE_EBUSY, "the aggregator is stopping");
    if (folding->known_at_ms && record->as_of_ms > folding->known_at_ms)
        return POISE_ECLOSED; /* T only rises: that was all */
    for (size_t i = 0; !code && i < record->batch_count; i++) {
        const struct journal_batch *batch = &record->batches[i];
        bool defines = strcmp(batch->producer, DEFINE_PRODUCER) == 0;
        if (defines)
            folding->definitions->defined_lsn = record->lsn;
        if (defines || strcmp(batch->producer, RESCORE_PRODUCER) == 0 ||
            strcmp(batch->producer, FREEZE_PRODUCER) == 0)
            code = take_order(folding->definitions, batch, folding->err);
    }
    folding->definitions->folded_lsn = record->lsn;
    return code == POISE_ECLOSED ? POISE_EPROTO : code;
}

poise_code definitions_fold(struct definitions *definitions, struct store *store, struct marks *marks,
                            uint64_t until, int64_t known_at_ms, const _Atomic bool *stop, poise_error *err)
{
    struct folding folding = {definitions, known_at_ms, stop, err};
    const struct marks_visit visit = {MARK_ORDERS, fold_record, &folding, stop};
    struct store_reader *reader;
    poise_code code = store_reader_open(store, &reader, err);
    if (code)
        return code;
    code = marks_read(marks, reader, definitions->folded_lsn + 1, until, &visit, err);
    store_reader_close(reader);
    return code;
}

/* Changes with what is frozen, which only grows. */
static uint64_t sum_of_frozen(const struct definitions *definitions)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < definitions->frozen_count; i++)
        sum += (uint64_t)definitions->frozen[i].until_ms;
    return sum;
}

poise_code definitions_fold_frozen(struct definitions *definitions, struct store *store, struct marks *marks,
                                   uint64_t until, const _Atomic bool *stop, bool *ret_any, poise_error *err)
{
    uint64_t before = sum_of_frozen(definitions);
    size_t count = definitions->frozen_count;
    poise_code code = POISE_OK;
    if (until > definitions->folded_lsn)
        code = definitions_fold(definitions, store, marks, until, 0, stop, err);
    *ret_any = definitions->frozen_count != count || sum_of_frozen(definitions) != before;
    return code;
}

/* ---- in the store ---- */

/* Keys: one byte for what they are as of, one for what is frozen; an id, a zero byte and the number for a
 * definition. */
static const char AS_OF_KEY[] = {'='}, FROZEN_KEY[] = {'*'};

struct loading {
    struct definitions *definitions;
    uint64_t made_lsn, begun_lsn;
    poise_error *err;
};

static poise_code load_place(struct loading *loading, struct cursor *value)
{
    struct definitions *definitions = loading->definitions;
    definitions->folded_lsn = cursor_varint(value);
    definitions->defined_lsn = cursor_varint(value);
    loading->made_lsn = cursor_varint(value);
    loading->begun_lsn = cursor_varint(value);
    while (cursor_left(value) > 0) {
        size_t length;
        const char *id = cursor_text(value, &length);
        buf_put(&definitions->configured, id, length);
        buf_put_u8(&definitions->configured, 0);
        definitions->configured_count++;
    }
    if (definitions->configured.failed)
        return error_nomem(loading->err, "the definitions");
    return value->failed ? unreadable(loading->err) : POISE_OK;
}

static poise_code load_frozen(const struct loading *loading, struct cursor value)
{
    const struct journal_batch batch = {.body = value.at, .body_length = cursor_left(&value)};
    return take_order(loading->definitions, &batch, loading->err);
}

static poise_code load_entry(void *visitor, struct cursor key, struct cursor value)
{
    struct loading *loading = visitor;
    char only = cursor_left(&key) == 1 ? (char)*key.at : '\0';
    if (only == AS_OF_KEY[0])
        return load_place(loading, &value);
    if (only == FROZEN_KEY[0])
        return load_frozen(loading, value);
    if (cursor_left(&key) > 0 && *key.at == 0) /* of a version that kept hashes only: no id begins so */
        return POISE_OK;
    struct definition entry;
    const char *text = NULL;
    uint8_t kind;
    if (!take_entry(&value, &text, &entry, &kind) || kind != ENTRY_DEFINE)
        return unreadable(loading->err);
    return add(loading->definitions, &entry, text, loading->err);
}

poise_code definitions_load(struct definitions *definitions, struct store *store, uint64_t *ret_made_lsn,
                            uint64_t *ret_begun_lsn, poise_error *err)
{
    struct loading loading = {.definitions = definitions, .err = err};
    poise_code code = store_walk(store, STORE_DEFINITIONS, load_entry, &loading, err);
    *ret_made_lsn = loading.made_lsn;
    *ret_begun_lsn = loading.begun_lsn;
    return code;
}

poise_code definitions_put(const struct definitions *definitions, struct store *store,
                           const struct definitions_place *place)
{
    struct buf key = {0}, value = {0};
    poise_code code = store_clear(store, STORE_DEFINITIONS);
    buf_put_varint(&value, place->folded_lsn);
    buf_put_varint(&value, definitions->defined_lsn);
    buf_put_varint(&value, place->made_lsn);
    buf_put_varint(&value, place->begun_lsn);
    for (size_t i = 0; i < place->card_count; i++)
        buf_put_text(&value, place->cards[i]->id, strlen(place->cards[i]->id));
    if (!code && !value.failed)
        code = store_put(store, STORE_DEFINITIONS, AS_OF_KEY, sizeof AS_OF_KEY, value.data, value.length);
    for (size_t i = 0; !code && i < definitions->count; i++) {
        const struct definition *item = &definitions->items[i];
        buf_reset(&key);
        buf_reset(&value);
        buf_put(&key, item->card, strlen(item->card) + 1);
        for (int shift = 56; shift >= 0; shift -= 8)
            buf_put_u8(&key, (uint8_t)(item->number >> shift));
        order_put(&value, item, true);
        if (!key.failed && !value.failed)
            code = store_put(store, STORE_DEFINITIONS, key.data, key.length, value.data, value.length);
        else
            code = POISE_ENOMEM;
    }
    buf_reset(&value);
    for (size_t i = 0; i < definitions->frozen_count; i++)
        order_put_frozen(&value, definitions->frozen[i].input, definitions->frozen[i].until_ms);
    if (!code && !value.failed && value.length)
        code = store_put(store, STORE_DEFINITIONS, FROZEN_KEY, sizeof FROZEN_KEY, value.data, value.length);
    code = !code && value.failed ? POISE_ENOMEM : code;
    buf_free(&key);
    buf_free(&value);
    return code;
}

/* ---- for an engine ---- */

void compiled_free(struct compiled *compiled)
{
    for (size_t i = 0; i < compiled->owned_count; i++)
        scorecard_free(compiled->owned[i]);
    free(compiled->owned);
    free(compiled->cards);
    free(compiled->terms);
    *compiled = (struct compiled){0};
}

static bool reserve(struct compiled *compiled)
{
    size_t count = compiled->count + 1, owned = compiled->owned_count + 1;
    const struct scorecard **cards = realloc(compiled->cards, count * sizeof *cards);
    if (cards)
        compiled->cards = cards;
    struct engine_term *terms = realloc(compiled->terms, count * sizeof *terms);
    if (terms)
        compiled->terms = terms;
    struct scorecard **cards_owned = realloc(compiled->owned, owned * sizeof *cards_owned);
    if (cards_owned)
        compiled->owned = cards_owned;
    return cards && terms && cards_owned;
}

/* Compiles an older definition from its text. */
static poise_code read_again(const struct definition *item, struct compiled *compiled,
                             const struct scorecard **ret_card, poise_error *err)
{
    char name[POISE_ID_MAX + 40];
    struct scorecard *card = NULL;
    struct problems problems = {0};
    snprintf(name, sizeof name, "definition %llu of %s", (unsigned long long)item->number, item->card);
    poise_code code = scorecard_read_bytes(name, item->text, item->length, &card, &problems);
    if (code)
        code = error_set(err, code, "%s, which closed periods have, cannot be read by this version: %s", name,
                         problems.count ? problems.items[0].text : "out of memory");
    else
        compiled->owned[compiled->owned_count++] = card;
    problems_free(&problems);
    *ret_card = card;
    return code;
}

/* Each that has some time in common with them; `all`: also those that are in force for none. */
static poise_code compile(const struct definitions *definitions, const char *id, const struct scorecard *card,
                          int64_t from_ms, int64_t to_ms, bool all, struct compiled *ret_compiled,
                          poise_error *err)
{
    for (size_t i = 0; i < definitions->count; i++) {
        const struct definition *item = &definitions->items[i];
        if (strcmp(item->card, id) != 0)
            continue;
        const struct engine_term term = {.after_ms = item->after_ms,
                                         .until_ms = until_of(definitions, i),
                                         .number = item->number,
                                         .closed_ms = item->closed_ms};
        bool some = to_ms > term.after_ms && from_ms <= term.until_ms && term.after_ms < term.until_ms;
        if (!some && !all)
            continue;
        if (!reserve(ret_compiled))
            return error_nomem(err, "the definitions");
        const struct scorecard *read = card;
        poise_code code =
            card && item->hash == card->hash ? POISE_OK : read_again(item, ret_compiled, &read, err);
        if (code)
            return code;
        ret_compiled->cards[ret_compiled->count] = read;
        ret_compiled->terms[ret_compiled->count++] = term;
    }
    return POISE_OK;
}

poise_code definitions_compile(const struct definitions *definitions, const char *id,
                               const struct scorecard *card, int64_t from_ms, int64_t to_ms,
                               struct compiled *ret_compiled, poise_error *err)
{
    return compile(definitions, id, card, from_ms, to_ms, false, ret_compiled, err);
}

poise_code definitions_compile_all(const struct definitions *definitions, const char *id,
                                   const struct scorecard *card, struct compiled *ret_compiled,
                                   poise_error *err)
{
    return compile(definitions, id, card, INT64_MIN, INT64_MAX, true, ret_compiled, err);
}
