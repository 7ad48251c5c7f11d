/* A question to the aggregator under an id of its own, and what comes for it. */
#ifndef CLIENT_QUESTION_H
#define CLIENT_QUESTION_H

#include <client/subscription.h>

struct question {
    struct poise_client *client;
    uint64_t id;
    int64_t deadline;
    enum wire_kind kind;    /* what was sent, to be sent again: */
    const struct buf *body; /* the caller's; NULL: it is not to be */
    bool probed;            /* since it was sent */
    unsigned again;         /* so often it was sent again, since it was not known */
};

/* EBUSY: the client has a subscription. */
poise_code question_begin(struct poise_client *client, int64_t timeout_ms, struct question *ret_question,
                          poise_error *err);
/* Sends, once there is a connection (for which an order waits a minute at most), a body that the caller
 * encoded, and frees when it has the answer; `encoded` is what encoding answered. */
poise_code question_send(struct question *question, enum wire_kind kind, poise_code encoded,
                         const struct buf *body, poise_error *err);
/* Waits a moment, for what the aggregator was too busy for to be asked again. EBUSY: there is no time left;
 * err stays what the aggregator said. */
poise_code question_pause(const struct question *question, poise_error *err);
/* The next message, whatever it is; waits for it until the deadline. In long silence the aggregator is asked
 * whether it knows the question still: */
poise_code question_next(struct question *question, struct link_message *ret_message, poise_error *err);
bool question_forgotten(const struct question *question, const struct wire_error *error);
poise_code question_timed_out(const struct question *question, poise_error *err); /* ETIMEOUT */

#endif
