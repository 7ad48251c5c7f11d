/* A whole deployment in one thread under a seed: the aggregator's parts as aggregator/aggregator.c opens them
 * over a store on disk, producers and subscribers through libpoise.
 *
 * Under the seed: who moves next; both clocks (clock_system is chance.c's here); the network (lib/net is
 * network.c's here: libzmq and its thread are not in the program, so delay, cuts and full queues are the
 * seed's too); random numbers of the system; crashes, and where in a commit; a disk that is full for a while.
 * Real: everything else, to the bytes of messages, LMDB and the spools' files. Nothing here is a power cut:
 * what was written is there after a crash, so syncing is left out for speed (lib/store's and lib/spool's unit
 * tests are about that).
 *
 * The same seed does the same: POISE_SEED=7 runs seed 7 alone, with the aggregator's log. */
#ifndef SIMULATION_H
#define SIMULATION_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <aggregator/aggregator.h>
#include <base/arena.h>
#include <base/clock.h>
#include <base/hash.h>
#include <cmocka.h>
#include <engine/engine.h>
#include <model/scorecard.h>
#include <poise/client.h>
#include <store/store.h>
#include <wire/wire.h>

#define MARCH  INT64_C(1772323200000) /* 2026-03-01 */
#define MINUTE INT64_C(60000)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

#define INGEST_ENDPOINT "ipc://ingest"
#define QUERY_ENDPOINT  "ipc://query"

/* ---- chance.c: the seed and the clocks ---- */

void chance_start(uint64_t seed);
int64_t between(int64_t low, int64_t high); /* both included */
bool one_in(int64_t n);
/* Lets time go by; the wall clock too, unless it is held. */
void time_pass(int64_t us);
void wall_hold(bool held);
void wall_jump(int64_t ms);
int64_t now_us(void);
int64_t wall_ms(void);

/* ---- network.c: lib/net without libzmq ---- */

void network_start(void);
void network_move(void); /* some messages arrive, somebody connects */
void network_cut(void);  /* somebody's connection breaks */
/* States are taken for so many times as long as they are, so that what few orgs have needs many messages too.
 */
void network_bulk(size_t times);
/* What the rest of the world does while a client waits in net_wait. */
void network_meanwhile(void (*move)(void));
/* Whether the thread of a part would sleep on now: a part is not given a turn before it was woken, its socket
 * has something, or the time is up for which it went to sleep. So a wake that is missing is missed here too.
 */
bool network_sleeps(enum aggregator_part part);

/* ---- cards.c: definitions and measurements ---- */

enum { CARDS = 4, SETS = 3, KEPT_SETS = 2 }; /* of a deployment that locks and drops: the last ones */

struct card_set {
    struct scorecard *cards[CARDS];
    size_t count;
};
void cards_open(struct card_set sets[SETS + KEPT_SETS]);
void cards_close(struct card_set sets[SETS + KEPT_SETS]);
/* About now, often late, sometimes ahead; wide: of many orgs. Its texts live for ever. */
poise_measurement random_row(bool wide);
/* An event that is always counted, at once and for good: exactly one in the leaf TALLY. */
poise_measurement tally_row(void);
#define TALLY "census/all/all/tally"

/* ---- view.c: states by org and node ---- */

struct view {
    struct hmap entries;
    struct arena memory;
    uint64_t definition; /* of the state that came last; 0: none */
    uint64_t lsn;
    int64_t as_of_ms;
};
void view_clear(struct view *view);
void view_free(struct view *view);
/* The node's line; its definition says what is a rolling window, whose running end is no change. */
void view_set(struct view *view, const poise_state *state);
/* Fails, naming the first node that differs. */
void view_same(const char *what, const struct view *got, const struct view *wanted);
/* The same of statuses alone. */
void view_same_status(const char *what, const struct view *got, const struct view *wanted);
/* Whether a filter lets a node through, whatever changes of it. */
bool filter_lets(const poise_filter *filter, const char *at_org, const char *path, poise_kind kind);
/* All that pass the filter (NULL: all) are copied. */
void view_copy(const struct view *from, const poise_filter *filter, struct view *to);
const char *view_line(const struct view *view, const char *org, const char *node); /* NULL: none */
/* A state as one line, its numbers to the bit, ended by 0. */
void state_line(const poise_state *state, struct buf *out);

/* ---- failures.c: of the store ---- */

enum store_failure {
    STORE_WORKS,
    STORE_BREAKS, /* now and then a write fails for good: before it did something, or when it was done */
    STORE_FULL
};
void failures_start(void);
void failures_choose(enum store_failure failure);
bool failures_met(void); /* a write, since the last call: an error is no mistake of the aggregator */

/* ---- journal.c: what was appended to the journal, seen from outside ---- */

struct row {
    poise_measurement measurement;
    poise_refusal refusal;
    bool let_in;         /* refused by a lock, and restated later */
    bool order;          /* none, but a !rescore or !erase in its place */
    uint64_t erased_lsn; /* of the order that erased it; 0: none */
};
size_t journal_rows(struct row **ret_rows);
bool journal_row_stands(const struct row *row); /* its key, if it has one, says so */
void journal_erase(struct row *row, uint64_t lsn);
void journal_rows_of(uint64_t lsn, uint64_t *ret_first, uint64_t *ret_end); /* by index */

void journal_start(void);
void journal_note(const struct journal_record *record, uint64_t lsn);
void journal_stop(void);
/* What the aggregator is started with next. */
void journal_opens(const struct card_set *cards);
const struct card_set *journal_opening(void);
/* What it was started with when it wrote a record: another set is another definition, and so a record. */
const struct card_set *journal_set(uint64_t lsn);
const struct scorecard *journal_card(const poise_state *state); /* the definition that a state names */
size_t journal_away(const char *path); /* records of aggregators without the path's scorecard */
uint64_t journal_lsn(void);            /* of the last record */
uint64_t journal_settle_lsn(void); /* of the last settle, which is published with that of its first record */
int64_t journal_as_of_ms(void);    /* T of the last record; INT64_MIN: none */
uint64_t journal_restated(void);   /* rows that locks refused and somebody let in */
void journal_all_in(const struct wire_restate *order); /* those of it up to its place */
bool journal_accepted(uint64_t ordinal); /* that row, of all that there are, or an order in its place */
/* An offline engine with the rows and definitions of the records up to an lsn, as of T; the caller closes it.
 */
struct engine *journal_engine(uint64_t lsn, int64_t as_of_ms, const struct card_set *set);
/* Settles it, and visits the states of a set's scorecards. */
void journal_each(struct engine *engine, int64_t as_of_ms, const struct card_set *set, engine_visit *visit,
                  void *visitor);
/* The states as of T that an offline engine makes of the records up to an lsn. */
void journal_reference(uint64_t lsn, int64_t as_of_ms, const struct card_set *set, struct view *ret_view);
/* The same without what was erased up to a later lsn. */
void journal_without(uint64_t erased_lsn, uint64_t lsn, int64_t as_of_ms, const struct card_set *set,
                     struct view *ret_view);
/* The states that the journaled changes add up to; NULL after a change of the definitions, which scores all
 * again without a change in the journal, until journal_trail_from says what the states are. */
struct view *journal_trail(void);
void journal_trail_from(const struct view *view);
/* The store's journal, read from disk, is what was appended. The store must be closed. */
void journal_on_disk(const char *path);
void journal_tell(void); /* how much there was of what */

/* ---- erased.c: what operators have erased, as the journal says ---- */

void erased_start(void);
void erased_note(const struct journal_batch *batch, uint64_t lsn); /* an order; its place is the next row's */
void erased_ended(uint64_t lsn);                       /* the store says so of the orders up to it */
bool erased_pends(void);                               /* something of some order may be on the disk */
uint64_t erased_lsn(void);                             /* of the last order; 0: there is none */
size_t erased_rows(uint64_t lsn, size_t *ret_counted); /* of that order */
/* Of orders that have ended no row is in runs, journal or remains. */
void erased_on_disk(struct store *store, struct store_reader *reader);

/* ---- frozen.c: what `keep` has frozen, as the journal says ---- */

void frozen_start(void);
void frozen_stop(void);
void frozen_note(const struct journal_batch *batch, int64_t as_of_ms); /* an order; T of its record */
size_t frozen_orders(void);
int64_t frozen_until_ms(const char *input); /* rows before that are dropped; INT64_MIN: none is */
bool frozen_dropped(const struct row *row); /* an accepted one */
size_t frozen_rows(void);                   /* that are to be dropped, or are */
/* No other row is gone; the journal is as it was from a record on. */
void frozen_on_disk(struct store_reader *reader, uint64_t whole_lsn);
size_t frozen_left(void); /* of them in runs, as it was looked last */

/* ---- revisions.c: those of the journal ---- */

void revisions_start(void);
void revisions_stop(void);
size_t revisions_count(void);
void revision_note(const poise_state *state);
bool revision_is_journaled(const poise_state *state); /* that very one */
/* The last of each node and period that is of a record behind an lsn: its names, end and number. */
void revisions_each(uint64_t lsn, void (*visit)(void *visitor, const poise_state *state), void *visitor);
/* The last revision of a node and period says what an offline engine does as of its end, for some of the
 * periods; returns how many were compared. No backfill must be running. */
size_t revisions_check(void);

/* ---- producers.c ---- */

enum { PRODUCERS = 3 };

void producers_open(const char *directory, bool wide);
void producers_close(void);
void producer_send(size_t which);
void producer_flush(size_t which);
void producer_step(size_t which);
void producer_crash(size_t which);  /* and comes back: what was not accepted is lost */
void producer_reopen(size_t which); /* in good order */
void producer_end_backfill(size_t which);
/* A last row, behind any backfill: that of a producer that crashed ends with the next batch. */
void producer_say_goodbye(size_t which);
bool producer_is_unheard(size_t which); /* what it said last is lost */
bool producers_done(void);              /* all that was accepted is acknowledged, or known as lost */
/* What is journaled and what is lost is all that was offered; of each row that was refused somebody was told,
 * but where its batch was dropped. */
void producers_are_told(void);
size_t producers_lost(void); /* rows, as the journal says */
/* Journaled events of tally_row until then: the wall clock may have been set back behind some. */
uint64_t producers_tally(int64_t as_of_ms);
/* Of the journal: a producer's next batch, with these rows. */
void producer_journaled(const char *name, uint64_t seq, const poise_measurement *rows,
                        const poise_refusal *refusals, size_t count);
/* Of the journal, likewise: a loss in the place of batches. */
void producer_lost(const char *name, uint64_t seq, const struct wire_loss *loss);
bool measurement_same(const poise_measurement *a, const poise_measurement *b);

void producer_steps_aside(void); /* what comes into a spool is none of theirs */

/* ---- forks.c: one producer more, whose spool is copied now and then, and all copies send ---- */

#define FORKED_PRODUCER "copied"

void forks_open(const char *directory);
void forks_close(void);
void forks_move(void);
bool forks_done(void); /* they have sent all; takes a step */
/* Each row counts, or it was told that it may not; returns how often the spool was copied. */
size_t forks_check(void);
size_t forks_lost_rows(void);
uint64_t forks_tally(int64_t as_of_ms);
/* Of the journal: rows, of which none may count twice, and losses. */
void forks_journaled(const poise_measurement *rows, const poise_refusal *refusals, size_t count);
void forks_lost(const struct wire_loss *loss);

/* ---- subscribers.c ---- */

enum { SUBSCRIBERS = 4 };

void subscribers_open(void);
void subscribers_close(void);
void subscriber_step(size_t which);
void subscriber_reopen(size_t which);
void subscribers_meet_aggregator(int64_t from_ms); /* that opens now; its T may be as early as that */
size_t subscribers_resets(void);                   /* how often a view began again */
/* Of each revision that they want, and that came after their views began, they have the last. */
bool subscribers_are_told(void);
/* Each one's view is what its filter leaves of a fresh poise_get. */
void subscribers_agree(const struct view *all);
/* Answers through a client of their own; false: none came, since the aggregator went down. */
bool get_losses(uint64_t *ret_rows); /* of all producers */
bool get_all(const poise_filter *filter, struct view *ret_view);
bool ask(const poise_question *question, struct view *ret_view);
bool restate(uint64_t *ret_rows); /* some of what locks hold */
bool erase(poise_erased *ret_erased);
bool rescore(poise_rescored *ret_rescored);

/* ---- deployment.c: all these and the aggregator ---- */

bool deployment_open(uint64_t seed);
bool deployment_close(void);
const struct config *deployment_config(void);
size_t deployment_crashes(void);
bool deployment_is_up(void); /* the aggregator is */
bool deployment_may_start(void);
void deployment_start(void);
void deployment_crash(void);
bool deployment_keeps(void);     /* it locks what is late, and drops what is old */
void deployment_configure(void); /* anew, for the next start: with other definitions, too */
/* A turn of a part, if it has something to do and its thread runs. */
void deployment_turn(enum aggregator_part part);
void deployment_starve(enum aggregator_part part); /* its thread does not run for a while */
void deployment_fill_disk(bool full);
void deployment_heal(void); /* the aggregator is up, and nothing fails */
/* For tests/fault: memory and system calls may fail while the aggregator runs, and only then. `pause` has
 * them work meanwhile, or no longer, and returns how it was; `met` says whether something failed since it was
 * asked last. */
struct trouble {
    bool (*pause)(bool paused);
    bool (*met)(void);
};
void deployment_trouble(const struct trouble *trouble); /* NULL: none */
bool deployment_pause(bool paused);
bool deployment_troubled(void);

#endif
