#include "values.h"

uint64_t random_next(struct random *random) /* splitmix64 */
{
    uint64_t x = random->state += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

int64_t random_between(struct random *random, int64_t low, int64_t high)
{
    return low + (int64_t)(random_next(random) % (uint64_t)(high - low + 1));
}

double next_value(struct random *random, uint32_t series, int64_t *last)
{
    switch (series % 3) {
    case 0: /* hundredths */
        *last += random_between(random, -50, 50);
        return (double)*last / 100;
    case 1:
        *last += random_between(random, 0, 20);
        return (double)*last;
    default:
        return 40 + 20 * ((double)(random_next(random) >> 11) / 9007199254740992.0);
    }
}
