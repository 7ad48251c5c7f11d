/* How the values of a mapping are read from the configuration: times, numbers, templates, conditions. */
#include <base/error.h>
#include <collector/mapping_parts.h>
#include <string.h>

bool make_slot(struct maker *maker, const struct yaml_node *node, const char *column, int *ret_slot)
{
    int slot = columns_slot(&maker->mapping->columns, column);
    if (slot == COLUMN_NONE) {
        reader_problem(maker->reader, node, "a source has at most %d columns that are read", COLUMNS_MAX);
        return false;
    }
    *ret_slot = slot;
    return true;
}

static void *allocate(struct maker *maker, const struct yaml_node *node, size_t count, size_t size)
{
    void *items = arena_zalloc(maker->reader->arena, count, size);
    if (!items) {
        reader_problem(maker->reader, node, "out of memory: the file says too much");
    }
    return items;
}

/* settings_read; false if it found something wrong. */
static bool read_table(struct maker *maker, const struct setting *table, size_t count,
                       const struct yaml_node *node, void *target)
{
    size_t before = maker->reader->problems->count;
    settings_read(maker->reader, table, count, node, target);
    return maker->reader->problems->count == before;
}

/* ---- times ---- */

struct time_settings {
    const char *column, *format, *zone;
};
const struct setting mapping_time_settings[] = {
    {.name = "column",
     .type = SETTING_TEXT,
     .offset = offsetof(struct time_settings, column),
     .required = true,
     .text = "The column that holds the time."},
    {.name = "format",
     .type = SETTING_TEXT,
     .offset = offsetof(struct time_settings, format),
     .required = true,
     .min = 1,
     .max = 100,
     .text = "How it is written: `rfc3339`, `unix`, `unix_ms` or a pattern such as `%Y-%m-%d %H:%M:%S`."},
    {.name = "zone",
     .type = SETTING_TEXT,
     .offset = offsetof(struct time_settings, zone),
     .min = 1,
     .max = 64,
     .text =
         "The IANA time zone of its local times, `UTC` if left out; only where the format does not say it."},
};
const size_t mapping_time_setting_count = sizeof mapping_time_settings / sizeof *mapping_time_settings;

/* A zone of the mapping, opened once. */
static bool open_zone(struct maker *maker, const struct yaml_node *node, const char *name,
                      const struct zone **ret_zone)
{
    struct mapping *mapping = maker->mapping;
    poise_error err;
    for (size_t i = 0; i < mapping->zone_count; i++) {
        if (strcmp(zone_name(mapping->zones[i]), name) == 0) {
            *ret_zone = mapping->zones[i];
            return true;
        }
    }
    if (mapping->zone_count == MAPPING_ZONES_MAX) {
        reader_problem(maker->reader, node, "a source has at most %d time zones", MAPPING_ZONES_MAX);
        return false;
    }
    if (zone_open(name, &mapping->zones[mapping->zone_count], &err) != POISE_OK) {
        reader_problem(maker->reader, node, "%s", err.text);
        return false;
    }
    *ret_zone = mapping->zones[mapping->zone_count++];
    return true;
}

bool make_moment(struct maker *maker, const struct yaml_node *node, struct moment *ret_moment)
{
    struct time_settings settings = {0};
    struct moment moment = {0};
    poise_error err;
    if (!read_table(maker, mapping_time_settings, mapping_time_setting_count, node, &settings)) {
        return false;
    }
    if (time_format_parse(settings.format, &moment.format, &err) != POISE_OK) {
        reader_problem(maker->reader, yaml_get(node, "format"), "%s", err.text);
        return false;
    }
    if (settings.zone && moment.format.has_zone) {
        reader_problem(maker->reader, yaml_get(node, "zone"),
                       "times of the format '%s' say their zone: leave 'zone' out", settings.format);
        return false;
    }
    if (settings.zone && !open_zone(maker, yaml_get(node, "zone"), settings.zone, &moment.format.zone)) {
        return false;
    }
    if (!make_slot(maker, node, settings.column, &moment.slot)) {
        return false;
    }
    *ret_moment = moment;
    return true;
}

/* ---- numbers ---- */

struct number_settings {
    const char *column;
    struct texts columns;
    int duration, unit; /* choices; -1: not given */
    const struct yaml_node *values, *from, *to;
};
static const char *const unit_names[] = {"ms", "seconds", "minutes", "hours", "days", "weeks", NULL};
static const double unit_sizes[] = {1, 1e3, 60e3, 3600e3, 86400e3, 604800e3};

const struct setting mapping_number_settings[] = {
    {.name = "column",
     .type = SETTING_TEXT,
     .offset = offsetof(struct number_settings, column),
     .text = "The column that holds the number, or the text that `duration` or `values` read."},
    {.name = "columns",
     .type = SETTING_TEXTS,
     .offset = offsetof(struct number_settings, columns),
     .text = "Columns whose numbers are added."},
    {.name = "duration",
     .type = SETTING_CHOICE,
     .choices = duration_format_names,
     .offset = offsetof(struct number_settings, duration),
     .text =
         "The column is a duration of this form; the first part may be of any size, `006:19` or `130:05`."},
    {.name = "values",
     .type = SETTING_NODE,
     .offset = offsetof(struct number_settings, values),
     .unit = "mapping of texts to numbers",
     .text = "The column is one of these texts, such as `{'TRUE': 1, 'FALSE': 0}`; others are refused."},
    {.name = "from",
     .type = SETTING_NODE,
     .offset = offsetof(struct number_settings, from),
     .unit = "a column in the format of `time`, or a mapping as for `time`",
     .text = "The number is the time that passed from here ..."},
    {.name = "to",
     .type = SETTING_NODE,
     .offset = offsetof(struct number_settings, to),
     .unit = "likewise",
     .text = "... to there; negative where `to` is earlier."},
    {.name = "unit",
     .type = SETTING_CHOICE,
     .choices = unit_names,
     .offset = offsetof(struct number_settings, unit),
     .text = "In which unit a duration, or the time from `from` to `to`, is given; required with them."},
};
const size_t mapping_number_setting_count = sizeof mapping_number_settings / sizeof *mapping_number_settings;

static bool make_words(struct maker *maker, const struct yaml_node *node, struct number *number)
{
    if (node->kind != YAML_MAPPING || node->count == 0) {
        reader_problem(maker->reader, node,
                       "'values' must be a mapping of texts to numbers, such as {yes: 1, no: 0}");
        return false;
    }
    number->words = allocate(maker, node, node->count, sizeof *number->words);
    if (!number->words) {
        return false;
    }
    bool fine = true;
    for (const struct yaml_node *value = node->first; value; value = value->next) {
        struct word *word = &number->words[number->word_count++];
        fine &= setting_text(maker->reader, value->key, &word->text);
        fine &= setting_real(maker->reader, value, 0, 0, &word->value);
    }
    return fine;
}

static bool make_slots(struct maker *maker, const struct yaml_node *node, const struct texts *columns,
                       struct number *number)
{
    number->slots = allocate(maker, node, columns->count, sizeof *number->slots);
    if (!number->slots) {
        return false;
    }
    for (size_t i = 0; i < columns->count; i++) {
        if (!make_slot(maker, node, columns->items[i], &number->slots[i])) {
            return false;
        }
    }
    number->slot_count = columns->count;
    return true;
}

/* A column in the format of `time`, or a time of its own. */
static bool make_end(struct maker *maker, const struct yaml_node *node, const struct moment *time,
                     struct moment *ret_moment)
{
    const char *column;
    if (node->kind != YAML_SCALAR) {
        return make_moment(maker, node, ret_moment);
    }
    *ret_moment = *time;
    return setting_text(maker->reader, node, &column) && make_slot(maker, node, column, &ret_moment->slot);
}

/* Which of the ways to a number the settings name, or why they name none. */
static const char *kind_of(const struct number_settings *settings, enum number_kind *ret_kind)
{
    bool column = settings->column, columns = settings->columns.count > 0,
         span = settings->from || settings->to;
    bool duration = settings->duration >= 0, unit = settings->unit >= 0;
    if (column + columns + span != 1) {
        return "needs one of 'column', 'columns' (a sum), or 'from' with 'to' (the time between)";
    }
    if (span && !(settings->from && settings->to)) {
        return "needs both 'from' and 'to'";
    }
    if (!column && (duration || settings->values)) {
        return "can have 'duration' and 'values' only with 'column'";
    }
    if (duration && settings->values) {
        return "can have only one of 'duration' and 'values'";
    }
    if ((duration || span) != unit) {
        return unit ? "can have 'unit' only with 'duration' or with 'from' and 'to'"
                    : "needs a 'unit': ms, seconds, minutes, hours, days or weeks";
    }
    *ret_kind = span ? NUMBER_SPAN : duration ? NUMBER_DURATION : settings->values ? NUMBER_WORD : NUMBER_SUM;
    return NULL;
}

bool make_number(struct maker *maker, const struct yaml_node *node, const struct moment *time,
                 struct number *ret_number)
{
    struct number_settings settings = {.duration = -1, .unit = -1};
    struct number number = {.kind = NUMBER_CONSTANT};
    if (node->kind == YAML_SCALAR) {
        *ret_number = number;
        return setting_real(maker->reader, node, 0, 0, &ret_number->constant);
    }
    if (!read_table(maker, mapping_number_settings, mapping_number_setting_count, node, &settings)) {
        return false;
    }
    const char *wrong = kind_of(&settings, &number.kind);
    if (wrong) {
        reader_problem(maker->reader, node, "'%s' %s", node->key ? node->key->text : "this item", wrong);
        return false;
    }
    number.unit_ms = settings.unit >= 0 ? unit_sizes[settings.unit] : 1;
    number.duration = settings.duration >= 0 ? (enum duration_format)settings.duration : DURATION_H_M;
    struct texts columns = settings.columns;
    if (settings.column) {
        columns = (struct texts){.items = &settings.column, .count = 1};
    }
    bool fine = make_slots(maker, node, &columns, &number);
    fine = fine && (!settings.values || make_words(maker, settings.values, &number));
    fine = fine && (!settings.from || make_end(maker, settings.from, time, &number.from));
    fine = fine && (!settings.to || make_end(maker, settings.to, time, &number.to));
    if (fine) {
        *ret_number = number;
    }
    return fine;
}

/* ---- conditions ---- */

struct condition_settings {
    const char *column;
    struct texts is, not ;
    bool present;
};
const struct setting mapping_condition_settings[] = {
    {.name = "column",
     .type = SETTING_TEXT,
     .offset = offsetof(struct condition_settings, column),
     .required = true,
     .text = "The column that is looked at."},
    {.name = "is",
     .type = SETTING_TEXTS,
     .offset = offsetof(struct condition_settings, is),
     .text = "It is this text, or one of these."},
    {.name = "not",
     .type = SETTING_TEXTS,
     .offset = offsetof(struct condition_settings, not ),
     .text = "It is none of these."},
    {.name = "present",
     .type = SETTING_BOOL,
     .offset = offsetof(struct condition_settings, present),
     .text = "It holds something (`true`), or is empty or one of `missing` (`false`)."},
};
const size_t mapping_condition_setting_count =
    sizeof mapping_condition_settings / sizeof *mapping_condition_settings;

static bool make_condition(struct maker *maker, const struct yaml_node *node, struct condition *condition)
{
    struct condition_settings settings = {0};
    if (!read_table(maker, mapping_condition_settings, mapping_condition_setting_count, node, &settings)) {
        return false;
    }
    bool is = yaml_get(node, "is"), not = yaml_get(node, "not"), present = yaml_get(node, "present");
    if (is + not +present != 1) {
        reader_problem(maker->reader, node, "a condition needs one of 'is', 'not' and 'present'");
        return false;
    }
    condition->kind = is ? CONDITION_IS : not ? CONDITION_NOT : CONDITION_PRESENT;
    condition->texts = is ? settings.is : settings.not ;
    condition->present = settings.present;
    return make_slot(maker, node, settings.column, &condition->slot);
}

bool make_conditions(struct maker *maker, const struct yaml_node *node, struct conditions *ret_conditions)
{
    bool single = node->kind == YAML_MAPPING;
    if (node->kind == YAML_SCALAR || (!single && node->count == 0)) {
        reader_problem(maker->reader, node,
                       "'%s' must be a list of conditions, such as [{column: Type, is: D}]",
                       node->key ? node->key->text : "this item");
        return false;
    }
    struct conditions conditions = {.count = single ? 1 : node->count};
    conditions.items = allocate(maker, node, conditions.count, sizeof *conditions.items);
    if (!conditions.items) {
        return false;
    }
    bool fine = true;
    size_t at = 0;
    for (const struct yaml_node *item = single ? node : node->first; item;
         item = single ? NULL : item->next) {
        fine &= make_condition(maker, item, &conditions.items[at++]);
    }
    if (fine) {
        *ret_conditions = conditions;
    }
    return fine;
}

/* ---- templates ---- */

static size_t count_parts(const char *text)
{
    size_t count = 1;
    for (; *text; text++) {
        count += *text == '{' || *text == '}' ? 2 : 0;
    }
    return count;
}

/* One part at *at, which is moved behind it; false: a brace is out of place. */
static bool make_part(struct maker *maker, const struct yaml_node *node, const char **at,
                      struct template_part *part)
{
    const char *text = *at;
    if ((text[0] == '{' || text[0] == '}') && text[1] == text[0]) {
        *part = (struct template_part){.text = text, .length = 1};
        *at = text + 2;
        return true;
    }
    if (text[0] != '{') {
        *part = (struct template_part){.text = text, .length = strcspn(text, "{}")};
        *at = text + part->length;
        return part->length > 0;
    }
    size_t length = strcspn(text + 1, "{}");
    *part = (struct template_part){0};
    *at = text + 1 + length + 1;
    if (length == 0 || text[1 + length] != '}') {
        return false;
    }
    const char *column = arena_strndup(maker->reader->arena, text + 1, length);
    return column && make_slot(maker, node, column, &part->slot);
}

bool make_template(struct maker *maker, const struct yaml_node *node, struct template *ret_template)
{
    struct template template = {0};
    const char *text;
    if (!setting_text(maker->reader, node, &text)) {
        return false;
    }
    template.parts = allocate(maker, node, count_parts(text), sizeof *template.parts);
    if (!template.parts) {
        return false;
    }
    for (const char *at = text; *at;) {
        if (!make_part(maker, node, &at, &template.parts[template.count])) {
            reader_problem(
                maker->reader, node,
                "'%s': columns stand in braces, as in 'shop/{Resource}'; a brace itself is written twice",
                text);
            return false;
        }
        template.count++;
    }
    *ret_template = template;
    return true;
}
