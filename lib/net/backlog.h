/* Private to lib/net: whole messages that came and were not handed out yet, in their order. libzmq does not
 * say what it holds, and takes 32 bytes for one on the wire where messages are small; of a copy that is
 * known. */
#ifndef NET_BACKLOG_H
#define NET_BACKLOG_H

#include <net/net.h>

struct kept {
    struct kept *next;
    size_t size; /* of all of it, in memory */
    int fd;      /* of its connection, */
    uint64_t number;
    size_t frames;
    struct net_message message; /* points into bytes */
    char bytes[];
};

struct backlog { /* zeroed: empty */
    struct kept *first, *last;
    size_t bytes;
};

/* Copies a message; false: no memory. */
bool backlog_put(struct backlog *backlog, const struct net_message *message, size_t frames, int fd,
                 uint64_t number);
/* The oldest, to be freed; NULL: there is none. */
struct kept *backlog_take(struct backlog *backlog);
/* Frees all that are not wanted. */
typedef bool backlog_wants(void *context, const struct kept *kept);
void backlog_sift(struct backlog *backlog, backlog_wants *wants, void *context);

#endif
