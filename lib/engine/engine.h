/* The scoring engine: applies measurements, settles scores. A pure step: time, storage and rereading are
 * handed in; it has no clock, no thread, no I/O of its own. One thread at a time.
 *
 *     begin(T) -> series, apply ... -> settle -> changes          (the live path, a commit at a time)
 *     apply ... -> begin(T) -> settle -> visit                     (offline: eval, questions about the past)
 *
 * A *unit* is a scorecard at an org; it exists once a measurement that the scorecard reads was accepted there
 * or below (the root always). A *cell* is the accumulator of an input at an org in a period. A measurement
 * touches the cells of its org and of every org above it, so its cost is depth x fan-out and never history.
 * State is cells, keys, orgs, sources and measurements of the future: loaded on demand through ports, given
 * out at checkpoints. Everything else is derived. */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include <base/buf.h>
#include <model/scorecard.h>
#include <score/accumulator.h>

struct engine;        /* opaque */
struct engine_series; /* an input, org and source; lives as long as the engine */

enum engine_table {
    ENGINE_HEAD,    /* one entry: T, ordinal, ... */
    ENGINE_ORGS,    /* id -> path */
    ENGINE_SOURCES, /* id -> text */
    ENGINE_SERIES,  /* number -> input, org, source; accepted rows were there, so units of the cards that read
                       it are */
    ENGINE_UNITS,   /* org id, input: likewise, where a retraction has numbered the series */
    ENGINE_CELLS,   /* feed, org id, period -> accumulator */
    ENGINE_KEYS,    /* hash of input, source, key -> where the keyed measurement stands */
    ENGINE_FUTURE,  /* accepted, not yet due */
    ENGINE_REVISIONS, /* node, org, end of a closed period -> how often it was revised */
    ENGINE_TABLES
};

/* A measurement's row; its series says the rest. */
struct engine_row {
    int64_t time_ms;
    double value, of;
    const char *key; /* NULL: none */
    size_t key_length;
    uint64_t seq; /* 0: none */
    bool retract;
};

/* An accepted row, for reading a period again. */
struct engine_past_row {
    const struct engine_series *series; /* NULL: that of org and source */
    const char *org;
    const char *source;
    uint64_t ordinal; /* its place in the journal, counted over all rows, refused ones too: 1, 2, ... */
    struct engine_row row;
};
typedef poise_code engine_past_visit(void *visitor, const struct engine_past_row *row);

struct engine_ports { /* all NULL: nothing is stored */
    void *context;
    /* The checkpointed value of a key, appended to out; ENOTFOUND where there is none. NULL: everything stays
     * in memory. */
    poise_code (*load)(void *context, enum engine_table table, const void *key, size_t length,
                       struct buf *out, poise_error *err);
    /* An entry may be asked for soon: what that needs is fetched from memory. Only for speed; NULL: nothing
     * is. */
    void (*expect)(void *context, enum engine_table table, const void *key, size_t length);
    /* Every checkpointed entry of a table, in the order of the keys' bytes. */
    poise_code (*walk)(void *context, enum engine_table table,
                       poise_code (*visit)(void *visitor, struct cursor key, struct cursor value),
                       void *visitor, poise_error *err);
    /* Those from the key `from` on, which a visit may raise: all below it are passed. Empty: that was all.
     * NULL: what the first settle reads is asked for one by one. */
    poise_code (*walk_some)(void *context, enum engine_table table, const struct buf *from,
                            poise_code (*visit)(void *visitor, struct cursor key, struct cursor value),
                            void *visitor, poise_error *err);
    /* All accepted rows of an input with from <= time < to that came before now, those of the running commit
     * too, in any order; the engine sorts out which still stand, but those that have certainly gone may be
     * left out. */
    poise_code (*reread)(void *context, const char *input, int64_t from_ms, int64_t to_ms,
                         engine_past_visit *visit, void *visitor, poise_error *err);
};

/* The as-of times that a definition of a scorecard is in force for: after < T <= until. */
struct engine_term {
    int64_t after_ms, until_ms; /* INT64_MIN: from the beginning; INT64_MAX: it is the current one */
    uint64_t number;            /* of the definition, which its states name; 0: none */
    int64_t closed_ms; /* ends up to here were closed before it came, and are whatever its `grace`; or
                          INT64_MIN */
};

struct engine_options {
    const struct scorecard *const *cards; /* borrowed, with different ids */
    size_t card_count;
    /* Of each card. Cards may then share an id: they are definitions of one scorecard, each answers for its
     * own times, and these meet without a gap. NULL: all are in force for all time. */
    const struct engine_term *terms;
    uint64_t hash_seed;          /* of the store, so that peers cannot aim at collisions */
    size_t max_orgs, max_series; /* more are refused; 0: no limit */
    size_t max_cells;            /* clean cells kept in memory beyond the open periods */
    /* Offline, with ports.load and walk: all definitions that the stored state was made with. Of frozen times
     * (engine_freeze) its sums count, and no rows. None: what needs such times is missed. Only for the call
     * that opens. */
    struct engine_stored {
        const struct scorecard *const *cards;
        const struct engine_term *terms;
        size_t card_count;
    } stored;
    bool fills;   /* a stored state may lack sums that these definitions need: engine_fill makes them */
    bool offline; /* keyed rows are folded in at the first settle, so that nothing is ever taken away or
                     reread; before the first begin, every row counts whatever its time */
    struct engine_ports ports;
};

/* Loads the checkpointed state where ports.walk is given and settles it silently. EVERSION: it was made with
 * other definitions and lacks sums that these need (or by another version); build it again from the journal.
 * After a call that failed with anything but EINVAL the engine may hold half a measurement: it then answers
 * ECLOSED. */
poise_code engine_open(const struct engine_options *options, struct engine **ret_engine, poise_error *err);
void engine_close(struct engine *engine);

/* New limits, also below what is there, which stays: replay goes without, since what was accepted once is. */
void engine_set_limits(struct engine *engine, size_t max_orgs, size_t max_series);

/* Whether changes of closed periods are numbered and shown; true at first, and never offline. Rows that are
 * applied again to other definitions do not revise. */
void engine_set_revising(struct engine *engine, bool revising);
/* That there was this revision, as the journal says: the next of its node and period has a higher number. */
poise_code engine_revised(struct engine *engine, const poise_state *state, poise_error *err);

/* What `who` (a hash of a producer) says from here on: that its rows are of a backfill, or, with false, that
 * they are not or it is over. Revisions of the closed periods that a backfill touches wait for its end; while
 * some wait the engine holds what it was before, and no checkpoint can be written. */
void engine_backfill(struct engine *engine, uint64_t who, bool runs);
bool engine_holds(const struct engine *engine);
void engine_end_backfills(struct engine *engine); /* all: the next settle revises what they have touched */

/* Moves T to max(T, as_of_ms) and counts what is due by then. Published changes come only from engine_settle.
 */
poise_code engine_begin(struct engine *engine, int64_t as_of_ms, poise_error *err);
int64_t engine_as_of_ms(const struct engine *engine); /* INT64_MIN before the first begin */
uint64_t engine_ordinal(const struct engine *engine); /* rows seen, refused ones too */

/* The series of names that may come from a peer; checks them. A refusal leaves *ret_series NULL. */
poise_code engine_series(struct engine *engine, const char *measure, const char *org, const char *source,
                         struct engine_series **ret_series, poise_refusal *ret_refusal, poise_error *err);
size_t engine_series_count(const struct engine *engine); /* those it knows */
/* The number of a text, by which the series of a batch are found without hashing their texts again and again;
 * it stays. ENGINE_NAME_NONE: no series has the text, so far. */
enum engine_name { ENGINE_MEASURE, ENGINE_ORG, ENGINE_SOURCE };
enum { ENGINE_NAMES = ENGINE_SOURCE + 1 };
#define ENGINE_NAME_NONE UINT32_MAX
uint32_t engine_name(const struct engine *engine, enum engine_name kind, const char *text);
/* The series of a number of each kind; NULL: there is none, so far. */
struct engine_series *engine_known_series(struct engine *engine, const uint32_t names[ENGINE_NAMES]);
const char *engine_series_org(const struct engine *engine, const struct engine_series *series);
uint32_t engine_series_source(const struct engine_series *series); /* its source's number, from 0 */
/* Series are numbered 0, 1, ... as their first row is accepted: the same rows, the same numbers. */
#define ENGINE_UNNUMBERED UINT32_MAX /* not an enum: ISO C wants those within int */
uint32_t engine_series_number(const struct engine_series *series);
/* NULL: there is none of that number, or no definition reads its input. */
struct engine_series *engine_numbered(const struct engine *engine, uint32_t number);
/* A row of an input that no definition reads any more, accepted when one did: its series keeps its number.
 * The row itself is to be skipped. ECORRUPT: such a row cannot have been accepted. */
poise_code engine_number_unread(struct engine *engine, const char *measure, const char *org,
                                const char *source, uint32_t *ret_number, poise_error *err);
/* The text of a source; NULL: there is none of that number. It lives as long as the engine. */
const char *engine_source(const struct engine *engine, size_t number);
/* The row after so many more is of this series (NULL: of none): what it needs is fetched from memory while
 * the rows before it are counted, as with many series that takes longer than the counting. Only for speed. */
enum { ENGINE_EXPECT_AHEAD = 24 };
void engine_expect(struct engine *engine, struct engine_series *series);
/* And has this key. */
void engine_expect_key(struct engine *engine, const struct engine_series *series, const char *key,
                       size_t length);
/* Takes one row and its ordinal. now_ms is the wall clock for max_ahead; INT64_MAX: neither that limit nor
 * locked periods hold it up; ENGINE_LET_IN: nor does anything else that depends on definitions, since those
 * of then let it in. */
#define ENGINE_LET_IN (INT64_MIN + 1)
poise_code engine_apply(struct engine *engine, struct engine_series *series, const struct engine_row *row,
                        int64_t now_ms, poise_refusal *ret_refusal, poise_error *err);
/* A row that was accepted before, with the ordinal that it had then. In any order: the scores depend on which
 * rows there are at which places alone. EINVAL: no such row can have been accepted. */
poise_code engine_apply_at(struct engine *engine, struct engine_series *series, const struct engine_row *row,
                           uint64_t ordinal, poise_error *err);
/* A row that stands no more, or never did. */
struct engine_gone {
    uint32_t series; /* its number */
    int64_t time_ms;
    uint64_t ordinal;
};
/* What went because of the row that was accepted last: the one that it has replaced or retracted; it itself,
 * where it says less than what stands (a lower seq, a duplicate). False: nothing. */
bool engine_gone(const struct engine *engine, struct engine_gone *ret_gone);
/* An accepted row that is to be as if it had never come, but for its key, which stays as that of a retraction
 * of its rank. */
struct engine_erased {
    struct engine_series *series;
    uint64_t ordinal;
    struct engine_row row;
};
/* *ret_counted of them counted, or would have at their time; others are no more what their keys say. What is
 * erased must not be reread from here on, not by the call's own settle either. Revisions by it have the
 * ordinal as cause that was taken last. */
poise_code engine_erase(struct engine *engine, const struct engine_erased *rows, size_t count,
                        size_t *ret_counted, poise_error *err);
/* That a row was accepted of the input at the org, which was erased: there are units for it all the same. */
poise_code engine_see_org(struct engine *engine, const char *measure, const char *org, poise_error *err);
/* A row that was refused before it came here, or an operator's order: takes its ordinal. */
void engine_skip(struct engine *engine);
/* Offline, in the place of rows that a question as of T (which has begun) does not need. Rows up to T that
 * stand are enough, of the inputs that a definition reads, from where the windows of its leaves begin, those
 * of trends and of `carry` too; false: none is. */
bool engine_needs(const struct engine *engine, const char *measure, int64_t *ret_from_ms);
/* The series has an accepted row, which is not applied: its org is one that is asked about. */
poise_code engine_see(struct engine *engine, struct engine_series *series, poise_error *err);
/* Rows of a series with `of` 1 that stand, from min_ms to newest_ms, and none of whose keys comes again; only
 * if engine_takes_sum says that they need not come one by one. */
struct engine_sum {
    int64_t min_ms;
    struct sample_sum rows;
};
bool engine_takes_sum(struct engine *engine, const struct engine_series *series, int64_t min_ms,
                      int64_t max_ms);
poise_code engine_apply_sum(struct engine *engine, struct engine_series *series, const struct engine_sum *sum,
                            poise_error *err);
/* All rows up to that ordinal were applied, or are to be skipped. */
void engine_skip_to(struct engine *engine, uint64_t ordinal);

/* A node whose numbers differ from the last settle; new nodes too. With a revision: a node as of the end of a
 * closed period, which a late measurement has changed. Strings live as long as the engine. */
typedef poise_code engine_visit(void *visitor, const poise_state *state);
/* Stops after the unit, or the end of a closed period, with which `budget` nodes, and cells of long windows,
 * were looked at (SIZE_MAX: never): the others stay as they were at an earlier T, and the engine dirty, until
 * settle is called again; what comes meanwhile is of the same settle. Each unit is settled as a whole.
 * Revisions are shown by the call that makes it whole. */
poise_code engine_settle(struct engine *engine, size_t budget, engine_visit *visit, void *visitor,
                         poise_error *err);
/* The numbers of a measure (NULL: of another node) as they look at a later T at which they are the same: a
 * running rolling window ends at T, and that alone is no change. */
void engine_look_at(const struct measure *measure, int64_t as_of_ms, poise_score *numbers);
bool engine_dirty(const struct engine *engine);
/* How many units wait after a slice; of a dirty engine 0: only closed periods wait to be looked at, which are
 * so long together. */
size_t engine_marked(const struct engine *engine);
uint64_t engine_past_ms(const struct engine *engine);

/* The settled nodes of a scorecard (NULL: of all) at an org (NULL: at all, sorted by path), each org's in the
 * order of the definition that is in force. ENOTFOUND: no such scorecard, or no unit at that org. */
poise_code engine_states(const struct engine *engine, const char *card, const char *org, engine_visit *visit,
                         void *visitor, poise_error *err);

/* What a rescore would do: the newest definition of a scorecard in force for the period ends >= from_ms. */
struct engine_rescore {
    int64_t after_ms; /* it is in force for all times behind this; INT64_MIN: for all */
    bool nothing;     /* it is already */
    bool locked;      /* some of the ends that were asked for are locked, and stay as they are */
    uint64_t looks;   /* at most so many nodes are looked at, which is what it costs */
};
void engine_rescore_find(const struct engine *engine, const char *card, int64_t from_ms,
                         struct engine_rescore *ret_rescore);
/* Does it: visits the scores of the ends that change hands, where they differ, as revisions, whose cause is
 * the ordinal that was taken last. The engine must be settled, but for another rescore; EINVAL: it holds. The
 * next settle shows what becomes of trends. */
poise_code engine_rescore(struct engine *engine, const char *card, int64_t after_ms, engine_visit *visit,
                          void *visitor, poise_error *err);

/* How far the measurements of an input may be dropped at T: its readers' longest `keep` ago, in whole days
 * (UTC). What then is refused as frozen may reach some days further: all of a tile that lost some. */
struct engine_keep {
    const char *input;
    int64_t dropped_ms; /* before it they are, so far; INT64_MIN: none */
    int64_t until_ms;   /* before it they may be */
};
bool engine_keep(const struct engine *engine, size_t at, struct engine_keep *ret_keep); /* false: no more */
/* They are, or may be at any time: the engine asks for none of them any more, and refuses what would have it
 * do so, also what an operator lets in. Between settles; for good. An input that is not read is fine. */
void engine_freeze(struct engine *engine, const char *input, int64_t until_ms);
/* Of an engine that was opened to be filled, when all that is frozen was told: makes the sums that the stored
 * state lacks of the rows that stand (ports.reread). EUNSUPPORTED: not all of these are there. only_check,
 * with other definitions: nothing more than that, and whether what is stored is of the same periods. */
poise_code engine_fill(struct engine *engine, bool only_check, poise_error *err);
/* Times before it are frozen for the measurements of that name; INT64_MIN: none are. */
int64_t engine_input_frozen_ms(const struct engine *engine, const char *name);
/* The ends up to it are of times that are frozen for some measure of the scorecard; INT64_MIN: none. */
int64_t engine_frozen_ms(const struct engine *engine, const char *card);
/* An input of which a score needed dropped measurements, so that it is none; NULL: none did. Offline: where
 * no stored sums serve, or those of a time within a frozen period would have to. */
const char *engine_missed(const struct engine *engine);
/* Everything that changed since the last checkpoint began, as puts (value NULL: delete), as of when this one
 * begins: not between begin and settle, nor while the engine holds (EINVAL). It is given out in slices of
 * some `budget` entries; measurements may be applied in between, and may have some given out, too. When all
 * was given and is on disk: done; clean cells beyond max_cells are dropped then. failed: it is unsaved again;
 * also where give or a put has failed. */
typedef poise_code engine_put(void *writer, enum engine_table table, const void *key, size_t key_length,
                              const void *value, size_t value_length);
poise_code engine_checkpoint_begin(struct engine *engine, engine_put *put, void *writer, poise_error *err);
bool engine_checkpoint_runs(const struct engine *engine);
poise_code engine_checkpoint_give(struct engine *engine, size_t budget, bool *ret_done, poise_error *err);
void engine_checkpoint_done(struct engine *engine);
void engine_checkpoint_failed(struct engine *engine);
/* Only keys are left to be given. Another thread may do that, one at a time, while this one does all else but
 * checkpoints. */
bool engine_checkpoint_is_apart(const struct engine *engine);
/* begin, and all of it at once; done is to be called when it is on disk. */
poise_code engine_checkpoint(struct engine *engine, engine_put *put, void *writer, poise_error *err);
/* How many keys wait in memory for a checkpoint, some 100 bytes each. */
size_t engine_unsaved_keys(const struct engine *engine);

#endif
