/* What a settle changed, in parts: each is journaled in a record of its own, so that none takes long to
 * write; published is the whole list at once. The writer makes them, the stream frees them. */
#ifndef AGGREGATOR_CHANGES_H
#define AGGREGATOR_CHANGES_H

#include <base/buf.h>
#include <poise/error.h>
#include <poise/types.h>

enum { CHANGES_PART = 4096 };

struct changes {
    uint64_t lsn; /* of the record that was settled; of the first part, as the time */
    int64_t as_of_ms;
    bool revised; /* some of this part are revisions */
    bool whole;   /* these are all states that there are, for a board that has none; of the first part */
    bool again;   /* these were among them, and nobody was told before; likewise */
    size_t count; /* of this part */
    struct changes *next;
    poise_state states[]; /* strings that outlive the stream */
};

struct changes *changes_open(void); /* one part; NULL: out of memory */
/* Adds a state behind the last part, which may get a next one; ENOMEM. */
poise_code changes_add(struct changes **last, const poise_state *state);
/* Appends an UPDATE of one part, or nothing where it is empty; ENOMEM. UPDATEs one behind the other are one
 * of all their states. */
poise_code changes_encode(struct changes *part, int64_t as_of_ms, struct buf *out);
void changes_free(struct changes *first); /* all parts */

#endif
