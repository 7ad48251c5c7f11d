#include "settles.h"

#include <base/error.h>
#include <wire/wire.h>

enum { HEAD_BYTES = 512 }; /* what looking at a record's head counts for */

struct reading {
    const struct settles_visit *visit;
    struct settles_position *at;
    struct arena arena; /* of the change at hand */
    uint64_t begun;     /* while a settle is looked for: the record that one begins with; 0: none did */
    uint64_t next;      /* the record that comes next */
    uint32_t item;      /* of the record at hand */
    bool found, enough;
    poise_error *err;
};

static poise_code check(struct reading *reading, const struct journal_record *record)
{
    const struct settles_visit *visit = reading->visit;
    if (visit->stop && atomic_load_explicit(visit->stop, memory_order_relaxed))
        return error_set(reading->err, POISE_EBUSY, "the aggregator is stopping");
    if (record->trimmed || record->lsn != reading->next)
        return error_set(reading->err, POISE_EGAP, "the changes from record %llu on were trimmed meanwhile",
                         (unsigned long long)reading->next);
    reading->next++;
    return POISE_OK;
}

static bool go_on(const struct reading *reading, size_t bytes)
{
    return !reading->visit->go_on || reading->visit->go_on(reading->visit->visitor, bytes);
}

static bool never(void *visitor, const struct journal_record *head)
{
    (void)visitor;
    (void)head;
    return false;
}

static bool has_changes(void *visitor, const struct journal_record *head)
{
    (void)visitor;
    return head->changes_length > 0;
}

/* ---- the next settle that is whole ---- */

/* By heads alone. A settle that begins before the one at hand has ended says that it did not end. */
static poise_code look(void *visitor, const struct journal_record *head)
{
    struct reading *reading = visitor;
    poise_code code = check(reading, head);
    if (code)
        return code;
    if (head->settled) {
        reading->begun = head->changes_length > 0 ? head->lsn : 0;
        reading->at->settled_ms = head->as_of_ms;
    }
    reading->found = reading->begun && head->changes_length > 0 && !head->more;
    reading->enough = !reading->found && !go_on(reading, HEAD_BYTES);
    return reading->found || reading->enough ? POISE_ECLOSED : POISE_OK;
}

static poise_code find_settle(struct reading *reading, struct store_reader *reader, uint64_t until)
{
    struct settles_position *at = reading->at;
    reading->begun = 0;
    reading->found = false;
    reading->next = at->lsn;
    poise_code code = store_read_journal(reader, at->lsn, until, never, look, reading, reading->err);
    if (code)
        return code;
    at->lsn = reading->begun ? reading->begun : reading->next;
    at->settle = reading->found ? reading->begun : 0;
    at->item = at->number = 0;
    return POISE_OK;
}

/* ---- its changes ---- */

static poise_code visit_change(void *visitor, const poise_state *state)
{
    struct reading *reading = visitor;
    struct settles_position *at = reading->at;
    if (reading->item++ < at->item)
        return POISE_OK;
    poise_state shown = *state;
    if (shown.revision == 0)
        shown.as_of_ms = at->settled_ms;
    const struct settles_change change = {
        .state = &shown, .lsn = at->settle, .settled_ms = at->settled_ms, .number = at->number + 1};
    poise_code code = reading->visit->change(reading->visit->visitor, &change);
    if (!code) {
        at->item++;
        at->number++;
    }
    return code;
}

static poise_code visit_record(void *visitor, const struct journal_record *record)
{
    struct reading *reading = visitor;
    struct settles_position *at = reading->at;
    poise_code code = check(reading, record);
    size_t bytes = HEAD_BYTES + record->changes_length;
    for (size_t i = 0; i < record->batch_count; i++)
        bytes += record->batches[i].body_length;
    reading->item = 0;
    if (!code && record->changes_length > 0)
        code = wire_each_change(record->changes, record->changes_length, &reading->arena, visit_change,
                                reading, reading->err);
    reading->enough = code == POISE_ECLOSED;
    if (code)
        return code;
    uint64_t settle = at->settle;
    bool ends = record->changes_length > 0 && !record->more;
    at->lsn = record->lsn + 1;
    at->item = 0;
    if (ends) {
        at->settle = 0;
        at->number = 0;
        code = reading->visit->end ? reading->visit->end(reading->visit->visitor, settle) : POISE_OK;
    }
    reading->enough = !code && !go_on(reading, bytes);
    return code ? code : ends || reading->enough ? POISE_ECLOSED : POISE_OK;
}

static poise_code read_settle(struct reading *reading, struct store_reader *reader, uint64_t until)
{
    reading->next = reading->at->lsn;
    if (reading->at->lsn > until) /* a settle that is whole has ended before; a peer may say anything */
        return error_set(reading->err, POISE_EPROTO, "the log of changes has no such place");
    return store_read_journal(reader, reading->at->lsn, until, has_changes, visit_record, reading,
                              reading->err);
}

/* ---- all of them ---- */

/* A log that is begun anew begins where the journal does. */
static poise_code find_start(struct reading *reading, const struct store_reader *reader)
{
    struct settles_position *at = reading->at;
    uint64_t first = store_reader_first_lsn(reader);
    if (at->lsn == 0)
        at->lsn = first ? first : 1;
    return at->lsn >= first ? POISE_OK
                            : error_set(reading->err, POISE_EGAP,
                                        "the changes from record %llu on were trimmed: the log begins with "
                                        "record %llu now; take the present states, and go on behind these",
                                        (unsigned long long)at->lsn, (unsigned long long)first);
}

poise_code settles_read(struct store *store, struct settles_position *at, uint64_t until,
                        const struct settles_visit *visit, bool *ret_all, poise_error *err)
{
    struct reading reading = {.visit = visit, .at = at, .err = err};
    struct store_reader *reader;
    bool all = false;
    poise_code code = store_reader_open(store, &reader, err);
    if (code)
        return code;
    arena_init(&reading.arena, WIRE_ARENA);
    code = find_start(&reading, reader);
    while (!code && !all && !reading.enough) {
        code = at->settle ? POISE_OK : find_settle(&reading, reader, until);
        if (code || reading.enough)
            break;
        all = !at->settle;
        if (!all)
            code = read_settle(&reading, reader, until);
    }
    store_reader_close(reader);
    arena_free(&reading.arena);
    if (!code)
        *ret_all = all;
    return code;
}
