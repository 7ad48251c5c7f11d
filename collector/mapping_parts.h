/* The parts of a mapping, for mapping.c and mapping_read.c. Everything lies in the arena of the
 * configuration. */
#ifndef COLLECTOR_MAPPING_PARTS_H
#define COLLECTOR_MAPPING_PARTS_H

#include <collector/mapping.h>
#include <collector/time_format.h>

struct moment {
    int slot;
    struct time_format format;
};

/* "shop/{Resource}": texts and cells in turn. */
struct template_part {
    const char *text; /* NULL: a cell */
    size_t length;
    int slot;
};
struct template
{
    struct template_part *parts;
    size_t count;
};

enum number_kind { NUMBER_CONSTANT, NUMBER_SUM, NUMBER_DURATION, NUMBER_WORD, NUMBER_SPAN };
struct word {
    const char *text;
    double value;
};
struct number {
    enum number_kind kind;
    double constant;
    int *slots; /* of a sum; else the first one is read */
    size_t slot_count;
    enum duration_format duration;
    double unit_ms;
    struct word *words;
    size_t word_count;
    struct moment from, to;
};

enum condition_kind { CONDITION_IS, CONDITION_NOT, CONDITION_PRESENT };
struct condition {
    int slot;
    enum condition_kind kind;
    struct texts texts;
    bool present;
};
struct conditions { /* all must hold */
    struct condition *items;
    size_t count;
};

struct rule {
    const char *measure;
    struct moment time;
    struct number value, of;
    struct template org, source;
    struct template key; /* without parts: an event */
    int seq;             /* slot or COLUMN_NONE */
    struct conditions retract, when;
    bool retracts; /* retract was given */
};

struct mapping {
    struct columns columns;
    struct texts missing;
    struct conditions when;
    struct rule *rules;
    size_t rule_count;
    struct zone *zones[MAPPING_ZONES_MAX]; /* owned */
    size_t zone_count;
};

/* mapping_numbers.c: reading of the values of a mapping. Each returns false after adding a problem. */
struct maker {
    struct reader *reader;
    struct mapping *mapping;
};
bool make_slot(struct maker *maker, const struct yaml_node *node, const char *column, int *ret_slot);
bool make_moment(struct maker *maker, const struct yaml_node *node, struct moment *ret_moment);
/* `time` serves columns that are named without a format. */
bool make_number(struct maker *maker, const struct yaml_node *node, const struct moment *time,
                 struct number *ret_number);
bool make_template(struct maker *maker, const struct yaml_node *node, struct template *ret_template);
bool make_conditions(struct maker *maker, const struct yaml_node *node, struct conditions *ret_conditions);

#endif
