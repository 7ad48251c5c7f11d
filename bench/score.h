/* bench_score: what the engine alone costs, in this process. `bench/score` runs it. */
#ifndef BENCH_SCORE_H
#define BENCH_SCORE_H

#include "figures.h"
#include "values.h"
#include <engine/engine.h>

enum { MEASURES = 48, NODES = 1 + 4 + 12 + MEASURES, LINES_OF_PLANT = 20 };
#define DAY_MS      INT64_C(86400000)
#define NEW_YEAR_MS INT64_C(1767225600000) /* 2026-01-01 */

/* A live engine with a scorecard of 4 perspectives, 12 objectives and 48 measures; the aggregates sum, mean,
 * ratio, last and stddev in equal parts. */
struct world {
    struct scorecard *card;
    struct engine *engine;
};
/* input: the one that all measures read; NULL: each its own, m0 to m47. */
void world_open(struct world *world, const char *period, const char *input);
void world_close(struct world *world);
/* A measure's at a line, "plant-3/line-17"; with an input of its own. */
struct engine_series *world_series(struct world *world, const char *input, uint32_t line);
void world_apply(struct world *world, struct engine_series *series, int64_t time_ms, double value);
void world_begin(struct world *world, int64_t as_of_ms);
/* Until so many nodes were looked at (engine_settle). Returns how many have changed. */
uint64_t world_settle(struct world *world, size_t budget);
/* As after every checkpoint, to a store that keeps nothing. */
void world_checkpoint(struct world *world);

void run_apply(void);
void run_series(void);
void run_workload(void);
void run_midnight(void);
void print_rows(uint32_t samples); /* of each series of workload W, as CSV */
void print_card(void);             /* the definition that the rows are for */

#endif
