#include <client/waits.h>
#include <string.h>

#define GROUP_US INT64_C(100000)

/* Groups that are acknowledged as a whole. */
static size_t gone(const struct waits *waits, uint64_t first)
{
    size_t count = 0;
    while (count < waits->count && waits->groups[count].last < first) {
        count++;
    }
    return count;
}

static void forget(struct waits *waits, uint64_t first)
{
    size_t count = gone(waits, first);
    waits->count -= count;
    memmove(waits->groups, waits->groups + count, waits->count * sizeof *waits->groups);
}

/* Two become one each: of a long wait a hundredth is little. */
static void merge(struct waits *waits)
{
    waits->count /= 2;
    for (size_t i = 0; i < waits->count; i++) {
        waits->groups[i] = (struct waits_group){.last = waits->groups[2 * i + 1].last,
                                                .since_us = waits->groups[2 * i].since_us};
    }
}

/* How much later than a group's first batch its last one may come. */
static int64_t width_us(const struct waits *waits, int64_t now_us)
{
    int64_t part_us = (now_us - waits->groups[0].since_us) / (WAITS_GROUPS / 2);
    return part_us > GROUP_US ? part_us : GROUP_US;
}

void waits_look(struct waits *waits, uint64_t first, uint64_t next, int64_t now_us)
{
    forget(waits, first);
    struct waits_group *last = waits->count > 0 ? &waits->groups[waits->count - 1] : NULL;
    if (first == next || (last && last->last + 1 >= next)) {
        return;
    }
    if (last && now_us - last->since_us < width_us(waits, now_us)) {
        last->last = next - 1;
        return;
    }
    if (waits->count == WAITS_GROUPS) {
        merge(waits);
    }
    waits->groups[waits->count++] = (struct waits_group){.last = next - 1, .since_us = now_us};
}

int64_t waits_age_ms(const struct waits *waits, uint64_t first, int64_t now_us)
{
    size_t at = gone(waits, first);
    return at < waits->count ? (now_us - waits->groups[at].since_us) / 1000 : 0;
}
