/* A DEALER to the aggregator with what every user of it needs: a libzmq context of its own, an arena for what
 * was received last, a buffer for what is sent next. */
#ifndef CLIENT_LINK_H
#define CLIENT_LINK_H

#include <base/arena.h>
#include <base/buf.h>
#include <net/net.h>
#include <wire/wire.h>

struct link {
    struct net *net;
    struct net_socket *socket;
    struct net_limits limits;
    struct net_curve curve; /* where limits.curve is set */
    char *endpoint;
    bool insecure;
    struct arena arena; /* reset by link_receive */
    struct buf body;    /* of the message to send, emptied by link_send */
};

struct link_message {
    enum wire_kind kind;
    const void *body; /* until the next link_receive */
    size_t length;
};

struct link_options {
    const char *endpoint;
    bool insecure;
    const char *key_file, *server_key; /* both or none */
    int send_hwm;                      /* 0: the default */
};
poise_code link_open(struct link *link, const struct link_options *options, poise_error *err);
void link_close(struct link *link); /* a zeroed link is fine */
/* A fresh socket for the old one, which goes with whatever it still held; on failure the old one stays. */
poise_code link_reopen(struct link *link, poise_error *err);
/* The same to another endpoint. */
poise_code link_move(struct link *link, const char *endpoint, poise_error *err);

/* Sends link->body under the kind, if `encoded` (what wire_encode_... answered) is OK, and empties it in any
 * case. EFULL (no text): not connected, try later. */
poise_code link_send(struct link *link, enum wire_kind kind, poise_code encoded, poise_error *err);
/* As link_send, with a body of the caller. */
poise_code link_send_body(struct link *link, enum wire_kind kind, const void *body, size_t length,
                          poise_error *err);
/* Never blocks. ENOTFOUND (no text): nothing there. */
poise_code link_receive(struct link *link, struct link_message *ret_message, poise_error *err);
/* Until something can be received (with want_send: sent), or timeout_us went by. */
poise_code link_wait(struct link *link, bool want_send, int64_t timeout_us, poise_error *err);
/* Whether a message would be taken now: the link is connected and not backed up. */
poise_code link_can_send(struct link *link, bool *ret_can, poise_error *err);

/* Why there is no connection, as far as is known; "": there is one, or nothing is known. Returns text. */
enum { LINK_TROUBLE_MAX = 256 };
const char *link_trouble(const struct link *link, char text[LINK_TROUBLE_MAX]);

/* Monotonic microseconds now, and timeout_ms (negative: for ever) after now. */
int64_t link_now(void);
int64_t link_deadline(int64_t timeout_ms);

#endif
