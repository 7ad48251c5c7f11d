/* From messages to the caller's events, and from the caller's filter to the wire's. */
#ifndef CLIENT_DELIVERY_H
#define CLIENT_DELIVERY_H

#include <base/arena.h>
#include <poise/client.h>
#include <wire/wire.h>

/* The events of one message, in this order; what was told is crossed off, so that a caller may stop at any of
 * them and go on later. A zeroed delivery has nothing to tell. */
struct delivery {
    bool lost, reset;
    struct wire_states states; /* live until they are told: the link must not receive before */
    size_t told;
    bool live; /* of an UPDATE: what has a revision is none of the latest numbers */
    bool ready;
};

/* False: on_event returned false. */
bool deliver(struct delivery *delivery, poise_on_event *on_event, void *context);

/* A deep copy in the arena. EINVAL, ELIMIT, ENOMEM. A NULL filter is everything. */
poise_code filter_copy(struct arena *arena, const poise_filter *filter, struct wire_filter *ret_filter,
                       poise_error *err);

#endif
