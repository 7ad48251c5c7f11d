#include <math.h>
#include <model/read.h>
#include <string.h>

static const char *const aggregates[] = {"sum",           "count", "min",   "max",  "mean",
                                         "weighted_mean", "ratio", "first", "last", NULL};
static const char *const bases[] = {"open", "closed", NULL};
static const char *const roll_ups[] = {"subtree", "none", NULL};
static const char *const missing_words[] = {"renormalise", "zero", NULL};

struct measure_fields {
    struct part part;
    const char *input, *uom;
    int aggregate, period, basis, roll_up;
    int64_t carry, min_count, max_ahead_ms;
    double min_of, empty;
    struct texts orgs;
    const struct yaml_node *missing, *score;
};
#define AT(field) .offset = offsetof(struct measure_fields, field)

static const struct setting table[] = {
    {.name = "id",
     .type = SETTING_ID,
     AT(part.id),
     .required = true,
     .text = "unique among all measures of the scorecard"},
    {.name = "name",
     .type = SETTING_TEXT,
     AT(part.name),
     .min = 1,
     .max = 200,
     .text = "for people; the id where it is absent"},
    {.name = "weight",
     .type = SETTING_REAL,
     AT(part.weight),
     .max = 1e100,
     .fallback = "1",
     .text = "its share among the measures of the objective; 0: shown, not counted"},
    {.name = "input",
     .type = SETTING_ID,
     AT(input),
     .text = "the measurements that it reads: their `measure`; the id where it is absent"},
    {.name = "uom",
     .type = SETTING_TEXT,
     AT(uom),
     .max = 40,
     .fallback = "",
     .text = "unit of measure, for display"},
    {.name = "aggregate",
     .type = SETTING_CHOICE,
     AT(aggregate),
     .choices = aggregates,
     .text = "required: what makes one value of a period's measurements"},
    {.name = "score",
     .type = SETTING_NODE,
     AT(score),
     .required = true,
     .unit = "a form, or a list of forms",
     .text = "what makes a score of the value"},
    {.name = "period",
     .type = SETTING_CHOICE,
     AT(period),
     .choices = period_unit_names,
     .text = "the calendar period that is looked at; that of the scorecard where it is absent"},
    {.name = "basis",
     .type = SETTING_CHOICE,
     AT(basis),
     .choices = bases,
     .fallback = "open",
     .text = "the period that runs, or the last that ended"},
    {.name = "carry",
     .type = SETTING_INT,
     AT(carry),
     .max = 10000,
     .fallback = "1",
     .text = "without data, look this many periods back"},
    {.name = "orgs",
     .type = SETTING_TEXTS,
     AT(orgs),
     .unit = "patterns of orgs",
     .text = "where the measure is a node; without it everywhere"},
    {.name = "roll_up",
     .type = SETTING_CHOICE,
     AT(roll_up),
     .choices = roll_ups,
     .fallback = "subtree",
     .text = "an org's value covers the orgs below it, or only itself"},
    {.name = "min_count",
     .type = SETTING_INT,
     AT(min_count),
     .max = 1e12,
     .fallback = "1",
     .text = "fewer measurements are no data"},
    {.name = "min_of",
     .type = SETTING_REAL,
     AT(min_of),
     .max = 1e100,
     .text = "`ratio`, `weighted_mean`: a sum of `of` below this is no data"},
    {.name = "empty",
     .type = SETTING_REAL,
     AT(empty),
     .text = "`sum`, `count`: the value of a period without measurements"},
    {.name = "missing",
     .type = SETTING_NODE,
     AT(missing),
     .unit = "`renormalise`, `zero` or `{impute: score}`",
     .text = "without data: left out (the default), score 0, or this score"},
    {.name = "max_ahead",
     .type = SETTING_DURATION,
     AT(max_ahead_ms),
     .fallback = "5m",
     .text = "measurements dated further ahead of the clock are refused"},
};

struct impute {
    double score;
};
static const struct setting impute_table[] = {
    {.name = "impute",
     .type = SETTING_REAL,
     .offset = offsetof(struct impute, score),
     .required = true,
     .max = 100,
     .text = "the score that stands in"},
};

static void read_missing(struct card_reader *in, const struct yaml_node *node, struct measure *measure)
{
    static const enum missing_policy policies[] = {MISSING_RENORMALISE, MISSING_ZERO};
    int choice = 0;
    if (node->kind == YAML_MAPPING) {
        struct impute impute = {0};
        settings_read(&in->reader, impute_table, COUNT(impute_table), node, &impute);
        measure->missing = MISSING_IMPUTE;
        measure->impute = impute.score;
    } else if (setting_choice(&in->reader, node, missing_words, &choice)) {
        measure->missing = policies[choice];
    }
}

/* An option that only some aggregates know; `aggregate` below 0 was refused already. */
static void check_option(struct card_reader *in, const struct yaml_node *mapping, const char *option,
                         int aggregate, enum aggregate one, enum aggregate other)
{
    const struct yaml_node *node = yaml_get(mapping, option);
    if (node && aggregate >= 0 && aggregate != (int)one && aggregate != (int)other)
        reader_problem(&in->reader, node, "'%s' goes with aggregate %s or %s only, not with %s", option,
                       aggregates[one], aggregates[other], aggregates[aggregate]);
}

const struct measure *measure_read(struct card_reader *in, const struct yaml_node *mapping,
                                   struct part *ret_part)
{
    struct measure_fields fields = {
        .aggregate = -1, .period = (int)in->card->period, .min_of = NAN, .empty = NAN};
    struct measure *measure = take(in, in->reader.arena, 1, sizeof *measure);
    if (!measure)
        return NULL;
    settings_read(&in->reader, table, COUNT(table), mapping, &fields);
    if (mapping->kind == YAML_MAPPING && !yaml_get(mapping, "aggregate") && !yaml_get(mapping, "formula"))
        reader_problem(&in->reader, mapping,
                       "the key 'aggregate' is missing: sum, count, min, max, mean, ...");
    check_option(in, mapping, "empty", fields.aggregate, AGGREGATE_SUM, AGGREGATE_COUNT);
    check_option(in, mapping, "min_of", fields.aggregate, AGGREGATE_RATIO, AGGREGATE_WEIGHTED_MEAN);
    *measure = (struct measure){
        .input = fields.input ? fields.input : fields.part.id,
        .uom = fields.uom,
        .aggregate = (enum aggregate)fields.aggregate,
        .period = (enum period_unit)fields.period,
        .basis_closed = fields.basis == 1,
        .subtree = fields.roll_up == 0,
        .carry = fields.carry,
        .min_count = fields.min_count,
        .min_of = fields.min_of,
        .empty = fields.empty,
        .max_ahead_ms = fields.max_ahead_ms,
    };
    globs_read(in, yaml_get(mapping, "orgs"), &fields.orgs, &measure->orgs);
    if (fields.missing)
        read_missing(in, fields.missing, measure);
    if (fields.score)
        forms_read(in, fields.score, measure);
    *ret_part = fields.part;
    return measure;
}

void measure_document(FILE *out)
{
    fprintf(out, "\n### Measure\n\n");
    settings_document(table, COUNT(table), out);
}
