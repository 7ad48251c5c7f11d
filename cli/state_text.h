/* A state as a JSON object or a CSV line (scoring.md section 9): every verb prints the same. */
#ifndef CLI_STATE_TEXT_H
#define CLI_STATE_TEXT_H

#include <base/buf.h>
#include <poise/types.h>

/* A text as a JSON string. */
void json_put_text(struct buf *out, const char *text);

/* The object without a line end. Missing numbers are null, others read back to the same double. */
void state_put_json(struct buf *out, const poise_state *state);
void state_put_json_members(struct buf *out, const poise_state *state); /* what is between its braces */

/* Columns are the keys of the JSON object. Missing numbers are empty, `period` is start/end (ISO 8601),
 * `flags` are apart by blanks. Both end their line. */
void state_put_csv_header(struct buf *out);
void state_put_csv(struct buf *out, const poise_state *state);
/* And, as revisions want them, replaced and cause; empty where there is none. */
void state_put_csv_change_header(struct buf *out);
void state_put_csv_change(struct buf *out, const poise_state *state);

/* Names of the flags, sorted, with `apart` between them. */
void state_put_flags(struct buf *out, uint32_t flags, const char *before, const char *after,
                     const char *apart);

#endif
