/* A terminal that is painted again and again in place. */
#ifndef CLI_SCREEN_H
#define CLI_SCREEN_H

#include "table.h"

/* Whether out is a terminal that can be painted. */
bool screen_possible(FILE *out);
/* Clears it and hides the cursor; screen_end shows it again, in place of the line for people. */
void screen_begin(FILE *out);
void screen_end(FILE *out);
/* What a line may take: the terminal's style, one column less. */
struct table_style screen_style(FILE *out);
/* Paints text's lines, cut at the terminal's height, and under them a line for people. */
void screen_paint(FILE *out, const struct buf *text, const char *status);

#endif
