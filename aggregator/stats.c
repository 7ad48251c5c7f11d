#include "stats.h"

static const struct {
    const char *name, *kind, *unit, *text;
} descriptions[STAT_COUNT] = {
#define STATS_DESCRIPTION(name, kind, unit, text) {"poise_" #name, kind, unit, text},
    STATS(STATS_DESCRIPTION)
#undef STATS_DESCRIPTION
};

void stats_time(struct stats *stats, enum stat count, enum stat sum, enum stat longest, int64_t us)
{
    uint64_t spent = us > 0 ? (uint64_t)us : 0;
    stats_add(stats, count, 1);
    stats_add(stats, sum, spent);
    if (spent > stats_get(stats, longest))
        stats_set(stats, longest, spent);
}

const char *stats_name(enum stat stat)
{
    return descriptions[stat].name;
}

void stats_document(FILE *out)
{
    fputs("| name | kind | unit | what it counts |\n|---|---|---|---|\n", out);
    for (size_t i = 0; i < STAT_COUNT; i++)
        fprintf(out, "| `%s` | %s | %s | %s |\n", descriptions[i].name, descriptions[i].kind,
                descriptions[i].unit, descriptions[i].text);
}
