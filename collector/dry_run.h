/* What the sources give, as the CSV of measurements that `poise eval` and `poise send` read. Nothing is sent,
 * kept or remembered. */
#ifndef COLLECTOR_DRY_RUN_H
#define COLLECTOR_DRY_RUN_H

#include <collector/config.h>
#include <stdio.h>

/* Rows that are refused go to the log; *ret_refused counts them. */
poise_code dry_run(const struct collector_config *config, const struct log *log, FILE *out,
                   uint64_t *ret_refused, poise_error *err);

#endif
