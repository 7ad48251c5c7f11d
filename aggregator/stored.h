/* The stored state as an offline engine asks for it (engine_options.stored): the sums of frozen times, and
 * the orgs and sources that they name. One thread. */
#ifndef AGGREGATOR_STORED_H
#define AGGREGATOR_STORED_H

#include <engine/engine.h>
#include <store/store.h>

struct stored { /* zeroed but for the store */
    struct store *store;
    struct store_reader *reader; /* opened when the engine asks; NULL: it is not */
};
/* They borrow it. */
struct engine_ports stored_ports(struct stored *stored);
/* Visits what the state has of inputs and orgs where a retraction has numbered the series: that a measurement
 * came later, which rows may not say any more. Nothing, where it is of a record behind `until`. */
poise_code stored_seen(struct stored *stored, uint64_t until,
                       poise_code (*visit)(void *visitor, const char *measure, const char *org),
                       void *visitor, poise_error *err);
/* Whenever the engine will not ask for a while: a reader that is not used is not renewed. */
void stored_close(struct stored *stored);

#endif
