#include "names.h"

#include <base/error.h>
#include <stdlib.h>
#include <string.h>

void names_free(struct names *names)
{
    intern_free(&names->measures);
    intern_free(&names->orgs);
    intern_free(&names->sources);
    free(names->series);
    *names = (struct names){0};
}

bool names_add(struct names *names, const struct past_name *name)
{
    if (names->inputs_only) {
        names->count++;
        return intern_add(&names->measures, name->measure, strlen(name->measure)) != INTERN_NONE;
    }
    if (names->count == names->capacity) {
        size_t capacity = names->capacity ? 2 * names->capacity : 256;
        struct series_name *series = realloc(names->series, capacity * sizeof *series);
        if (!series)
            return false;
        names->series = series;
        names->capacity = capacity;
    }
    struct series_name *series = &names->series[names->count];
    series->measure = intern_add(&names->measures, name->measure, strlen(name->measure));
    series->org = intern_add(&names->orgs, name->org, strlen(name->org));
    uint32_t source = intern_add(&names->sources, name->source, strlen(name->source));
    if (series->measure == INTERN_NONE || series->org == INTERN_NONE || source > INT32_MAX)
        return false;
    series->source = source & INT32_MAX;
    series->by_retraction = name->by_retraction;
    names->count++;
    return true;
}

struct past_name names_of(const struct names *names, size_t number)
{
    const struct series_name *series = &names->series[number];
    return (struct past_name){intern_text(&names->measures, series->measure),
                              intern_text(&names->orgs, series->org),
                              intern_text(&names->sources, series->source), series->by_retraction};
}

struct reading {
    struct names *names;
    poise_error *err;
};

static poise_code add_name(void *visitor, uint32_t number, const struct past_name *name)
{
    const struct reading *reading = visitor;
    (void)number; /* they come in order */
    return names_add(reading->names, name) ? POISE_OK : error_nomem(reading->err, "the names of series");
}

poise_code names_read(struct names *names, struct store_reader *reader, poise_error *err)
{
    struct reading reading = {names, err};
    return store_read_names(reader, (uint32_t)names->count, add_name, &reading, err);
}
