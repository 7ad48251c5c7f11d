/* What a subscription or a reader of the log of changes wants. Filters of subscriptions are shared: who asks
 * for the same gets the same, and its bytes are made once. */
#ifndef AGGREGATOR_FILTER_H
#define AGGREGATOR_FILTER_H

#include "access.h"
#include "board.h"
#include <wire/wire.h>

/* ---- a filter as it came ---- */

/* EPROTO, ELIMIT: its globs are none, or too many. */
poise_code filter_check(const struct wire_filter *wanted, poise_error *err);
/* How many subscriptions one with it counts as, for what its texts take: their copies and its key. */
enum { FILTER_SHARE = 16 << 10 /* bytes that count as one more */ };
size_t filter_weight(const struct wire_filter *wanted);
/* A deep copy in the arena; false: out of memory. */
bool filter_copy_to(struct arena *arena, const struct wire_filter *from, struct wire_filter *ret_copy);
/* Whether it lets these changes through: some of POISE_CHANGES_.... */
bool filter_has(const struct wire_filter *wanted, uint32_t changes);
bool filter_org(const struct wire_filter *wanted, const char *org);
/* Everything but the org: scorecard, path, kind. */
bool filter_node(const struct wire_filter *wanted, const char *path, poise_kind kind);

/* ---- one that subscriptions of a board share ---- */

/* Whose it is: who may see less shares it with nobody else. */
struct filter_reader {
    const struct access_peer *peer; /* NULL: everybody may see all */
    const char *user;               /* the public key; "": none */
};
extern const struct filter_reader filter_everybody;

struct filter {
    struct wire_filter wanted;
    const struct access_peer *reader; /* as the file in force names it; NULL: everybody */
    char user[ACCESS_USER_MAX];
    struct arena arena;
    struct buf key; /* what it asks for, as bytes */
    uint64_t hash;
    size_t users;
    uint8_t *unit_pass; /* by unit index: 0 not asked yet, 1 passes, 2 does not */
    size_t unit_pass_count;
    uint8_t **node_pass; /* by scorecard, node: 1 passes */
    size_t card_count;
    struct filter_sent {             /* the update that was made last, for whoever stands where it began */
        uint64_t position, revised;  /* it began behind these, */
        uint64_t head, head_revised; /* and the board stood there; head 0: there is none */
        int64_t as_of_ms;
        uint64_t to_revised;
        size_t count;
        bool more;
        struct buf tail; /* its states as they go over the wire */
    } sent;
};

poise_code filter_open(struct board *board, const struct wire_filter *wanted,
                       const struct filter_reader *reader, struct filter **ret_filter, poise_error *err);
void filter_close(struct board *board, struct filter *filter);
bool filter_passes(struct filter *filter, const struct board_unit *unit, uint32_t node);
/* After another update was put into the filter's `sent`, whose buffer had so many bytes before. Where all
 * that filters keep is more than the most, only this one stays: the others are made again for whoever wants
 * them. */
enum { FILTER_KEPT_MAX = 16 << 20 };
void filter_kept(struct board *board, struct filter *filter, size_t before);

#endif
