/* An engine's stored state as bytes, table by table: [table, key, value] one after the other, which a harness
 * may hand over as they are; and the scorecard that it is of. */
#ifndef TESTS_FUZZ_GROUND_H
#define TESTS_FUZZ_GROUND_H

#include "fuzz.h"
#include <engine/engine.h>

enum { GROUND_ENTRIES_MAX = 4096 };

struct ground {
    struct ground_entry {
        enum engine_table table;
        struct cursor key, value;
    } * entries; /* by table and key, each once, as a store gives them */
    size_t count;
};
/* Takes entries as long as they can be read; the bytes must stay. */
void ground_open(struct ground *ground, const void *bytes, size_t length);
void ground_close(struct ground *ground);
struct engine_ports ground_ports(struct ground *ground);
/* An engine_put that appends to a buf. */
poise_code ground_put(void *buf, enum engine_table table, const void *key, size_t key_length,
                      const void *value, size_t value_length);

/* Of every aggregate and window. */
struct scorecard *ground_card(void);
#define GROUND_T INT64_C(1772582400000) /* 2026-03-04 */
/* Gives the engine some rows around GROUND_T. */
void ground_rows(struct engine *engine);
/* Settles, and looks at what is shown. */
void ground_settle(struct engine *engine);

#endif
