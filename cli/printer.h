/* Prints states as they come: a JSON array, CSV, or a table for each scorecard, org and as-of. */
#ifndef CLI_PRINTER_H
#define CLI_PRINTER_H

#include "table.h"
#include <poise/error.h>

enum output_format { OUTPUT_TABLE, OUTPUT_JSON, OUTPUT_CSV };

struct printer; /* opaque */

/* NULL: out of memory. What cannot be written shows in ferror(out). */
struct printer *printer_open(enum output_format format, const struct table_style *style, FILE *out);
/* States of one scorecard, org and as-of come together, parents first. An engine_visit; ENOMEM. */
poise_code printer_state(void *printer, const poise_state *state);
/* Writes what waits, and the end of the array. */
poise_code printer_end(struct printer *printer);
void printer_close(struct printer *printer);

#endif
