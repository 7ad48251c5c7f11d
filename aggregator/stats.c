#include "stats.h"

static const struct description {
    const char *name, *kind, *unit, *text;
#define STATS_DESCRIPTION(name, kind, unit, text) {"poise_" #name, kind, unit, text},
} descriptions[STAT_COUNT] = {STATS(STATS_DESCRIPTION)},
  table_descriptions[TABLE_STAT_COUNT] = {TABLE_STATS(STATS_DESCRIPTION)};
#undef STATS_DESCRIPTION

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

void stats_table_name(enum table_stat stat, const char *table, char name[STATS_NAME_MAX])
{
    snprintf(name, STATS_NAME_MAX, "%s{table=\"%s\"}", table_descriptions[stat].name, table);
}

void stats_document(FILE *out)
{
    fputs("| name | kind | unit | what it counts |\n|---|---|---|---|\n", out);
    for (size_t i = 0; i < STAT_COUNT; i++)
        fprintf(out, "| `%s` | %s | %s | %s |\n", descriptions[i].name, descriptions[i].kind,
                descriptions[i].unit, descriptions[i].text);
    for (size_t i = 0; i < TABLE_STAT_COUNT; i++)
        fprintf(out, "| `%s{table=\"NAME\"}` | %s | %s | %s |\n", table_descriptions[i].name,
                table_descriptions[i].kind, table_descriptions[i].unit, table_descriptions[i].text);
}
