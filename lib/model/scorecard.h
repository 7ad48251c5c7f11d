/* The definition of a scorecard: read once from YAML, then immutable and shared by all threads.
 * docs/scorecard.md is its reference; scoring.md sections 2 to 5 and 8 its specification. */
#ifndef MODEL_SCORECARD_H
#define MODEL_SCORECARD_H

#include <config/yaml.h>
#include <model/calendar.h>
#include <poise/types.h>

enum aggregate {
    AGGREGATE_SUM,
    AGGREGATE_COUNT,
    AGGREGATE_MIN,
    AGGREGATE_MAX,
    AGGREGATE_MEAN,
    AGGREGATE_WEIGHTED_MEAN,
    AGGREGATE_RATIO,
    AGGREGATE_FIRST,
    AGGREGATE_LAST,
    AGGREGATE_STDDEV,
    AGGREGATE_QUANTILE, /* measure.quantile says which */
    AGGREGATE_FORMULA   /* of other leaves; reads no input */
};

enum form_kind { FORM_LINEAR, FORM_GOAL_RED, FORM_BAND, FORM_STEP, FORM_LEVELS, FORM_BINARY, FORM_MILESTONE };

struct globs { /* org patterns, scoring.md section 2; count 0: every org */
    const char **items;
    size_t count;
};

bool globs_match(const struct globs *globs, const char *org);

struct step {
    double at, score;
};

struct level { /* a qualitative value; names and values differ within a form */
    const char *name;
    double value, score;
};

struct planned {   /* a point of a plan */
    int64_t on_ms; /* midnight in the scorecard's zone */
    double value;
};

/* One score function; the forms of a measure stand in the order of search: latest `from`, then last in the
 * file. Which numbers it uses is its kind's affair (scoring.md section 3). */
struct form {
    enum form_kind kind;
    int64_t from_ms; /* in force from; INT64_MIN: always */
    struct globs orgs;
    union {
        struct {
            double from, to;
        } linear;
        struct {
            double goal, red;
        } goal_red;
        struct {
            double low_zero, low, high, high_zero;
        } band;
        struct {
            double below;
            struct step *items;
            size_t count;
        } step;
        struct {
            struct level *items;
            size_t count;
        } levels;
        struct {
            struct planned *items; /* of rising dates; at least one */
            size_t count;
        } milestone;
    };
};

/* A formula in postfix order: each step takes its operands from a stack and leaves its result there; one
 * value is left at the end. Plain double arithmetic. */
enum formula_op {
    FORMULA_NUMBER,
    FORMULA_LEAF, /* the value of another leaf at the same org and T */
    FORMULA_ADD,
    FORMULA_SUBTRACT,
    FORMULA_MULTIPLY,
    FORMULA_DIVIDE,
    FORMULA_NEGATE
};
struct formula_step {
    enum formula_op op;
    uint32_t node; /* of FORMULA_LEAF */
    double number; /* of FORMULA_NUMBER */
};
enum { FORMULA_DEPTH_MAX = 32, FORMULA_STEPS_MAX = 256 }; /* of the stack; in all */
struct formula {
    const char *text; /* as in the file */
    struct formula_step *steps;
    size_t count;
};

enum missing_policy { MISSING_RENORMALISE, MISSING_IMPUTE, MISSING_ZERO };

/* How an org's value comes from its subtree: one accumulator of all, or the orgs' own values combined. */
enum across { ACROSS_POOL, ACROSS_SUM, ACROSS_MEAN, ACROSS_MIN, ACROSS_MAX };

struct measure {
    const char *input; /* the measurements it reads; NULL: a formula */
    const char *uom;   /* unit of measure, or "" */
    enum aggregate aggregate;
    int quantile;                  /* 1 to 99, of AGGREGATE_QUANTILE */
    const struct formula *formula; /* of AGGREGATE_FORMULA, else NULL; it has no carry and no min_count */
    enum period_unit period;       /* of a formula, and where rolling, that of the scorecard */
    int64_t rolling_ms;            /* the window's length; 0: calendar periods */
    bool basis_closed;
    bool subtree; /* roll_up: an org's value covers its subtree */
    enum across across;
    bool pace;
    double pace_from;   /* before this share of the period there is no data; 0: from its start */
    int64_t max_age_ms; /* older is stale; 0: never */
    bool stale_drop;    /* stale is missing, not only flagged */
    bool critical;
    int64_t grace_ms;      /* how long after its end a period is open for late measurements */
    int64_t lock_after_ms; /* how long after its end it takes none at all; INT64_MAX: never */
    int64_t keep_ms;       /* how long after its end its measurements stay; INT64_MAX: for ever */
    int64_t carry;
    int64_t min_count;
    double min_of; /* NaN: none */
    double empty;  /* NaN: none */
    enum missing_policy missing;
    double impute;
    int64_t max_ahead_ms;
    struct globs orgs;
    struct form *forms;
    size_t form_count;
};

enum rollup_kind { ROLLUP_MEAN, ROLLUP_MIN, ROLLUP_MAX, ROLLUP_GEOMETRIC, ROLLUP_PENALISED_MEAN };
struct rollup {
    enum rollup_kind kind;
    double penalty; /* of penalised_mean */
    double min_coverage;
};

#define NODE_NONE UINT32_MAX
enum { SCORECARD_NODES_MAX = 10000 };

/* A node of the tree; nodes stand depth first, parents first, in the order of the file. */
struct node {
    poise_kind kind;
    const char *id;
    const char *path; /* ids joined by '/', the scorecard first */
    const char *name;
    double weight;
    uint32_t parent, first_child, next_sibling; /* indices or NODE_NONE */
    uint32_t child_count;
    struct rollup rollup;          /* above measures; inherited where the file is silent */
    const struct measure *measure; /* of a measure, else NULL */
    const uint32_t *readers;       /* of a measure: the formulas that read it, each once, in file order */
    uint32_t reader_count;
    struct texts_of_drives {
        const char **items;
        size_t count;
    } drives; /* of an objective: "perspective.objective" */
};

struct scorecard {
    const char *id;
    const char *name;
    struct zone *zone;
    int fiscal_year_start;
    enum period_unit period;
    int64_t tick_ms;                          /* time enters scores without a measurement in steps of this */
    int64_t grace_ms, lock_after_ms, keep_ms; /* as of a measure, which has them from here */
    double green_from, amber_from;            /* status bounds */
    struct node *nodes;
    uint32_t node_count;
    /* An order of all nodes in which each stands behind all that it reads: measures, formulas, then parents
     * from below; and where each node stands in it. */
    uint32_t *order, *rank;
    const char *text; /* the file */
    size_t text_length;
    uint64_t hash;       /* of the text and the zone data's version: a changed hash is a new definition */
    struct arena *arena; /* owns all of the above */
};

/* Reads and checks a definition. Every problem of the file is added to problems; ECONFIG if there were any.
 * Opens zones (see zone_open). Options of the specification that this version lacks are problems that say so.
 */
poise_code scorecard_read_file(const char *path, struct scorecard **ret_card, struct problems *problems);
poise_code scorecard_read_bytes(const char *name, const char *bytes, size_t length,
                                struct scorecard **ret_card, struct problems *problems);
void scorecard_free(struct scorecard *card);

/* The calendar of a measure of this scorecard. */
struct calendar scorecard_calendar(const struct scorecard *card, enum period_unit unit);
/* T rounded down to the scorecard's tick. */
int64_t scorecard_tick(const struct scorecard *card, int64_t as_of_ms);
/* The first form in force for an org just before a time (scoring.md section 3), or NULL. */
const struct form *measure_form(const struct measure *measure, const char *org, int64_t before_ms);

/* Warnings about the balance of the definition (section 5): weights of perspectives and leaves; a line each.
 */
void scorecard_warnings(const struct scorecard *card, FILE *out);
/* The reference of all keys as Markdown tables, for docs/scorecard.md. */
void scorecard_document(FILE *out);

#endif
