/* The states of a scorecard at an org as a table for people:
 *
 *     the whole organisation                          as of 2026-03-20 00:00:00Z
 *                                value score         status  data period
 *     Acme Manufacturing                63.4 ↑ ███▏░ amber?   92%
 *     Customer                          70.8 → ███▌  green   100%
 *       Customers come back             70.8 → ███▌  green   100%
 *         Net promoter score      42.5  70.8 → ███▌  green   100% 2026-03
 *
 * The bar is full up to the score and shaded up to what it could be were everything missing known; a status
 * with
 * `?` could differ then; `data` is the coverage. Colour only adds to what the words say. */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include <base/buf.h>
#include <poise/types.h>
#include <stdio.h>

struct table_style {
    size_t columns; /* no line is longer, from 44 up */
    bool colour;
    bool utf8; /* the terminal shows blocks and arrows */
};
/* Of a terminal its width; colour unless NO_COLOR is set or TERM is dumb. Of anything else 80 columns, plain.
 */
struct table_style table_style_of(FILE *out);

struct table_row {
    const poise_state *state;
    bool fresh; /* changed just now: shown in reverse */
};
/* Rows of one scorecard and org as of a time, parents first. Lines end with '\n'. */
void table_put(struct buf *out, const struct table_style *style, int64_t as_of_ms,
               const struct table_row *rows, size_t count);

#endif
