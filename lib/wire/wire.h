/* Messages of the wire protocol as plain structs, and their bytes. proto/poise.proto and proto/README.md are
 * the contract. protobuf-c stays inside; decoding allocates only in an arena with a hard limit and checks
 * every text, count and number, so that what it gives is safe to use. */
#ifndef WIRE_WIRE_H
#define WIRE_WIRE_H

#include <base/arena.h>
#include <base/buf.h>
#include <poise/error.h>
#include <poise/types.h>

enum {
    WIRE_VERSION = 1,
    WIRE_MESSAGE_MAX = 262144,     /* bytes of a body, both directions */
    WIRE_ARENA = 16 * 1024 * 1024, /* a limit for the arena of a decode that no sane message meets */
    WIRE_BATCH_ROWS_MAX = 16384,   /* so that the refusals of a whole batch fit into one ACK */
    WIRE_SYMBOLS_MAX = 65536,
    WIRE_SYMBOLS_LEAST = 4, /* of any one measurement */
    WIRE_ROWS_SURE =
        1000, /* a batch that has no more is taken by every aggregator: WELCOME never allows less */
    WIRE_BYTES_SURE = 65536,
    WIRE_SYMBOLS_SURE = 4096,
    WIRE_SYMBOL_BYTES_MAX = 255,
    WIRE_TEXT_MAX = 511,   /* bytes of every other text */
    WIRE_FILTER_MAX = 256, /* entries of each list of a filter */
    WIRE_REFUSALS_MAX = 16384,
    WIRE_STORE_ID = 16,
    WIRE_CURSOR_MAX = 64,  /* bytes of a dump's cursor */
    WIRE_LOSSES_MAX = 1024 /* of an answer, which fits */
};
#define WIRE_ROW_ALL UINT32_MAX /* refusal of a whole batch; not an enum: ISO C wants those within int */

/* First frame of a message: two bytes, version and kind. */
enum wire_kind {
    WIRE_HELLO = 1,
    WIRE_WELCOME = 2,
    WIRE_BATCH = 3,
    WIRE_ACK = 4,
    WIRE_GAP = 5,
    WIRE_ERROR = 6,
    WIRE_SUBSCRIBE = 16,
    WIRE_CREDIT = 17,
    WIRE_UNSUBSCRIBE = 18,
    WIRE_SNAPSHOT = 19,
    WIRE_UPDATE = 20,
    WIRE_QUERY = 24,
    WIRE_RESULT = 25,
    WIRE_STATS_REQUEST = 26,
    WIRE_STATS = 27,
    WIRE_RESTATE = 28,
    WIRE_RESTATED = 29,
    WIRE_RESCORE = 30,
    WIRE_RESCORED = 31,
    WIRE_BACKUP = 32,
    WIRE_BACKED_UP = 33,
    WIRE_DUMP = 36,
    WIRE_ROWS = 37,
    WIRE_LOSSES_REQUEST = 40,
    WIRE_LOSSES = 41,
    WIRE_CHANGES = 42,
    WIRE_CHANGED = 43,
    WIRE_ERASE = 44,
    WIRE_ERASED = 45,
    WIRE_SPOOL = 46
};
void wire_head(enum wire_kind kind, uint8_t ret_head[2]);
/* EVERSION for another version, EPROTO for what is no head. *ret_kind may be of a later minor version and
 * then no name of the enum. */
poise_code wire_head_parse(const void *bytes, size_t length, enum wire_kind *ret_kind, poise_error *err);

struct wire_hello {
    const char *producer;
    uint64_t epoch, first_seq, next_seq, last_hash, incarnation;
    uint64_t forked_epoch; /* 0: none */
    bool has_store;
    uint8_t store_id[WIRE_STORE_ID];
    const char *software;
};
struct wire_welcome {
    uint8_t store_id[WIRE_STORE_ID];
    uint64_t incarnation, epoch, next_seq, last_hash;
    uint32_t credit, max_batch_bytes, max_batch_rows, max_batch_symbols;
    const uint64_t *hashes; /* of the batches before next_seq, the latest at the end; 0: not known */
    size_t hash_count;
    bool takes_spool;
};
struct wire_spool { /* what waits in it */
    uint64_t bytes, age_ms;
};
struct wire_refusal {
    uint64_t seq;
    uint32_t row;
    poise_refusal reason;
};
struct wire_ack {
    uint64_t epoch, seq;
    uint32_t credit;
    const struct wire_refusal *refusals;
    size_t refusal_count;
};
struct wire_gap {
    uint64_t epoch, expected;
};
struct wire_error {
    uint64_t id;
    poise_code code;
    const char *text;
};
struct wire_filter {
    const char **scorecards, **orgs, **nodes;
    size_t scorecard_count, org_count, node_count;
    uint32_t kinds;   /* bits 1 << poise_kind; 0: all */
    uint32_t changes; /* POISE_CHANGES_...; 0: numbers and revisions */
};
struct wire_subscribe {
    uint64_t id;
    struct wire_filter filter;
    uint32_t least_interval_ms, credit;
    bool once;
    uint64_t from_lsn, from_revised, from_view; /* a view that the client has; from_lsn 0: none */
};
struct wire_credit {
    uint64_t id;
    uint32_t more;
};
struct wire_states { /* SNAPSHOT, UPDATE, RESULT */
    uint64_t id, lsn;
    uint64_t prev;    /* UPDATE */
    int64_t as_of_ms; /* not RESULT: each state has its own */
    bool last;        /* part of the snapshot or result; of an UPDATE always */
    bool part;     /* UPDATE: with lsn = prev, others follow; the view is whole again with the last of them */
    bool more;     /* SNAPSHOT with last, UPDATE: revisions up to lsn follow */
    uint64_t view; /* SNAPSHOT with last */
    poise_state *states;
    size_t count;
};
struct wire_query {
    uint64_t id;
    const char *scorecard, *org;
    bool all_orgs, history;
    int64_t as_of_ms;
    uint32_t credit;
    int64_t known_at_ms; /* 0: all that is known now */
    uint64_t known_lsn;  /* likewise */
};
struct wire_restate {
    uint64_t id;
    const char *measure, *org, *reason;
    int64_t from_ms, to_ms;
    uint64_t place; /* in the journal alone: of the last row that it lets in; 0: it does not say */
};
struct wire_restated {
    uint64_t id, rows, refused, lsn;
};
struct wire_erase {
    uint64_t id;
    const char *measure, *org, *reason;
    int64_t from_ms, to_ms;
    bool dry_run;
};
struct wire_erased {
    uint64_t id, rows, counted, lsn;
};
struct wire_rescore {
    uint64_t id;
    const char *scorecard, *reason;
    int64_t from_ms;
};
struct wire_rescored {
    uint64_t id, scorecards, revised, locked, lsn;
};
struct wire_backup {
    uint64_t id;
    const char *name;
};
struct wire_backed_up {
    uint64_t id, lsn, bytes, duration_ms;
    const char *path;
};
struct wire_stats {
    uint64_t id;
    const char **names;
    double *values;
    size_t count;
};

/* A decoded batch: columns in the arena. Every index is in range, every text printable UTF-8; rows that hold
 * something refusable (bad names, numbers, times) are left to the receiver's row checks. */
#define WIRE_SYMBOL_NONE UINT32_MAX
enum wire_backfill { WIRE_BACKFILL_NONE, WIRE_BACKFILL_RUNS, WIRE_BACKFILL_ENDS };
struct wire_series {
    uint32_t measure, org, source; /* symbol indices; source WIRE_SYMBOL_NONE: empty */
};
/* Numbers of an epoch that no batch will have. */
struct wire_loss {
    uint64_t last_seq; /* 0: there is none */
    uint64_t rows;     /* 0: not known */
    int64_t from_ms, to_ms;
    poise_loss_reason reason;
    uint64_t last_hash;
};
struct wire_batch {
    uint64_t epoch, seq;
    struct wire_loss loss; /* instead of rows, of which there are none then */
    const char **symbols;
    size_t symbol_count;
    const struct wire_series *series;
    size_t series_count;
    size_t rows;
    const uint32_t *row_series;
    const int64_t *time_ms; /* deltas undone */
    const double *value;
    const double *of;        /* NULL: 1 everywhere */
    const uint32_t *key;     /* symbol index + 1, 0: none; NULL: no keys */
    const uint64_t *row_seq; /* 0: none; NULL: no seqs */
    const bool *retract;     /* NULL: no retractions */
    enum wire_backfill backfill;
};

struct wire_losses {
    uint64_t id, left_out;
    const poise_loss *losses;
    size_t count; /* at most WIRE_LOSSES_MAX */
};

struct wire_dump {
    uint64_t id;
    const char *measure, *org;
    int64_t from_ms, to_ms;
    bool keyed;
    const void *cursor;
    size_t cursor_length;
};
struct wire_rows {
    uint64_t id;
    const void *batch; /* a BATCH's body; encode only */
    size_t batch_length;
    struct wire_batch rows; /* decode only */
    const uint64_t *places; /* of each row */
    size_t count;
    const void *cursor;
    size_t cursor_length;
    uint64_t done, total;
    int64_t dropped_ms;
};

struct wire_changes {
    uint64_t id;
    struct wire_filter filter;
    const void *cursor;
    size_t cursor_length;
    uint64_t after_lsn;
};
struct wire_changed {
    uint64_t id;
    poise_state *states;
    const uint64_t *lsns;      /* of each state: of what published it, */
    const int64_t *settled_ms; /* T of that, */
    const uint32_t *numbers;   /* and which of its states it is */
    size_t count;
    const void *cursor;
    size_t cursor_length;
    bool whole, last;
    uint64_t done, total;
};

/* Each decode checks the body; EPROTO with a reason, ELIMIT, ENOMEM. What it points to lives in the arena;
 * that may have grown also on failure, up to its limit. */
poise_code wire_decode_hello(const void *body, size_t length, struct arena *arena, struct wire_hello *ret,
                             poise_error *err);
poise_code wire_decode_welcome(const void *body, size_t length, struct arena *arena, struct wire_welcome *ret,
                               poise_error *err);
poise_code wire_decode_batch(const void *body, size_t length, struct arena *arena, struct wire_batch *ret,
                             poise_error *err);
/* How many rows and symbols a batch says that it has, without memory for them; it may be malformed for all
 * that. */
struct wire_batch_size {
    size_t rows, symbols;
};
struct wire_batch_size wire_batch_size(const void *body, size_t length);
/* Only epoch, seq of a batch that may otherwise be malformed; false: not even that. */
bool wire_peek_batch(const void *body, size_t length, uint64_t *ret_epoch, uint64_t *ret_seq);
poise_code wire_decode_ack(const void *body, size_t length, struct arena *arena, struct wire_ack *ret,
                           poise_error *err);
poise_code wire_decode_gap(const void *body, size_t length, struct arena *arena, struct wire_gap *ret,
                           poise_error *err);
poise_code wire_decode_spool(const void *body, size_t length, struct arena *arena, struct wire_spool *ret,
                             poise_error *err);
poise_code wire_decode_error(const void *body, size_t length, struct arena *arena, struct wire_error *ret,
                             poise_error *err);
poise_code wire_decode_subscribe(const void *body, size_t length, struct arena *arena,
                                 struct wire_subscribe *ret, poise_error *err);
poise_code wire_decode_credit(const void *body, size_t length, struct arena *arena, struct wire_credit *ret,
                              poise_error *err);
poise_code wire_decode_unsubscribe(const void *body, size_t length, struct arena *arena, uint64_t *ret_id,
                                   poise_error *err);
/* kind: WIRE_SNAPSHOT, WIRE_UPDATE or WIRE_RESULT. */
poise_code wire_decode_states(enum wire_kind kind, const void *body, size_t length, struct arena *arena,
                              struct wire_states *ret, poise_error *err);
/* The states of an UPDATE of any length, as the journal has it, one by one; each lives during the call of
 * visit. */
poise_code wire_each_change(const void *changes, size_t length, struct arena *arena,
                            poise_code (*visit)(void *visitor, const poise_state *state), void *visitor,
                            poise_error *err);
poise_code wire_decode_query(const void *body, size_t length, struct arena *arena, struct wire_query *ret,
                             poise_error *err);
poise_code wire_decode_erase(const void *body, size_t length, struct arena *arena, struct wire_erase *ret,
                             poise_error *err);
poise_code wire_decode_erased(const void *body, size_t length, struct arena *arena, struct wire_erased *ret,
                              poise_error *err);
poise_code wire_decode_restate(const void *body, size_t length, struct arena *arena, struct wire_restate *ret,
                               poise_error *err);
poise_code wire_decode_restated(const void *body, size_t length, struct arena *arena,
                                struct wire_restated *ret, poise_error *err);
poise_code wire_decode_rescore(const void *body, size_t length, struct arena *arena, struct wire_rescore *ret,
                               poise_error *err);
poise_code wire_decode_rescored(const void *body, size_t length, struct arena *arena,
                                struct wire_rescored *ret, poise_error *err);
poise_code wire_decode_backup(const void *body, size_t length, struct arena *arena, struct wire_backup *ret,
                              poise_error *err);
poise_code wire_decode_backed_up(const void *body, size_t length, struct arena *arena,
                                 struct wire_backed_up *ret, poise_error *err);
poise_code wire_decode_dump(const void *body, size_t length, struct arena *arena, struct wire_dump *ret,
                            poise_error *err);
poise_code wire_decode_rows(const void *body, size_t length, struct arena *arena, struct wire_rows *ret,
                            poise_error *err);
poise_code wire_decode_changes(const void *body, size_t length, struct arena *arena, struct wire_changes *ret,
                               poise_error *err);
poise_code wire_decode_changed(const void *body, size_t length, struct arena *arena, struct wire_changed *ret,
                               poise_error *err);
poise_code wire_decode_stats_request(const void *body, size_t length, struct arena *arena, uint64_t *ret_id,
                                     poise_error *err);
poise_code wire_decode_losses_request(const void *body, size_t length, struct arena *arena, uint64_t *ret_id,
                                      poise_error *err);
poise_code wire_decode_losses(const void *body, size_t length, struct arena *arena, struct wire_losses *ret,
                              poise_error *err);
poise_code wire_decode_stats(const void *body, size_t length, struct arena *arena, struct wire_stats *ret,
                             poise_error *err);

/* Each encode appends the body to out; ENOMEM only. Texts must be printable UTF-8 within the limits, else the
 * peer refuses the message. */
poise_code wire_encode_hello(const struct wire_hello *message, struct buf *out);
poise_code wire_encode_welcome(const struct wire_welcome *message, struct buf *out);
poise_code wire_encode_ack(const struct wire_ack *message, struct buf *out);
poise_code wire_encode_gap(const struct wire_gap *message, struct buf *out);
poise_code wire_encode_spool(const struct wire_spool *message, struct buf *out);
poise_code wire_encode_error(const struct wire_error *message, struct buf *out);
poise_code wire_encode_subscribe(const struct wire_subscribe *message, struct buf *out);
poise_code wire_encode_credit(const struct wire_credit *message, struct buf *out);
poise_code wire_encode_unsubscribe(uint64_t id, struct buf *out);
poise_code wire_encode_states(enum wire_kind kind, const struct wire_states *message, struct buf *out);
/* As much, in two parts: all but the states, and the states alone. Those of UPDATEs with the same states are
 * the same bytes. */
poise_code wire_encode_states_head(enum wire_kind kind, const struct wire_states *message, struct buf *out);
poise_code wire_encode_states_tail(enum wire_kind kind, const struct wire_states *message, struct buf *out);
/* For cutting states into messages: the bytes that a state takes at most, beside those of the message itself.
 */
enum { WIRE_STATES_HEAD_MAX = 64 };
size_t wire_state_size(const poise_state *state);
poise_code wire_encode_query(const struct wire_query *message, struct buf *out);
poise_code wire_encode_erase(const struct wire_erase *message, struct buf *out);
poise_code wire_encode_erased(const struct wire_erased *message, struct buf *out);
poise_code wire_encode_restate(const struct wire_restate *message, struct buf *out);
poise_code wire_encode_restated(const struct wire_restated *message, struct buf *out);
poise_code wire_encode_rescore(const struct wire_rescore *message, struct buf *out);
poise_code wire_encode_rescored(const struct wire_rescored *message, struct buf *out);
poise_code wire_encode_backup(const struct wire_backup *message, struct buf *out);
poise_code wire_encode_backed_up(const struct wire_backed_up *message, struct buf *out);
poise_code wire_encode_dump(const struct wire_dump *message, struct buf *out);
poise_code wire_encode_rows(const struct wire_rows *message, struct buf *out);
poise_code wire_encode_changes(const struct wire_changes *message, struct buf *out);
poise_code wire_encode_changed(const struct wire_changed *message, struct buf *out);
poise_code wire_encode_stats_request(uint64_t id, struct buf *out);
poise_code wire_encode_losses_request(uint64_t id, struct buf *out);
poise_code wire_encode_losses(const struct wire_losses *message, struct buf *out);
/* The body of a BATCH that is a loss. */
poise_code wire_encode_loss(uint64_t epoch, uint64_t seq, const struct wire_loss *loss, struct buf *out);
poise_code wire_encode_stats(const struct wire_stats *message, struct buf *out);

/* The hash of a batch's body that HELLO and WELCOME carry: XXH3-64, seed 0. */
uint64_t wire_batch_hash(const void *body, size_t length);

/* Builds a batch row by row. epoch and seq are put in by finish, so that a batch that is never sent burns no
 * sequence. */
struct wire_builder;                          /* opaque */
struct wire_builder *wire_builder_open(void); /* NULL: out of memory */
void wire_builder_close(struct wire_builder *builder);
/* What a batch may have at most, for the next add; at first, and at most, WIRE_BATCH_ROWS_MAX and
 * WIRE_MESSAGE_MAX; at least 1 row and 2048 bytes, so that any one measurement fits. */
void wire_builder_limits(struct wire_builder *builder, size_t max_rows, size_t max_bytes);
/* Likewise of its texts; at least WIRE_SYMBOLS_LEAST. */
void wire_builder_symbols(struct wire_builder *builder, size_t max_symbols);
/* The measurement must pass measurement_check. Nothing is added on EFULL (the batch has max rows, bytes or
 * symbols; finish it first) and ENOMEM. */
poise_code wire_builder_add(struct wire_builder *builder, const poise_measurement *measurement);
/* Whether the open batch takes all of these; false may be too careful by some bytes, true never wrong. */
bool wire_builder_fits(const struct wire_builder *builder, const poise_measurement *measurements,
                       size_t count);
size_t wire_builder_rows(const struct wire_builder *builder);
void wire_builder_backfill(struct wire_builder *builder,
                           enum wire_backfill backfill); /* of this and later batches */
/* Appends the batch's body to out and empties the builder; on ENOMEM it stays full. */
poise_code wire_builder_finish(struct wire_builder *builder, uint64_t epoch, uint64_t seq, struct buf *out);
/* Appends what wire_builder_finish made, under another epoch and number. False: it is none of its. */
bool wire_renumber(const void *body, size_t length, uint64_t epoch, uint64_t seq, struct buf *out);
/* Row `row` of a decoded batch as a measurement; strings in the batch's arena. */
poise_measurement wire_batch_row(const struct wire_batch *batch, size_t row);

#endif
