/* Dumps and the log of changes: asked for page by page, each with the cursor of the one before. */
#include <base/error.h>
#include <client/delivery.h>
#include <client/question.h>
#include <string.h>

struct paging {
    struct poise_client *client;
    enum wire_kind asks, answers;
    union {
        struct wire_dump dump;
        struct wire_changes changes;
    } asked;
    struct buf cursor;
    int64_t timeout_ms;
    poise_error *err;
};

union page {
    struct wire_rows rows;
    struct wire_changed changed;
};

static poise_code encode(struct paging *paging, uint64_t id, struct buf *body)
{
    if (paging->asks == WIRE_DUMP) {
        struct wire_dump *dump = &paging->asked.dump;
        dump->id = id;
        dump->cursor = paging->cursor.data;
        dump->cursor_length = paging->cursor.length;
        return wire_encode_dump(dump, body);
    }
    struct wire_changes *changes = &paging->asked.changes;
    changes->id = id;
    changes->cursor = paging->cursor.data;
    changes->cursor_length = paging->cursor.length;
    return wire_encode_changes(changes, body);
}

static poise_code decode(const struct paging *paging, const struct link_message *message, uint64_t *ret_id,
                         union page *ret_page)
{
    struct arena *arena = &paging->client->link.arena;
    poise_code code;
    if (paging->answers == WIRE_ROWS) {
        code = wire_decode_rows(message->body, message->length, arena, &ret_page->rows, paging->err);
        *ret_id = code == POISE_OK ? ret_page->rows.id : 0;
    } else {
        code = wire_decode_changed(message->body, message->length, arena, &ret_page->changed, paging->err);
        *ret_id = code == POISE_OK ? ret_page->changed.id : 0;
    }
    return code;
}

/* Sends what is asked under a new id. */
static poise_code ask_page(struct paging *paging, int64_t deadline, struct question *ret_question)
{
    struct question question = {
        .client = paging->client, .id = ++paging->client->last_id, .deadline = deadline};
    struct buf body = {0};
    poise_code code = encode(paging, question.id, &body);
    code = question_send(&question, paging->asks, code, &body, paging->err);
    question.body = NULL; /* it would be another question */
    buf_free(&body);
    *ret_question = question;
    return code;
}

static poise_code on_page_error(const struct question *question, const struct link_message *message,
                                bool *ret_again, poise_error *err)
{
    struct link *link = &question->client->link;
    struct wire_error error;
    poise_code code = wire_decode_error(message->body, message->length, &link->arena, &error, err);
    if (code != POISE_OK || (error.id != question->id && error.id != 0)) {
        return code;
    }
    *ret_again = question_forgotten(question, &error) || error.code == POISE_EBUSY;
    if (question_forgotten(question, &error)) {
        return POISE_OK;
    }
    code = error_set(err, error.code, "%s: %s", link->endpoint, error.text);
    return *ret_again ? question_pause(question, err) : code;
}

/* Waits for the page; *ret_again: it has to be asked for again. */
static poise_code await_page(const struct paging *paging, struct question *question, union page *ret_page,
                             bool *ret_again)
{
    *ret_again = false;
    while (!*ret_again) {
        struct link_message message;
        uint64_t id;
        poise_code code = question_next(question, &message, paging->err);
        if (code == POISE_OK && message.kind == WIRE_ERROR) {
            code = on_page_error(question, &message, ret_again, paging->err);
        } else if (code == POISE_OK && message.kind == paging->answers) {
            code = decode(paging, &message, &id, ret_page);
            if (code == POISE_OK && id == question->id) {
                return POISE_OK;
            }
        }
        if (code != POISE_OK) {
            return code;
        }
    }
    return POISE_OK;
}

static poise_code next_page(struct paging *paging, union page *ret_page)
{
    int64_t deadline = link_deadline(paging->timeout_ms);
    struct question question;
    bool again = true;
    while (again) {
        poise_code code = ask_page(paging, deadline, &question);
        if (code == POISE_OK) {
            code = await_page(paging, &question, ret_page, &again);
        }
        if (code == POISE_OK && again && link_now() >= deadline) {
            code = question_timed_out(&question, paging->err);
        }
        if (code != POISE_OK) {
            return code;
        }
    }
    return POISE_OK;
}

static bool keep_cursor(struct paging *paging, const void *cursor, size_t length)
{
    buf_reset(&paging->cursor);
    buf_put(&paging->cursor, cursor, length);
    return !paging->cursor.failed;
}

/* ---- a dump ---- */

/* Hands a page over, and keeps its cursor. */
static poise_code take_rows(struct paging *paging, const struct wire_rows *rows, poise_on_page *on_page,
                            void *context, bool *ret_going_on)
{
    poise_measurement *measurements =
        arena_alloc(&paging->client->link.arena, (rows->count + 1) * sizeof *measurements);
    if (!measurements || !keep_cursor(paging, rows->cursor, rows->cursor_length)) {
        return error_nomem(paging->err, "a page");
    }
    for (size_t i = 0; i < rows->count; i++) {
        measurements[i] = wire_batch_row(&rows->rows, i);
    }
    const poise_page page = {.rows = measurements,
                             .places = rows->places,
                             .count = rows->count,
                             .done = rows->done,
                             .total = rows->total,
                             .dropped_ms = rows->dropped_ms};
    *ret_going_on = on_page(context, &page) && paging->cursor.length > 0;
    return POISE_OK;
}

poise_code poise_dump(poise_client *client, const poise_selection *selection, int64_t timeout_ms,
                      poise_on_page *on_page, void *context, poise_error *err)
{
    struct question question = {0};
    struct paging paging = {.client = client,
                            .asks = WIRE_DUMP,
                            .answers = WIRE_ROWS,
                            .asked.dump = {.measure = selection->measure ? selection->measure : "",
                                           .org = selection->org ? selection->org : "",
                                           .from_ms = selection->from_ms,
                                           .to_ms = selection->to_ms,
                                           .keyed = selection->keyed},
                            .timeout_ms = timeout_ms,
                            .err = err};
    poise_code code = question_begin(client, timeout_ms, &question, err);
    bool going_on = true;
    while (code == POISE_OK && going_on) {
        union page page;
        code = next_page(&paging, &page);
        if (code == POISE_OK) {
            code = take_rows(&paging, &page.rows, on_page, context, &going_on);
        }
    }
    buf_free(&paging.cursor);
    return code;
}

/* ---- the log of changes ---- */

/* A cursor as people's tools can keep it: its bytes in hexadecimal. */
static void cursor_to_text(const void *bytes, size_t length, char ret_text[POISE_CURSOR_MAX])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < length; i++) {
        uint8_t byte = ((const uint8_t *)bytes)[i];
        ret_text[2 * i] = digits[byte >> 4];
        ret_text[2 * i + 1] = digits[byte & 15];
    }
    ret_text[2 * length] = '\0';
}

static poise_code take_cursor(struct paging *paging, const char *text)
{
    static const char digits[] = "0123456789abcdef";
    size_t length = strlen(text);
    bool valid = length % 2 == 0 && length < POISE_CURSOR_MAX && strspn(text, digits) == length;
    if (!valid) {
        return error_set(paging->err, POISE_EINVAL,
                         "'%.80s' is no cursor; one is the text that a page of changes came with", text);
    }
    for (size_t i = 0; i < length; i += 2) {
        size_t high = (size_t)(strchr(digits, text[i]) - digits);
        size_t low = (size_t)(strchr(digits, text[i + 1]) - digits);
        buf_put_u8(&paging->cursor, (uint8_t)(high << 4 | low));
    }
    return paging->cursor.failed ? error_nomem(paging->err, "a cursor") : POISE_OK;
}

static poise_code take_changed(struct paging *paging, const struct wire_changed *changed,
                               poise_on_changes *on_changes, void *context, bool *ret_going_on)
{
    char cursor[POISE_CURSOR_MAX];
    poise_change *changes = arena_alloc(&paging->client->link.arena, (changed->count + 1) * sizeof *changes);
    if (changed->cursor_length == 0) {
        return error_set(paging->err, POISE_EPROTO, "a page of changes came without a cursor");
    }
    if (!changes || !keep_cursor(paging, changed->cursor, changed->cursor_length)) {
        return error_nomem(paging->err, "a page");
    }
    for (size_t i = 0; i < changed->count; i++) {
        changes[i] = (poise_change){.state = &changed->states[i],
                                    .lsn = changed->lsns[i],
                                    .number = changed->numbers[i],
                                    .settled_ms = changed->settled_ms[i]};
    }
    cursor_to_text(changed->cursor, changed->cursor_length, cursor);
    const poise_changes_page page = {.changes = changes,
                                     .count = changed->count,
                                     .cursor = cursor,
                                     .whole = changed->whole,
                                     .last = changed->last,
                                     .done = changed->done,
                                     .total = changed->total};
    *ret_going_on = on_changes(context, &page) && !changed->last;
    return POISE_OK;
}

poise_code poise_read_changes(poise_client *client, const poise_filter *filter,
                              const poise_changes_from *from, int64_t timeout_ms,
                              poise_on_changes *on_changes, void *context, poise_error *err)
{
    struct question question = {0};
    struct arena memory = {0};
    struct paging paging = {.client = client,
                            .asks = WIRE_CHANGES,
                            .answers = WIRE_CHANGED,
                            .asked.changes = {.after_lsn = from ? from->after_lsn : 0},
                            .timeout_ms = timeout_ms,
                            .err = err};
    poise_code code = question_begin(client, timeout_ms, &question, err);
    if (code == POISE_OK) {
        code = filter_copy(&memory, filter, &paging.asked.changes.filter, err);
    }
    if (code == POISE_OK && from && from->cursor) {
        code = take_cursor(&paging, from->cursor);
    }
    bool going_on = true;
    while (code == POISE_OK && going_on) {
        union page page;
        code = next_page(&paging, &page);
        if (code == POISE_OK) {
            code = take_changed(&paging, &page.changed, on_changes, context, &going_on);
        }
    }
    buf_free(&paging.cursor);
    arena_free(&memory);
    return code;
}
