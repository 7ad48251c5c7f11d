/* What the measuring programs share: they die of any failure; figures go to stdout, a `name value` a line. */
#ifndef BENCH_FIGURES_H
#define BENCH_FIGURES_H

#include <poise/error.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

_Noreturn __attribute__((format(printf, 1, 2))) void die(const char *format, ...);
void check(poise_code code, const poise_error *err); /* dies of anything but OK */
void figure(const char *name, double value);

int64_t now_ns(void); /* monotonic */
int64_t wall_ms(void);
int64_t cpu_ns(pid_t pid); /* of a process; 0: of this thread */
struct quantiles {
    double p50, p99, max;
};
struct quantiles quantiles(double *values, size_t count); /* sorts them */
void figure_quantiles(const char *name, double *values, size_t count);

#endif
