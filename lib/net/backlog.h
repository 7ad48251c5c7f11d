/* Private to lib/net: whole messages that came and were not handed out yet. libzmq does not say what it
 * holds, and takes 32 bytes for one on the wire where messages are small; of a copy that is known. Those of
 * a connection stay in their order, and connections take turns, so that nobody waits for all that others
 * have sent. */
#ifndef NET_BACKLOG_H
#define NET_BACKLOG_H

#include <net/net.h>

struct kept {
    struct kept *next; /* of the same lane */
    size_t size;       /* of all of it, in memory */
    int fd;            /* of its connection, -1: not known; */
    uint64_t number;
    size_t frames;
    struct net_message message; /* points into bytes */
    char bytes[];
};

struct backlog {        /* zeroed: empty */
    struct lane *lanes; /* by descriptor; the first is of those that are not known */
    size_t capacity;
    size_t first, last; /* of the lanes that have messages; in turn */
    size_t count;       /* of messages */
    size_t bytes;
};

/* Copies a message; false: no memory. */
bool backlog_put(struct backlog *backlog, const struct net_message *message, size_t frames, int fd,
                 uint64_t number);
/* The oldest of whose turn it is, to be freed; NULL: there is none. */
struct kept *backlog_take(struct backlog *backlog);
/* Frees all that are not wanted. */
typedef bool backlog_wants(void *context, const struct kept *kept);
void backlog_sift(struct backlog *backlog, backlog_wants *wants, void *context);
void backlog_free(struct backlog *backlog);

#endif
