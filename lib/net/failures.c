#include "failures.h"
#include <arpa/inet.h>
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

/* ---- noting ---- */

static void note(struct failures *failures, enum net_failing why, const char *address)
{
    struct net_failure *failure = &failures->last[failures->noted++ % FAILURES_KEPT];
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

void failures_event(struct failures *failures, uint16_t event, int value)
{
    if (event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH) { /* who said no knows more, and its end comes later */
        note(failures, NET_FAILING_DENIED, "");
        return;
    }
    if (event == ZMQ_EVENT_ACCEPT_FAILED) {
        note(failures, NET_FAILING_ACCEPT, "");
        return;
    }
    if (failures->waiting) {
        note(failures, failures->waiting, "");
    }
    failures->waiting =
        event == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL ? protocol_failing(value) : NET_FAILING_LEFT;
}

void failures_ended(struct failures *failures, const char *address, bool late)
{
    enum net_failing why = failures->waiting;
    failures->waiting = NET_FAILING_NONE;
    if (why) {
        note(failures, why == NET_FAILING_LEFT && late ? NET_FAILING_TIME : why, address);
    }
}

bool failures_next(struct failures *failures, struct net_failure *ret_failure)
{
    if (failures->noted - failures->taken > FAILURES_KEPT) {
        failures->taken = failures->noted - FAILURES_KEPT;
    }
    if (failures->taken == failures->noted) {
        return false;
    }
    *ret_failure = failures->last[failures->taken++ % FAILURES_KEPT];
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
