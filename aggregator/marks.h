/* Which parts of the journal have records that a question looks at, whatever it asks: so that not every
 * question looks at the head of every record. Found by one walk over the heads, and over those that came
 * since. A record gains none of these later; it may lose them when it is trimmed, so a mark may be of nothing
 * any more. */
#ifndef AGGREGATOR_MARKS_H
#define AGGREGATOR_MARKS_H

#include <stdatomic.h>
#include <store/store.h>

enum mark { MARK_ORDERS = 1, MARK_REVISIONS = 2 };
struct marks {      /* one thread; zeroed at first */
    uint8_t *parts; /* by LSN / MARKS_PART: an OR of enum mark */
    size_t capacity;
    uint64_t until; /* all records up to it are known */
};
enum { MARKS_PART = 256 }; /* a year of 100 commits a second takes 12 MB */
void marks_free(struct marks *marks);

struct marks_visit {
    enum mark what; /* which records come whole */
    poise_code (*record)(void *visitor, const struct journal_record *record);
    void *visitor;
    const _Atomic bool *stop; /* EBUSY, while it looks for marks; NULL: never */
};
/* store_read_journal, which says what a visit may do, of the records from <= lsn <= until that have what is
 * asked for; of others the head, or nothing. marks NULL: heads of all others. */
poise_code marks_read(struct marks *marks, struct store_reader *reader, uint64_t from, uint64_t until,
                      const struct marks_visit *visit, poise_error *err);

#endif
