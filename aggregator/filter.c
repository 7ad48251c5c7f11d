#include "filter.h"

#include <base/error.h>
#include <model/org.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STARRED_MAX = 2048 /* bytes of globs that are more than a name: each is tried on every org */ };

/* ---- a filter as it came ---- */

poise_code filter_check(const struct wire_filter *wanted, poise_error *err)
{
    size_t starred = 0;
    for (size_t i = 0; i < wanted->org_count; i++) {
        if (!glob_valid(wanted->orgs[i]))
            return error_set(err, POISE_EPROTO, "'%.200s' in the filter is no org and no glob of orgs",
                             wanted->orgs[i]);
        starred += strchr(wanted->orgs[i], '*') ? strlen(wanted->orgs[i]) : 0;
    }
    if (starred > STARRED_MAX)
        return error_set(err, POISE_ELIMIT,
                         "the globs with '*' in the filter have %zu bytes; at most %d are allowed", starred,
                         STARRED_MAX);
    return POISE_OK;
}

static size_t bytes_of(const char *const *texts, size_t count)
{
    enum { ROUNDED = 16 }; /* by an arena */
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += sizeof(char *) + 2 * strlen(texts[i]) + 1 + ROUNDED;
    return bytes;
}

size_t filter_weight(const struct wire_filter *wanted)
{
    return 1 + (bytes_of(wanted->scorecards, wanted->scorecard_count) +
                bytes_of(wanted->orgs, wanted->org_count) + bytes_of(wanted->nodes, wanted->node_count)) /
                   FILTER_SHARE;
}

static const char **copy_texts(struct arena *arena, const char *const *texts, size_t count)
{
    const char **copy = arena_zalloc(arena, count ? count : 1, sizeof(char *));
    for (size_t i = 0; copy && i < count; i++)
        if (!(copy[i] = arena_strndup(arena, texts[i], strlen(texts[i]))))
            return NULL;
    return copy;
}

bool filter_copy_to(struct arena *arena, const struct wire_filter *from, struct wire_filter *ret_copy)
{
    struct wire_filter copy = *from;
    copy.scorecards = copy_texts(arena, from->scorecards, from->scorecard_count);
    copy.orgs = copy_texts(arena, from->orgs, from->org_count);
    copy.nodes = copy_texts(arena, from->nodes, from->node_count);
    *ret_copy = copy;
    return copy.scorecards && copy.orgs && copy.nodes;
}

bool filter_has(const struct wire_filter *wanted, uint32_t changes)
{
    uint32_t has = wanted->changes ? wanted->changes : POISE_CHANGES_NUMBERS | POISE_CHANGES_REVISIONS;
    return (has & changes) != 0;
}

static bool card_passes(const struct wire_filter *wanted, const char *path)
{
    size_t length = strcspn(path, "/");
    for (size_t i = 0; i < wanted->scorecard_count; i++)
        if (strlen(wanted->scorecards[i]) == length && memcmp(wanted->scorecards[i], path, length) == 0)
            return true;
    return wanted->scorecard_count == 0;
}

static bool path_passes(const struct wire_filter *wanted, const char *path)
{
    for (size_t i = 0; i < wanted->node_count; i++) {
        size_t length = strlen(wanted->nodes[i]);
        if (strncmp(path, wanted->nodes[i], length) == 0 && (path[length] == '\0' || path[length] == '/'))
            return true;
    }
    return wanted->node_count == 0;
}

bool filter_org(const struct wire_filter *wanted, const char *org)
{
    for (size_t i = 0; i < wanted->org_count; i++)
        if (org_matches(wanted->orgs[i], org))
            return true;
    return wanted->org_count == 0;
}

bool filter_node(const struct wire_filter *wanted, const char *path, poise_kind kind)
{
    return (wanted->kinds == 0 || (wanted->kinds & UINT32_C(1) << kind)) && card_passes(wanted, path) &&
           path_passes(wanted, path);
}

/* ---- one that subscriptions share ---- */

const struct filter_reader filter_everybody = {NULL, ""};

static void put_texts(struct buf *key, const char *const *texts, size_t count)
{
    buf_put_u32(key, (uint32_t)count);
    for (size_t i = 0; i < count; i++)
        buf_put(key, texts[i], strlen(texts[i]) + 1);
}

static bool put_key(const struct wire_filter *wanted, const struct filter_reader *reader, struct buf *key)
{
    buf_put(key, reader->user, strlen(reader->user) + 1);
    put_texts(key, wanted->scorecards, wanted->scorecard_count);
    put_texts(key, wanted->orgs, wanted->org_count);
    put_texts(key, wanted->nodes, wanted->node_count);
    buf_put_u32(key, wanted->kinds);
    buf_put_u32(key, wanted->changes);
    return !key->failed;
}

static bool key_matches(const void *entry, const void *key)
{
    const struct buf *a = &((const struct filter *)entry)->key, *b = key;
    return a->length == b->length && memcmp(a->data, b->data, a->length) == 0;
}

static bool pass_nodes(struct filter *filter, const struct board *board)
{
    filter->card_count = board->card_count;
    filter->node_pass = calloc(filter->card_count ? filter->card_count : 1, sizeof *filter->node_pass);
    for (size_t c = 0; filter->node_pass && c < filter->card_count; c++) {
        const struct scorecard *card = board->cards[c];
        filter->node_pass[c] = calloc(card->node_count, 1);
        if (!filter->node_pass[c])
            return false;
        for (uint32_t n = 0; n < card->node_count; n++)
            filter->node_pass[c][n] = filter_node(&filter->wanted, card->nodes[n].path, card->nodes[n].kind);
    }
    return filter->node_pass != NULL;
}

static void filter_free(struct filter *filter)
{
    for (size_t c = 0; filter->node_pass && c < filter->card_count; c++)
        free(filter->node_pass[c]);
    free(filter->node_pass);
    free(filter->unit_pass);
    buf_free(&filter->key);
    buf_free(&filter->sent.tail);
    arena_free(&filter->arena);
    free(filter);
}

static struct filter *filter_new(struct board *board, const struct wire_filter *wanted, struct buf *key,
                                 uint64_t hash)
{
    struct filter *filter = calloc(1, sizeof *filter);
    if (!filter)
        return NULL;
    filter->hash = hash;
    filter->key = *key;
    *key = (struct buf){0};
    arena_init(&filter->arena, WIRE_MESSAGE_MAX * 4);
    if (!filter_copy_to(&filter->arena, wanted, &filter->wanted) || !pass_nodes(filter, board) ||
        !hmap_add(&board->filters, hash, filter)) {
        filter_free(filter);
        return NULL;
    }
    return filter;
}

poise_code filter_open(struct board *board, const struct wire_filter *wanted,
                       const struct filter_reader *reader, struct filter **ret_filter, poise_error *err)
{
    struct buf key = {0};
    struct filter *filter = NULL;
    poise_code code = filter_check(wanted, err);
    if (code)
        return code;
    if (put_key(wanted, reader, &key)) {
        uint64_t hash = hash64(key.data, key.length, 0);
        filter = hmap_get(&board->filters, hash, key_matches, &key);
        if (!filter)
            filter = filter_new(board, wanted, &key, hash);
    }
    buf_free(&key);
    if (!filter)
        return error_nomem(err, "a filter");
    filter->users++;
    filter->reader = reader->peer;
    (void)snprintf(filter->user, sizeof filter->user, "%s", reader->user);
    *ret_filter = filter;
    return POISE_OK;
}

void filter_close(struct board *board, struct filter *filter)
{
    if (!filter || --filter->users > 0)
        return;
    (void)hmap_remove(&board->filters, filter->hash, key_matches, &filter->key);
    board->kept_bytes -= filter->sent.tail.capacity;
    filter_free(filter);
}

void filter_kept(struct board *board, struct filter *filter, size_t before)
{
    board->kept_bytes += filter->sent.tail.capacity - before;
    if (board->kept_bytes <= FILTER_KEPT_MAX)
        return;
    struct filter *other;
    for (size_t at = 0; (other = hmap_next(&board->filters, &at));) {
        if (other == filter)
            continue;
        board->kept_bytes -= other->sent.tail.capacity;
        buf_free(&other->sent.tail);
        other->sent.head = 0;
    }
}

static bool look_at_unit(const struct filter *filter, const struct board_unit *unit)
{
    return filter_org(&filter->wanted, unit->org) &&
           (!filter->reader || access_reads(filter->reader, unit->card->id, unit->org));
}

/* Whether a unit's org passes, remembered: globs are matched once a unit. */
static bool unit_passes(struct filter *filter, const struct board_unit *unit)
{
    if (unit->index >= filter->unit_pass_count) {
        size_t count = ((size_t)unit->index + 64) * 2;
        uint8_t *grown = realloc(filter->unit_pass, count);
        if (!grown)
            return look_at_unit(filter, unit);
        memset(grown + filter->unit_pass_count, 0, count - filter->unit_pass_count);
        filter->unit_pass = grown;
        filter->unit_pass_count = count;
    }
    uint8_t *known = &filter->unit_pass[unit->index];
    if (*known == 0)
        *known = look_at_unit(filter, unit) ? 1 : 2;
    return *known == 1;
}

bool filter_passes(struct filter *filter, const struct board_unit *unit, uint32_t node)
{
    return filter->node_pass[unit->card_index][node] && unit_passes(filter, unit);
}
