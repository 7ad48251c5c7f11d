#include <math.h>
#include <score/function.h>

static double clamp(double x)
{
    return x < 0 ? 0 : x > 100 ? 100 : x;
}

static double band_score(const struct form *form, double x)
{
    if (x >= form->band.low && x <= form->band.high) {
        return 100;
    }
    if (x <= form->band.low_zero || x >= form->band.high_zero) {
        return 0;
    }
    return x < form->band.low ? 100 * (x - form->band.low_zero) / (form->band.low - form->band.low_zero)
                              : 100 * (form->band.high_zero - x) / (form->band.high_zero - form->band.high);
}

static double step_score(const struct form *form, double x)
{
    double score = form->step.below;
    for (size_t i = 0; i < form->step.count && form->step.items[i].at <= x; i++) {
        score = form->step.items[i].score;
    }
    return score;
}

static double level_score(const struct form *form, double x)
{
    for (size_t i = 0; i < form->levels.count; i++) {
        if (form->levels.items[i].value == x) {
            return form->levels.items[i].score;
        }
    }
    return NAN;
}

/* What the plan says of a time: straight between its dates, flat outside. */
static double planned_at(const struct form *form, int64_t time_ms)
{
    const struct planned *plan = form->milestone.items;
    size_t next = 0;
    while (next < form->milestone.count && plan[next].on_ms <= time_ms) {
        next++;
    }
    if (next == 0) {
        return plan[0].value;
    }
    const struct planned *from = &plan[next - 1];
    if (next == form->milestone.count) {
        return from->value;
    }
    double share = (double)(time_ms - from->on_ms) / (double)(plan[next].on_ms - from->on_ms);
    return from->value + (plan[next].value - from->value) * share;
}

static double milestone_line(const struct form *form, double x, int64_t time_ms)
{
    double planned = planned_at(form, time_ms);
    return planned > 0 ? 100 * x / planned : NAN;
}

/* What is clamped to give the score. */
static double line(const struct form *form, double x, int64_t time_ms)
{
    switch (form->kind) {
    case FORM_LINEAR:
        return 100 * (x - form->linear.from) / (form->linear.to - form->linear.from);
    case FORM_GOAL_RED: {
        double distance = form->goal_red.goal - form->goal_red.red;
        return 100 * (x - form->goal_red.red + distance) / (3 * distance);
    }
    case FORM_BAND:
        return band_score(form, x);
    case FORM_STEP:
        return step_score(form, x);
    case FORM_LEVELS:
        return level_score(form, x);
    case FORM_BINARY:
        return x != 0 ? 100 : 0;
    case FORM_MILESTONE:
        return milestone_line(form, x, time_ms);
    }
    return NAN;
}

double form_score(const struct form *form, double x, int64_t time_ms, double *ret_attainment)
{
    double attainment = line(form, x, time_ms) + 0.0; /* -0 is 0 */
    *ret_attainment = isfinite(attainment) ? attainment : NAN;
    return clamp(attainment);
}

poise_status score_status(const struct scorecard *card, double score)
{
    if (isnan(score)) {
        return POISE_NO_DATA;
    }
    if (score + 1e-9 >= card->green_from) {
        return POISE_GREEN;
    }
    return score + 1e-9 >= card->amber_from ? POISE_AMBER : POISE_RED;
}
