#include "simulation.h"

#include <string.h>
#include <sys/random.h>
#include <sys/types.h>
#include <unistd.h>
#include <unit/score/rng.h>

static struct {
    struct rng rng;
    int64_t us, wall_ahead_us;
    bool wall_held;
} chance;

void chance_start(uint64_t seed)
{
    memset(&chance, 0, sizeof chance);
    chance.rng.state = seed;
    chance.us = 1000000000;
    chance.wall_ahead_us = MARCH * 1000 - chance.us;
}

int64_t between(int64_t low, int64_t high)
{
    return rng_between(&chance.rng, low, high);
}

bool one_in(int64_t n)
{
    return between(1, n) == 1;
}

/* ---- clocks ---- */

void time_pass(int64_t us)
{
    chance.us += us;
    chance.wall_ahead_us -= chance.wall_held ? us : 0;
}

void wall_hold(bool held)
{
    chance.wall_held = held;
}

void wall_jump(int64_t ms)
{
    chance.wall_ahead_us += ms * 1000;
}

int64_t now_us(void)
{
    return chance.us;
}

int64_t wall_ms(void)
{
    return (chance.us + chance.wall_ahead_us) / 1000;
}

static int64_t simulated_wall_ms(void *context)
{
    (void)context;
    return wall_ms();
}

static int64_t simulated_monotonic_us(void *context)
{
    (void)context;
    return now_us();
}

/* In the place of lib/base/clock.c, whose object is not linked: libpoise and the store have no other. */
const struct clock clock_system = {.wall_ms = simulated_wall_ms, .monotonic_us = simulated_monotonic_us};

/* ---- what else the system gives ---- */

/* The linker sends the calls of the objects of this program here (-Wl,--wrap). */
ssize_t __wrap_getrandom(void *bytes, size_t length, unsigned flags);

ssize_t __wrap_getrandom(void *bytes, size_t length, unsigned flags)
{
    (void)flags;
    for (size_t i = 0; i < length; i++) {
        ((uint8_t *)bytes)[i] = (uint8_t)between(0, 255);
    }
    return (ssize_t)length;
}

/* Only a power cut would tell. LMDB's calls come here too: a program's symbols go before a library's. */
__attribute__((visibility("default"))) int fdatasync(int fd)
{
    (void)fd;
    return 0;
}

__attribute__((visibility("default"))) int fsync(int fd)
{
    (void)fd;
    return 0;
}
