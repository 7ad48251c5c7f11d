/* What the engine says of series and keys, by plain lists: the numbers of series in the order of their first
 * accepted rows, and which of a key's rows stands. */
#ifndef TESTS_UNIT_ENGINE_PLAIN_H
#define TESTS_UNIT_ENGINE_PLAIN_H

#include <engine/engine.h>

struct plain { /* texts are borrowed from the rows that were given */
    poise_measurement *series;
    size_t series_count, series_capacity;
    struct plain_key {
        const char *measure, *source, *key;
        uint64_t rank;
        bool retracted;
        struct engine_gone standing; /* if it is not */
    } * keys;
    size_t key_count, key_capacity;
};
void plain_free(struct plain *plain);
/* An accepted row: the number of its series, and whether a row went because of it. */
uint32_t plain_accept(struct plain *plain, const poise_measurement *row, uint64_t ordinal, bool *ret_went,
                      struct engine_gone *ret_gone);
/* Whether the accepted row is what its key says, or has none. */
bool plain_stands(struct plain *plain, const poise_measurement *row, uint64_t ordinal);
/* It is erased: its key, if it says so still, from now on says that it was retracted. */
void plain_erase(struct plain *plain, const poise_measurement *row, uint64_t ordinal);
/* ENGINE_UNNUMBERED: no row of it was accepted. */
uint32_t plain_number(const struct plain *plain, const char *measure, const char *org, const char *source);

#endif
