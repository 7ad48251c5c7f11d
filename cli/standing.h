/* Which measurements stand: of those with one measure, source and key the one that the aggregator counts.
 * They are shown once, all that have a key, in the order of their places; then each can be asked about. */
#ifndef CLI_STANDING_H
#define CLI_STANDING_H

#include <base/arena.h>
#include <base/hash.h>
#include <poise/error.h>
#include <poise/types.h>

enum { STANDING_KEYS_MAX = 5000000 }; /* some 80 bytes each */

struct standing {
    struct hmap keys;
    struct arena arena;
};

void standing_free(struct standing *standing); /* a zeroed one is fine */
/* Of a measurement without a key nothing is noted. ELIMIT: more than STANDING_KEYS_MAX keys. */
poise_code standing_note(struct standing *standing, const poise_measurement *row, uint64_t place,
                         poise_error *err);
/* Whether it stands and counts: a retraction never does. */
bool standing_has(const struct standing *standing, const poise_measurement *row, uint64_t place);

#endif
