#include <base/clock.h>
#include <stddef.h>
#include <time.h>

/* clock_gettime fails only for clocks that do not exist; these two do. */

static int64_t system_wall_ms(void *context)
{
    (void)context;
    struct timespec now = {0};
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t system_monotonic_us(void *context)
{
    (void)context;
    struct timespec now = {0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

const struct clock clock_system = {.wall_ms = system_wall_ms, .monotonic_us = system_monotonic_us};
