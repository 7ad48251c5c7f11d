/* Dead letters: rows and measurements that were refused, one JSON object a line, to be looked at, mended and
 * replayed.
 *
 * {"when": "2026-03-01T07:00:00.000Z", "reason": "column ...", "file": "production.csv", "line": 17,
 * "offset": 4711, "inode": 1234, "header": "Case ID,...", "row": "Case 1,..."}
 * {"when": ..., "reason": "unknown_measure: ...", "measurement": {"measure": "x", "org": "shop", "source":
 * "", "key": "k", "time": "2026-...", "value": 1, "of": 1, "seq": 0, "retract": false}} A row that is no
 * UTF-8 stands in hexadecimal digits under "row_hex"; "cut": true marks one that was too long to keep. */
#ifndef COLLECTOR_LETTERS_H
#define COLLECTOR_LETTERS_H

#include <base/arena.h>
#include <poise/error.h>
#include <poise/types.h>
#include <stddef.h>

struct letter {
    const char *reason;
    const poise_measurement *measurement; /* or NULL, then a row: */
    const char *file;
    const char *header; /* NULL: none */
    const char *row;
    size_t row_length;
    bool cut;
    uint64_t line, offset, inode;
};

struct letters; /* the open file */
/* The file is made with the first letter. path is borrowed. */
poise_code letters_open(const char *path, struct letters **ret_letters, poise_error *err);
void letters_close(struct letters *letters);
/* Appends; safe against the end of the process when it returns, against the end of power after letters_sync.
 */
poise_code letters_put(struct letters *letters, int64_t now_ms, const struct letter *letter,
                       poise_error *err);
/* A line as it stands, without its end. */
poise_code letters_put_line(struct letters *letters, const char *line, size_t length, poise_error *err);
poise_code letters_sync(struct letters *letters, poise_error *err); /* nothing to do: nothing done */

/* Reads a line; texts live in the arena. EINVAL says why it is no letter; ENOMEM. */
poise_code letter_parse(const char *line, size_t length, struct arena *arena, struct letter *ret_letter,
                        poise_error *err);

#endif
