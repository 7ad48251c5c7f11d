#include "stats.h"

#include <inttypes.h>
#include <string.h>

#define STATS_DESCRIPTION(name, kind, unit, text)     {"poise_" #name, kind, unit, text},
#define STATS_LABELLED(name, kind, unit, label, text) {"poise_" #name, kind, unit, text},
#define STATS_HISTOGRAM(name, unit, count, sum, text) {"poise_" #name, "histogram", unit, text},
static const struct stats_description descriptions[STAT_COUNT] = {STATS(STATS_DESCRIPTION)},
                                      table_descriptions[TABLE_STAT_COUNT] = {TABLE_STATS(STATS_DESCRIPTION)},
                                      labelled[LABELLED_STAT_COUNT] = {LABELLED_STATS(STATS_LABELLED)},
                                      histograms[HISTOGRAM_COUNT] = {HISTOGRAMS(STATS_HISTOGRAM)};
#undef STATS_DESCRIPTION
#undef STATS_LABELLED
#undef STATS_HISTOGRAM

static const char *const labels[LABELLED_STAT_COUNT] = {
#define STATS_LABEL(name, kind, unit, label, text) label,
    LABELLED_STATS(STATS_LABEL)
#undef STATS_LABEL
};

static const struct totals {
    enum stat count, sum;
} totals[HISTOGRAM_COUNT] = {
#define STATS_TOTALS(name, unit, count, sum, text) {STAT_##count, STAT_##sum},
    HISTOGRAMS(STATS_TOTALS)
#undef STATS_TOTALS
};

#define STATS_CODE(name, number, text) +1
enum { CODES = 0 POISE_ERRORS(STATS_CODE) };
#undef STATS_CODE
_Static_assert((int)CODES <= (int)STATS_LABELS_MAX, "an error has no counter");
_Static_assert((int)NET_FAILINGS <= (int)STATS_LABELS_MAX, "why a handshake failed has no counter");
_Static_assert((int)POISE_REFUSAL_COUNT <= (int)STATS_LABELS_MAX, "a reason has no counter");

/* ---- counting ---- */

void stats_time(struct stats *stats, enum stat count, enum stat sum, enum stat longest, int64_t us)
{
    uint64_t spent = us > 0 ? (uint64_t)us : 0;
    stats_add(stats, count, 1);
    stats_add(stats, sum, spent);
    if (spent > stats_get(stats, longest))
        stats_set(stats, longest, spent);
}

/* 64, 96, 128, 192, ... us */
static int64_t bucket_bound(int bucket)
{
    return bucket % 2 ? (int64_t)96 << bucket / 2 : (int64_t)64 << bucket / 2;
}

void stats_histogram(struct stats *stats, enum histogram_stat histogram, int64_t us)
{
    int bucket = 0;
    while (bucket < STATS_BUCKETS - 1 && us > bucket_bound(bucket))
        bucket++;
    atomic_fetch_add_explicit(&stats->buckets[histogram][bucket], 1, memory_order_relaxed);
}

void stats_refused(struct stats *stats, poise_refusal reason)
{
    if ((unsigned)reason < POISE_REFUSAL_COUNT)
        atomic_fetch_add_explicit(&stats->labelled[LABELLED_STAT_refusals][reason], 1, memory_order_relaxed);
}

void stats_error(struct stats *stats, poise_code code)
{
    if ((unsigned)code < CODES)
        atomic_fetch_add_explicit(&stats->labelled[LABELLED_STAT_errors][code], 1, memory_order_relaxed);
}

void stats_handshakes(struct stats *stats, enum net_failing why, uint64_t more)
{
    if ((unsigned)why < NET_FAILINGS)
        atomic_fetch_add_explicit(&stats->labelled[LABELLED_STAT_handshakes][why], more,
                                  memory_order_relaxed);
}

/* ---- reading ---- */

const char *stats_name(enum stat stat)
{
    return descriptions[stat].name;
}

void stats_table_name(enum table_stat stat, const char *table, char name[STATS_NAME_MAX])
{
    snprintf(name, STATS_NAME_MAX, "%s{table=\"%s\"}", table_descriptions[stat].name, table);
}

static const char *label_text(int stat, int label)
{
    return stat == LABELLED_STAT_refusals ? poise_refusal_name((poise_refusal)label)
           : stat == LABELLED_STAT_errors ? poise_code_name((poise_code)label)
                                          : net_failing_name((enum net_failing)label);
}

static void each_labelled(const struct stats *stats, int stat,
                          void (*visit)(void *context, const char *name, double value), void *context)
{
    int count = stat == LABELLED_STAT_refusals ? (int)POISE_REFUSAL_COUNT
                : stat == LABELLED_STAT_errors ? (int)CODES
                                               : (int)NET_FAILINGS;
    for (int i = 1; i < count; i++) { /* 0 is that all is well */
        char name[STATS_NAME_MAX];
        snprintf(name, sizeof name, "%s{%s=\"%s\"}", labelled[stat].name, labels[stat], label_text(stat, i));
        visit(context, name, (double)atomic_load_explicit(&stats->labelled[stat][i], memory_order_relaxed));
    }
}

static void each_bucket(const struct stats *stats, int histogram,
                        void (*visit)(void *context, const char *name, double value), void *context)
{
    char name[STATS_NAME_MAX];
    uint64_t count = 0;
    for (int i = 0; i < STATS_BUCKETS; i++) {
        count += atomic_load_explicit(&stats->buckets[histogram][i], memory_order_relaxed);
        if (i < STATS_BUCKETS - 1)
            snprintf(name, sizeof name, "%s_bucket{le=\"%" PRId64 "\"}", histograms[histogram].name,
                     bucket_bound(i));
        else
            snprintf(name, sizeof name, "%s_bucket{le=\"+Inf\"}", histograms[histogram].name);
        visit(context, name, (double)count);
    }
    snprintf(name, sizeof name, "%s_sum", histograms[histogram].name);
    visit(context, name, (double)stats_get(stats, totals[histogram].sum));
    snprintf(name, sizeof name, "%s_count", histograms[histogram].name);
    visit(context, name, (double)count);
}

void stats_each(const struct stats *stats, void (*visit)(void *context, const char *name, double value),
                void *context)
{
    for (int i = 0; i < STAT_COUNT; i++)
        visit(context, descriptions[i].name, (double)stats_get(stats, (enum stat)i));
    for (int i = 0; i < LABELLED_STAT_COUNT; i++)
        each_labelled(stats, i, visit, context);
    for (int i = 0; i < HISTOGRAM_COUNT; i++)
        each_bucket(stats, i, visit, context);
}

/* ---- what they are ---- */

static const struct stats_description *find(const struct stats_description *list, size_t count,
                                            const char *name, size_t length)
{
    for (size_t i = 0; i < count; i++)
        if (strlen(list[i].name) == length && strncmp(list[i].name, name, length) == 0)
            return &list[i];
    return NULL;
}

const struct stats_description *stats_describe(const char *name, size_t *ret_length)
{
    static const char *const parts[] = {"_bucket", "_sum", "_count"};
    size_t length = strcspn(name, "{");
    const struct stats_description *found = find(descriptions, STAT_COUNT, name, length);
    if (!found)
        found = find(labelled, LABELLED_STAT_COUNT, name, length);
    if (!found)
        found = find(table_descriptions, TABLE_STAT_COUNT, name, length);
    for (size_t i = 0; !found && i < sizeof parts / sizeof parts[0]; i++) {
        size_t part = strlen(parts[i]);
        if (length > part && strncmp(name + length - part, parts[i], part) == 0 &&
            (found = find(histograms, HISTOGRAM_COUNT, name, length - part)))
            length -= part;
    }
    *ret_length = length;
    return found;
}

static void document(FILE *out, const struct stats_description *list, size_t count, const char *labels_text)
{
    for (size_t i = 0; i < count; i++)
        fprintf(out, "| `%s%s` | %s | %s | %s |\n", list[i].name, labels_text, list[i].kind, list[i].unit,
                list[i].text);
}

void stats_document(FILE *out)
{
    fputs("| name | kind | unit | what it counts |\n|---|---|---|---|\n", out);
    document(out, descriptions, STAT_COUNT, "");
    document(out, table_descriptions, TABLE_STAT_COUNT, "{table=\"NAME\"}");
    for (size_t i = 0; i < LABELLED_STAT_COUNT; i++) {
        char text[STATS_NAME_MAX];
        snprintf(text, sizeof text, "{%s=\"NAME\"}", labels[i]);
        document(out, &labelled[i], 1, text);
    }
    document(out, histograms, HISTOGRAM_COUNT, "");
}
