/* The kinds of score functions: what each is told, and what is wrong with it (scoring.md section 3). */
#include <base/text.h>
#include <math.h>
#include <model/read.h>
#include <string.h>

enum { LEVELS_MAX = 1000 };

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

static const struct setting level_table[] = {
    {.name = "name",
     .type = SETTING_TEXT,
     .offset = offsetof(struct level, name),
     .required = true,
     .min = 1,
     .max = 200,
     .text = "what people call it"},
    {.name = "value",
     .type = SETTING_REAL,
     .offset = offsetof(struct level, value),
     .required = true,
     .text = "the value that a measurement has for it"},
    {.name = "score",
     .type = SETTING_REAL,
     .offset = offsetof(struct level, score),
     .required = true,
     .max = 100,
     .text = "its score"},
};

struct milestone_fields {
    const struct yaml_node *planned;
};
static const struct setting milestone_table[] = {
    {.name = "planned",
     .type = SETTING_NODE,
     .offset = offsetof(struct milestone_fields, planned),
     .required = true,
     .unit = "list of `{on, value}`, `on` rising",
     .text = "what is to be reached by when: straight between two dates, flat before the first and after the "
             "last"},
};
struct planned_fields {
    const struct yaml_node *on;
    double value;
};
static const struct setting planned_table[] = {
    {.name = "on",
     .type = SETTING_NODE,
     .offset = offsetof(struct planned_fields, on),
     .required = true,
     .unit = "date such as `2026-04-01`",
     .text = "at this midnight in the scorecard's zone"},
    {.name = "value",
     .type = SETTING_REAL,
     .offset = offsetof(struct planned_fields, value),
     .required = true,
     .max = 1e100,
     .text = "this much is to be reached; at 0 there is no score"},
};

/* The list of a shape; NULL where it is none or empty. */
static void *read_list(struct card_reader *in, const struct yaml_node *node, const char *item, size_t size)
{
    if (node->kind != YAML_SEQUENCE || node->count == 0) {
        reader_problem(&in->reader, node, "%s must be a list with at least one %s", label_of(node).text,
                       item);
        return NULL;
    }
    return take(in, in->reader.arena, node->count, size);
}

static void read_steps(struct card_reader *in, const struct yaml_node *node, struct form *form)
{
    form->step.items = read_list(in, node, "{at: number, score: number}", sizeof *form->step.items);
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

/* Neither its name nor its value may be another's. */
static void check_level(struct card_reader *in, const struct yaml_node *item, const struct form *form,
                        const struct level *level)
{
    for (size_t i = 0; i < form->levels.count; i++) {
        const struct level *other = &form->levels.items[i];
        if (other->name && level->name && strcmp(other->name, level->name) == 0)
            reader_problem(&in->reader, yaml_get(item, "name"),
                           "two levels are called '%.*s': give each a name of its own",
                           (int)utf8_prefix(level->name, 60), level->name);
        if (other->value == level->value)
            reader_problem(&in->reader, yaml_get(item, "value"),
                           "two levels have the value %g: give each a value of its own", level->value);
    }
}

static void read_levels(struct card_reader *in, const struct yaml_node *node, struct form *form)
{
    form->levels.items =
        read_list(in, node, "{name: text, value: number, score: number}", sizeof *form->levels.items);
    if (!form->levels.items)
        return;
    if (node->count > LEVELS_MAX) {
        reader_problem(&in->reader, node, "'levels' must have 1 to %d levels, not %zu", LEVELS_MAX,
                       node->count);
        return;
    }
    for (const struct yaml_node *item = node->first; item; item = item->next) {
        struct level level = {.value = NAN};
        settings_read(&in->reader, level_table, COUNT(level_table), item, &level);
        check_level(in, item, form, &level);
        form->levels.items[form->levels.count++] = level;
    }
}

static void read_planned(struct card_reader *in, const struct yaml_node *node, struct form *form)
{
    form->milestone.items = read_list(in, node, "{on: date, value: number}", sizeof *form->milestone.items);
    if (!form->milestone.items)
        return;
    int64_t last_ms = INT64_MIN;
    for (const struct yaml_node *item = node->first; item; item = item->next) {
        struct planned_fields fields = {0};
        struct planned planned = {0};
        settings_read(&in->reader, planned_table, COUNT(planned_table), item, &fields);
        planned.value = fields.value;
        if (fields.on && date_read(in, fields.on, &planned.on_ms)) {
            /* Days that a zone left out begin when the next does: not later either. */
            if (planned.on_ms <= last_ms)
                reader_problem(&in->reader, fields.on,
                               "planned dates must rise: 'on' must be later than that of the point before");
            last_ms = planned.on_ms;
        }
        form->milestone.items[form->milestone.count++] = planned;
    }
}

static void read_milestone(struct card_reader *in, const struct yaml_node *node, struct form *form)
{
    struct milestone_fields fields = {0};
    settings_read(&in->reader, milestone_table, COUNT(milestone_table), node, &fields);
    if (fields.planned)
        read_planned(in, fields.planned, form);
}

void shape_read(struct card_reader *in, const struct yaml_node *node, struct form *form)
{
    static void (*const readers[])(struct card_reader *, const struct yaml_node *, struct form *) = {
        [FORM_LINEAR] = read_linear,       [FORM_GOAL_RED] = read_goal_red, [FORM_BAND] = read_band,
        [FORM_STEP] = read_step,           [FORM_LEVELS] = read_levels,     [FORM_BINARY] = read_binary,
        [FORM_MILESTONE] = read_milestone,
    };
    readers[form->kind](in, node, form);
}

void shapes_document(FILE *out)
{
    static const struct {
        const char *name;
        const struct setting *table;
        size_t count;
    } tables[] = {
        {"linear", linear_table, COUNT(linear_table)}, {"goal_red", goal_red_table, COUNT(goal_red_table)},
        {"band", band_table, COUNT(band_table)},       {"step", step_table, COUNT(step_table)},
        {"levels", level_table, COUNT(level_table)},   {"milestone", milestone_table, COUNT(milestone_table)},
    };
    for (size_t i = 0; i < COUNT(tables); i++) {
        fprintf(out, "\n### score: %s\n\n", tables[i].name);
        settings_document(tables[i].table, tables[i].count, out);
    }
}
