#include "replies.h"

#include <stdlib.h>
#include <string.h>

struct reply {
    struct reply *next;
    struct net_peer peer;
    enum wire_kind kind;
    size_t length;
    uint8_t body[];
};

static poise_code try(struct net_socket *socket, const struct net_peer *peer, enum wire_kind kind,
                      const void *body, size_t length)
{
    uint8_t head[2];
    wire_head(kind, head);
    return net_send(socket, peer, head, sizeof head, body, length, NULL);
}

/* Where the next reply is linked in; NULL: this peer or all have too many waiting. */
static struct reply **room(struct replies *replies, const struct net_peer *peer)
{
    if (replies->count == REPLIES_MAX)
        return NULL;
    size_t of_peer = 0;
    struct reply **end = &replies->first;
    for (; *end; end = &(*end)->next)
        of_peer += net_peer_equal(&(*end)->peer, peer);
    return of_peer < REPLIES_PEER_MAX ? end : NULL;
}

void replies_send(struct replies *replies, struct net_socket *socket, const struct net_peer *peer,
                  enum wire_kind kind, const void *body, size_t length, struct stats *stats)
{
    if (try(socket, peer, kind, body, length) != POISE_EFULL)
        return;
    struct reply **end = room(replies, peer);
    struct reply *reply = end ? malloc(sizeof *reply + length) : NULL;
    if (!reply) {
        stats_add(stats, STAT_replies_lost, 1);
        return;
    }
    *reply = (struct reply){.peer = *peer, .kind = kind, .length = length};
    memcpy(reply->body, body, length);
    *end = reply;
    replies->count++;
}

static void drop(struct replies *replies, struct reply **link)
{
    struct reply *reply = *link;
    *link = reply->next;
    free(reply);
    replies->count--;
}

void replies_retry(struct replies *replies, struct net_socket *socket)
{
    for (struct reply **link = &replies->first; *link;) {
        const struct reply *reply = *link;
        if (try(socket, &reply->peer, reply->kind, reply->body, reply->length) == POISE_EFULL)
            link = &(*link)->next;
        else
            drop(replies, link);
    }
}

void replies_free(struct replies *replies)
{
    while (replies->first)
        drop(replies, &replies->first);
}
