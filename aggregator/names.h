/* The names of all series by number, as the store has them beside runs of rows. The number of an input, by
 * which runs are found: how many inputs have a series before its first. */
#ifndef AGGREGATOR_NAMES_H
#define AGGREGATOR_NAMES_H

#include <base/hash.h>
#include <store/past.h>

struct series_name { /* numbers of the texts; the measure's is the input's */
    uint32_t measure, org, source : 31, by_retraction : 1;
};
struct names { /* one thread; zeroed at first */
    bool inputs_only;
    struct intern measures, orgs, sources;
    struct series_name *series; /* NULL: inputs only */
    size_t count, capacity;
};
void names_free(struct names *names);
/* The next series; false: out of memory. */
bool names_add(struct names *names, const struct past_name *name);
struct past_name names_of(const struct names *names, size_t number); /* < count */
/* Reads those that have come to the store since. */
poise_code names_read(struct names *names, struct store_reader *reader, poise_error *err);

#endif
