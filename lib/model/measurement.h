/* The rules that every measurement must meet, wherever it enters (scoring.md section 1). */
#ifndef MODEL_MEASUREMENT_H
#define MODEL_MEASUREMENT_H

#include <poise/types.h>
#include <stddef.h>

/* 0, or between 1e-100 and 1e100 in size. */
static inline bool number_valid(double x)
{
    double size = x < 0 ? -x : x;
    return x == 0 || (size >= 1e-100 && size <= 1e100);
}
/* Names of a measurement, then its numbers and time; POISE_REFUSAL_NONE if it may enter. What needs a
 * definition or a clock (unknown input, ahead of time, levels) is the engine's. NULL org and source are
 * empty, NULL key is none. */
poise_refusal measurement_check_names(const char *measure, const char *org, const char *source);
poise_refusal measurement_check_row(int64_t time_ms, double value, double of, const char *key,
                                    size_t key_length, uint64_t seq, bool retract);
poise_refusal measurement_check(const poise_measurement *measurement);

#endif
