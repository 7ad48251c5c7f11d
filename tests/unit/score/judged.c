#include <unit/score/judged.h>

#include <math.h>
#include <stdlib.h>

int judged_setup(void **state)
{
    static struct judged f;
    f = (struct judged){
        .form = {.kind = FORM_LINEAR, .from_ms = INT64_MIN, .linear = {.from = 0, .to = 100}}};
    assert_int_equal(zone_open("UTC", &f.zone, NULL), POISE_OK);
    assert_int_equal(intern_add(&f.sources, "", 0), 0);
    f.card = (struct scorecard){.zone = f.zone,
                                .tick_ms = MINUTE,
                                .fiscal_year_start = 1,
                                .period = PERIOD_MONTH,
                                .green_from = 200.0 / 3,
                                .amber_from = 100.0 / 3};
    f.measure = (struct measure){.aggregate = AGGREGATE_SUM,
                                 .period = PERIOD_MONTH,
                                 .carry = 1,
                                 .min_of = NAN,
                                 .empty = NAN,
                                 .forms = &f.form,
                                 .form_count = 1};
    *state = &f;
    return 0;
}

int judged_teardown(void **state)
{
    struct judged *f = *state;
    intern_free(&f->sources);
    zone_close(f->zone);
    return 0;
}

void say_of(struct judged *f, int org, int64_t time_ms, double value, double of)
{
    assert_true(f->said_count < JUDGED_SAID_MAX && org < JUDGED_ORGS);
    struct sample sample = {.time_ms = time_ms, .value = value, .of = of, .ordinal = f->said_count + 1};
    sample.rank = sample.ordinal;
    f->said[f->said_count++] = (struct said){.org = org, .sample = sample};
}

void say(struct judged *f, int64_t time_ms, double value)
{
    say_of(f, 0, time_ms, value, 1);
}

/* Of one org (-1: of all), or NULL where it has none. */
static struct accumulator *count(const struct judged *f, const struct accumulator_layout *layout, int org,
                                 struct period window)
{
    struct accumulator *cell = calloc(1, layout->size);
    assert_non_null(cell);
    for (size_t i = 0; i < f->said_count; i++) {
        const struct said *said = &f->said[i];
        bool is_in = said->sample.time_ms >= window.start_ms && said->sample.time_ms < window.end_ms;
        if (is_in && (org < 0 || said->org == org)) {
            assert_true(accumulator_add(layout, cell, &said->sample));
        }
    }
    return cell;
}

static struct window_value read_across(struct judged *f, const struct accumulator_layout *layout,
                                       struct period window)
{
    struct across_sum across = across_nothing;
    for (int org = 0; org < JUDGED_ORGS; org++) {
        struct accumulator *own = count(f, layout, org, window);
        assert_true(across_add(&across, &f->measure, layout, own));
        accumulator_clear(layout, own);
        free(own);
    }
    return across_end(&across, &f->measure);
}

static struct window_value read_said(void *context, struct period window)
{
    struct judged *f = context;
    struct accumulator_layout layout = accumulator_layout(measure_parts(&f->measure), &f->sources);
    assert_true(f->read_count < JUDGED_READ_MAX);
    f->read[f->read_count++] = window;
    if (f->measure.across != ACROSS_POOL) {
        return read_across(f, &layout, window);
    }
    struct accumulator *all = count(f, &layout, -1, window);
    struct window_value value = window_pooled(&f->measure, &layout, all);
    accumulator_clear(&layout, all);
    free(all);
    return value;
}

poise_score as_of(struct judged *f, int64_t as_of_ms)
{
    const struct leaf_source source = {.context = f, .read = read_said};
    poise_score score;
    f->read_count = 0;
    evaluate_aggregate(&f->card, &f->measure, "plant", as_of_ms, &source, &score);
    return score;
}

void assert_near(double got, double wanted)
{
    if (isnan(wanted) ? !isnan(got) : !(fabs(got - wanted) <= 1e-9 * fmax(1, fabs(wanted)))) {
        fail_msg("%.17g is not %.17g", got, wanted);
    }
}
