/* Why a DEALER does not come through to its peer: libzmq tries again without a word. Private to lib/net. */
#ifndef NET_TROUBLE_H
#define NET_TROUBLE_H

#include <net/net.h>

struct trouble; /* opaque; of the socket's thread */

/* Before the socket connects. */
poise_code trouble_open(void *context, void *socket, struct trouble **ret_trouble, poise_error *err);
void trouble_close(struct trouble *trouble); /* NULL is fine; before the socket */
enum net_trouble trouble_last(struct trouble *trouble);

#endif
