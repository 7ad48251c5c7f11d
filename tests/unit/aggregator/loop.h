/* Real sockets over ipc between a state machine of the aggregator and its peers, and a directory for them. */
#ifndef UNIT_AGGREGATOR_LOOP_H
#define UNIT_AGGREGATOR_LOOP_H

#include "aggregator_test.h"
#include <base/log.h>
#include <net/net.h>
#include <wire/wire.h>

enum { PATIENCE_MS = 10000, PEERS_MAX = 8 };

struct loop {
    char directory[64], endpoint[96];
    int send_hwm; /* of the router; 0: the default */
    struct net *net;
    struct net_socket *router;
    struct net_socket *peers[PEERS_MAX];
    size_t peer_count;
    struct arena arena;
    struct buf out;
    FILE *log; /* NULL: none */
    char *said;
    size_t said_length;
    /* the machine: one step, which never blocks, and whether it would take in a message */
    void *machine;
    void (*step)(void *machine);
    bool (*can_receive)(void *machine);
};

bool loop_open(struct loop *loop);
void loop_close(struct loop *loop);

struct net_socket *loop_peer(struct loop *loop); /* a DEALER, closed by loop_close at the latest */
void loop_hang_up(struct loop *loop, struct net_socket *peer);
void loop_send_raw(struct net_socket *peer, const void *head, size_t head_length, const void *body,
                   size_t length);
/* Sends loop->out and empties it. */
void loop_send(struct loop *loop, struct net_socket *peer, enum wire_kind kind);
/* Steps the machine until something has come for the peer. */
enum wire_kind loop_receive(struct loop *loop, struct net_socket *peer, struct net_message *ret_message);
/* A log of all levels, and how often something is in it. */
struct log loop_log(struct loop *loop, const struct clock *clock);
size_t loop_said(struct loop *loop, const char *part);
void loop_expect_error(struct loop *loop, struct net_socket *peer, poise_code code);

#endif
