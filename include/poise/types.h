/* What goes in (measurements) and what comes out (states of nodes).
 *
 * Times are int64 milliseconds since 1970-01-01 UTC, named _ms. Numbers are IEEE doubles; where "none" is
 * possible it is NaN, which is never a valid number of Poise. Text is UTF-8 without control characters.
 * Terms: Kaplan and Norton, "The Balanced Scorecard" (1996); docs/scorecard.md defines them. */
#ifndef POISE_TYPES_H
#define POISE_TYPES_H

#include <poise/export.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    POISE_ID_MAX = 64,      /* bytes of a measure's or node's id */
    POISE_ORG_MAX = 255,    /* bytes of an org path */
    POISE_SOURCE_MAX = 127, /* bytes of a source */
    POISE_KEY_MAX = 255     /* bytes of a key */
};

/* One observation. Strings are borrowed for the call. */
typedef struct poise_measurement {
    const char *measure; /* the input that it feeds */
    const char *org;     /* "plant-1/line-3"; "" or NULL: the whole organisation */
    const char *source;  /* who says so; "" or NULL: the empty source */
    const char *key;     /* NULL: an event, added; else it replaces what (measure, source, key) said before */
    int64_t time_ms;     /* when it happened; ignored with retract */
    double value;        /* 0, or 1e-100 to 1e100 in size; ignored with retract */
    double of;           /* denominator or weight; use 1 where there is none; same range */
    uint64_t seq;        /* of two with one key the higher stands; 0: the later to arrive */
    bool retract;        /* takes what key said away; needs a key */
} poise_measurement;

/* Why a measurement was refused. Travels by number and lands in dead letters by name: append only. */
#define POISE_REFUSALS(X)                                                                                    \
    X(NONE, 0, "accepted")                                                                                   \
    X(UNKNOWN_MEASURE, 1, "no scorecard here has a measure that reads this input")                           \
    X(MEASURE_NAME, 2, "the measure's name is empty, too long or not an id (a-z A-Z 0-9 _ . -)")             \
    X(ORG, 3, "the org is too long, not valid UTF-8, or has an empty or blank-edged segment")                \
    X(SOURCE, 4, "the source is too long or not valid UTF-8")                                                \
    X(KEY, 5, "the key is empty, too long or not valid UTF-8")                                               \
    X(TIME_RANGE, 6, "the time is outside 1900-01-01 to 2200-01-01")                                         \
    X(TIME_AHEAD, 7, "the time is further ahead of the clock than max_ahead allows")                         \
    X(VALUE, 8, "the value is not 0 and not between 1e-100 and 1e100 in size")                               \
    X(OF, 9, "`of` is not 0 and not between 1e-100 and 1e100 in size")                                       \
    X(RETRACT_KEY, 10, "a retraction needs a key")                                                           \
    X(SEQ_CONFLICT, 11, "another measurement with this key and seq says something else")                     \
    X(SEQ_RANGE, 12, "seq is above 2^62")                                                                    \
    X(LEVEL, 13, "the value is no level of the measures that read it")                                       \
    X(TOO_MANY_ORGS, 14, "max_orgs of the aggregator is reached")                                            \
    X(TOO_MANY_SERIES, 15, "max_series of the aggregator is reached")                                        \
    X(MALFORMED, 16, "the row or its batch could not be decoded")                                            \
    X(LOCKED, 17, "a period that it would change is locked; `poise restate` lets it in")                     \
    X(NOT_ALLOWED, 18,                                                                                       \
      "its sender's key may not send this input for this org, or not with a key of this source")             \
    X(FROZEN, 19, "a period that it would change is frozen: its measurements were dropped (`keep`)")

typedef enum poise_refusal {
#define POISE_REFUSAL_ENUM(name, number, text) POISE_REFUSAL_##name = number,
    POISE_REFUSALS(POISE_REFUSAL_ENUM)
#undef POISE_REFUSAL_ENUM
        POISE_REFUSAL_COUNT
} poise_refusal;

/* "unknown_measure" and its sentence. */
POISE_API const char *poise_refusal_name(poise_refusal refusal);
POISE_API const char *poise_refusal_text(poise_refusal refusal);

/* Why a producer has lost measurements that it had accepted, or was to accept. Numbers are for ever. */
typedef enum poise_loss_reason {
    POISE_LOSS_UNKNOWN, /* of a later version */
    POISE_LOSS_OLDEST,  /* the spool was full, and the oldest were dropped */
    POISE_LOSS_NEWEST,  /* the spool was full, and what came then was not taken */
    POISE_LOSS_DAMAGED  /* the spool's disk gave back other bytes than were written */
} poise_loss_reason;
POISE_API const char *poise_loss_text(poise_loss_reason reason); /* "oldest", ... */

/* Batches of a producer that the aggregator will never get. */
typedef struct poise_loss {
    const char *producer;
    uint64_t epoch, first_seq, last_seq;
    uint64_t rows;          /* measurements in them; 0: not known */
    int64_t from_ms, to_ms; /* of their times, where rows is known */
    poise_loss_reason reason;
    uint64_t lsn;     /* of the journal's record that says so */
    int64_t as_of_ms; /* of its commit */
} poise_loss;

typedef enum poise_kind { POISE_SCORECARD, POISE_PERSPECTIVE, POISE_OBJECTIVE, POISE_MEASURE } poise_kind;

/* What a filter lets through of what changes. */
enum poise_changes {
    POISE_CHANGES_NUMBERS = 1,  /* any change of a node's latest numbers */
    POISE_CHANGES_STATUS = 2,   /* of them, only where the status is another */
    POISE_CHANGES_REVISIONS = 4 /* closed periods that a late measurement changed */
};

typedef enum poise_status { POISE_NO_DATA, POISE_RED, POISE_AMBER, POISE_GREEN } poise_status;

enum poise_flags {
    POISE_FLAG_CAPPED = 1,
    POISE_FLAG_CARRIED = 2,
    POISE_FLAG_IMPUTED = 4,
    POISE_FLAG_OVERFLOW = 8,
    POISE_FLAG_STALE = 16
};

/* The numbers of a node. */
typedef struct poise_score {
    double value;      /* of a measure; NaN: no data, or a node above measures */
    double attainment; /* the unclamped score line; NaN likewise */
    double score;      /* 0 to 100; NaN: none */
    double lo, hi;     /* what the score could be were everything missing known */
    double coverage;   /* share of the weight that is measured */
    double filled;     /* share of the weight that is measured or imputed */
    double trend;      /* score minus that at the end of the previous period; NaN: none */
    int64_t count;     /* measurements behind value; -1: none (above measures) */
    int64_t period_start_ms, period_end_ms; /* of a measure; both INT64_MIN: none */
    uint32_t flags;                         /* enum poise_flags */
    poise_status status;
    bool uncertain; /* status of lo and hi differ */
} poise_score;

/* A node of a scorecard at an org, as of a time. Strings live as its giver says. */
typedef struct poise_state {
    const char *org;
    const char *node; /* ids joined by '/', the scorecard first */
    const char *name;
    poise_kind kind;
    double weight;
    int64_t as_of_ms;
    uint64_t definition; /* number of the scorecard's definition in force for it; 0: none (offline) */
    uint64_t
        revision; /* how often the closed period that ended at as_of_ms was changed; 0: never, or T's own */
    double replaced; /* with a revision: the score before it; NaN: none */
    uint64_t
        cause; /* with a revision: the measurement or rescore that made it, by its place in the journal */
    poise_score numbers;
} poise_state;

POISE_API const char *poise_kind_name(poise_kind kind);       /* "scorecard", ... */
POISE_API const char *poise_status_name(poise_status status); /* "no_data", "red", "amber", "green" */

#endif
