#include "trouble.h"
#include <base/clock.h>
#include <base/error.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

enum {
    EVENT_BYTES = 6,
    HANDSHAKE_US = 1000000 /* a handshake that takes so long waits for somebody who does not answer */
};

struct trouble {
    void *socket, *monitor;
    enum net_trouble last;
    bool shakes;          /* hands: the last event is that it is connected, */
    int64_t connected_us; /* as was read then */
};

poise_code trouble_open(void *context, void *socket, struct trouble **ret_trouble, poise_error *err)
{
    const int unlimited = 0, no_linger = 0;
    char endpoint[64];
    struct trouble *trouble = calloc(1, sizeof *trouble);
    if (!trouble) {
        return error_nomem(err, "a socket's watch");
    }
    trouble->socket = socket;
    snprintf(endpoint, sizeof endpoint, "inproc://trouble-%" PRIxPTR, (uintptr_t)trouble);
    trouble->monitor = zmq_socket(context, ZMQ_PAIR);
    if (!trouble->monitor ||
        zmq_setsockopt(trouble->monitor, ZMQ_LINGER, &no_linger, sizeof no_linger) != 0 ||
        zmq_setsockopt(trouble->monitor, ZMQ_RCVHWM, &unlimited, sizeof unlimited) != 0 ||
        zmq_socket_monitor(socket, endpoint,
                           ZMQ_EVENT_CLOSED | ZMQ_EVENT_CONNECTED | ZMQ_EVENT_HANDSHAKE_SUCCEEDED |
                               ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |
                               ZMQ_EVENT_HANDSHAKE_FAILED_AUTH) != 0 ||
        zmq_connect(trouble->monitor, endpoint) != 0) {
        error_set(err, POISE_EIO, "cannot watch the connection of a socket: %s", zmq_strerror(zmq_errno()));
        trouble_close(trouble);
        return POISE_EIO;
    }
    *ret_trouble = trouble;
    return POISE_OK;
}

void trouble_close(struct trouble *trouble)
{
    if (!trouble) {
        return;
    }
    (void)zmq_socket_monitor(trouble->socket, NULL, 0);
    if (trouble->monitor) {
        zmq_close(trouble->monitor);
    }
    free(trouble);
}

static bool next_event(const struct trouble *trouble, uint16_t *ret_event, uint32_t *ret_value)
{
    uint8_t frame[64];
    int more = 1;
    size_t length = sizeof more;
    if (zmq_recv(trouble->monitor, frame, sizeof frame, ZMQ_DONTWAIT) < EVENT_BYTES) {
        return false;
    }
    memcpy(ret_event, frame, sizeof *ret_event);
    memcpy(ret_value, frame + sizeof *ret_event, sizeof *ret_value);
    while (zmq_getsockopt(trouble->monitor, ZMQ_RCVMORE, &more, &length) == 0 && more) { /* the address */
        if (zmq_recv(trouble->monitor, frame, sizeof frame, ZMQ_DONTWAIT) < 0) {
            break;
        }
    }
    return true;
}

static void take(struct trouble *trouble, uint16_t event, uint32_t value)
{
    trouble->shakes = event == ZMQ_EVENT_CONNECTED;
    switch (event) {
    case ZMQ_EVENT_CONNECTED:
        trouble->connected_us = clock_monotonic_us(&clock_system);
        break;
    case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
        trouble->last = NET_NO_TROUBLE;
        break;
    case ZMQ_EVENT_CLOSED: /* before it was connected */
        trouble->last = NET_NOBODY;
        break;
    case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
        trouble->last = NET_NOT_LET_IN;
        break;
    case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
        trouble->last = NET_OTHER_LOCK;
        break;
    default: /* it hung up; or our patience has ended, and the number means nothing */
        trouble->last = value == EPIPE || value == ECONNRESET ? NET_BROKEN_OFF : NET_NOT_LET_IN;
    }
}

enum net_trouble trouble_last(struct trouble *trouble)
{
    uint16_t event;
    uint32_t value;
    while (next_event(trouble, &event, &value)) {
        take(trouble, event, value);
    }
    if (trouble->shakes && clock_monotonic_us(&clock_system) - trouble->connected_us >= HANDSHAKE_US) {
        return NET_NOT_LET_IN;
    }
    return trouble->last;
}
