/* A table says what a mapping may hold: checks, defaults and the reference in docs/ come from it. */
#ifndef CONFIG_SETTINGS_H
#define CONFIG_SETTINGS_H

#include <config/yaml.h>
#include <stdint.h>

enum setting_type {
    SETTING_TEXT, /* const char *, in the reader's arena; min..max bound its length in bytes (at most 4096) */
    SETTING_ID,   /* const char *: a-z A-Z 0-9 _ . -, at most 64 bytes */
    SETTING_INT,  /* int64_t, within min..max */
    SETTING_REAL, /* double, within min..max; 0 or 1e-100..1e100 in size */
    SETTING_BOOL, /* bool: true or false */
    SETTING_DURATION, /* int64_t milliseconds, within min..max; "90s", "5m", "2d" */
    SETTING_SIZE,     /* int64_t bytes, within min..max; "64MiB", "1GiB", plain bytes */
    SETTING_CHOICE,   /* int: index into choices */
    SETTING_TEXTS,    /* struct texts: a list of texts, or one */
    SETTING_NODE      /* const struct yaml_node *: read by its owner; lives as long as the tree */
};

struct texts {
    const char **items;
    size_t count;
};

struct setting {
    const char *name;
    enum setting_type type;
    size_t offset; /* of its field in the struct that is filled */
    bool required;
    double min, max;            /* both 0: the type's own bounds */
    const char *const *choices; /* ended by NULL */
    const char *fallback;       /* the default, in the file's spelling; NULL: the field stays as it is */
    const char *unit;           /* for the docs; of SETTING_NODE what it holds; NULL: none */
    const char *text;           /* for the docs, and for who left it out: one sentence; NULL: none */
};

/* Fills *target from a mapping (NULL: an absent one): first the defaults of the table, other fields stay as
 * the caller put them; then what the file says. Unknown keys (with the nearest known one), missing required
 * keys, wrong types and ranges become problems. */
void settings_read(struct reader *reader, const struct setting *table, size_t count,
                   const struct yaml_node *mapping, void *target);
/* A Markdown table of the settings, for docs/. */
void settings_document(const struct setting *table, size_t count, FILE *out);

/* Single values, with the same checks (min, max both 0: the type's own bounds); false: a problem was
 * reported. */
bool setting_real(struct reader *reader, const struct yaml_node *node, double min, double max,
                  double *ret_value);
bool setting_int(struct reader *reader, const struct yaml_node *node, int64_t min, int64_t max,
                 int64_t *ret_value);
bool setting_text(struct reader *reader, const struct yaml_node *node, const char **ret_text);
bool setting_id(struct reader *reader, const struct yaml_node *node, const char **ret_id);
bool setting_bool(struct reader *reader, const struct yaml_node *node, bool *ret_value);
bool setting_duration(struct reader *reader, const struct yaml_node *node, int64_t min_ms, int64_t max_ms,
                      int64_t *ret_ms);
bool setting_size(struct reader *reader, const struct yaml_node *node, int64_t min, int64_t max,
                  int64_t *ret_bytes);
bool setting_choice(struct reader *reader, const struct yaml_node *node, const char *const *choices,
                    int *ret_index);
bool setting_texts(struct reader *reader, const struct yaml_node *node, struct texts *ret_texts);
/* The choice nearest to a misspelt word (for "did you mean"), or NULL. */
const char *nearest_word(const char *word, const char *const *choices);
/* What a problem calls a value: its key in quotes, or "this item". */
struct label {
    char text[72];
};
struct label label_of(const struct yaml_node *node);

#endif
