/* The producer's side of the ingest protocol (proto/README.md), between the outbox and the aggregator:
 *
 *         the socket can send: HELLO             WELCOME
 *   CUT -----------------------------> GREETED ----------> OPEN: batches under credit, ACK, GAP
 *    ^                                 ^    |                |
 *    |                                 |    +-- 1 s: HELLO --+-- 10 s of silence while batches wait: HELLO
 *    |                                 +---------------------+-- something went wrong: HELLO in 1 s
 *    |   CUT, GREETED: nothing for a while, or another store: the next route, by a new socket
 *    +--- the socket cannot send; ERROR ENOTFOUND: unknown --+
 */
#ifndef CLIENT_UPLINK_H
#define CLIENT_UPLINK_H

#include <client/link.h>
#include <client/outbox.h>

enum { UPLINK_ROUTES_MAX = 16 };
enum uplink_phase { UPLINK_CUT, UPLINK_GREETED, UPLINK_OPEN };

struct uplink {
    struct link link;
    struct outbox *outbox; /* the owner's */
    const char *producer;
    const char *software;
    enum uplink_phase phase;
    char *routes[UPLINK_ROUTES_MAX]; /* addresses of one store */
    size_t route_count, route;       /* that is tried, or in use */
    unsigned tried;                  /* since the last WELCOME */
    size_t strangers;                /* of them in a row that led to another store */
    int64_t since_us;                /* it is not OPEN */
    int64_t hello_us;                /* of the last HELLO */
    int64_t heard_us;                /* of the last message */
    uint64_t next;                   /* batch to send next, set by WELCOME */
    bool store_unsaved; /* the store below is that of the WELCOME, and there was no room to note it */
    uint8_t store_id[WIRE_STORE_ID];
    uint64_t incarnation;
    unsigned suspicions; /* HELLOs since the aggregator saw a fork, or made one likely */
    int64_t forked_us;   /* when the first of so many epochs was taken: */
    int forks;
    uint32_t credit;
    int64_t told_us;                           /* of the last SPOOL that said that something waits; 0: none */
    bool told_waiting;                         /* so said the last one */
    bool takes_spool;                          /* the aggregator does */
    bool welcomed;                             /* ever */
    uint32_t max_rows, max_bytes, max_symbols; /* of a batch, as the aggregator said; 0: it did not */
};

/* outbox, producer and software are set by the owner and outlive the uplink. */
poise_code uplink_open(struct uplink *uplink, const poise_sender_options *options, poise_error *err);
/* Another address of the same store. EINVAL, EDENIED, ENOMEM. */
poise_code uplink_add_route(struct uplink *uplink, const char *endpoint, poise_error *err);
void uplink_close(struct uplink *uplink); /* a zeroed uplink is fine */
/* Takes in what came; *ret_acknowledged says whether batches were acknowledged. */
poise_code uplink_receive(struct uplink *uplink, bool *ret_acknowledged, poise_error *err);
/* Sends what may go now. */
poise_code uplink_send(struct uplink *uplink, poise_error *err);
/* Until there may be something to receive or send; at most timeout_us. */
poise_code uplink_wait(struct uplink *uplink, int64_t timeout_us, poise_error *err);

#endif
