/* Reading a definition, shared by the files that do it. */
#ifndef MODEL_READ_H
#define MODEL_READ_H

#include <base/arena.h>
#include <base/hash.h>
#include <config/settings.h>
#include <model/scorecard.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* What names other nodes is read when all are known. */
struct names_others {
    const struct yaml_node *drives;       /* of an objective, or NULL */
    const struct yaml_node *formula_node; /* of a measure, or NULL */
    struct formula *formula;              /* to be filled */
};

struct card_reader {
    struct reader reader;
    struct scorecard *card;
    uint32_t capacity;           /* of card->nodes */
    struct names_others *others; /* by node */
    bool unnamed;                /* a perspective or objective has no id: links to it would look wrong too */
    bool unnamed_measure;        /* likewise */
    struct hmap ids;             /* of struct seen_id */
    struct arena scratch;        /* for the time of reading */
};

/* What each part has. */
struct part {
    const char *id, *name;
    double weight;
    struct formula *formula; /* of a measure: its text, or NULL */
};

/* A part's id must be new among those of its scope, a node or NODE_NONE for the whole scorecard. */
void check_id(struct card_reader *in, uint32_t scope, const struct yaml_node *mapping, const char *id);
#define LONGEST_WAIT_MS (36500 * 86400e3) /* of `grace`, `lock_after` and `keep` */
/* A period is closed before it is locked. */
void lock_after_grace(struct card_reader *in, const struct yaml_node *mapping, int64_t grace_ms,
                      int64_t lock_after_ms);
/* And locked before its measurements are dropped. */
void keep_after_lock(struct card_reader *in, const struct yaml_node *mapping, int64_t lock_after_ms,
                     int64_t keep_ms);
/* Tiles of rolling windows then never begin where a period ends. */
void whole_seconds(struct card_reader *in, const struct yaml_node *mapping, const char *key, int64_t ms);
/* NULL where it cannot be read; a problem was reported then. */
const struct measure *measure_read(struct card_reader *in, const struct yaml_node *mapping,
                                   struct part *ret_part);
/* Which options of a measure go together; `aggregate` and `period` are as in the file, below 0 where it has
 * none or a wrong one. */
void measure_rules(struct card_reader *in, const struct yaml_node *mapping, const struct measure *measure,
                   int aggregate, int period);
void forms_read(struct card_reader *in, const struct yaml_node *score, struct measure *measure);
/* The value of a form's kind. */
void shape_read(struct card_reader *in, const struct yaml_node *node, struct form *form);
/* A midnight in the scorecard's zone; false: a problem was reported. */
bool date_read(struct card_reader *in, const struct yaml_node *node, int64_t *ret_ms);
void globs_read(struct card_reader *in, const struct yaml_node *node, const struct texts *texts,
                struct globs *ret_globs);
/* Targets that exist and make no cycle. */
void drives_check(struct card_reader *in);
/* Formulas to steps, with the measures that they name. */
void formulas_read(struct card_reader *in);
/* The scorecard's order of computation, after the formulas; these may make no cycle. */
void order_make(struct card_reader *in);

/* Which nodes a node leads to. */
struct links {
    uint32_t *targets; /* NODE_NONE: to none */
    size_t count;
};
/* Reports links that close a cycle; `links` and `labels` are by node, `text` is the cycle, "a -> b -> a". */
typedef void cycle_report(struct card_reader *in, uint32_t node, size_t link, const char *text);
void cycles_check(struct card_reader *in, const struct links *links, const char *const *labels,
                  cycle_report *report);

/* Allocates from an arena; a problem where there is no memory. */
void *take(struct card_reader *in, struct arena *arena, size_t count, size_t size);
void out_of_memory(struct card_reader *in);
/* Words of the specification that this version lacks. */
bool is_later(const char *key, const char *word);

void measure_document(FILE *out);
void forms_document(FILE *out);
void shapes_document(FILE *out);

#endif
