/* `score`: one form, or a list of forms with dates and orgs (scoring.md section 3). */
#include <base/text.h>
#include <math.h>
#include <model/org.h>
#include <model/read.h>
#include <string.h>

enum { FORMS_MAX = 1000, DAY_MS = 86400000 };

#define NUMBER(shape, field, words)                                                                          \
    {                                                                                                        \
        .name = #field, .type = SETTING_REAL, .offset = offsetof(struct form, shape.field),                  \
        .required = true, .text = words                                                                      \
    }

static const struct setting linear_table[] = {
    NUMBER(linear, from, "the value that scores 0"),
    NUMBER(linear, to, "the value that scores 100; below `from` where lower is better"),
};
static const struct setting goal_red_table[] = {
    NUMBER(goal_red, goal, "the value that scores 66.7: green from here"),
    NUMBER(goal_red, red, "the value that scores 33.3: red beyond it"),
};
static const struct setting band_table[] = {
    NUMBER(band, low_zero, "scores 0 here and below"),
    NUMBER(band, low, "scores 100 from here"),
    NUMBER(band, high, "scores 100 up to here"),
    NUMBER(band, high_zero, "scores 0 here and above"),
};

struct step_fields {
    double below;
    const struct yaml_node *steps;
};
static const struct setting step_table[] = {
    {.name = "below",
     .type = SETTING_REAL,
     .offset = offsetof(struct step_fields, below),
     .required = true,
     .max = 100,
     .text = "the score below the first step"},
    {.name = "steps",
     .type = SETTING_NODE,
     .offset = offsetof(struct step_fields, steps),
     .required = true,
     .unit = "list of `{at, score}`, `at` rising",
     .text = "the score from each `at` on"},
};
static const struct setting step_item_table[] = {
    {.name = "at",
     .type = SETTING_REAL,
     .offset = offsetof(struct step, at),
     .required = true,
     .text = "the value where the step begins"},
    {.name = "score",
     .type = SETTING_REAL,
     .offset = offsetof(struct step, score),
     .required = true,
     .max = 100,
     .text = "its score"},
};

struct form_fields {
    const struct yaml_node *kinds[FORM_BINARY + 1];
    const struct yaml_node *from;
    struct texts orgs;
};
#define KIND(word, number, holds, words)                                                                     \
    {                                                                                                        \
        .name = word, .type = SETTING_NODE, .offset = offsetof(struct form_fields, kinds[number]),           \
        .unit = holds, .text = words                                                                         \
    }
static const struct setting form_table[] = {
    KIND("linear", FORM_LINEAR, "`{from, to}`", "a straight line from 0 to 100"),
    KIND("goal_red", FORM_GOAL_RED, "`{goal, red}`", "a straight line through the two thresholds"),
    KIND("band", FORM_BAND, "`{low_zero, low, high, high_zero}`", "100 inside, falling to 0 outside"),
    KIND("step", FORM_STEP, "`{below, steps}`", "a staircase"),
    KIND("binary", FORM_BINARY, "`{}`", "100 where the value is not 0"),
    {.name = "from",
     .type = SETTING_NODE,
     .offset = offsetof(struct form_fields, from),
     .unit = "date such as `2026-04-01`",
     .text = "in force from this midnight in the scorecard's zone; without it always"},
    {.name = "orgs",
     .type = SETTING_TEXTS,
     .offset = offsetof(struct form_fields, orgs),
     .text = "for these orgs; without it for all"},
};

void globs_read(struct card_reader *in, const struct yaml_node *node, const struct texts *texts,
                struct globs *ret_globs)
{
    if (!node || !texts->items)
        return;
    if (texts->count == 0)
        reader_problem(&in->reader, node, "'orgs' is empty: give at least one pattern, or leave it out");
    const struct yaml_node *item = node->kind == YAML_SCALAR ? node : node->first;
    for (size_t i = 0; i < texts->count; i++, item = item->next)
        if (!glob_valid(texts->items[i]))
            reader_problem(
                &in->reader, item,
                "'%.60s' is no pattern of orgs: write '' for the root, or segments joined by / such as "
                "plant-1/line-3, plant-*/line-3 or plant-1/**",
                texts->items[i]);
    *ret_globs = (struct globs){.items = texts->items, .count = texts->count};
}

static void read_steps(struct card_reader *in, const struct yaml_node *node, struct form *form)
{
    if (node->kind != YAML_SEQUENCE || node->count == 0) {
        reader_problem(&in->reader, node,
                       "'steps' must be a list with at least one {at: number, score: number}");
        return;
    }
    form->step.items = take(in, in->reader.arena, node->count, sizeof *form->step.items);
    if (!form->step.items)
        return;
    double last = -INFINITY;
    for (const struct yaml_node *item = node->first; item; item = item->next) {
        struct step step = {.at = NAN};
        settings_read(&in->reader, step_item_table, COUNT(step_item_table), item, &step);
        if (step.at <= last)
            reader_problem(&in->reader, item,
                           "steps must rise: 'at' must be above %g, that of the step before", last);
        last = step.at;
        form->step.items[form->step.count++] = step;
    }
}

static void read_step(struct card_reader *in, const struct yaml_node *node, struct form *form)
{
    struct step_fields fields = {0};
    settings_read(&in->reader, step_table, COUNT(step_table), node, &fields);
    form->step.below = fields.below;
    if (fields.steps)
        read_steps(in, fields.steps, form);
}

static void read_linear(struct card_reader *in, const struct yaml_node *node, struct form *form)
{
    form->linear.from = form->linear.to = NAN;
    settings_read(&in->reader, linear_table, COUNT(linear_table), node, form);
    if (form->linear.from == form->linear.to)
        reader_problem(&in->reader, node, "'from' and 'to' must differ: they score 0 and 100");
}

static void read_goal_red(struct card_reader *in, const struct yaml_node *node, struct form *form)
{
    form->goal_red.goal = form->goal_red.red = NAN;
    settings_read(&in->reader, goal_red_table, COUNT(goal_red_table), node, form);
    if (form->goal_red.goal == form->goal_red.red)
        reader_problem(&in->reader, node, "'goal' and 'red' must differ: they score 66.7 and 33.3");
}

static void read_band(struct card_reader *in, const struct yaml_node *node, struct form *form)
{
    form->band.low_zero = form->band.low = form->band.high = form->band.high_zero = NAN;
    settings_read(&in->reader, band_table, COUNT(band_table), node, form);
    if (form->band.low_zero > form->band.low || form->band.low > form->band.high ||
        form->band.high > form->band.high_zero)
        reader_problem(&in->reader, node, "a band must be ordered: low_zero <= low <= high <= high_zero");
}

static void read_binary(struct card_reader *in, const struct yaml_node *node, struct form *form)
{
    (void)form;
    if (!yaml_is_null(node) && (node->kind != YAML_MAPPING || node->count > 0))
        reader_problem(&in->reader, node, "'binary' has no settings: write binary: {}");
}

static int64_t read_date(struct card_reader *in, const struct yaml_node *node)
{
    char text[sizeof "2026-04-01T00:00:00Z"];
    int64_t utc_ms;
    bool fine = node->kind == YAML_SCALAR && node->length == strlen("2026-04-01");
    if (fine) {
        snprintf(text, sizeof text, "%sT00:00:00Z", node->text);
        fine = parse_time_ms(text, strlen(text), &utc_ms) && utc_ms >= TIME_MIN_MS && utc_ms < TIME_MAX_MS;
    }
    if (!fine) {
        reader_problem(&in->reader, node,
                       "'from' must be a date from 1900-01-01 to 2199-12-31, such as 2026-04-01");
        return INT64_MIN;
    }
    return in->card->zone ? zone_midnight_ms(in->card->zone, utc_ms / DAY_MS - (utc_ms % DAY_MS < 0))
                          : utc_ms;
}

static bool has_later(const struct yaml_node *mapping)
{
    for (const struct yaml_node *value = mapping->first; value; value = value->next)
        if (is_later(NULL, value->key->text))
            return true;
    return false;
}

static struct form read_form(struct card_reader *in, const struct yaml_node *node)
{
    static void (*const readers[])(struct card_reader *, const struct yaml_node *, struct form *) = {
        [FORM_LINEAR] = read_linear, [FORM_GOAL_RED] = read_goal_red, [FORM_BAND] = read_band,
        [FORM_STEP] = read_step,     [FORM_BINARY] = read_binary,
    };
    struct form form = {.from_ms = INT64_MIN};
    struct form_fields fields = {0};
    settings_read(&in->reader, form_table, COUNT(form_table), node, &fields);
    if (node->kind != YAML_MAPPING)
        return form;
    size_t kinds = 0;
    for (size_t kind = 0; kind < COUNT(readers); kind++)
        if (fields.kinds[kind]) {
            form.kind = (enum form_kind)kind;
            if (kinds++ == 0)
                readers[kind](in, fields.kinds[kind], &form);
        }
    if (kinds > 1 || (kinds == 0 && !has_later(node)))
        reader_problem(&in->reader, node,
                       "a score needs exactly one of linear, goal_red, band, step or binary");
    if (fields.from)
        form.from_ms = read_date(in, fields.from);
    globs_read(in, yaml_get(node, "orgs"), &fields.orgs, &form.orgs);
    return form;
}

/* Before those of the same or an earlier date: the first that fits is the one that counts. */
static void insert_form(struct measure *measure, struct form form)
{
    size_t at = 0;
    while (at < measure->form_count && measure->forms[at].from_ms > form.from_ms)
        at++;
    memmove(measure->forms + at + 1, measure->forms + at, (measure->form_count - at) * sizeof form);
    measure->forms[at] = form;
    measure->form_count++;
}

void forms_read(struct card_reader *in, const struct yaml_node *score, struct measure *measure)
{
    bool list = score->kind == YAML_SEQUENCE;
    size_t count = list ? score->count : 1;
    if (count == 0 || count > FORMS_MAX) {
        reader_problem(&in->reader, score, "'score' must have 1 to %d forms, not %zu", FORMS_MAX, count);
        return;
    }
    measure->forms = take(in, in->reader.arena, count, sizeof *measure->forms);
    if (!measure->forms)
        return;
    for (const struct yaml_node *form = list ? score->first : score; form; form = list ? form->next : NULL)
        insert_form(measure, read_form(in, form));
}

void forms_document(FILE *out)
{
    static const struct {
        const char *name;
        const struct setting *table;
        size_t count;
    } tables[] = {
        {"linear", linear_table, COUNT(linear_table)},
        {"goal_red", goal_red_table, COUNT(goal_red_table)},
        {"band", band_table, COUNT(band_table)},
        {"step", step_table, COUNT(step_table)},
    };
    fprintf(out, "\n### score\n\n");
    settings_document(form_table, COUNT(form_table), out);
    for (size_t i = 0; i < COUNT(tables); i++) {
        fprintf(out, "\n### score: %s\n\n", tables[i].name);
        settings_document(tables[i].table, tables[i].count, out);
    }
}
