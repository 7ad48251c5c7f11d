/* From the texts of a row to the engine's series, without copying them: a file repeats few series many times.
 */
#ifndef CLI_SERIES_CACHE_H
#define CLI_SERIES_CACHE_H

#include "rows.h"
#include <base/arena.h>
#include <base/hash.h>
#include <engine/engine.h>

struct series_cache {
    struct hmap map;
    struct arena arena;
};

void series_cache_free(struct series_cache *cache); /* a zeroed cache is fine */
/* The series of a row; a refusal leaves *ret_series as it is. */
poise_code series_cache_get(struct series_cache *cache, struct engine *engine, const struct row *row,
                            struct engine_series **ret_series, poise_refusal *ret_refusal, poise_error *err);

#endif
