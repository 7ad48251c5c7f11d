#include "failures.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <zmq.h>

const char *net_failing_name(enum net_failing failing)
{
    static const char *const names[NET_FAILINGS] = {
        [NET_FAILING_NONE] = "none",           [NET_FAILING_DENIED] = "denied",
        [NET_FAILING_MECHANISM] = "mechanism", [NET_FAILING_KEY] = "wrong_key",
        [NET_FAILING_PROTOCOL] = "malformed",  [NET_FAILING_TIME] = "timeout",
        [NET_FAILING_LEFT] = "closed",         [NET_FAILING_ACCEPT] = "not_accepted"};
    return (unsigned)failing < NET_FAILINGS ? names[failing] : "unknown";
}

/* In place of libzmq's own, by which it tells monitors. Of a frame that does not open by CURVE it tells them
 * between setting errno and looking at it (4.3.4, curve_mechanism_base_t::decode): with EAGAIN there the
 * connection stays, deaf, and when it breaks the next heartbeat ends the process. Whoever has a key could do
 * that. */
int zmq_msg_send(zmq_msg_t *msg, void *socket, int flags)
{
    int before = errno;
    int sent = zmq_send(socket, zmq_msg_data(msg), zmq_msg_size(msg), flags);
    if (sent >= 0) {
        zmq_msg_close(msg);
        zmq_msg_init(msg);
        errno = before;
    }
    return sent;
}

/* ---- noting ---- */

static void note(struct failures *failures, enum net_failing why, const char *address, int64_t now_us)
{
    size_t at = failures->noted++ % FAILURES_KEPT;
    struct net_failure *failure = &failures->last[at];
    failures->noted_us[at] = now_us;
    failure->why = why;
    snprintf(failure->address, sizeof failure->address, "%s", address);
    failures->by_reason[why]++;
}

static enum net_failing protocol_failing(int value)
{
    switch (value) {
    case ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH:
        return NET_FAILING_MECHANISM;
    case ZMQ_PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC:
    case ZMQ_PROTOCOL_ERROR_ZMTP_KEY_EXCHANGE:
        return NET_FAILING_KEY;
    default:
        return NET_FAILING_PROTOCOL;
    }
}

void failures_event(struct failures *failures, uint16_t event, int value, int64_t now_us)
{
    if (event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH) { /* who said no knows more, and its end comes later */
        note(failures, NET_FAILING_DENIED, "", now_us);
        return;
    }
    if (event == ZMQ_EVENT_ACCEPT_FAILED) {
        note(failures, NET_FAILING_ACCEPT, "", now_us);
        return;
    }
    if (failures->waiting) {
        note(failures, failures->waiting, "", now_us);
    }
    failures->waiting =
        event == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL ? protocol_failing(value) : NET_FAILING_LEFT;
}

void failures_ended(struct failures *failures, const char *address, bool late, int64_t now_us)
{
    enum net_failing why = failures->waiting;
    failures->waiting = NET_FAILING_NONE;
    if (why) {
        note(failures, why == NET_FAILING_LEFT && late ? NET_FAILING_TIME : why, address, now_us);
    }
}

void failures_disown(struct failures *failures, const char *address)
{
    for (size_t i = 0; address[0] && i < FAILURES_KEPT; i++) {
        if (strcmp(failures->last[i].address, address) == 0) {
            failures->last[i].address[0] = '\0';
        }
    }
}

bool failures_next(struct failures *failures, int64_t now_us, struct net_failure *ret_failure)
{
    bool some_lost = failures->noted - failures->taken > FAILURES_KEPT;
    uint64_t first = some_lost ? failures->noted - FAILURES_KEPT : failures->taken;
    size_t at = first % FAILURES_KEPT;
    if (first == failures->noted || now_us - failures->noted_us[at] < FAILURES_WAIT_US) {
        return false;
    }
    *ret_failure = failures->last[at];
    ret_failure->lost = first - failures->taken;
    failures->taken = first + 1;
    return true;
}

/* ---- addresses ---- */

void failures_address(int fd, char address[NET_ADDRESS_MAX])
{
    struct sockaddr_storage peer = {0};
    socklen_t length = sizeof peer;
    char host[INET6_ADDRSTRLEN];
    address[0] = '\0';
    if (getpeername(fd, (struct sockaddr *)&peer, &length) != 0) {
        return;
    }
    const struct sockaddr_in *four = (const struct sockaddr_in *)&peer;
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&peer;
    if (peer.ss_family == AF_INET && inet_ntop(AF_INET, &four->sin_addr, host, sizeof host)) {
        snprintf(address, NET_ADDRESS_MAX, "%s:%u", host, ntohs(four->sin_port));
    } else if (peer.ss_family == AF_INET6 && inet_ntop(AF_INET6, &six->sin6_addr, host, sizeof host)) {
        snprintf(address, NET_ADDRESS_MAX, "[%s]:%u", host, ntohs(six->sin6_port));
    }
}
