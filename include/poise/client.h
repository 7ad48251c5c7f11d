/* The client library: send measurements through a spool, subscribe to scores, ask about the past.
 *
 * Handles are opaque; each belongs to one thread at a time; different handles may be used by different
 * threads. The library makes no thread of its own (libzmq makes one for I/O per handle): a handle works while
 * one of its calls runs, and poise_*_step runs it. No call blocks longer than its timeout. Strings given are
 * copied; strings got live as said. Calls return POISE_OK or a code of error.h, with a text for people in
 * *err (NULL is allowed). */
#ifndef POISE_CLIENT_H
#define POISE_CLIENT_H

#include <poise/error.h>
#include <poise/types.h>
#include <stddef.h>

/* ---- keys ---- */

/* An aggregator beyond this machine, or on it with keys, is reached by CURVE: docs/access.md. Options then
 * name the file of our own pair (mode 0600, else EDENIED) and the aggregator's public key: its 64 hex digits,
 * or a file that holds them. Both or none; for ipc endpoints they are read and not needed. */

enum { POISE_KEY_TEXT_MAX = 65 };
/* Makes a pair: PATH.key, for its owner alone, and PATH.pub, with the public key that ret_public gets, too.
 * EBUSY: one of them is there. */
POISE_API poise_code poise_keygen(const char *path, char ret_public[POISE_KEY_TEXT_MAX], poise_error *err);
/* Whether these would do as key_file and server_key of the options below, without connecting: EDENIED (others
 * may read or write a file), ENOTFOUND, EINVAL, EIO. */
POISE_API poise_code poise_check_keys(const char *key_file, const char *server_key, poise_error *err);

/* ---- sending ---- */

typedef struct poise_sender poise_sender;

typedef struct poise_refused {
    poise_measurement measurement; /* its strings live during the call */
    poise_refusal reason;
} poise_refused;

/* What becomes of measurements when the spool is full. */
typedef enum poise_when_full {
    POISE_BLOCK,       /* poise_send answers POISE_EFULL */
    POISE_DROP_OLDEST, /* the oldest that are not acknowledged go, a segment of the spool at a time */
    POISE_DROP_NEWEST  /* the batch is not taken */
} poise_when_full;

/* A spool that was copied or restored, and goes on under another epoch. */
typedef struct poise_fork {
    const char *producer;
    uint64_t epoch, new_epoch;
    uint64_t batches;  /* that wait and go under the new one */
    uint64_t doubtful; /* measurements that the other copy may have sent, or not: they are told as refused,
                          and as lost */
} poise_fork;

typedef struct poise_sender_options {
    const char *endpoint;    /* the aggregator's ingest endpoint, "tcp://127.0.0.1:5570" */
    const char *producer;    /* the name of this producer: an id, constant over its life */
    const char *spool;       /* directory of the spool, made if absent */
    int64_t spool_max_bytes; /* 0: 1 GiB */
    poise_when_full when_full;
    int64_t keep_acked_ms; /* acknowledged batches stay in the spool so long, while there is room, so that a
                              store that was restored from an older backup gets them again; 0: 7 days */
    uint32_t batch_rows;   /* rows that close a batch; 0: 1000 */
    int64_t linger_ms;     /* age at which an open batch is closed by send or step; 0: 50 */
    bool insecure;         /* allow plain TCP beyond loopback */
    bool backfill; /* much of the past: closed periods are revised once, when poise_sender_end_backfill says
                      so */
    const char *software; /* for the aggregator's log; NULL: "libpoise" */
    /* Called by step and drain with what the aggregator refused for good of a batch, before the spool forgets
     * the batch; may be NULL. Keep it, safely, then return POISE_OK. Any other code is a veto, and what step
     * returns: the batch stays in the spool, and is told again when the aggregator has been asked again, as
     * it is after a crash. The sender must not be used in the call. */
    poise_code (*refused)(void *context, const poise_refused *items, size_t count);
    void *context;
    const char *key_file;   /* ours; NULL: plain */
    const char *server_key; /* the aggregator's */
    /* Further addresses of the same store; the next is tried where one does not answer. */
    const char *const *routes;
    size_t route_count;
    /* Called when batches are dropped for want of room, and when open or step finds some damaged: then
     * `aside` is the file that holds them as they are, else NULL. The aggregator is told, too: who reads
     * scores sees it there (poise_get_losses), exactly, and without what it had got before. May be NULL. */
    void (*lost)(void *context, const poise_loss *loss, const char *aside);
    /* Called by step and drain when the aggregator has got other batches than ours from a copy of the spool,
     * so that ours go under a new epoch. May be NULL. */
    void (*forked)(void *context, const poise_fork *fork);
} poise_sender_options;

POISE_API poise_code poise_sender_open(const poise_sender_options *options, poise_sender **ret_sender,
                                       poise_error *err);
/* What is spooled stays spooled; what is in the open batch is spooled first. NULL is fine. */
POISE_API void poise_sender_close(poise_sender *sender);

/* Takes a measurement into the open batch. It is accepted (safe on this disk) when its batch was closed: at
 * batch_rows, after linger_ms by a later call, or by poise_sender_flush. EREFUSED: it breaks a rule that
 * needs no aggregator, *ret_reason (may be NULL) says which. EFULL: the spool is full, or its disk; run
 * poise_sender_step and try again. */
POISE_API poise_code poise_send(poise_sender *sender, const poise_measurement *measurement,
                                poise_refusal *ret_reason, poise_error *err);
/* As poise_send for measurements that belong together, such as those of one row: one batch holds all of them,
 * or none is taken. `mark` is the caller's note of how far it has come (at most POISE_MARK_MAX bytes; length
 * 0: none). It is safe in the same instant as they are, so a caller that crashed finds in it what need not be
 * sent again. Without measurements it goes with the open batch, or is made safe by the next flush. ELIMIT:
 * they do not fit into one batch. */
enum { POISE_MARK_MAX = 4096 };
POISE_API poise_code poise_send_together(poise_sender *sender, const poise_measurement *measurements,
                                         size_t count, const void *mark, size_t mark_length,
                                         poise_error *err);
/* The latest mark that is safe, of this run or an earlier one; NULL: none. Lives until the next call. */
POISE_API const void *poise_sender_mark(const poise_sender *sender, size_t *ret_length);
/* Closes the open batch into the spool. */
POISE_API poise_code poise_sender_flush(poise_sender *sender, poise_error *err);
/* Says behind all that was sent that the backfill is over; later measurements are none of it. */
POISE_API poise_code poise_sender_end_backfill(poise_sender *sender, poise_error *err);
/* Moves batches out and acknowledgements in for at most timeout_ms; returns early when something was
 * acknowledged or nothing is left to do. A missing aggregator is no error: it is tried again. ESTORE, EFORK,
 * EGAP, EVERSION, EDENIED, EPROTO: this spool and that aggregator do not go together; later calls ask it
 * again, once a second. EIO, ECORRUPT: the spool. What `refused` returned. */
POISE_API poise_code poise_sender_step(poise_sender *sender, int64_t timeout_ms, poise_error *err);
/* Flushes and steps until everything is acknowledged; ETIMEOUT. */
POISE_API poise_code poise_sender_drain(poise_sender *sender, int64_t timeout_ms, poise_error *err);

typedef struct poise_sender_stats {
    uint64_t accepted;     /* measurements that are safe in the spool, since open */
    uint64_t acknowledged; /* measurements that the aggregator has on its disk, since open */
    uint64_t refused;      /* of those, refused by it and told */
    uint64_t lost;         /* measurements that were dropped or found damaged, as far as known, since open */
    uint64_t batches_left; /* in the spool, not acknowledged */
    int64_t spool_bytes;   /* of its files; what is acknowledged goes in time, or when there is no room */
    bool connected;        /* the aggregator has answered on this connection */
    uint64_t forks;        /* times that the spool took a new epoch, since open */
    int64_t spool_age_ms;  /* for how long the oldest of batches_left has waited; one of an earlier run counts
                              from open; 0: none waits */
} poise_sender_stats;
POISE_API void poise_sender_get_stats(const poise_sender *sender, poise_sender_stats *ret_stats);
/* Why there is no connection to the address that is tried now, in a sentence for people ("it does not let our
 * key ... in: ..."); "": there is one, or nothing is known. Lives until the next call. */
POISE_API const char *poise_sender_trouble(poise_sender *sender);

/* ---- subscribing and asking ---- */

typedef struct poise_client poise_client;

typedef struct poise_client_options {
    const char *endpoint; /* the aggregator's query endpoint */
    bool insecure;
    const char *key_file;   /* ours; NULL: plain */
    const char *server_key; /* the aggregator's */
} poise_client_options;

POISE_API poise_code poise_client_open(const poise_client_options *options, poise_client **ret_client,
                                       poise_error *err);
POISE_API void poise_client_close(poise_client *client);
/* Why there is no connection, in a sentence for people; "": there is one, or nothing is known. Lives until
 * the next call. */
POISE_API const char *poise_client_trouble(poise_client *client);

/* Lists may be NULL and 0, as all else: everything. Orgs are globs as in scorecards, nodes are paths and what
 * lies below them. */
typedef struct poise_filter {
    const char *const *scorecards;
    size_t scorecard_count;
    const char *const *orgs;
    size_t org_count;
    const char *const *nodes;
    size_t node_count;
    uint32_t kinds;   /* of nodes: bits 1u << POISE_MEASURE, ... */
    uint32_t changes; /* POISE_CHANGES_...; 0: numbers and revisions. For an alarm STATUS is enough: a state
                         comes when its status became another, be it in between only, and with it comes what
                         else has changed; the other numbers of a view are then old. With REVISIONS alone no
                         states come */
} poise_filter;

typedef enum poise_event_kind {
    POISE_EVENT_RESET, /* a snapshot begins: forget what you know. Follows a first connect, and a loss after
                          which what has changed meanwhile could not be told: revisions that were made between
                          the READY before and the READY to come may not be told */
    POISE_EVENT_STATE, /* a node's latest numbers; of two for one node the later counts */
    POISE_EVENT_REVISION, /* a node as of the end of a closed period, which a late measurement changed */
    POISE_EVENT_READY,    /* the states so far are one consistent view as of lsn */
    POISE_EVENT_LOST /* the aggregator went silent; it is asked again. Then comes RESET, or, where it knows
                        what has changed since, just that and READY */
} poise_event_kind;
typedef struct poise_event {
    poise_event_kind kind;
    const poise_state *state; /* with STATE and REVISION; lives during the call */
    uint64_t lsn;
    int64_t as_of_ms;
} poise_event;
/* Return false to end the call that delivers events. */
typedef bool poise_on_event(void *context, const poise_event *event);

/* One subscription a client (EBUSY), until the client is closed or step answers that it was refused. Survives
 * restarts of the aggregator and cut connections: it goes on where it was, or the view starts again with
 * RESET. So whoever applies the events has at each READY what the aggregator had at that lsn, and each
 * revision was told once; only RESET leaves some out. */
POISE_API poise_code poise_subscribe(poise_client *client, const poise_filter *filter,
                                     int64_t least_interval_ms, poise_error *err);
/* Delivers events for at most timeout_ms (-1: until the callback returns false). Where the callback returns
 * false the next call goes on with the event after it. EINVAL: no subscription. Any other code with which the
 * aggregator refused. */
POISE_API poise_code poise_client_step(poise_client *client, int64_t timeout_ms, poise_on_event *on_event,
                                       void *context, poise_error *err);

/* The calls below need a client without a subscription (EBUSY). A timeout below 0 is none. An answer is
 * complete, and consistent, with its READY. An aggregator that is too busy (EBUSY: it has too many questions)
 * is asked again until the timeout; poise_backup and poise_rescore answer at once, since what is in their way
 * may last. One that was restarted is asked again; an order (poise_restate, poise_erase, poise_rescore,
 * poise_backup) is not: ENOTFOUND, and the aggregator's audit log says what became of it. An order waits a
 * minute at most for a connection (ETIMEOUT). */

/* The live states that pass the filter; ETIMEOUT. STATE events, then READY. */
POISE_API poise_code poise_get(poise_client *client, const poise_filter *filter, int64_t timeout_ms,
                               poise_on_event *on_event, void *context, poise_error *err);

typedef struct poise_question {
    const char *scorecard; /* an id */
    const char *org;       /* "" the root; with all_orgs not looked at */
    bool all_orgs;
    bool history; /* as of the end of every period of the scorecard's calendar up to as_of_ms */
    int64_t as_of_ms;
    int64_t
        known_at_ms;    /* as known then: without what was committed at a later T; 0: all that is known now */
    uint64_t known_lsn; /* as known with this lsn of an event; 0: likewise */
} poise_question;
/* States as of a time, from what is stored now, or was then. STATE events, then READY. ENOTFOUND: no such
 * scorecard or org. */
POISE_API poise_code poise_ask(poise_client *client, const poise_question *question, int64_t timeout_ms,
                               poise_on_event *on_event, void *context, poise_error *err);

/* What an operator lets in of the measurements that locked periods have held up. */
typedef struct poise_restatement {
    const char *measure; /* the input; NULL: all */
    const char *org;     /* a glob as in scorecards; NULL: all */
    int64_t from_ms,
        to_ms; /* of the measurements' times, from <= time < to; retractions have none and match any */
    const char *reason; /* for the journal and the log */
} poise_restatement;
/* Done, and on disk, with POISE_OK; *ret_rows were let in, *ret_refused of them were refused for another
 * reason. EBUSY: others came first, until the timeout. ELIMIT: it names too many at once. */
POISE_API poise_code poise_restate(poise_client *client, const poise_restatement *restatement,
                                   int64_t timeout_ms, uint64_t *ret_rows, uint64_t *ret_refused,
                                   poise_error *err);

/* What an operator has erased: measurements that were taken in before. */
typedef struct poise_erasure {
    const char *measure;    /* the input; NULL: all, of the org */
    const char *org;        /* a glob as in scorecards; NULL: all, of the measure */
    int64_t from_ms, to_ms; /* of the measurements' times, from <= time < to */
    const char *reason;     /* for the journal and the log */
    bool dry_run;           /* only say how many there are */
} poise_erasure;
typedef struct poise_erased {
    uint64_t rows;    /* of the measurements: replaced ones and such that locked periods hold, too */
    uint64_t counted; /* of them, that counted until now */
    uint64_t lsn;     /* of the journal's record; 0: there were none, or it was a dry run */
} poise_erased;
/* They count no more, and that is on disk, with POISE_OK; what is left of them on the disk goes from then on.
 * EBUSY: other orders came first, until the timeout. ELIMIT: it names too many at once. */
POISE_API poise_code poise_erase(poise_client *client, const poise_erasure *erasure, int64_t timeout_ms,
                                 poise_erased *ret_erased, poise_error *err);

/* The closed periods that an operator has scored by the current definition. */
typedef struct poise_rescoring {
    const char *scorecard; /* NULL: all */
    int64_t from_ms;       /* those that end then or later */
    const char *reason;    /* for the journal and the log; NULL: none */
} poise_rescoring;
typedef struct poise_rescored {
    uint64_t scorecards; /* of which the current definition is in force for more periods than before */
    uint64_t revised;    /* scores that differ, each with a revision */
    uint64_t locked;     /* scorecards of which some of the periods are locked, and stay as they are */
    uint64_t lsn;        /* of the journal's record; 0: there was nothing to do */
} poise_rescored;
/* Done, and on disk, with POISE_OK. ENOTFOUND: there is no such scorecard. EBUSY: a backfill runs, try again
 * when it has ended. ELIMIT: too many scores at once, name a later time first. */
POISE_API poise_code poise_rescore(poise_client *client, const poise_rescoring *rescoring, int64_t timeout_ms,
                                   poise_rescored *ret_rescored, poise_error *err);

/* Which measurements a dump is of. */
typedef struct poise_selection {
    const char *measure; /* the input; NULL: all */
    const char *org;     /* a glob as in scorecards; NULL: all */
    int64_t from_ms,
        to_ms;  /* of the measurements' times, from <= time < to; retractions have none and match any */
    bool keyed; /* only measurements with a key */
} poise_selection;
typedef struct poise_page {
    const poise_measurement *rows; /* with their strings, during the call */
    const uint64_t *places;        /* of each in the order in which the aggregator counted */
    size_t count;                  /* may be 0 */
    uint64_t done, total;          /* how far the dump is: so much of so much was looked at */
    int64_t dropped_ms; /* before it measurements that the dump is of were dropped (`keep`); 0: none */
} poise_page;
/* Return false to end the dump. */
typedef bool poise_on_page(void *context, const poise_page *page);
/* The measurements that were counted up to now, in the order in which they were: replaced ones and
 * retractions too, and those that poise_restate let in there where it did. Sent again in this order they give
 * the same scores. Goes on by itself when the aggregator is restarted; ETIMEOUT: there was no page for so
 * long. The callback may take its time. */
POISE_API poise_code poise_dump(poise_client *client, const poise_selection *selection, int64_t timeout_ms,
                                poise_on_page *on_page, void *context, poise_error *err);

/* The log of changes: all that was published, in its order, each change once. */
enum { POISE_CURSOR_MAX = 129 };
typedef struct poise_change {
    const poise_state *state; /* with a revision: of a closed period */
    uint64_t lsn;       /* it was published with: as of a READY. With `number` it is told from all others */
    uint32_t number;    /* which it is of those with this lsn: 1, 2, ...; a filter leaves some out */
    int64_t settled_ms; /* the aggregator's T of that */
} poise_change;
typedef struct poise_changes_page {
    const poise_change *changes; /* with their states, during the call */
    size_t count;                /* may be 0 */
    const char *cursor; /* where the next page begins: keep it with what you made of this one. A text of less
                           than POISE_CURSOR_MAX bytes, during the call */
    bool whole;         /* no more with the last lsn follow: all states are as of one time again */
    bool last;          /* that was all up to now */
    uint64_t done, total; /* how far the page reaches: records of the journal, of so many */
} poise_changes_page;
/* Return false to end the call. */
typedef bool poise_on_changes(void *context, const poise_changes_page *page);
typedef struct poise_changes_from {
    const char *cursor; /* of the page that was taken last; NULL or "": none */
    uint64_t after_lsn; /* without a cursor: of a READY, to go on behind a snapshot; 0: from the first that
                           there is */
} poise_changes_from;
/* Page by page until `last`: with the page's cursor the next call goes on, after days, too. The filter may be
 * another then; STATUS is not for this (EUNSUPPORTED). Goes on by itself when the aggregator is restarted;
 * ETIMEOUT: there was no page for so long. EGAP: the changes behind the cursor were trimmed from the journal;
 * ESTORE: the cursor is of another store, or of this one before it was restored from a backup. After both
 * take a snapshot with poise_get, and go on behind its lsn. The callback may take its time. */
POISE_API poise_code poise_read_changes(poise_client *client, const poise_filter *filter,
                                        const poise_changes_from *from, int64_t timeout_ms,
                                        poise_on_changes *on_changes, void *context, poise_error *err);

/* A backup of the aggregator's store that was written. */
typedef struct poise_backed_up {
    uint64_t lsn; /* the last record of the journal in it: as of its commit all of it is */
    uint64_t bytes;
    int64_t duration_ms;
    char path[512]; /* on the aggregator's machine */
} poise_backed_up;
/* Has the aggregator write one, below the directory that its configuration names; POISE_OK: it is synced,
 * checked, and has its name, an id that does not begin with a dot. EBUSY: there is one of that name, or
 * another is being written. EUNSUPPORTED: the configuration names no directory. EFULL: there is no room for
 * it. */
POISE_API poise_code poise_backup(poise_client *client, const char *name, int64_t timeout_ms,
                                  poise_backed_up *ret_backed_up, poise_error *err);

/* What producers have told the aggregator that they lost, the latest of each producer's epoch first: scores
 * as of a time behind as_of_ms lack it. *ret_left_out (may be NULL): so many more there are. */
POISE_API poise_code poise_get_losses(poise_client *client, int64_t timeout_ms,
                                      void (*on_loss)(void *context, const poise_loss *loss), void *context,
                                      uint64_t *ret_left_out, poise_error *err);

/* The aggregator's own numbers, one call a number. */
POISE_API poise_code poise_get_stats(poise_client *client, int64_t timeout_ms,
                                     void (*on_number)(void *context, const char *name, double value),
                                     void *context, poise_error *err);

#endif
