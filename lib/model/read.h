/* Reading a definition, shared by the files that do it. */
#ifndef MODEL_READ_H
#define MODEL_READ_H

#include <base/arena.h>
#include <base/hash.h>
#include <config/settings.h>
#include <model/scorecard.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

struct card_reader {
    struct reader reader;
    struct scorecard *card;
    uint32_t capacity;               /* of card->nodes */
    const struct yaml_node **drives; /* by node: the value of `drives` in the file, or NULL */
    bool unnamed;         /* a perspective or objective has no id: links to it would look wrong too */
    struct hmap ids;      /* of struct seen_id */
    struct arena scratch; /* for the time of reading */
};

/* What each part has. */
struct part {
    const char *id, *name;
    double weight;
};

/* A part's id must be new among those of its scope, a node or NODE_NONE for the whole scorecard. */
void check_id(struct card_reader *in, uint32_t scope, const struct yaml_node *mapping, const char *id);
/* NULL where it cannot be read; a problem was reported then. */
const struct measure *measure_read(struct card_reader *in, const struct yaml_node *mapping,
                                   struct part *ret_part);
void forms_read(struct card_reader *in, const struct yaml_node *score, struct measure *measure);
void globs_read(struct card_reader *in, const struct yaml_node *node, const struct texts *texts,
                struct globs *ret_globs);
/* Targets that exist and make no cycle. */
void drives_check(struct card_reader *in);
/* Allocates from an arena; a problem where there is no memory. */
void *take(struct card_reader *in, struct arena *arena, size_t count, size_t size);
/* Words of the specification that this version lacks. */
bool is_later(const char *key, const char *word);

void measure_document(FILE *out);
void forms_document(FILE *out);

#endif
