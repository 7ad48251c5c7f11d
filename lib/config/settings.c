#include <assert.h>
#include <base/text.h>
#include <config/settings.h>
#include <math.h>
#include <string.h>

enum { SETTINGS_MAX = 64 };

static void out_of_length(struct reader *reader, const struct setting *setting, const struct yaml_node *node)
{
    reader_problem(reader, node, "'%s' must be %.0f to %.0f bytes long, not %zu", setting->name, setting->min,
                   setting->max, node->length);
}

/* A bound of a whole number; those of reals may be larger than any. */
static int64_t whole(double bound)
{
    return fabs(bound) < 0x1p63 ? (int64_t)bound : bound < 0 ? INT64_MIN : INT64_MAX;
}

static bool read_value(struct reader *reader, const struct setting *setting, const struct yaml_node *node,
                       void *field)
{
    int64_t min = whole(setting->min), max = whole(setting->max);
    switch (setting->type) {
    case SETTING_TEXT:
        if (node->kind == YAML_SCALAR && !yaml_is_null(node) && setting->max > 0 &&
            ((double)node->length < setting->min || (double)node->length > setting->max)) {
            out_of_length(reader, setting, node);
            return false;
        }
        return setting_text(reader, node, field);
    case SETTING_ID:
        return setting_id(reader, node, field);
    case SETTING_INT:
        return setting_int(reader, node, min, max, field);
    case SETTING_REAL:
        return setting_real(reader, node, setting->min, setting->max, field);
    case SETTING_BOOL:
        return setting_bool(reader, node, field);
    case SETTING_DURATION:
        return setting_duration(reader, node, min, max, field);
    case SETTING_SIZE:
        return setting_size(reader, node, min, max, field);
    case SETTING_CHOICE:
        return setting_choice(reader, node, setting->choices, field);
    case SETTING_TEXTS:
        return setting_texts(reader, node, field);
    case SETTING_NODE:
        *(const struct yaml_node **)field = node;
        return true;
    }
    return false;
}

static void *field_of(const struct setting *setting, void *target)
{
    return (char *)target + setting->offset;
}

static void put_default(struct reader *reader, const struct setting *setting, void *target)
{
    if (!setting->fallback)
        return;
    bool quoted = setting->fallback[0] == '\0'; /* an empty text, not an absent value */
    struct yaml_node node = {.kind = YAML_SCALAR,
                             .text = setting->fallback,
                             .length = strlen(setting->fallback),
                             .quoted = quoted};
    bool fine = read_value(reader, setting, &node, field_of(setting, target));
    assert(fine && "a default of a table is wrong");
    (void)fine;
}

static void missing_key(struct reader *reader, const struct setting *setting, const struct yaml_node *mapping)
{
    if (setting->text)
        reader_problem(reader, mapping, "the key '%s' is missing: %s", setting->name, setting->text);
    else
        reader_problem(reader, mapping, "the key '%s' is missing", setting->name);
}

static void unknown_key(struct reader *reader, const struct setting *table, size_t count,
                        const struct yaml_node *value)
{
    const char *word = value->key->text;
    if (reader->is_later && reader->is_later(NULL, word)) {
        reader_problem(reader, value->key, "not supported by this version yet: '%s'; take it out", word);
        return;
    }
    const char *names[SETTINGS_MAX + 1] = {NULL};
    for (size_t i = 0; i < count; i++)
        names[i] = table[i].name;
    const char *near = nearest_word(word, names);
    if (near) {
        reader_problem(reader, value->key, "unknown key '%s'; did you mean '%s'?", word, near);
        return;
    }
    char list[1024];
    size_t length = 0;
    for (size_t i = 0; i < count && length < sizeof list - 80; i++)
        length += (size_t)snprintf(list + length, sizeof list - length, "%s%s", i == 0 ? "" : ", ", names[i]);
    reader_problem(reader, value->key, "unknown key '%.60s'; known here: %s", word, list);
}

void settings_read(struct reader *reader, const struct setting *table, size_t count,
                   const struct yaml_node *mapping, void *target)
{
    assert(count <= SETTINGS_MAX);
    for (size_t i = 0; i < count; i++)
        put_default(reader, &table[i], target);
    if (mapping && mapping->kind != YAML_MAPPING) {
        reader_problem(reader, mapping, "%s must be a mapping, lines of 'key: value'",
                       label_of(mapping).text);
        return;
    }
    for (const struct yaml_node *value = mapping ? mapping->first : NULL; value; value = value->next) {
        size_t i = 0;
        while (i < count && strcmp(table[i].name, value->key->text) != 0)
            i++;
        if (i == count)
            unknown_key(reader, table, count, value);
        else
            read_value(reader, &table[i], value, field_of(&table[i], target));
    }
    for (size_t i = 0; i < count; i++)
        if (table[i].required && !yaml_get(mapping, table[i].name))
            missing_key(reader, &table[i], mapping);
}

static void document_range(const struct setting *setting, FILE *out)
{
    if (setting->min == 0 && setting->max == 0)
        return;
    char low[NUMBER_TEXT_MAX], high[NUMBER_TEXT_MAX];
    format_double(setting->min, low);
    format_double(setting->max, high);
    fprintf(out, " %s to %s", low, high);
}

static void document_type(const struct setting *setting, FILE *out)
{
    switch (setting->type) {
    case SETTING_TEXT:
        fputs("text", out);
        break;
    case SETTING_ID:
        fputs("id", out);
        break;
    case SETTING_INT:
        fputs("whole number", out);
        document_range(setting, out);
        break;
    case SETTING_REAL:
        fputs("number", out);
        document_range(setting, out);
        break;
    case SETTING_BOOL:
        fputs("`true` or `false`", out);
        break;
    case SETTING_DURATION:
        fputs("duration", out);
        break;
    case SETTING_SIZE:
        fputs("size", out);
        break;
    case SETTING_CHOICE:
        for (size_t i = 0; setting->choices[i]; i++)
            fprintf(out, "%s`%s`", i == 0 ? "" : ", ", setting->choices[i]);
        break;
    case SETTING_TEXTS:
        fputs("list of texts", out);
        break;
    case SETTING_NODE:
        break;
    }
    if (setting->unit)
        fprintf(out, "%s%s", setting->type == SETTING_NODE ? "" : ", ", setting->unit);
}

void settings_document(const struct setting *table, size_t count, FILE *out)
{
    fputs("| key | value | default | meaning |\n|---|---|---|---|\n", out);
    for (size_t i = 0; i < count; i++) {
        fprintf(out, "| `%s` | ", table[i].name);
        document_type(&table[i], out);
        if (table[i].required)
            fputs(" | required", out);
        else if (table[i].fallback)
            fprintf(out, " | `%s`", table[i].fallback[0] != '\0' ? table[i].fallback : "''");
        else
            fputs(" |", out);
        fprintf(out, " | %s |\n", table[i].text ? table[i].text : "");
    }
}
