#include "figures.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

void die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%s: ", program_invocation_short_name);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    _exit(1); /* other threads may hold anything */
}

void check(poise_code code, const poise_error *err)
{
    if (code)
        die("%s", err && err->text[0] ? err->text : poise_code_text(code));
}

void figure(const char *name, double value)
{
    printf("%s %.9g\n", name, value);
}

int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

int64_t wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

int64_t cpu_ns(pid_t pid)
{
    struct timespec used;
    clockid_t clock = CLOCK_THREAD_CPUTIME_ID;
    if ((pid && clock_getcpuclockid(pid, &clock) != 0) || clock_gettime(clock, &used) != 0)
        die("process %d has no clock: is it running?", (int)pid);
    return used.tv_sec * INT64_C(1000000000) + used.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

struct quantiles quantiles(double *values, size_t count)
{
    qsort(values, count, sizeof *values, compare);
    return (struct quantiles){values[count / 2], values[count - 1 - count / 100], values[count - 1]};
}

void figure_quantiles(const char *name, double *values, size_t count)
{
    struct quantiles q = quantiles(values, count);
    printf("%s_p50 %.9g\n%s_p99 %.9g\n%s_max %.9g\n", name, q.p50, name, q.p99, name, q.max);
}
