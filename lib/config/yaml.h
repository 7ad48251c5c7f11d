/* YAML files as trees with line marks, and the list of what is wrong with them. libyaml stays inside.
 * A tree is bounded: 4 MiB of text, depth 32, 200,000 nodes; anchors, aliases and tags are errors. */
#ifndef CONFIG_YAML_H
#define CONFIG_YAML_H

#include <poise/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Problems of files, all of one run, in order of line when printed; at most 200 are kept, all are counted. */
struct problems {
    struct problem {
        char *file;
        int line, column; /* from 1; 0: the file as a whole */
        char *text;       /* what is wrong, and what would be right */
    } * items;
    size_t kept;
    size_t count;
};
void problems_free(struct problems *problems);
/* Line and column from 1; line 0: the file as a whole. */
__attribute__((format(printf, 5, 6))) void problems_add(struct problems *problems, const char *file, int line,
                                                        int column, const char *format, ...);
/* "FILE:LINE:COLUMN: TEXT", a line each. */
void problems_print(const struct problems *problems, FILE *out);

enum yaml_kind { YAML_SCALAR, YAML_SEQUENCE, YAML_MAPPING };

struct yaml_node {
    enum yaml_kind kind;
    int line, column;
    const char *text; /* scalar; ended by 0, without embedded 0 */
    size_t length;
    bool quoted;           /* a quoted scalar is text even where it looks like a number or is empty */
    struct yaml_node *key; /* the scalar key of a value in a mapping, else NULL */
    struct yaml_node *first, *next; /* children in order; duplicate keys were reported and dropped */
    size_t count;
};

struct yaml_tree; /* opaque: owns the nodes */
/* Reads a file, or bytes that are called `name`. Problems are added to the list; a tree is returned also
 * where a problem leaves one to look at, so that all errors show in one run; else *ret_tree is NULL. ECONFIG
 * if there were any; ENOTFOUND, EIO for the file (also put into problems). */
poise_code yaml_read_file(const char *path, struct yaml_tree **ret_tree, struct problems *problems);
/* The text of a file, for yaml_read_bytes; failures are put into problems as above. */
struct buf;
poise_code yaml_load(const char *path, struct buf *out, struct problems *problems);
poise_code yaml_read_bytes(const char *name, const char *bytes, size_t length, struct yaml_tree **ret_tree,
                           struct problems *problems);
void yaml_tree_free(struct yaml_tree *tree);                     /* (libyaml has a yaml_free of its own) */
const struct yaml_node *yaml_root(const struct yaml_tree *tree); /* NULL: an empty document */
const char *yaml_name(const struct yaml_tree *tree);

/* The value of a key in a mapping, or NULL. */
const struct yaml_node *yaml_get(const struct yaml_node *mapping, const char *key);
bool yaml_is_null(const struct yaml_node *node); /* plain "", "~", "null" */

/* Where values are read: carries file name, problems and an arena for what outlives the tree. */
struct arena;
struct reader {
    const struct yaml_tree *tree;
    struct problems *problems;
    struct arena *arena;
    /* NULL, or true for a word that the specification knows and this version lacks: an unknown key (`key`
     * NULL), or an unknown choice of a key. It is refused by name, not as a mistake. */
    bool (*is_later)(const char *key, const char *word);
};
/* Adds a problem at a node (NULL: at the file). */
__attribute__((format(printf, 3, 4))) void reader_problem(struct reader *reader, const struct yaml_node *node,
                                                          const char *format, ...);

#endif
