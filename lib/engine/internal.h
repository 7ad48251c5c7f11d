/* What the files of the engine share.
 *
 *     expect.c  what rows need is fetched from memory before they come
 *     series.c  an input's measurement goes to the cells of its org and of every org above
 *     number.c  series by number
 *     definition.c  which cells those are: the feeds that the definitions' leaves read
 *     gains.c   rows are added up by themselves until somebody reads the cells
 *     tiling.c  how feeds tile time                      reading.c windows put together from cells
 *     cell.c    cells, loaded on demand                  cells.c   those in memory
 *     key.c     where keyed measurements stand           future.c  what waits for its time
 *     reread.c  cells that lost an extreme               erase.c   what an operator has erased
 *     freeze.c  what never does: its rows are dropped
 *     fill.c    cells that the stored state lacks
 *     unit.c    scorecards at orgs and their marks       moved.c   what the passing of time marks
 *     settle.c  from marks to changes                    past.c    what closed periods were
 *     revision.c changes of closed periods               rescore.c another definition for them
 *     term.c    which definition is in force when
 *     report.c  answers about the past                needs.c   what of it they read
 *     checkpoint.c, restore.c  state out and in          ahead.c   cells of the first settle
 *
 * A call that fails half-way leaves the engine broken: it then only closes. So no state here rolls back. */
#ifndef ENGINE_INTERNAL_H
#define ENGINE_INTERNAL_H

#include "cells.h"
#include <base/arena.h>
#include <base/heap.h>
#include <engine/engine.h>
#include <score/evaluate.h>
#include <score/kept.h>

struct list {
    void **items;
    size_t count, capacity;
};
bool list_push(struct list *list, void *item); /* false: out of memory */
void list_free(struct list *list);             /* not the items */

struct numbers {
    uint32_t *items;
    size_t count, capacity;
};
bool numbers_push(struct numbers *numbers, uint32_t number); /* false: out of memory */

/* ---- the compiled definitions (definition.c) ---- */

struct input {
    const char *name;
    struct feed *feeds; /* linked by next */
    size_t feed_count;
    int64_t max_ahead_ms; /* the largest of its leaves */
    bool *plans;          /* by plan: whether it reads the input */
    struct leaf *leaves;  /* all that read it, linked by next_of_input */
    bool only_levels;     /* all of their forms are `levels` */
    bool locks;           /* some of them lock their periods */
    int64_t until_ms;     /* later rows are read by no definition that is in force for them */
    int64_t dropped_ms;   /* rows before it are dropped, or may be; INT64_MIN: none */
    int64_t frozen_ms;    /* nor do rows before it come or go: where tiles of such rows end */
    uint32_t id;
};

/* How a feed tiles time: by the periods of a calendar, or into spans (k width, (k + 1) width]. */
struct tiling {
    struct calendar calendar;
    int64_t width_ms; /* of spans; 0: periods of calendar */
    bool cut; /* tiles also end where a period of cut_by does, behind the last millisecond that is looked
                 at as of its end */
    struct calendar cut_by;
};
enum { TIERS_MAX = 8 };

enum { RECENT_PERIODS = 4 };

/* A way to sum up an input that all leaves of all scorecards share which want the same tiles and orgs. */
struct feed {
    struct input *input;
    struct feed *next;   /* of the same input */
    struct leaf *leaves; /* that are marked when it changes, linked by next */
    struct tiling tiling;
    struct accumulator_layout layout; /* all parts that any of its readers wants */
    bool subtree;
    bool lacking;  /* the stored state has no cells of it (fill.c) */
    bool stored;   /* offline: of frozen times it has the stored cells, and no rows count */
    bool borrowed; /* those that it has were made with other zone data: the identity is that of then */
    uint32_t id;
    uint64_t identity; /* equal in another process means: the same cells */
    uint64_t likeness; /* the same, but for the version of the zone data */
    struct period recent[RECENT_PERIODS];
    size_t oldest_recent;
    int64_t open_from_ms; /* cells that start earlier may leave memory */
    int64_t stored_from_ms,
        stored_to_ms; /* starts of the first and last checkpointed tiles; from > to: none */
};

/* A measure of a scorecard. Its windows are put together from the tiles of its tiers, the coarsest first;
 * every tile of a tier is tiled by the next one. A formula has none. */
struct leaf {
    struct feed *tiers[TIERS_MAX];
    uint32_t tier_count;
    const struct measure *measure;
    struct leaf *next; /* of the same last tier */
    struct leaf *next_of_input;
    uint32_t plan, node, window;
};

/* Leaves of a scorecard that time alone changes at the same instants (moved.c). */
struct window {
    const struct measure *like; /* one of them */
    bool ticks;                 /* they change with every tick */
    int64_t start_ms;           /* of the period that their basis names */
    int64_t until_ms;           /* the first T that may change them */
};

struct plan { /* a definition of a scorecard */
    const struct scorecard *card;
    struct engine_term term;
    bool active;           /* it is in force for T: only such are settled and shown */
    uint32_t next;         /* plan of the same scorecard, all of them in a ring */
    const uint32_t *names; /* by node: the number of its path; NULL: the scorecard has no other plan */
    const uint32_t *named; /* by that number: the node, or NODE_NONE */
    struct leaf *leaves;   /* by node */
    struct window *windows;
    uint32_t window_count;
    int64_t previous_ms; /* trends are against the scores as of here: where the period that holds T starts */
    int64_t period_end_ms; /* of that period */
    int64_t grace_ms;      /* the least of the scorecard and its measures */
    int64_t closed_ms;     /* the end of the last period that is closed for some node; INT64_MIN: none */
    int64_t closing_ms;    /* the T at which the next one is */
};

/* ---- state ---- */

struct org {
    uint32_t parent; /* INTERN_NONE: the root */
    uint32_t first_child, next_sibling;
    uint32_t depth;
    struct unit **units; /* by plan; NULL: none */
    uint64_t *seen;      /* bit by input: an accepted row was here */
};

struct unit { /* a scorecard at an org */
    uint32_t plan, org;
    uint64_t since;    /* the settle that it came with, or comes with */
    bool fresh;        /* never settled */
    bool marked;       /* in engine->marked */
    bool past_touched; /* a measurement changed what was before previous_ms */
    uint64_t *dirty;   /* bits by rank */
    uint64_t *changed; /* bits by node, as the arrays below */
    struct kept_score *scores;
    double *previous; /* scores as of previous_ms */
    uint8_t *flags;
    bool *present;
    int64_t previous_ms; /* the plan's when they were computed */
};

enum {
    BACKFILLS_MAX = 64,             /* at a time; more revise at once, like any other */
    BACKFILL_SILENT_MS = 15 * 60000 /* of T: after that it is over, whatever became of its producer */
};

struct engine_series { /* 40 bytes where one feed reads a leaf of depth 2 */
    uint32_t input, org, source;
    uint32_t next;            /* series of the same chain */
    uint32_t number;          /* ENGINE_UNNUMBERED: no row was accepted yet */
    uint32_t next_number;     /* the series that has it */
    uint32_t seen : 1;        /* a measurement numbered it: its org is known to have seen the input */
    uint32_t gaining : 1;     /* cells[0] is its gains' place in engine->gains (gains.c) */
    uint32_t generation : 30; /* of engine, in which the cells below were looked up */
    uint32_t cells[];         /* of one period by feed of the input, from the org upwards */
};

enum { NUMBERS_APART = 16 };
struct series_table {
    struct pool pool;
    struct chains chains; /* of pieces of the pool */
    size_t count;
    struct intern unread; /* names of inputs that no definition reads any more */
    size_t numbered;      /* how many have a number */
    uint32_t last_number; /* the piece of the last of them */
    uint32_t likely;      /* to be asked for next */
    struct numbers posts; /* the pieces of every NUMBERS_APART-th, from which next_number leads on */
};

struct key { /* where a keyed measurement stands */
    struct hash128 hash;
    struct engine_series *series; /* of the row that stands */
    struct sample sample;         /* likewise; the source is the series' */
    bool retract;
    bool unsaved; /* since the last checkpoint */
};
/* By the first byte of their hash: shard by shard they are in the order that the store has them in, and no
 * table is so large that doubling it takes long. */
enum { KEY_SHARDS = 256 };
struct keys {
    struct hmap shards[KEY_SHARDS];
    size_t count;
    struct pool pool;
};

struct waiting { /* a measurement of the future */
    struct engine_series *series;
    struct sample sample;
    struct hash128 key;
    bool keyed, saved, erased;
};

/* Rows that come next (expect.c). */
enum { EXPECT_STEP = ENGINE_EXPECT_AHEAD / 3, EXPECTED_MAX = 64 /* a power of two */ };
_Static_assert(EXPECTED_MAX > 2 * EXPECT_STEP, "a series is remembered until its cells are fetched");
struct expected {
    struct expected_row {
        struct engine_series *series;
        uint32_t cells; /* how many of them were known */
    } rows[EXPECTED_MAX];
    uint32_t count;
};

/* A checkpoint that goes out in slices (checkpoint.c), as of when it began: what changes before it was given
 * is given first. */
struct giving {
    engine_put *put; /* NULL: none is under way */
    void *writer;
    poise_code code;       /* the first failure */
    size_t given;          /* in the slice at hand */
    struct buf key, value; /* of the entry in the making */
    struct numbers blocks; /* with cells to give */
    size_t block_at;
    struct numbers given_blocks, given_bits; /* which of their cells were given */
    struct keys keys;
    struct key_order {
        struct ordered_key {
            uint64_t high; /* of its hash */
            const struct key *key;
        } * items; /* of the shard at hand, by hash; NULL: none is */
        size_t count, at, capacity;
    } key_order;
    size_t shard_at; /* the next shard */
    struct buf seen, gone, backfills;
    size_t seen_at;
    size_t orgs, sources, series, org_at, source_at, series_at;
    struct list revisions;
    int64_t as_of_ms;
    uint64_t ordinal;
    bool head_given, all_given;
};

struct engine {
    struct engine_options options;
    struct arena arena; /* the compiled definitions */
    struct plan *plans;
    size_t plan_count;
    struct feed **feeds;
    size_t feed_count;
    struct intern input_names;
    struct input *inputs;

    int64_t as_of_ms; /* INT64_MIN: not begun */
    uint64_t ordinal;
    bool folded; /* keyed rows are counted; false: offline, before the first settle */
    bool broken;
    bool enforcing; /* locks, on the row at hand: not in a replay, which has only what they let pass */
    bool freezing;  /* likewise: the row at hand was not accepted before */
    const struct input *missed; /* offline: a score needed rows of it that are dropped */
    int64_t latest_ms;          /* of what was counted before the first begin (offline) */
    struct {
        const struct engine_series *series;
        int64_t time_ms;
        uint64_t ordinal; /* 0: nothing */
    } gone;               /* because of the row that was accepted last */

    struct intern orgs, sources;
    struct org *org_table;
    size_t org_capacity;
    struct series_table series;
    struct pool gains;
    struct numbers gaining; /* pieces of it: what the cells do not have yet */
    struct keys keys;       /* since the last checkpoint began, and those that were asked for */
    struct cells cells;
    uint32_t generation : 30; /* rises when cells leave memory */
    size_t cells_limit;
    struct heap future;
    struct expected expected;

    struct list marked;            /* units to settle */
    struct numbers touched;        /* blocks with cells that are */
    struct numbers reread;         /* cells to rebuild */
    struct numbers unsaved_blocks; /* with unsaved cells */
    uint32_t turn : 1;             /* changes with each checkpoint; of blocks: when they were marked */
    struct buf unsaved_seen, unsaved_gone; /* since the last checkpoint: keys of ENGINE_UNITS to put, of
                                              ENGINE_FUTURE to delete; each a text */
    size_t saved_orgs, saved_sources, saved_series;
    int64_t closed_ms; /* the latest of the plans; INT64_MIN: none, or nothing is revised */
    bool revising;
    struct backfill {
        uint64_t who;
        int64_t heard_ms; /* T when it was heard last */
    } backfills[BACKFILLS_MAX];
    size_t backfill_count;
    bool holding;           /* the rows at hand are of a backfill */
    uint64_t settles;       /* whole ones, so far */
    struct list pasts;      /* closed periods that the settle at hand, or a later one, may revise */
    struct hmap past_index; /* the same */
    size_t open_ranges;     /* of pasts: that are not held */
    bool looked;            /* the settle at hand has begun to look at them */
    struct hmap kept;       /* cells as they were before the settle at hand */
    struct hmap held;       /* and before backfills */
    struct hmap revisions;
    struct list unsaved_revisions; /* since the last checkpoint */
    struct giving giving;
    size_t evaluated;            /* nodes, and cells that were merged, in the slice at hand */
    poise_score *scratch[4];     /* as many each as the largest scorecard has nodes */
    uint64_t *in_scratch;        /* bit by node: computed by the settle of the unit at hand */
    struct accumulator *merging; /* as large as the largest layout; empty between readings */
};

/* definition.c */
poise_code definition_compile(struct engine *engine, poise_error *err);
struct input *definition_input(const struct engine *engine, const char *name,
                               size_t length); /* NULL: unknown */

/* tiling.c */
/* The tilings that a measure's windows are put together from, the coarsest first; returns how many. */
uint32_t tilings_of(const struct scorecard *card, const struct measure *measure,
                    struct tiling ret_tilings[TIERS_MAX]);
bool same_tiling(const struct tiling *a, const struct tiling *b);
struct period feed_tile(struct feed *feed, int64_t time_ms); /* [start, end) */

/* reading.c */
/* What evaluate_aggregate asks for. */
struct leaf_reading {
    struct engine *engine;
    const struct leaf *leaf;
    uint32_t org;
    const struct past_range *before; /* cells are read as they were before it; NULL: as they are */
    poise_code code;                 /* what went wrong */
    poise_error *err;
};
struct window_value read_window(void *reading, struct period window);
/* The largest tile that begins the window, which goes on behind it; NULL: there is none. */
struct feed *window_tile(const struct engine *engine, const struct leaf *leaf, struct period window,
                         struct period *ret_tile);

/* unit.c */
uint32_t org_add(struct engine *engine, const char *path, size_t length); /* INTERN_NONE: out of memory */
size_t org_missing(const struct engine *engine, const char *path); /* how many orgs org_add would add */
bool unit_add(struct engine *engine, uint32_t plan, uint32_t org); /* fine if it is there */
/* After an accepted row: the units of the scorecards that read the input. *ret_new: the first of its kind. */
bool units_add_seen(struct engine *engine, const struct input *input, uint32_t org, bool *ret_new);
bool unit_mark(struct engine *engine, struct unit *unit); /* to be looked at by the next settle */
bool unit_mark_node(struct engine *engine, struct unit *unit, uint32_t node);
void unit_free(struct unit *unit);

/* moved.c */
uint32_t window_add(struct plan *plan, const struct measure *measure); /* the one that fits */
enum { WINDOWS_MAX = 4 * (PERIOD_YEAR + 1) + 1 };
bool mark_moved(struct engine *engine); /* after T has moved */
/* Whether a period is closed at T that is not yet: from then on, what it was is looked at. */
bool closes_period(const struct engine *engine, int64_t as_of_ms);

/* cell.c */
enum cell_want { CELL_IF_ANY, CELL_MADE };
poise_code cell_find(struct engine *engine, struct feed *feed, uint32_t org, int64_t start_ms,
                     enum cell_want want, uint32_t *ret_cell,
                     poise_error *err);                /* CELL_NONE only with CELL_IF_ANY */
bool cell_touch(struct engine *engine, uint32_t cell); /* before it changes */
/* What is stored of it, unless it is in memory. */
poise_code cell_restore(struct engine *engine, struct feed *feed, uint32_t org, int64_t start_ms,
                        struct cursor value, poise_error *err);
void cells_shrink(struct engine *engine);

/* checkpoint.c */
void checkpoint_free(struct engine *engine);
void checkpoint_before_change(struct engine *engine, uint32_t cell); /* gives it first, if it must be */

/* series.c */
static inline struct input *input_of(const struct engine *engine, const struct engine_series *series)
{
    return &engine->inputs[series->input];
}
/* How many orgs see a measurement of the org through the feed. */
static inline uint32_t levels_of(const struct engine *engine, const struct feed *feed, uint32_t org)
{
    return feed->subtree ? engine->org_table[org].depth + 1 : 1;
}
/* How many cells of a period a measurement changes. */
size_t cells_of(const struct engine *engine, const struct input *input, uint32_t org);
void series_free(struct engine *engine);
struct engine_series *series_of(struct engine *engine, struct input *input, uint32_t org, uint32_t source);
/* Its piece, made if it is not there; POOL_NONE: out of memory. Behind the inputs that are read, `input` is
 * one of `unread`, which have no cells. */
uint32_t series_piece(struct engine *engine, uint32_t input, uint32_t org, uint32_t source);
/* The two steps of it: those that are made are found, by series_piece too, when all that are numbered were
 * linked.
 */
uint32_t series_make(struct engine *engine, uint32_t input, uint32_t org, uint32_t source);
bool series_link(struct engine *engine); /* false: out of memory */
poise_code series_count(struct engine *engine, struct engine_series *series, const struct sample *sample,
                        poise_error *err);
/* Rows of one tile of each feed, all due. */
poise_code series_count_sum(struct engine *engine, struct engine_series *series, const struct sample_sum *sum,
                            poise_error *err);
/* next: what is counted of the series in its place right after, or NULL. */
poise_code series_uncount(struct engine *engine, struct engine_series *series, const struct sample *sample,
                          const struct sample *next, poise_error *err);

/* number.c */
bool series_number(struct engine *engine, struct engine_series *series); /* false: out of memory */
void series_encode(const struct engine *engine, uint32_t number, struct buf *out);
poise_code series_restore(struct engine *engine, struct cursor key, struct cursor value, poise_error *err);

/* gains.c */
/* Has a series gain whose cells are known, and had a row since the last settle; false: the row at hand goes
 * to the cells. */
bool gains_begin(struct engine *engine, struct engine_series *series, int64_t time_ms);
/* Of a series that gains. *ret_added: the row is of its tiles, and was taken. */
poise_code gains_add(struct engine *engine, struct engine_series *series, const struct sample *sample,
                     bool *ret_added, poise_error *err);
/* Its cells get what it has gained, and it gains no more; likewise all. */
poise_code gains_carry(struct engine *engine, struct engine_series *series, poise_error *err);
poise_code gains_carry_all(struct engine *engine, poise_error *err);
/* Where its gains are, for expect.c; most of their bytes. */
const void *gains_of(const struct engine *engine, const struct engine_series *series, size_t *ret_size);
void gains_free(struct engine *engine);

/* freeze.c */
/* Whether all that the scores of a scorecard as of a time may look at is there. */
bool freeze_answers(const struct engine *engine, const char *card, int64_t as_of_ms);
bool is_frozen(const struct engine *engine, const struct input *input, int64_t time_ms);
static inline bool is_stored_tile(const struct feed *feed, int64_t start_ms)
{
    return feed->stored && start_ms < feed->input->dropped_ms;
}
/* Where the first of them starts, as exactly as tiles say it; INT64_MAX: there is none. */
int64_t first_stored_ms(const struct engine *engine);

/* Whether a period that holds the time is locked for some reader of the input. */
bool is_locked(const struct engine *engine, const struct input *input, int64_t time_ms);

/* key.c */
struct hash128 key_hash(const struct engine *engine, const struct input *input, uint32_t source,
                        const char *text, size_t length);
poise_code key_find(struct engine *engine, struct input *input, uint32_t source, struct hash128 hash,
                    struct key **ret_key, poise_error *err); /* NULL: none */
/* ret_refusal NULL: it was accepted before, in whatever order it comes now. */
poise_code key_apply(struct engine *engine, struct engine_series *series, const struct engine_row *row,
                     const struct sample *sample, poise_refusal *ret_refusal, poise_error *err);
struct key *key_next(const struct keys *keys, size_t *shard, size_t *at); /* from 0, 0 on; NULL: no more */
poise_code keys_fold(struct engine *engine, poise_error *err);
void key_name(const struct hash128 *hash, struct buf *out); /* under which the store has it */
void key_encode(const struct key *key, struct buf *out);
void keys_free(struct keys *keys);
void keys_saved(struct engine *engine);     /* what was given leaves memory, where it comes back on demand */
bool keys_take_back(struct engine *engine); /* what was given is unsaved again; false: out of memory */

/* future.c */
/* Counts a sample, now or when T reaches it. hash is NULL for an event. */
poise_code future_count(struct engine *engine, struct engine_series *series, const struct sample *sample,
                        const struct hash128 *hash, poise_error *err);
bool future_is_due(const struct engine *engine, int64_t time_ms);
poise_code future_reached(struct engine *engine, poise_error *err);
void future_key(const struct waiting *waiting, struct buf *out);
void future_encode(const struct engine *engine, const struct waiting *waiting, struct buf *out);
poise_code future_restore(struct engine *engine, struct cursor key, struct cursor value, poise_error *err);

/* engine.c */
/* An accepted row was at the org; `stored`: its series says so in the store. false: out of memory. */
bool unit_see(struct engine *engine, const struct input *input, uint32_t org, bool stored);

/* erase.c */
poise_code erase_rows(struct engine *engine, const struct engine_erased *rows, size_t count,
                      size_t *ret_counted, poise_error *err);
poise_code erase_see(struct engine *engine, const char *measure, const char *org, poise_error *err);

/* reread.c */
/* Whether an accepted row counts now; where it does: its org and what it is. */
poise_code row_stands(struct engine *engine, struct input *input, const struct engine_past_row *row,
                      uint32_t *ret_org, struct sample *ret_sample, bool *ret_stands, poise_error *err);
/* Carries all gains, then builds the marked cells again. */
poise_code reread_marked(struct engine *engine, poise_error *err);

/* past.c */
enum { PAST_BUCKET_BITS = 32 /* of milliseconds, some 50 days: keeps the ranges of a past few */ };
struct revision;
struct past_found { /* a node of which the end was changed */
    int64_t end_ms;
    uint32_t node;
    double replaced;
    struct revision *revision; /* how many it has had */
    poise_score now;
};
struct past_range { /* ends of periods behind after_ms, up to until_ms */
    int64_t after_ms, until_ms;
    int64_t done_ms; /* those up to here were looked at */
    int64_t late_ms; /* T when the last measurement touched them: what was open then is not revised */
    uint64_t cause;  /* the place in the journal of the first measurement that touched them */
    uint64_t settle; /* how many there were before: what it was then is what is revised */
    bool existed;    /* the unit was there then */
    bool held;       /* until the backfill that touched them ends */
    struct past_found *found;
    size_t found_count, found_capacity;
};
struct past { /* the closed periods of a unit that measurements touched, of one bucket of time */
    uint32_t plan, org;
    int64_t bucket;
    struct past_range *ranges; /* in the order of time, apart */
    size_t count, capacity;
};
/* Before cells of a feed, of an org and those above it, change: keeps what closed periods were. *held, 0 at
 * first, goes through all feeds of the row, those that leaves are marked by first. */
poise_code past_keep(struct engine *engine, const struct feed *feed, struct period tile,
                     const uint32_t *cells, size_t count, uint64_t *held, poise_error *err);
/* The cell as it was before the range was touched; NULL: as it is. */
const struct accumulator *past_cell(const struct engine *engine, const struct past_range *before,
                                    const struct feed *feed, uint32_t org, int64_t start_ms);
bool past_waits(const struct engine *engine); /* some ranges are due */
bool past_is_due(const struct engine *engine, const struct past_range *range);
void pasts_forget(struct engine *engine); /* those that are due */
void pasts_free(struct engine *engine);

/* revision.c */
/* Looks at the closed periods that are due, until the slice has evaluated `budget` nodes; *ret_done: all. */
poise_code revisions_find(struct engine *engine, size_t budget, bool *ret_done, poise_error *err);
/* Then: numbers and shows what was found. */
poise_code revisions_tell(struct engine *engine, engine_visit *visit, void *visitor, poise_error *err);
/* How many a node has had of its period. */
poise_code revision_find(struct engine *engine, uint32_t plan, uint32_t org, struct past_found *found,
                         poise_error *err);
/* Gives it the next number, and shows it. */
poise_code revision_tell(struct engine *engine, uint32_t plan, uint32_t org, uint64_t cause,
                         const struct past_found *found, engine_visit *visit, void *visitor,
                         poise_error *err);
void revision_encode(const struct revision *revision, struct buf *key, struct buf *value);
void revisions_begin(struct engine *engine);     /* a checkpoint that gives the unsaved ones */
bool revisions_take_back(struct engine *engine); /* it has failed; false: out of memory */
void revisions_shrink(struct engine *engine);    /* it is done */
void revisions_free(struct engine *engine);

/* term.c */
bool is_in_force(const struct plan *plan, int64_t as_of_ms);
/* The plan of the same scorecard that is in force for a time. */
uint32_t plan_in_force(const struct engine *engine, uint32_t plan, int64_t as_of_ms);
bool terms_compile(struct engine *engine); /* false: out of memory */
void terms_changed(struct engine *engine); /* what follows from them */
/* The node of the same path in another plan of the scorecard; NODE_NONE: it has none. */
uint32_t node_of_plan(const struct engine *engine, uint32_t plan, uint32_t node, uint32_t other);
/* Of a plan's nodes at an org as of a time, what another plan of the scorecard says: nodes are matched by
 * path.
 */
poise_code look_by(struct engine *engine, uint32_t then, uint32_t plan, uint32_t org, int64_t as_of_ms,
                   poise_score *ret_scores, poise_error *err);
/* The same of the plan that is in force for the time. */
poise_code look_in_force(struct engine *engine, uint32_t plan, uint32_t org, int64_t as_of_ms,
                         poise_score *ret_scores, poise_error *err);
/* The first end of a period behind a time that has scores; INT64_MAX: none. */
int64_t next_end_of(const struct engine *engine, const char *card, int64_t time_ms);

/* rescore.c */
poise_code rescore_card(struct engine *engine, const char *card, int64_t after_ms, engine_visit *visit,
                        void *visitor, poise_error *err);

/* settle.c */
/* Every node of a unit (NULL: one that is not there yet) as of a time in the past, by node; with cells as
 * they were before the range was touched (NULL: as they are). */
poise_code unit_look(struct engine *engine, const struct unit *unit, uint32_t plan, int64_t as_of_ms,
                     const struct past_range *before, poise_score *ret_scores, poise_error *err);
poise_code settle(struct engine *engine, size_t budget, engine_visit *visit, void *visitor, poise_error *err);

/* restore.c */
poise_code restore(struct engine *engine, poise_error *err);        /* fine where nothing was stored */
poise_code restore_frozen(struct engine *engine, poise_error *err); /* engine_options.stored */

/* ahead.c */
poise_code cells_load_ahead(struct engine *engine, poise_error *err); /* before the first settle */

/* Keys of tables: big-endian, so that stores keep them in order. */
enum { HEAD_KEY = 'h', HEAD_FORMAT = 5, HEAD_WITHOUT_LIKENESS = 4 /* is read, too */, FUTURE_KEY_BYTES = 16 };
void put_big32(struct buf *out, uint32_t value);
void put_big64(struct buf *out, uint64_t value);
uint32_t take_big32(struct cursor *in);
uint64_t take_big64(struct cursor *in);
/* Asks the store for an entry; ENOTFOUND where there is none. */
poise_code load_entry(struct engine *engine, enum engine_table table, const struct buf *key,
                      struct buf *ret_value, poise_error *err);
void cell_key(const struct feed *feed, uint32_t org, int64_t start_ms, struct buf *out);
int64_t take_start(struct cursor *key); /* the last of it */

static inline uint64_t bit_of(uint32_t at)
{
    return UINT64_C(1) << (at % 64);
}

#endif
