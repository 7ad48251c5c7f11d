/* An aggregator played by the test: a ROUTER over lib/net and lib/wire that says what the test tells it to.
 */
#ifndef CLIENT_TEST_FAKE_H
#define CLIENT_TEST_FAKE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <base/arena.h>
#include <base/buf.h>
#include <net/net.h>
#include <wire/wire.h>

enum { PATIENCE_MS = 20000 }; /* for what must happen */

struct fake {
    char directory[64];
    char endpoint[96]; /* ipc, within the directory */
    struct net *net;
    struct net_socket *socket; /* NULL: down */
    struct arena arena;
    struct buf body;
    struct net_peer peer; /* of the last message */
    enum wire_kind kind;  /* of the last message, its body until the next */
    const void *bytes;
    size_t length;
};

void fake_open(struct fake *fake); /* down, in a directory of its own */
void fake_close(struct fake *fake);
void fake_up(struct fake *fake);
/* Waits for the end of the listener: it unlinks its file, which must not be that of the next one. */
void fake_down(struct fake *fake);
/* A path within the fake's directory. */
const char *fake_path(const struct fake *fake, const char *name, char path[128]);

/* Whether a message came; it is then the last. */
bool fake_receive(struct fake *fake);
/* Sends what the caller encoded into fake->body to the peer of the last message. */
void fake_send(struct fake *fake, enum wire_kind kind, poise_code encoded);
void fake_error(struct fake *fake, uint64_t id, poise_code code);
/* Waits for the next message, which must be of the kind; for tests whose other side has a thread of its own.
 */
void fake_expect(struct fake *fake, enum wire_kind kind);

int64_t now_ms(void);

#endif
