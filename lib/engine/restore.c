#include "internal.h"
#include <base/error.h>
#include <model/org.h>
#include <string.h>

struct restoring {
    struct engine *engine;
    poise_error *err;
};

poise_code load_entry(struct engine *engine, enum engine_table table, const struct buf *key,
                      struct buf *ret_value, poise_error *err)
{
    const struct engine_ports *ports = &engine->options.ports;
    poise_code code = POISE_ENOTFOUND; /* without the port nothing leaves memory */
    if (!key->failed && ports->load) {
        code = ports->load(ports->context, table, key->data, key->length, ret_value, err);
    }
    return key->failed || ret_value->failed ? error_nomem(err, "an entry of the store") : code;
}

static poise_code damaged(poise_error *err, const char *what)
{
    return error_set(err, POISE_ECORRUPT, "the stored state's %s cannot be read", what);
}

static struct feed *find_feed(const struct engine *engine, uint64_t identity)
{
    for (size_t i = 0; i < engine->feed_count; i++) {
        if (engine->feeds[i]->identity == identity) {
            return engine->feeds[i];
        }
    }
    return NULL;
}

/* Another's backfill that ends behind the checkpoint waits for these. */
static void restore_backfills(struct engine *engine, struct cursor *in)
{
    uint64_t count = cursor_varint(in);
    in->failed |= count > BACKFILLS_MAX;
    for (uint64_t i = 0; i < count && !in->failed; i++) {
        uint64_t who = cursor_u64(in);
        engine->backfills[engine->backfill_count++] = (struct backfill){who, cursor_svarint(in)};
    }
}

/* A feed takes the cells that it has stored; false: it is none of these. */
static bool take_feed(struct feed *feed, uint64_t identity, int64_t from_ms, int64_t to_ms)
{
    if (!feed) {
        return false;
    }
    feed->lacking = false;
    feed->identity = identity;
    feed->stored_from_ms = from_ms;
    feed->stored_to_ms = to_ms;
    return true;
}

static struct feed *find_like(const struct engine *engine, uint64_t likeness)
{
    for (size_t i = 0; i < engine->feed_count; i++) {
        if (engine->feeds[i]->lacking && engine->feeds[i]->likeness == likeness) {
            return engine->feeds[i];
        }
    }
    return NULL;
}

/* Where sums may be made of rows: those of other zone data serve, too, as long as their tiles are the same,
 * which engine_fill looks at. `in`: what each stored feed is like; older versions have not stored that. */
static void borrow_feeds(struct engine *engine, struct cursor stored, uint64_t count, struct cursor in)
{
    for (uint64_t i = 0; engine->options.fills && i < count && cursor_left(&in) > 0; i++) {
        uint64_t identity = cursor_u64(&stored), likeness = cursor_u64(&in);
        int64_t from_ms = cursor_svarint(&stored), to_ms = cursor_svarint(&stored);
        struct feed *feed = find_feed(engine, identity) ? NULL : find_like(engine, likeness);
        if (take_feed(feed, identity, from_ms, to_ms)) {
            feed->borrowed = true;
        }
    }
}

/* The state serves if it has the cells of every feed that the definitions want. */
static poise_code restore_head(struct engine *engine, struct cursor in, poise_error *err)
{
    uint8_t format = cursor_u8(&in);
    if (format != HEAD_FORMAT && format != HEAD_WITHOUT_LIKENESS) {
        return error_set(err, POISE_EVERSION,
                         "the stored state is of another format; build it again from the journal");
    }
    engine->as_of_ms = cursor_svarint(&in);
    engine->ordinal = cursor_varint(&in);
    engine->saved_series = (size_t)cursor_varint(&in);
    uint64_t count = cursor_varint(&in);
    const struct cursor stored = in;
    size_t known = 0;
    for (size_t i = 0; i < engine->feed_count; i++) {
        engine->feeds[i]->lacking = engine->options.fills;
    }
    for (uint64_t i = 0; i < count && !in.failed; i++) {
        uint64_t identity = cursor_u64(&in);
        int64_t from_ms = cursor_svarint(&in), to_ms = cursor_svarint(&in);
        known += take_feed(find_feed(engine, identity), identity, from_ms, to_ms);
    }
    restore_backfills(engine, &in);
    size_t likeness = format == HEAD_FORMAT ? (size_t)count * sizeof(uint64_t) : 0;
    if (in.failed || cursor_left(&in) != likeness || engine->saved_series >= ENGINE_UNNUMBERED) {
        return damaged(err, "head");
    }
    borrow_feeds(engine, stored, count, in);
    if (known < engine->feed_count && !engine->options.fills) {
        return error_set(err, POISE_EVERSION,
                         "the stored state lacks %zu of the %zu sums that the scorecards need now; "
                         "build it again from the journal",
                         engine->feed_count - known, engine->feed_count);
    }
    return POISE_OK;
}

static poise_code load_head(struct engine *engine, poise_error *err)
{
    struct buf key = {0}, value = {0};
    buf_put_u8(&key, HEAD_KEY);
    poise_code code = load_entry(engine, ENGINE_HEAD, &key, &value, err);
    if (code == POISE_OK) {
        code = restore_head(engine, cursor_of(value.data, value.length), err);
    }
    buf_free(&key);
    buf_free(&value);
    return code;
}

static poise_code restore_org(void *visitor, struct cursor key, struct cursor value)
{
    struct restoring *restoring = visitor;
    struct engine *engine = restoring->engine;
    char path[POISE_ORG_MAX + 1];
    size_t length = cursor_left(&value);
    uint32_t id = take_big32(&key);
    if (key.failed || id != engine->orgs.count || !org_valid((const char *)value.at, length)) {
        return damaged(restoring->err, "list of orgs");
    }
    memcpy(path, value.at, length);
    path[length] = '\0';
    if (org_missing(engine, path) != 1) { /* parents come first */
        return damaged(restoring->err, "list of orgs");
    }
    return org_add(engine, path, length) == id ? POISE_OK : error_nomem(restoring->err, "the orgs");
}

static poise_code restore_source(void *visitor, struct cursor key, struct cursor value)
{
    struct restoring *restoring = visitor;
    struct intern *sources = &restoring->engine->sources;
    uint32_t id = take_big32(&key);
    size_t length = cursor_left(&value);
    if (key.failed || id != sources->count || length > POISE_SOURCE_MAX ||
        intern_find(sources, (const char *)value.at, length) != INTERN_NONE) {
        return damaged(restoring->err, "list of sources");
    }
    return intern_add(sources, (const char *)value.at, length) == id
               ? POISE_OK
               : error_nomem(restoring->err, "the sources");
}

static poise_code restore_seen(void *visitor, struct cursor key, struct cursor value)
{
    struct restoring *restoring = visitor;
    struct engine *engine = restoring->engine;
    (void)value;
    uint32_t org = take_big32(&key);
    if (key.failed || org >= engine->orgs.count) {
        return damaged(restoring->err, "list of units");
    }
    struct input *input = definition_input(engine, (const char *)key.at, cursor_left(&key));
    bool is_new;
    bool ok = !input || units_add_seen(engine, input, org, &is_new);
    return ok ? POISE_OK : error_nomem(restoring->err, "a scorecard at an org");
}

static poise_code restore_series(void *visitor, struct cursor key, struct cursor value)
{
    struct restoring *restoring = visitor;
    return series_restore(restoring->engine, key, value, restoring->err);
}

static poise_code restore_waiting(void *visitor, struct cursor key, struct cursor value)
{
    struct restoring *restoring = visitor;
    return future_restore(restoring->engine, key, value, restoring->err);
}

poise_code restore(struct engine *engine, poise_error *err)
{
    static const struct {
        enum engine_table table;
        poise_code (*visit)(void *visitor, struct cursor key, struct cursor value);
    } steps[] = {{ENGINE_ORGS, restore_org},
                 {ENGINE_SOURCES, restore_source},
                 {ENGINE_SERIES, restore_series},
                 {ENGINE_UNITS, restore_seen}};
    const struct engine_ports *ports = &engine->options.ports;
    struct restoring restoring = {.engine = engine, .err = err};
    poise_code code = load_head(engine, err);
    if (code != POISE_OK) {
        return code == POISE_ENOTFOUND ? POISE_OK : code;
    }
    for (size_t i = 0; i < sizeof steps / sizeof *steps && code == POISE_OK; i++) {
        code = ports->walk(ports->context, steps[i].table, steps[i].visit, &restoring, err);
    }
    engine->saved_orgs = engine->orgs.count;
    engine->saved_sources = engine->sources.count;
    if (code == POISE_OK && engine->series.numbered != engine->saved_series) {
        code = damaged(err, "list of series");
    }
    if (code == POISE_OK && !series_link(engine)) {
        code = error_nomem(err, "the series");
    }
    return code == POISE_OK ? ports->walk(ports->context, ENGINE_FUTURE, restore_waiting, &restoring, err)
                            : code;
}

/* ---- sums of frozen times, for answers about them ---- */

static const struct feed *find_same(const struct engine *all, const struct feed *feed)
{
    const struct input *input = definition_input(all, feed->input->name, strlen(feed->input->name));
    const struct feed *same = input ? input->feeds : NULL;
    while (same && (same->subtree != feed->subtree || !same_tiling(&same->tiling, &feed->tiling))) {
        same = same->next;
    }
    return same;
}

/* Feeds have the parts that all definitions want, and so the names of the stored cells. */
static poise_code take_stored(struct engine *engine, const struct engine *all, poise_error *err)
{
    size_t largest = 1;
    for (size_t i = 0; i < engine->feed_count; i++) {
        struct feed *feed = engine->feeds[i];
        const struct feed *same = find_same(all, feed);
        if (same && !same->lacking) {
            feed->layout = accumulator_layout(same->layout.parts, &engine->sources);
            feed->stored = take_feed(feed, same->identity, same->stored_from_ms, same->stored_to_ms);
        }
        largest = feed->layout.size > largest ? feed->layout.size : largest;
    }
    engine->merging = arena_zalloc(&engine->arena, 1, largest);
    return engine->merging ? POISE_OK : error_nomem(err, "the compiled scorecards");
}

/* Cells name orgs and sources by the numbers that the state has given them. */
static poise_code take_names(struct engine *engine, poise_error *err)
{
    const struct engine_ports *ports = &engine->options.ports;
    struct restoring restoring = {.engine = engine, .err = err};
    poise_code code = ports->walk(ports->context, ENGINE_ORGS, restore_org, &restoring, err);
    return code == POISE_OK ? ports->walk(ports->context, ENGINE_SOURCES, restore_source, &restoring, err)
                            : code;
}

poise_code restore_frozen(struct engine *engine, poise_error *err)
{
    const struct engine_stored *stored = &engine->options.stored;
    const struct engine_options options = {
        .cards = stored->cards,
        .card_count = stored->card_count,
        .terms = stored->terms,
        .fills = true,
        .offline = true,
        .ports = {.context = engine->options.ports.context, .load = engine->options.ports.load}};
    struct engine *all = NULL;
    poise_code code = engine_open(&options, &all, err);
    if (code == POISE_OK) {
        code = load_head(all, err);
    }
    if (code == POISE_OK) {
        code = take_stored(engine, all, err);
    }
    engine_close(all);
    engine->options.stored.cards = NULL; /* they are the caller's, and may go now */
    engine->options.stored.terms = NULL;
    if (code == POISE_OK) {
        code = take_names(engine, err);
    }
    return code == POISE_ENOTFOUND ? POISE_OK : code; /* no state: nothing is frozen */
}
