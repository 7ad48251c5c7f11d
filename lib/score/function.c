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

/* What is clamped to give the score. */
static double line(const struct form *form, double x)
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
    case FORM_BINARY:
        return x != 0 ? 100 : 0;
    case FORM_LEVELS:
    case FORM_MILESTONE:
        break;
    }
    return NAN;
}

double form_score(const struct form *form, double x, double *ret_attainment)
{
    double attainment = line(form, x) + 0.0; /* -0 is 0 */
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
