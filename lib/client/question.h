/* A question to the aggregator under an id of its own, and what comes for it. */
#ifndef CLIENT_QUESTION_H
#define CLIENT_QUESTION_H

#include <client/subscription.h>

struct question {
    struct poise_client *client;
    uint64_t id;
    int64_t deadline;
};

/* EBUSY: the client has a subscription. */
poise_code question_begin(struct poise_client *client, int64_t timeout_ms, struct question *ret_question,
                          poise_error *err);
/* Sends a body that the caller encoded and frees, once there is a connection; `encoded` is what encoding
 * answered. */
poise_code question_send(const struct question *question, enum wire_kind kind, poise_code encoded,
                         const struct buf *body, poise_error *err);
/* The next message, whatever it is; waits for it until the deadline. */
poise_code question_next(const struct question *question, struct link_message *ret_message, poise_error *err);
poise_code question_timed_out(const struct question *question, poise_error *err); /* ETIMEOUT */

#endif
