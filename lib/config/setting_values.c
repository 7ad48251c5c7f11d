/* Single values: what a scalar of the file must look like for each type. */
#include <base/arena.h>
#include <base/buf.h>
#include <base/text.h>
#include <config/settings.h>
#include <math.h>
#include <string.h>

enum { TEXT_MAX = 4096, SHOWN_MAX = 60 };

struct label label_of(const struct yaml_node *node)
{
    struct label label = {"this item"};
    if (node->key)
        snprintf(label.text, sizeof label.text, "'%.64s'", node->key->text);
    return label;
}

static int shown(const struct yaml_node *node)
{
    return (int)utf8_prefix(node->text, SHOWN_MAX);
}

/* A scalar that has a value; `plain`: numbers and truth values must stand without quotes. */
static bool check_scalar(struct reader *reader, const struct yaml_node *node, bool plain, const char *wanted)
{
    if (node->kind != YAML_SCALAR) {
        reader_problem(reader, node, "%s must be %s, not a %s", label_of(node).text, wanted,
                       node->kind == YAML_SEQUENCE ? "list" : "mapping");
        return false;
    }
    if (yaml_is_null(node)) {
        reader_problem(reader, node, "%s has no value: give %s, or leave it out", label_of(node).text,
                       wanted);
        return false;
    }
    if (plain && node->quoted) {
        reader_problem(reader, node, "%s must be %s, not a text: take the quotes away", label_of(node).text,
                       wanted);
        return false;
    }
    return true;
}

static bool wrong(struct reader *reader, const struct yaml_node *node, const char *wanted)
{
    reader_problem(reader, node, "%s must be %s, not '%.*s'", label_of(node).text, wanted, shown(node),
                   node->text);
    return false;
}

static bool out_of_range(struct reader *reader, const struct yaml_node *node, double min, double max)
{
    char low[NUMBER_TEXT_MAX], high[NUMBER_TEXT_MAX];
    format_double(min, low);
    format_double(max, high);
    reader_problem(reader, node, "%s must be from %s to %s, not %.*s", label_of(node).text, low, high,
                   shown(node), node->text);
    return false;
}

bool setting_real(struct reader *reader, const struct yaml_node *node, double min, double max,
                  double *ret_value)
{
    double value;
    if (!check_scalar(reader, node, true, "a number"))
        return false;
    if (!parse_double(node->text, node->length, &value))
        return wrong(reader, node, "a number");
    if (value != 0 && !(fabs(value) >= 1e-100 && fabs(value) <= 1e100))
        return wrong(reader, node, "0 or between 1e-100 and 1e+100 in size");
    if ((min != 0 || max != 0) && !(value >= min && value <= max))
        return out_of_range(reader, node, min, max);
    *ret_value = value;
    return true;
}

bool setting_int(struct reader *reader, const struct yaml_node *node, int64_t min, int64_t max,
                 int64_t *ret_value)
{
    int64_t value;
    if (!check_scalar(reader, node, true, "a whole number"))
        return false;
    if (!parse_int64(node->text, node->length, &value))
        return wrong(reader, node, "a whole number");
    if ((min != 0 || max != 0) && (value < min || value > max))
        return out_of_range(reader, node, (double)min, (double)max);
    *ret_value = value;
    return true;
}

static bool copy_text(struct reader *reader, const struct yaml_node *node, const char **ret_text)
{
    const char *copy = arena_strndup(reader->arena, node->text, node->length);
    if (!copy) {
        reader_problem(reader, node, "out of memory: the file says too much");
        return false;
    }
    *ret_text = copy;
    return true;
}

bool setting_text(struct reader *reader, const struct yaml_node *node, const char **ret_text)
{
    if (!check_scalar(reader, node, false, "a text"))
        return false;
    if (node->length > TEXT_MAX) {
        reader_problem(reader, node, "%s must be at most %d bytes long, not %zu", label_of(node).text,
                       TEXT_MAX, node->length);
        return false;
    }
    if (!utf8_printable(node->text, node->length)) {
        reader_problem(reader, node, "%s must be one line without control characters", label_of(node).text);
        return false;
    }
    return copy_text(reader, node, ret_text);
}

bool setting_id(struct reader *reader, const struct yaml_node *node, const char **ret_id)
{
    const char *wanted = "an id (1 to 64 of a-z A-Z 0-9 _ . -)";
    if (!check_scalar(reader, node, false, wanted))
        return false;
    if (!id_valid(node->text, node->length))
        return wrong(reader, node, wanted);
    return copy_text(reader, node, ret_id);
}

bool setting_bool(struct reader *reader, const struct yaml_node *node, bool *ret_value)
{
    if (!check_scalar(reader, node, true, "true or false"))
        return false;
    bool yes = strcmp(node->text, "true") == 0;
    if (!yes && strcmp(node->text, "false") != 0)
        return wrong(reader, node, "true or false");
    *ret_value = yes;
    return true;
}

/* "250ms", "90s", "5m", "36h", "14d": the largest unit that divides. */
static void put_duration(struct buf *out, int64_t ms)
{
    static const struct {
        int64_t ms;
        const char *unit;
    } units[] = {{86400000, "d"}, {3600000, "h"}, {60000, "m"}, {1000, "s"}, {1, "ms"}};
    size_t i = 0;
    while (ms % units[i].ms != 0 || (ms == 0 && units[i].unit[0] != 's'))
        i++;
    buf_printf(out, "%lld%s", (long long)(ms / units[i].ms), units[i].unit);
}

bool setting_duration(struct reader *reader, const struct yaml_node *node, int64_t min_ms, int64_t max_ms,
                      int64_t *ret_ms)
{
    const char *wanted = "a duration such as 90s, 5m, 24h, 7d or 2w";
    int64_t value;
    if (!check_scalar(reader, node, false, wanted))
        return false;
    if (!parse_duration_ms(node->text, node->length, &value))
        return wrong(reader, node, wanted);
    if ((min_ms != 0 || max_ms != 0) && (value < min_ms || value > max_ms)) {
        struct buf range = {0};
        put_duration(&range, min_ms);
        buf_printf(&range, " to ");
        put_duration(&range, max_ms);
        reader_problem(reader, node, "%s must be from %.*s, not %.*s", label_of(node).text, (int)range.length,
                       range.data ? (const char *)range.data : "", shown(node), node->text);
        buf_free(&range);
        return false;
    }
    *ret_ms = value;
    return true;
}

/* Reads "64MiB" and the like; false: not a size. */
static bool parse_size(const char *text, size_t length, int64_t *ret_bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    size_t digits = strspn(text, "0123456789");
    int64_t bytes;
    if (!parse_int64(text, digits, &bytes))
        return false;
    if (digits == length) {
        *ret_bytes = bytes;
        return true;
    }
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        int64_t factor = INT64_C(1) << (10 * i);
        if (strcmp(text + digits, units[i]) == 0 && bytes <= INT64_MAX / factor) {
            *ret_bytes = bytes * factor;
            return true;
        }
    }
    return false;
}

bool setting_size(struct reader *reader, const struct yaml_node *node, int64_t min, int64_t max,
                  int64_t *ret_bytes)
{
    const char *wanted = "a size such as 4096, 64KiB, 16MiB or 1GiB";
    int64_t value;
    if (!check_scalar(reader, node, false, wanted))
        return false;
    if (!parse_size(node->text, node->length, &value))
        return wrong(reader, node, wanted);
    if ((min != 0 || max != 0) && (value < min || value > max))
        return out_of_range(reader, node, (double)min, (double)max);
    *ret_bytes = value;
    return true;
}

/* "a, b or c" */
static void put_choices(struct buf *out, const char *const *choices)
{
    for (size_t i = 0; choices[i]; i++)
        buf_printf(out, "%s%s", i == 0 ? "" : choices[i + 1] ? ", " : " or ", choices[i]);
    buf_put_u8(out, 0);
}

bool setting_choice(struct reader *reader, const struct yaml_node *node, const char *const *choices,
                    int *ret_index)
{
    struct buf wanted = {0};
    put_choices(&wanted, choices);
    const char *list = wanted.failed ? "one of its choices" : (const char *)wanted.data;
    bool fine = check_scalar(reader, node, false, list);
    int found = -1;
    for (int i = 0; fine && choices[i]; i++)
        if (strcmp(node->text, choices[i]) == 0)
            found = i;
    if (found >= 0) {
        *ret_index = found;
    } else if (fine && node->key && reader->is_later && reader->is_later(node->key->text, node->text)) {
        reader_problem(reader, node, "not supported by this version yet: %s '%s'; use %s", node->key->text,
                       node->text, list);
    } else if (fine) {
        const char *near = nearest_word(node->text, choices);
        reader_problem(reader, node, "%s must be %s, not '%.*s'%s%s%s", label_of(node).text, list,
                       shown(node), node->text, near ? "; did you mean '" : "", near ? near : "",
                       near ? "'?" : "");
    }
    buf_free(&wanted);
    return found >= 0;
}

bool setting_texts(struct reader *reader, const struct yaml_node *node, struct texts *ret_texts)
{
    bool single = node->kind == YAML_SCALAR;
    if (node->kind == YAML_MAPPING || (single && yaml_is_null(node))) {
        reader_problem(reader, node, "%s must be a list of texts, such as [a, b]", label_of(node).text);
        return false;
    }
    struct texts texts = {.count = single ? 1 : node->count};
    texts.items = arena_zalloc(reader->arena, texts.count, sizeof *texts.items);
    if (!texts.items) {
        reader_problem(reader, node, "out of memory: the file says too much");
        return false;
    }
    bool fine = true;
    const struct yaml_node *item = single ? node : node->first;
    for (size_t i = 0; i < texts.count; i++, item = item->next)
        fine &= setting_text(reader, item, &texts.items[i]);
    if (fine)
        *ret_texts = texts;
    return fine;
}
