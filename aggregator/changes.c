#include "changes.h"

#include <stdlib.h>
#include <wire/wire.h>

struct changes *changes_open(void)
{
    struct changes *part = malloc(sizeof *part + CHANGES_PART * sizeof part->states[0]);
    if (part)
        *part = (struct changes){.as_of_ms = INT64_MIN};
    return part;
}

poise_code changes_add(struct changes **last, const poise_state *state)
{
    if ((*last)->count == CHANGES_PART) {
        struct changes *part = changes_open();
        if (!part)
            return POISE_ENOMEM;
        (*last)->next = part;
        *last = part;
    }
    (*last)->revised |= state->revision > 0;
    (*last)->states[(*last)->count++] = *state;
    return POISE_OK;
}

poise_code changes_encode(struct changes *part, int64_t as_of_ms, struct buf *out)
{
    const struct wire_states states = {
        .id = 0, .as_of_ms = as_of_ms, .states = part->states, .count = part->count};
    return part->count == 0 ? POISE_OK : wire_encode_states(WIRE_UPDATE, &states, out);
}

void changes_free(struct changes *first)
{
    while (first) {
        struct changes *next = first->next;
        free(first);
        first = next;
    }
}
