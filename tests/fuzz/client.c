/* What an aggregator says to programs with libpoise, message by message: [kind, body] one after the other,
 * where kind 0 lets some time go by. The first byte says what the program does. The linker sends the
 * library's calls of its link here, so that there is no socket and no waiting. */
#include "fuzz.h"
#include <client/link.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <model/measurement.h>
#include <poise/client.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SUBSCRIBE, GET, ASK, RESTATE, RESCORE, DUMP, BACKUP, STATS, SEND, ERASE, CHANGES, LOSSES, KINDS };
enum { ROWS = 6, ROWS_OF_BATCH = 2, STEPS_MAX = 200 };

struct script {
    struct cursor in;
    int64_t now_us;
};

static struct script *the_script(void)
{
    static struct script script;
    return &script;
}

/* ---- the link ---- */

poise_code __wrap_link_open(struct link *link, const struct link_options *options, poise_error *err);
poise_code __wrap_link_move(struct link *link, const char *endpoint, poise_error *err);
void __wrap_link_close(struct link *link);
poise_code __wrap_link_reopen(struct link *link, poise_error *err);
poise_code __wrap_link_send(struct link *link, enum wire_kind kind, poise_code encoded, poise_error *err);
poise_code __wrap_link_send_body(struct link *link, enum wire_kind kind, const void *body, size_t length,
                                 poise_error *err);
poise_code __wrap_link_receive(struct link *link, struct link_message *ret_message, poise_error *err);
poise_code __wrap_link_wait(struct link *link, bool want_send, int64_t timeout_us, poise_error *err);
poise_code __wrap_link_can_send(struct link *link, bool *ret_can, poise_error *err);
int64_t __wrap_link_now(void);
ssize_t __wrap_getrandom(void *bytes, size_t length, unsigned flags);
int64_t __wrap_link_deadline(int64_t timeout_ms);

poise_code __wrap_link_open(struct link *link, const struct link_options *options, poise_error *err)
{
    (void)err;
    *link = (struct link){.insecure = options->insecure, .endpoint = strdup(options->endpoint)};
    arena_init(&link->arena, 1 << 22);
    MUST(link->endpoint);
    return POISE_OK;
}

void __wrap_link_close(struct link *link)
{
    arena_free(&link->arena);
    buf_free(&link->body);
    free(link->endpoint);
    *link = (struct link){0};
}

poise_code __wrap_link_reopen(struct link *link, poise_error *err)
{
    (void)link;
    (void)err;
    return POISE_OK;
}

poise_code __wrap_link_move(struct link *link, const char *endpoint, poise_error *err)
{
    (void)err;
    free(link->endpoint);
    link->endpoint = strdup(endpoint);
    MUST(link->endpoint);
    return POISE_OK;
}

poise_code __wrap_link_send_body(struct link *link, enum wire_kind kind, const void *body, size_t length,
                                 poise_error *err)
{
    (void)link;
    (void)kind;
    (void)body;
    (void)err;
    MUST(length <= WIRE_MESSAGE_MAX);
    return POISE_OK;
}

poise_code __wrap_link_send(struct link *link, enum wire_kind kind, poise_code encoded, poise_error *err)
{
    MUST(encoded == POISE_OK && !link->body.failed);
    poise_code code = __wrap_link_send_body(link, kind, link->body.data, link->body.length, err);
    buf_reset(&link->body);
    return code;
}

poise_code __wrap_link_receive(struct link *link, struct link_message *ret_message, poise_error *err)
{
    enum { UNIT_US = 100000 };
    struct script *script = the_script();
    (void)err;
    arena_reset(&link->arena);
    while (cursor_left(&script->in) > 0) {
        size_t length;
        unsigned kind = cursor_u8(&script->in);
        const char *body = cursor_text(&script->in, &length);
        if (script->in.failed) {
            break;
        }
        if (kind != 0) {
            *ret_message =
                (struct link_message){.kind = (enum wire_kind)kind, .body = body, .length = length};
            return POISE_OK;
        }
        script->now_us += (int64_t)length * UNIT_US;
        return POISE_ENOTFOUND;
    }
    script->in.at = script->in.end;
    return POISE_ENOTFOUND;
}

/* Nothing more will come. */
static bool is_over(void)
{
    return cursor_left(&the_script()->in) == 0;
}

poise_code __wrap_link_wait(struct link *link, bool want_send, int64_t timeout_us, poise_error *err)
{
    (void)link;
    (void)want_send;
    (void)timeout_us;
    if (err && is_over()) {
        *err = (poise_error){.code = POISE_ECLOSED, .text = "the input is over"};
    }
    return is_over() ? POISE_ECLOSED : POISE_OK;
}

poise_code __wrap_link_can_send(struct link *link, bool *ret_can, poise_error *err)
{
    (void)link;
    (void)err;
    *ret_can = true;
    return POISE_OK;
}

int64_t __wrap_link_now(void)
{
    return the_script()->now_us;
}

int64_t __wrap_link_deadline(int64_t timeout_ms)
{
    return the_script()->now_us + timeout_ms * 1000;
}

/* The epoch of the spool, which a WELCOME and an ACK have to name. */
ssize_t __wrap_getrandom(void *bytes, size_t length, unsigned flags)
{
    (void)flags;
    memset(bytes, 1, length);
    return (ssize_t)length;
}

/* ---- subscribing and asking ---- */

struct view {
    bool is_reset; /* a snapshot has begun since the beginning and since the last loss */
    bool is_whole;
    size_t events;
};

static bool see_event(void *context, const poise_event *event)
{
    struct view *view = context;
    switch (event->kind) {
    case POISE_EVENT_RESET:
        view->is_reset = true;
        view->is_whole = false;
        break;
    case POISE_EVENT_LOST:
        break;
    case POISE_EVENT_REVISION:
        MUST(view->is_whole); /* of a view that is known */
        __attribute__((fallthrough));
    case POISE_EVENT_STATE:
        MUST(view->is_reset && event->state && event->state->node[0]);
        MUST(fuzz_is_text(event->state->org, WIRE_TEXT_MAX) &&
             fuzz_is_text(event->state->node, WIRE_TEXT_MAX));
        break;
    case POISE_EVENT_READY:
        MUST(view->is_reset);
        view->is_whole = true;
        break;
    }
    return ++view->events % 16 != 0; /* now and then the caller stops, and goes on */
}

static poise_code subscribe(poise_client *client, poise_error *err)
{
    struct view view = {0};
    poise_code code = poise_subscribe(client, NULL, 0, err);
    for (int i = 0; code == POISE_OK && i < STEPS_MAX; i++) {
        code = poise_client_step(client, 1000, see_event, &view, err);
    }
    return code;
}

static bool see_answer(void *context, const poise_event *event)
{
    bool *is_ready = context;
    MUST(!*is_ready && event->kind != POISE_EVENT_LOST && event->kind != POISE_EVENT_RESET);
    *is_ready = event->kind == POISE_EVENT_READY;
    MUST(*is_ready || (event->state && event->state->node[0]));
    return true;
}

static bool see_page(void *context, const poise_page *page)
{
    const volatile uint64_t *places = page->places; /* these may be any, but have to be there */
    (void)context;
    for (size_t i = 0; i < page->count; i++) {
        const poise_measurement *row = &page->rows[i];
        MUST(fuzz_is_text(row->measure, WIRE_SYMBOL_BYTES_MAX) &&
             fuzz_is_text(row->org, WIRE_SYMBOL_BYTES_MAX));
        (void)places[i];
    }
    return true;
}

/* Each page has a cursor to go on with; behind the last one none comes. */
static bool see_changes(void *context, const poise_changes_page *page)
{
    bool *is_over = context;
    size_t length = strlen(page->cursor);
    MUST(!*is_over && length > 0 && length % 2 == 0 && length < POISE_CURSOR_MAX);
    for (size_t i = 0; i < page->count; i++) {
        const poise_state *state = page->changes[i].state;
        MUST(state && state->node[0] && fuzz_is_text(state->org, WIRE_TEXT_MAX) &&
             fuzz_is_text(state->node, WIRE_TEXT_MAX));
    }
    *is_over = page->last;
    return true;
}

static void see_loss(void *context, const poise_loss *loss)
{
    size_t *count = context;
    MUST(++*count <= WIRE_LOSSES_MAX && fuzz_is_text(loss->producer, WIRE_TEXT_MAX));
}

static void see_number(void *context, const char *name, double value)
{
    (void)context;
    (void)value;
    MUST(fuzz_is_text(name, WIRE_TEXT_MAX));
}

static poise_code order(poise_client *client, int kind, poise_error *err)
{
    uint64_t rows, refused;
    poise_rescored rescored;
    poise_erased erased;
    poise_backed_up backed_up;
    switch (kind) {
    case RESTATE:
        return poise_restate(client, &(poise_restatement){.to_ms = 1, .reason = "r"}, 1000, &rows, &refused,
                             err);
    case ERASE:
        return poise_erase(client, &(poise_erasure){.org = "**", .to_ms = 1, .reason = "r"}, 1000, &erased,
                           err);
    case RESCORE:
        return poise_rescore(client, &(poise_rescoring){.scorecard = "card"}, 1000, &rescored, err);
    case BACKUP: {
        poise_code code = poise_backup(client, "monday", 1000, &backed_up, err);
        MUST(code != POISE_OK || fuzz_is_text(backed_up.path, sizeof backed_up.path - 1));
        return code;
    }
    case CHANGES: {
        bool is_over = false;
        poise_code code = poise_read_changes(client, NULL, NULL, 1000, see_changes, &is_over, err);
        MUST((code == POISE_OK) == is_over);
        return code;
    }
    case LOSSES: {
        uint64_t left_out;
        size_t count = 0;
        return poise_get_losses(client, 1000, see_loss, &count, &left_out, err);
    }
    case DUMP:
        return poise_dump(client, &(poise_selection){.to_ms = 1}, 1000, see_page, NULL, err);
    default:
        return poise_get_stats(client, 1000, see_number, NULL, err);
    }
}

static void try_client(int kind)
{
    poise_client *client;
    poise_error err = {0};
    poise_code code;
    bool is_ready = false;
    MUST(poise_client_open(&(poise_client_options){.endpoint = "ipc://x"}, &client, NULL) == POISE_OK);
    switch (kind) {
    case SUBSCRIBE:
        code = subscribe(client, &err);
        break;
    case GET:
        code = poise_get(client, NULL, 1000, see_answer, &is_ready, &err);
        MUST((code == POISE_OK) == is_ready);
        break;
    case ASK:
        code = poise_ask(client, &(poise_question){.scorecard = "card", .org = ""}, 1000, see_answer,
                         &is_ready, &err);
        MUST((code == POISE_OK) == is_ready);
        break;
    default:
        code = order(client, kind, &err);
    }
    MUST(code == POISE_OK || (err.text[0] && fuzz_is_text(err.text, POISE_ERROR_TEXT_MAX)));
    poise_client_close(client);
}

/* ---- sending ---- */

static char directory[] = "/dev/shm/poise-fuzz-XXXXXX"; /* in memory: syncs cost nothing */

static void empty_directory(void)
{
    char path[PATH_MAX];
    struct dirent *entry;
    DIR *dir = opendir(directory);
    MUST(dir);
    while ((entry = readdir(dir))) {
        snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        (void)unlink(path);
    }
    closedir(dir);
}

static void remove_directory(void)
{
    empty_directory();
    (void)rmdir(directory);
}

static void make_directory(void)
{
    static bool is_made;
    if (!is_made) {
        MUST(mkdtemp(directory));
        (void)atexit(remove_directory);
        is_made = true;
    }
}

static poise_code see_refused(void *context, const poise_refused *items, size_t count)
{
    (void)context;
    MUST(count <= ROWS_OF_BATCH);
    for (size_t i = 0; i < count; i++) {
        MUST(measurement_check(&items[i].measurement) == POISE_REFUSAL_NONE); /* one that was sent */
    }
    return POISE_OK;
}

static void check_sender(const poise_sender *sender)
{
    poise_sender_stats stats;
    poise_sender_get_stats(sender, &stats);
    MUST(stats.accepted == ROWS && stats.acknowledged <= ROWS && stats.refused <= stats.acknowledged);
    MUST(stats.acknowledged + stats.lost + ROWS_OF_BATCH * stats.batches_left >= ROWS); /* lost: in doubt */
}

static void try_sender(void)
{
    poise_sender *sender;
    make_directory();
    const poise_sender_options options = {.endpoint = "ipc://x",
                                          .producer = "p",
                                          .spool = directory,
                                          .batch_rows = ROWS_OF_BATCH,
                                          .refused = see_refused};
    MUST(poise_sender_open(&options, &sender, NULL) == POISE_OK);
    for (int i = 0; i < ROWS; i++) {
        const poise_measurement row = {.measure = "a", .org = "x", .time_ms = i, .value = i, .of = 1};
        MUST(poise_send(sender, &row, NULL, NULL) == POISE_OK);
    }
    MUST(poise_sender_flush(sender, NULL) == POISE_OK);
    for (int i = 0; i < STEPS_MAX && !is_over(); i++) {
        poise_error err = {0};
        poise_code code = poise_sender_step(sender, 1000, &err);
        MUST(code == POISE_OK || (err.text[0] && fuzz_is_text(err.text, POISE_ERROR_TEXT_MAX)));
        check_sender(sender);
    }
    poise_sender_close(sender);
    empty_directory();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    *the_script() = (struct script){.in = cursor_of(data + 1, size - 1), .now_us = INT64_C(1000000000)};
    if (data[0] % KINDS == SEND) {
        try_sender();
    } else {
        try_client(data[0] % KINDS);
    }
    return 0;
}
