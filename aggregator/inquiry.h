/* Questions about the past. The stream's thread makes an inquiry, a thread of its own answers it from the
 * journal (an offline engine over what is stored, so that it gives the bits that `poise eval` gives), and the
 * stream sends the answer under the asker's credit. */
#ifndef AGGREGATOR_INQUIRY_H
#define AGGREGATOR_INQUIRY_H

#include "access.h"
#include "batch.h"
#include "rows.h"
#include <base/ring.h>
#include <model/scorecard.h>
#include <net/net.h>
#include <stdatomic.h>
#include <store/store.h>
#include <wire/wire.h>

enum {
    QUESTIONS_MAX = 256, /* at a time, */
    ORDERS_MAX = 8,      /* and besides, however many questions there are */
    INQUIRIES_MAX = QUESTIONS_MAX + ORDERS_MAX,
    INQUIRY_BYTES_DEFAULT = 64 << 20 /* of an answer */
};

struct inquiry {
    /* the question; constant once handed over */
    struct net_peer peer;
    char user[ACCESS_USER_MAX];       /* the key of the connection; "": none */
    struct access *access;            /* kept for reader */
    const struct access_peer *reader; /* whose key it is; NULL: nobody asks, all may be seen */
    uint64_t id;
    char scorecard[POISE_ID_MAX + 1];
    char org[POISE_ORG_MAX + 1];
    bool all_orgs, history;
    int64_t as_of_ms;
    int64_t known_at_ms;           /* 0: all that is known now */
    uint64_t known_lsn;            /* likewise */
    struct restate *restate;       /* instead of all these: what an operator wants to let in; else NULL */
    struct erase *erase;           /* likewise: to have erased */
    struct rescore *rescore;       /* likewise: periods to be scored by the current definition */
    char backup[POISE_ID_MAX + 1]; /* likewise: the name of a backup to be written; else "" */
    bool losses;                   /* likewise: what producers have lost, which the writer knows */
    struct dump *dump;           /* likewise: a page of measurements, for which there is nothing else to do */
    struct changelog *changelog; /* likewise: a page of the log of changes */
    bool order;                  /* of an operator's, for which there is room besides questions */
    /* the answer: bodies of RESULT messages one after the other, or an error */
    poise_error error;
    struct buf bodies;
    size_t *ends; /* of each body */
    size_t count, capacity;
    /* the stream's own */
    uint64_t credit;
    bool answered;
    bool given_up; /* by the asker; still somebody else's until it is answered */
    size_t sent;
    int64_t progress_us; /* when it last moved; too long ago: dropped */
};

void inquiry_free(struct inquiry *inquiry);

struct inquirer_options {
    size_t max_bytes; /* of an answer */
    struct store *store;
    const struct scorecard *const *cards;
    size_t card_count;
    const _Atomic bool *stop;    /* ends a running answer */
    struct rows_memory *memory;  /* kept between answers */
    bool doubts;                 /* all rows are read, and what the store says has gone is not believed */
    struct merge_effort *effort; /* NULL, or what answers took of the runs is added here */
};
/* Answers one inquiry, on any thread; failures are part of the answer. false: the writer has to do the rest,
 * of an operator's order or of what it alone knows. */
bool inquiry_answer(const struct inquirer_options *options, struct inquiry *inquiry);

/* The body of an answer that was appended last is whole. */
poise_code inquiry_end_body(struct inquiry *inquiry);
enum wire_kind inquiry_kind(const struct inquiry *inquiry); /* of the answer's messages */
/* The answer to an operator's order that was done. */
void inquiry_done(struct inquiry *inquiry);

#endif
