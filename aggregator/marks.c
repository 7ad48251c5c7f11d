#include "marks.h"

#include <base/error.h>
#include <stdlib.h>
#include <string.h>

void marks_free(struct marks *marks)
{
    free(marks->parts);
    *marks = (struct marks){0};
}

static unsigned marks_of(const struct journal_record *head)
{
    return (head->orders ? MARK_ORDERS : 0u) | (head->revised ? MARK_REVISIONS : 0u);
}

/* ---- finding them ---- */

struct looking {
    struct marks *marks;
    const _Atomic bool *stop;
    poise_error *err;
};

static bool no_record(void *visitor, const struct journal_record *head)
{
    (void)visitor;
    (void)head;
    return false;
}

static poise_code note_head(void *visitor, const struct journal_record *head)
{
    const struct looking *looking = visitor;
    if (looking->stop && atomic_load_explicit(looking->stop, memory_order_relaxed))
        return error_set(looking->err, POISE_EBUSY, "the aggregator is stopping");
    looking->marks->parts[head->lsn / MARKS_PART] |= (uint8_t)marks_of(head);
    return POISE_OK;
}

static bool reserve(struct marks *marks, size_t count)
{
    size_t capacity = marks->capacity ? marks->capacity : 64;
    while (capacity < count)
        capacity *= 2;
    if (capacity == marks->capacity)
        return true;
    uint8_t *parts = realloc(marks->parts, capacity);
    if (!parts)
        return false;
    memset(parts + marks->capacity, 0, capacity - marks->capacity);
    marks->parts = parts;
    marks->capacity = capacity;
    return true;
}

static poise_code look(struct marks *marks, struct store_reader *reader, uint64_t until,
                       const _Atomic bool *stop, poise_error *err)
{
    struct looking looking = {marks, stop, err};
    if (until <= marks->until)
        return POISE_OK;
    if (!reserve(marks, (size_t)(until / MARKS_PART) + 1))
        return error_nomem(err, "which records have orders or revisions");
    poise_code code =
        store_read_journal(reader, marks->until + 1, until, no_record, note_head, &looking, err);
    if (!code)
        marks->until = until;
    return code;
}

/* ---- reading by them ---- */

struct visiting {
    const struct marks_visit *visit;
    bool closed;
};

static bool is_wanted(void *visitor, const struct journal_record *head)
{
    const struct visiting *visiting = visitor;
    return (marks_of(head) & visiting->visit->what) != 0;
}

static poise_code visit_record(void *visitor, const struct journal_record *record)
{
    struct visiting *visiting = visitor;
    poise_code code = visiting->visit->record(visiting->visit->visitor, record);
    visiting->closed = code == POISE_ECLOSED;
    return code;
}

poise_code marks_read(struct marks *marks, struct store_reader *reader, uint64_t from, uint64_t until,
                      const struct marks_visit *visit, poise_error *err)
{
    struct visiting visiting = {.visit = visit};
    if (until > store_reader_lsn(reader))
        until = store_reader_lsn(reader);
    if (!marks)
        return store_read_journal(reader, from, until, is_wanted, visit_record, &visiting, err);
    poise_code code = look(marks, reader, until, visit->stop, err);
    while (!code && !visiting.closed && from <= until) {
        uint64_t end = from | (MARKS_PART - 1); /* of its part */
        if (marks->parts[from / MARKS_PART] & visit->what)
            code = store_read_journal(reader, from, end < until ? end : until, is_wanted, visit_record,
                                      &visiting, err);
        from = end + 1;
    }
    return code;
}
