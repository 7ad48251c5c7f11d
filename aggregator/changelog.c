#include "changelog.h"

#include "filter.h"
#include "settles.h"
#include <base/error.h>
#include <base/hash.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CURSOR_VERSION = 1,
    CURSOR_BYTES = 1 + 8 + 8 + 4 + 8 + 8 + 4 + 4,
    COLUMN_BYTES = 25 /* of a state's lsn, time and number at most */
};

/* ---- what is asked ---- */

poise_code changelog_open(const struct wire_changes *asked, struct changelog **ret_changelog,
                          poise_error *err)
{
    poise_code code = filter_check(&asked->filter, err);
    if (!code && (asked->filter.changes & POISE_CHANGES_STATUS))
        code = error_set(
            err, POISE_EUNSUPPORTED,
            "the log has what each change became, and not what it was before: subscribe for changes of "
            "a status, or take all and compare");
    if (code)
        return code;
    struct changelog *changelog = calloc(1, sizeof *changelog);
    if (!changelog)
        return error_nomem(err, "a page of changes");
    arena_init(&changelog->arena, WIRE_MESSAGE_MAX * 4);
    changelog->after_lsn = asked->after_lsn;
    changelog->cursor_length = asked->cursor_length; /* which decoding has checked */
    if (asked->cursor_length)
        memcpy(changelog->cursor, asked->cursor, asked->cursor_length);
    if (!filter_copy_to(&changelog->arena, &asked->filter, &changelog->filter)) {
        changelog_free(changelog);
        return error_nomem(err, "a page of changes");
    }
    *ret_changelog = changelog;
    return POISE_OK;
}

void changelog_free(struct changelog *changelog)
{
    if (changelog)
        arena_free(&changelog->arena);
    free(changelog);
}

/* ---- the cursor ---- */

/* Of a store, as of its last restore. */
static uint64_t name_of(const struct store *store)
{
    uint8_t id[16];
    store_id(store, id);
    return hash64(id, sizeof id, store_incarnation(store));
}

static void put_cursor(const struct settles_position *at, const struct store *store, struct buf *out)
{
    buf_put_u8(out, CURSOR_VERSION);
    buf_put_u64(out, name_of(store));
    buf_put_u64(out, at->lsn);
    buf_put_u32(out, at->item);
    buf_put_u64(out, at->settle);
    buf_put_u64(out, (uint64_t)at->settled_ms);
    buf_put_u32(out, at->number);
    if (!out->failed)
        buf_put_u32(out, crc32c(out->data, out->length));
}

static poise_code take_cursor(const struct changelog *changelog, const struct store *store,
                              struct settles_position *ret_at, poise_error *err)
{
    struct cursor in = cursor_of(changelog->cursor, changelog->cursor_length);
    bool valid = changelog->cursor_length == CURSOR_BYTES && cursor_u8(&in) == CURSOR_VERSION;
    uint64_t name = cursor_u64(&in);
    struct settles_position at = {.lsn = cursor_u64(&in)};
    at.item = cursor_u32(&in);
    at.settle = cursor_u64(&in);
    at.settled_ms = (int64_t)cursor_u64(&in);
    at.number = cursor_u32(&in);
    if (!valid || cursor_u32(&in) != crc32c(changelog->cursor, CURSOR_BYTES - 4) || at.lsn == 0)
        return error_set(err, POISE_EPROTO, "the cursor is none of a page of changes");
    if (name != name_of(store) || at.lsn > store_last_lsn(store) + 1)
        return error_set(
            err, POISE_ESTORE,
            "the cursor is of another store, or of this one before it was restored from a backup: "
            "take the present states, and go on behind these");
    *ret_at = at;
    return POISE_OK;
}

static poise_code find_start(const struct changelog *changelog, const struct store *store,
                             struct settles_position *ret_at, poise_error *err)
{
    if (changelog->cursor_length)
        return take_cursor(changelog, store, ret_at, err);
    if (changelog->after_lsn > store_last_lsn(store))
        return error_set(err, POISE_ESTORE, "this store has no lsn %llu yet",
                         (unsigned long long)changelog->after_lsn);
    *ret_at = (struct settles_position){.lsn = changelog->after_lsn ? changelog->after_lsn + 1 : 0};
    return POISE_OK;
}

/* ---- the page ---- */

struct page {
    const struct changelog *changelog;
    poise_state states[CHANGELOG_STATES_MAX];
    uint64_t lsns[CHANGELOG_STATES_MAX];
    int64_t settled_ms[CHANGELOG_STATES_MAX];
    uint32_t numbers[CHANGELOG_STATES_MAX];
    size_t count, bytes, looked;
    struct arena texts;
    const char *org; /* of the latest state that was asked about, and whether it passes */
    bool org_passes;
    poise_error *err;
};

static const char *keep(struct page *page, const char *text)
{
    return arena_strndup(&page->texts, text, strlen(text));
}

static bool may_see(const struct access_peer *reader, const poise_state *state)
{
    char card[POISE_ID_MAX + 1];
    int length = (int)strcspn(state->node, "/");
    return !reader || (snprintf(card, sizeof card, "%.*s", length, state->node) == length &&
                       access_reads(reader, card, state->org));
}

static poise_code passes(struct page *page, const poise_state *state, bool *ret_passes)
{
    const struct wire_filter *filter = &page->changelog->filter;
    uint32_t what = state->revision ? POISE_CHANGES_REVISIONS : POISE_CHANGES_NUMBERS;
    *ret_passes = false;
    if (!filter_has(filter, what) || !filter_node(filter, state->node, state->kind))
        return POISE_OK;
    if (!page->org || strcmp(page->org, state->org) != 0) {
        page->org_passes = filter_org(filter, state->org);
        page->org = keep(page, state->org);
    }
    *ret_passes = page->org_passes && may_see(page->changelog->reader, state);
    return page->org ? POISE_OK : error_nomem(page->err, "a page of changes");
}

static poise_code add_change(void *visitor, const struct settles_change *change)
{
    struct page *page = visitor;
    bool wanted;
    poise_code code = passes(page, change->state, &wanted);
    if (code || !wanted)
        return code;
    size_t size = wire_state_size(change->state) + COLUMN_BYTES;
    if (page->count == CHANGELOG_STATES_MAX || page->bytes + size > CHANGELOG_BYTES)
        return POISE_ECLOSED;
    poise_state *state = &page->states[page->count];
    *state = *change->state;
    state->org = page->org;
    state->node = keep(page, change->state->node);
    state->name = keep(page, change->state->name);
    if (!state->node || !state->name)
        return error_nomem(page->err, "a page of changes");
    page->lsns[page->count] = change->lsn;
    page->settled_ms[page->count] = change->settled_ms;
    page->numbers[page->count++] = change->number;
    page->bytes += size;
    return POISE_OK;
}

static bool has_time(void *visitor, size_t bytes)
{
    struct page *page = visitor;
    page->looked += bytes;
    return page->looked < CHANGELOG_LOOK_BYTES;
}

static poise_code put_page(struct page *page, uint64_t id, const struct store *store,
                           const struct settles_position *at, bool all, uint64_t until, struct buf *out)
{
    struct buf cursor = {0};
    put_cursor(at, store, &cursor);
    const struct wire_changed changed = {.id = id,
                                         .states = page->states,
                                         .lsns = page->lsns,
                                         .settled_ms = page->settled_ms,
                                         .numbers = page->numbers,
                                         .count = page->count,
                                         .cursor = cursor.data,
                                         .cursor_length = cursor.length,
                                         .whole = at->settle == 0,
                                         .last = all,
                                         .done = at->lsn - 1,
                                         .total = until};
    poise_code code = cursor.failed ? POISE_ENOMEM : wire_encode_changed(&changed, out);
    buf_free(&cursor);
    return code ? error_nomem(page->err, "a page of changes") : POISE_OK;
}

poise_code changelog_page(const struct changelog *changelog, uint64_t id, struct store *store,
                          const _Atomic bool *stop, struct buf *out, poise_error *err)
{
    struct settles_position at;
    uint64_t until = store_last_lsn(store);
    bool all;
    poise_code code = find_start(changelog, store, &at, err);
    if (code)
        return code;
    struct page *page = calloc(1, sizeof *page);
    if (!page)
        return error_nomem(err, "a page of changes");
    page->changelog = changelog;
    page->err = err;
    const struct settles_visit visit = {
        .change = add_change, .go_on = has_time, .visitor = page, .stop = stop};
    code = settles_read(store, &at, until, &visit, &all, err);
    if (!code)
        code = put_page(page, id, store, &at, all, until, out);
    arena_free(&page->texts);
    free(page);
    return code;
}
