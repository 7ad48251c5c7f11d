/* A measurement as a line of CSV or of JSON Lines, as rows.h reads it: numbers read back to the same double.
 */
#ifndef CLI_ROW_TEXT_H
#define CLI_ROW_TEXT_H

#include <base/buf.h>
#include <poise/types.h>

void row_put_csv_header(struct buf *out);
/* Of a retraction, time, value and of are empty. Both end their line. */
void row_put_csv(struct buf *out, const poise_measurement *row);
/* What would be empty is left out. */
void row_put_json(struct buf *out, const poise_measurement *row);

#endif
