/* What a source's configuration makes of a record: measurements, nothing, or a reason why not. Pure: no I/O,
 * no clock. A record is taken whole or not at all, so that reading it again later counts nothing twice. */
#ifndef COLLECTOR_MAPPING_H
#define COLLECTOR_MAPPING_H

#include <collector/columns.h>
#include <config/settings.h>
#include <poise/types.h>

enum { MAPPING_RULES_MAX = 64, MAPPING_ZONES_MAX = 16 };

/* The part of a source's configuration that a mapping is made of. */
struct mapping_settings {
    struct texts missing;
    const struct yaml_node *time, *org, *source, *key, *seq, *when, *measurements;
};
extern const struct setting mapping_rule_settings[];
extern const size_t mapping_rule_setting_count;
extern const struct setting mapping_time_settings[];
extern const size_t mapping_time_setting_count;
extern const struct setting mapping_number_settings[];
extern const size_t mapping_number_setting_count;
extern const struct setting mapping_condition_settings[];
extern const size_t mapping_condition_setting_count;

struct mapping; /* opaque, immutable; texts live in the reader's arena */
/* NULL after an allocation failed; problems of the file are added to the reader's list, and the mapping is
 * then only good to be freed. `where` is the source. Opens zones (see zone_open). */
struct mapping *mapping_read(struct reader *reader, const struct yaml_node *where,
                             const struct mapping_settings *settings);
void mapping_free(struct mapping *mapping);
/* The columns that it wants of its source. */
const struct columns *mapping_columns(const struct mapping *mapping);

struct mapped {
    poise_measurement items[MAPPING_RULES_MAX];
    size_t count; /* 0: no measurement's conditions hold */
};
/* Kinds of reasons, so that a log can say each a few times only. */
enum row_fault {
    FAULT_RECORD, /* not to be taken apart, or of another width than its header */
    FAULT_EMPTY,
    FAULT_TIME,
    FAULT_NUMBER,
    FAULT_WORD,
    FAULT_RULE,   /* refused by the rules that every measurement must meet */
    FAULT_LETTER, /* a dead letter that cannot be replayed */
    FAULT_COUNT
};
/* Texts live in scratch or in cells. EREFUSED with fault and reason; ENOMEM. */
poise_code mapping_apply(const struct mapping *mapping, const struct csv_field *cells, struct arena *scratch,
                         struct mapped *ret_mapped, enum row_fault *ret_fault, poise_error *err);
/* The rules that every measurement must meet, with a reason for people: EREFUSED. */
poise_code mapping_check(const poise_measurement *measurement, poise_error *err);

#endif
