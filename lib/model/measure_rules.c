/* Which options of a measure go together (scoring.md section 2). A problem stands at the value of the option
 * that is too much. */
#include <model/read.h>
#include <string.h>

#define BIT(aggregate) (1U << (aggregate))

struct rules {
    struct card_reader *in;
    const struct yaml_node *mapping;
    const struct measure *measure;
    int aggregate, period; /* as in the file, below 0: none or a wrong one */
};

static void one_value(const struct rules *rules)
{
    const struct yaml_node *aggregate = yaml_get(rules->mapping, "aggregate");
    const struct yaml_node *formula = yaml_get(rules->mapping, "formula");
    if (!aggregate && !formula)
        reader_problem(
            &rules->in->reader, rules->mapping,
            "the key 'aggregate' is missing: sum, count, min, max, mean, ...; or give a 'formula'");
    if (aggregate && formula)
        reader_problem(&rules->in->reader, formula,
                       "'formula' stands instead of 'aggregate': take one of them out");
}

static void formula_stands_alone(const struct rules *rules)
{
    static const char *const options[] = {"input",   "period",      "rolling",   "basis",     "carry",
                                          "roll_up", "across_orgs", "min_count", "min_of",    "empty",
                                          "max_age", "stale",       "pace",      "pace_from", "max_ahead",
                                          "grace",   "lock_after",  "keep"};
    for (size_t i = 0; i < COUNT(options); i++) {
        const struct yaml_node *node = yaml_get(rules->mapping, options[i]);
        if (node)
            reader_problem(
                &rules->in->reader, node,
                "'%s' does not go with 'formula', which reads the values of other measures as they "
                "are, over the scorecard's period: take it out",
                options[i]);
    }
}

/* An option that only some aggregates know; `words` names them. */
static void needs_aggregate(const struct rules *rules, const struct yaml_node *node, unsigned known,
                            const char *words)
{
    if (node && rules->aggregate >= 0 && !(BIT(rules->aggregate) & known))
        reader_problem(&rules->in->reader, node, "%s goes with aggregate %s only, not with %s",
                       label_of(node).text, words, yaml_get(rules->mapping, "aggregate")->text);
}

static void levels_of_few(const struct rules *rules, const struct yaml_node *form)
{
    const struct yaml_node *levels = yaml_get(form, "levels");
    if (levels && rules->measure->formula)
        reader_problem(&rules->in->reader, levels,
                       "'levels' goes with aggregate first, last, min or max only, not with a formula");
    else
        needs_aggregate(rules, levels,
                        BIT(AGGREGATE_FIRST) | BIT(AGGREGATE_LAST) | BIT(AGGREGATE_MIN) | BIT(AGGREGATE_MAX),
                        "first, last, min or max");
}

static void aggregate_fits(const struct rules *rules)
{
    unsigned sums = BIT(AGGREGATE_SUM) | BIT(AGGREGATE_COUNT);
    unsigned shares = BIT(AGGREGATE_RATIO) | BIT(AGGREGATE_WEIGHTED_MEAN);
    needs_aggregate(rules, yaml_get(rules->mapping, "empty"), sums, "sum or count");
    needs_aggregate(rules, yaml_get(rules->mapping, "min_of"), shares, "ratio or weighted_mean");
    if (rules->measure->pace)
        needs_aggregate(rules, yaml_get(rules->mapping, "pace"), sums, "sum or count");
    const struct yaml_node *score = yaml_get(rules->mapping, "score");
    bool list = score && score->kind == YAML_SEQUENCE;
    for (const struct yaml_node *form = list ? score->first : score; form; form = list ? form->next : NULL)
        levels_of_few(rules, form);
}

static void window_fits(const struct rules *rules)
{
    struct reader *reader = &rules->in->reader;
    const struct yaml_node *rolling = yaml_get(rules->mapping, "rolling");
    const struct yaml_node *basis = yaml_get(rules->mapping, "basis");
    const struct yaml_node *pace = yaml_get(rules->mapping, "pace");
    if (rolling && yaml_get(rules->mapping, "period"))
        reader_problem(reader, rolling, "'rolling' stands instead of 'period': take one of them out");
    if (rolling && basis)
        reader_problem(reader, basis,
                       "'basis' does not go with 'rolling', which always looks back from now: take it out");
    if (rolling && rules->measure->pace)
        reader_problem(reader, pace,
                       "'pace' does not go with 'rolling', of which no share has passed: take it out");
    bool wrong = yaml_get(rules->mapping, "period") && rules->period < 0;
    if (!rolling && !wrong && rules->measure->pace && rules->measure->period < PERIOD_DAY)
        reader_problem(reader, pace, "'pace' goes with periods from a day up, not with %s",
                       period_unit_names[rules->measure->period]);
}

static void companions_are_there(const struct rules *rules)
{
    struct reader *reader = &rules->in->reader;
    const struct yaml_node *pace = yaml_get(rules->mapping, "pace");
    const struct yaml_node *pace_from = yaml_get(rules->mapping, "pace_from");
    const struct yaml_node *max_age = yaml_get(rules->mapping, "max_age");
    const struct yaml_node *stale = yaml_get(rules->mapping, "stale");
    const struct yaml_node *across = yaml_get(rules->mapping, "across_orgs");
    if (pace_from && (!pace || strcmp(pace->text, "false") == 0))
        reader_problem(reader, pace_from, "'pace_from' needs 'pace: true'");
    if (stale && !max_age)
        reader_problem(reader, stale, "'stale' needs 'max_age', which says when a measure is stale");
    if (max_age && rules->measure->basis_closed)
        reader_problem(reader, max_age,
                       "'max_age' goes with 'basis: open' only: a period that has ended does not grow stale");
    if (across && !rules->measure->subtree)
        reader_problem(reader, across,
                       "'across_orgs' does not go with 'roll_up: none', which has one org only: take it out");
}

void lock_after_grace(struct card_reader *in, const struct yaml_node *mapping, int64_t grace_ms,
                      int64_t lock_after_ms)
{
    const struct yaml_node *lock_after = yaml_get(mapping, "lock_after"), *grace = yaml_get(mapping, "grace");
    if ((lock_after || grace) && lock_after_ms < grace_ms)
        reader_problem(&in->reader, lock_after ? lock_after : grace,
                       "'lock_after' must be at least 'grace' (2d where it is absent): a period is closed "
                       "before it is locked");
}

void keep_after_lock(struct card_reader *in, const struct yaml_node *mapping, int64_t lock_after_ms,
                     int64_t keep_ms)
{
    const struct yaml_node *lock_after = yaml_get(mapping, "lock_after"), *keep = yaml_get(mapping, "keep");
    if ((keep || lock_after) && keep_ms != INT64_MAX && lock_after_ms > keep_ms)
        reader_problem(&in->reader, keep ? keep : lock_after,
                       "'keep' needs a 'lock_after' that is not longer: a period is locked before its "
                       "measurements are dropped");
}

void whole_seconds(struct card_reader *in, const struct yaml_node *mapping, const char *key, int64_t ms)
{
    const struct yaml_node *node = yaml_get(mapping, key);
    if (ms % 1000 != 0)
        reader_problem(&in->reader, node, "'%s' must be whole seconds, as all periods are, not %.60s", key,
                       node->text);
}

static void rolls_on(const struct rules *rules)
{
    static const char *const options[] = {"grace", "lock_after"};
    for (size_t i = 0; i < COUNT(options) && rules->measure->rolling_ms > 0; i++) {
        const struct yaml_node *node = yaml_get(rules->mapping, options[i]);
        if (node)
            reader_problem(&rules->in->reader, node,
                           "'%s' does not go with 'rolling', which has no period that ends: take it out",
                           options[i]);
    }
}

/* A window and those that `carry` looks at, which never lock. */
static void keeps_windows(const struct rules *rules)
{
    const struct measure *measure = rules->measure;
    const struct yaml_node *keep = yaml_get(rules->mapping, "keep");
    bool is_short =
        measure->keep_ms != INT64_MAX && measure->keep_ms / (measure->carry + 1) < measure->rolling_ms;
    if (is_short)
        reader_problem(&rules->in->reader, keep ? keep : yaml_get(rules->mapping, "rolling"),
                       "'keep' must be at least 'rolling' x (1 + 'carry', which is 1 where it is absent): so "
                       "far back a score may look");
}

void measure_rules(struct card_reader *in, const struct yaml_node *mapping, const struct measure *measure,
                   int aggregate, int period)
{
    struct rules rules = {in, mapping, measure, aggregate, period};
    one_value(&rules);
    aggregate_fits(&rules);
    if (yaml_get(mapping, "formula") && !yaml_get(mapping, "aggregate")) {
        formula_stands_alone(&rules);
        return;
    }
    window_fits(&rules);
    whole_seconds(in, mapping, "rolling", measure->rolling_ms);
    companions_are_there(&rules);
    rolls_on(&rules);
    lock_after_grace(in, mapping, measure->grace_ms, measure->lock_after_ms);
    if (measure->rolling_ms > 0)
        keeps_windows(&rules);
    else
        keep_after_lock(in, mapping, measure->lock_after_ms, measure->keep_ms);
}
