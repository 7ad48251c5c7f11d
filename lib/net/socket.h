/* Private to lib/net. */
#ifndef NET_SOCKET_H
#define NET_SOCKET_H

#include <net/net.h>

/* May this endpoint be bound or connected to? EINVAL: malformed; EDENIED: reachable from elsewhere and not
 * `insecure`. *ret_ipv6: libzmq needs its IPv6 option for it. */
poise_code endpoint_check(const char *endpoint, bool insecure, bool *ret_ipv6, poise_error *err);

struct guard *socket_guard(const struct net_socket *socket);
/* Its guard, which must be there, looks; when it is due, what is in libzmq goes to it before. */
void socket_look(struct net_socket *socket);

/* libzmq's handles, for waiting. */
void *socket_handle(const struct net_socket *socket);
void *net_context(const struct net *net);
void *zap_handle(const struct net_zap *zap);
int wake_descriptor(const struct net_wake *wake);

#endif
