#include <base/text.h>
#include <math.h>
#include <model/read.h>
#include <string.h>

#define QUANTILES "p1 to p99"
static const char *const aggregates[] = {"sum",   "count", "min",  "max",    "mean",    "weighted_mean",
                                         "ratio", "first", "last", "stddev", QUANTILES, NULL};
static const char *const bases[] = {"open", "closed", NULL};
static const char *const roll_ups[] = {"subtree", "none", NULL};
static const char *const across_words[] = {"pool", "sum", "mean", "min", "max", NULL};
static const char *const stale_words[] = {"hold", "drop", NULL};
static const char *const missing_words[] = {"renormalise", "zero", NULL};

struct measure_fields {
    struct part part;
    const char *input, *uom, *formula;
    int period, basis, roll_up, across, stale;
    bool pace, critical;
    int64_t rolling_ms, carry, min_count, max_age_ms, max_ahead_ms, grace_ms, lock_after_ms, keep_ms;
    double min_of, empty, pace_from;
    struct texts orgs;
    const struct yaml_node *aggregate, *missing, *score;
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
     .type = SETTING_NODE,
     AT(aggregate),
     .unit = "`sum`, `count`, `min`, `max`, `mean`, `weighted_mean`, `ratio`, `first`, `last`, `stddev`, "
             "`p1` to `p99`",
     .text = "what makes one value of a period's measurements; required, or else `formula`"},
    {.name = "formula",
     .type = SETTING_TEXT,
     AT(formula),
     .min = 1,
     .max = 4096,
     .unit = "such as `availability * performance`",
     .text = "instead: computes the value of those of other measures"},
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
    {.name = "rolling",
     .type = SETTING_DURATION,
     AT(rolling_ms),
     .min = 1000,
     .max = 3660 * 86400e3,
     .unit = "`1s` to `3660d`, whole seconds",
     .text = "instead of a period: so much time up to now is looked at"},
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
    {.name = "across_orgs",
     .type = SETTING_CHOICE,
     AT(across),
     .choices = across_words,
     .fallback = "pool",
     .text = "an org's value is that of all measurements of its subtree, or made of its orgs' own values"},
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
    {.name = "pace",
     .type = SETTING_BOOL,
     AT(pace),
     .fallback = "false",
     .text = "`sum`, `count`: judge the value against the share of the period that has passed"},
    {.name = "pace_from",
     .type = SETTING_REAL,
     AT(pace_from),
     .unit = "above 0 and below 1",
     .text = "with `pace`: before this share of the period there is no data"},
    {.name = "max_age",
     .type = SETTING_DURATION,
     AT(max_age_ms),
     .min = 1,
     .max = 36500 * 86400e3,
     .unit = "at least `1ms`",
     .text = "stale when the newest measurement is older; never where it is absent"},
    {.name = "stale",
     .type = SETTING_CHOICE,
     AT(stale),
     .choices = stale_words,
     .fallback = "hold",
     .text = "with `max_age`: a stale measure is only flagged, or its score is missing, too"},
    {.name = "critical",
     .type = SETTING_BOOL,
     AT(critical),
     .fallback = "false",
     .text = "while it is red, no node above it is green"},
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
    {.name = "grace",
     .type = SETTING_DURATION,
     AT(grace_ms),
     .max = LONGEST_WAIT_MS,
     .text = "as of the scorecard, which says it where it is absent"},
    {.name = "lock_after",
     .type = SETTING_DURATION,
     AT(lock_after_ms),
     .max = LONGEST_WAIT_MS,
     .text = "as of the scorecard, which says it where it is absent"},
    {.name = "keep",
     .type = SETTING_DURATION,
     AT(keep_ms),
     .max = LONGEST_WAIT_MS,
     .text = "likewise; with `rolling`: how long measurements stay"},
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

/* "p1" to "p99", else 0. */
static int quantile_of(const struct yaml_node *node)
{
    int64_t quantile;
    bool fine = node->kind == YAML_SCALAR && node->text[0] == 'p' && node->text[1] >= '1' &&
                node->text[1] <= '9' && node->length <= strlen("p99") &&
                parse_int64(node->text + 1, node->length - 1, &quantile);
    return fine ? (int)quantile : 0;
}

/* An enum aggregate, or below 0: a problem was reported. */
static int read_aggregate(struct card_reader *in, const struct yaml_node *node, int *ret_quantile)
{
    int choice = -1;
    *ret_quantile = quantile_of(node);
    if (*ret_quantile > 0)
        return AGGREGATE_QUANTILE;
    if (setting_choice(&in->reader, node, aggregates, &choice) && choice == AGGREGATE_QUANTILE) {
        reader_problem(&in->reader, node, "'aggregate' must be one of " QUANTILES ", such as p90");
        return -1;
    }
    return choice;
}

/* 0 where it is absent. */
static double read_pace_from(struct card_reader *in, const struct yaml_node *mapping, double share)
{
    if (isnan(share))
        return 0;
    const struct yaml_node *node = yaml_get(mapping, "pace_from");
    if (!(share > 0 && share < 1))
        reader_problem(&in->reader, node, "'pace_from' must be above 0 and below 1, not %.60s", node->text);
    return share;
}

static const struct formula *new_formula(struct card_reader *in, const char *text, struct part *part)
{
    part->formula = take(in, in->reader.arena, 1, sizeof *part->formula);
    if (part->formula)
        part->formula->text = text;
    return part->formula;
}

/* Takes the defaults away that a formula has no use for. */
static void make_formula(struct measure *measure)
{
    measure->aggregate = AGGREGATE_FORMULA;
    measure->input = NULL;
    measure->carry = 0;
    measure->min_count = 0;
    measure->max_ahead_ms = 0;
}

static void fill(struct measure *measure, const struct measure_fields *fields)
{
    *measure = (struct measure){
        .input = fields->input ? fields->input : fields->part.id,
        .uom = fields->uom,
        .rolling_ms = fields->rolling_ms,
        .basis_closed = fields->basis == 1,
        .subtree = fields->roll_up == 0,
        .across = (enum across)fields->across,
        .pace = fields->pace,
        .max_age_ms = fields->max_age_ms,
        .stale_drop = fields->stale == 1,
        .critical = fields->critical,
        .grace_ms = fields->grace_ms,
        .lock_after_ms = fields->lock_after_ms,
        .keep_ms = fields->keep_ms,
        .carry = fields->carry,
        .min_count = fields->min_count,
        .min_of = fields->min_of,
        .empty = fields->empty,
        .max_ahead_ms = fields->max_ahead_ms,
    };
}

const struct measure *measure_read(struct card_reader *in, const struct yaml_node *mapping,
                                   struct part *ret_part)
{
    struct measure_fields fields = {.period = -1,
                                    .min_of = NAN,
                                    .empty = NAN,
                                    .pace_from = NAN,
                                    .grace_ms = in->card->grace_ms,
                                    .lock_after_ms = in->card->lock_after_ms,
                                    .keep_ms = in->card->keep_ms};
    struct measure *measure = take(in, in->reader.arena, 1, sizeof *measure);
    if (!measure)
        return NULL;
    settings_read(&in->reader, table, COUNT(table), mapping, &fields);
    fill(measure, &fields);
    measure->pace_from = read_pace_from(in, mapping, fields.pace_from);
    int aggregate = fields.aggregate ? read_aggregate(in, fields.aggregate, &measure->quantile) : -1;
    measure->aggregate = (enum aggregate)aggregate;
    measure->period = fields.period < 0 ? in->card->period : (enum period_unit)fields.period;
    if (fields.formula)
        measure->formula = new_formula(in, fields.formula, &fields.part);
    if (mapping->kind == YAML_MAPPING)
        measure_rules(in, mapping, measure, aggregate, fields.period);
    if (fields.formula)
        make_formula(measure);
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
