#include "socket.h"
#include <base/error.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

/* ZAP 1.0 (rfc.zeromq.org/spec/27): version, id, domain, address, identity, mechanism, credentials. */
enum { FRAMES = 7, ID_MAX = 255, CREDENTIALS = 6, MECHANISM = 5, ADDRESS = 3, DOMAIN = 2, ID = 1 };

struct net_zap {
    void *handle;
    uint8_t id[ID_MAX]; /* of the request that waits for its answer */
    size_t id_length;
};

poise_code net_zap_open(struct net *net, struct net_zap **ret_zap, poise_error *err)
{
    static const char endpoint[] = "inproc://zeromq.zap.01";
    const int none = 0;
    struct net_zap *zap = calloc(1, sizeof *zap);
    if (!zap) {
        return error_nomem(err, "who lets peers in");
    }
    zap->handle = zmq_socket(net_context(net), ZMQ_REP);
    if (!zap->handle || zmq_setsockopt(zap->handle, ZMQ_LINGER, &none, sizeof none) != 0 ||
        zmq_bind(zap->handle, endpoint) != 0) {
        error_set(err, POISE_EIO, "cannot bind %s: %s", endpoint, zmq_strerror(zmq_errno()));
        net_zap_close(zap);
        return POISE_EIO;
    }
    *ret_zap = zap;
    return POISE_OK;
}

void net_zap_close(struct net_zap *zap)
{
    if (zap) {
        if (zap->handle) {
            zmq_close(zap->handle);
        }
        free(zap);
    }
}

void *zap_handle(const struct net_zap *zap)
{
    return zap->handle;
}

static bool is_text(zmq_msg_t *frame, const char *text)
{
    return zmq_msg_size(frame) == strlen(text) && memcmp(zmq_msg_data(frame), text, strlen(text)) == 0;
}

static void copy_text(zmq_msg_t *frame, char *text, size_t room)
{
    snprintf(text, room, "%.*s", (int)(zmq_msg_size(frame) < room ? zmq_msg_size(frame) : room - 1),
             (const char *)zmq_msg_data(frame));
}

/* False: not one of ours, or not of CURVE. */
static bool take_request(struct net_zap *zap, zmq_msg_t frames[FRAMES], struct net_zap_request *request)
{
    zap->id_length = zmq_msg_size(&frames[ID]) <= ID_MAX ? zmq_msg_size(&frames[ID]) : 0;
    memcpy(zap->id, zmq_msg_data(&frames[ID]), zap->id_length);
    if (!is_text(&frames[0], "1.0") || !is_text(&frames[MECHANISM], "CURVE") ||
        zmq_msg_size(&frames[CREDENTIALS]) != NET_KEY_BYTES) {
        return false;
    }
    copy_text(&frames[DOMAIN], request->domain, sizeof request->domain);
    copy_text(&frames[ADDRESS], request->address, sizeof request->address);
    memcpy(request->key, zmq_msg_data(&frames[CREDENTIALS]), NET_KEY_BYTES);
    return true;
}

/* The frames of a request; false: there is none. */
static bool receive(void *handle, zmq_msg_t frames[FRAMES], size_t *ret_count)
{
    zmq_msg_t surplus;
    zmq_msg_init(&surplus);
    *ret_count = 0;
    for (bool more = true; more; ++*ret_count) {
        zmq_msg_t *frame = *ret_count < FRAMES ? &frames[*ret_count] : &surplus;
        int received;
        do {
            received = zmq_msg_recv(frame, handle, ZMQ_DONTWAIT);
        } while (received < 0 && zmq_errno() == EINTR);
        if (received < 0) {
            break;
        }
        more = zmq_msg_more(frame) != 0;
    }
    zmq_msg_close(&surplus);
    return *ret_count > 0;
}

poise_code net_zap_next(struct net_zap *zap, struct net_zap_request *ret_request, poise_error *err)
{
    zmq_msg_t frames[FRAMES];
    size_t count;
    for (size_t i = 0; i < FRAMES; i++) {
        zmq_msg_init(&frames[i]);
    }
    zap->id_length = 0;
    poise_code code = POISE_OK;
    if (!receive(zap->handle, frames, &count)) {
        code = zmq_errno() == EAGAIN
                   ? POISE_ENOTFOUND
                   : error_set(err, POISE_EIO, "cannot hear who wants in: %s", zmq_strerror(zmq_errno()));
    } else if (count != FRAMES || !take_request(zap, frames, ret_request)) {
        net_zap_answer(zap, NULL);
        code = error_set(err, POISE_EPROTO, "somebody wants in, but not by CURVE");
    }
    for (size_t i = 0; i < FRAMES; i++) {
        zmq_msg_close(&frames[i]);
    }
    return code;
}

/* 300 and not 400: the peer's libzmq tries again by itself, later and later, so that a key that is let in
 * tomorrow needs no restart. */
void net_zap_answer(struct net_zap *zap, const char *user)
{
    const struct {
        const void *bytes;
        size_t length;
    } frames[] = {{"1.0", 3},
                  {zap->id, zap->id_length},
                  {user ? "200" : "300", 3},
                  {user ? "OK" : "no", 2},
                  {user ? user : "", user ? strlen(user) : 0},
                  {"", 0}};
    enum { COUNT = sizeof frames / sizeof *frames };
    for (size_t i = 0; i < COUNT; i++) {
        int sent;
        do {
            sent = zmq_send(zap->handle, frames[i].bytes, frames[i].length,
                            ZMQ_DONTWAIT | (i + 1 < COUNT ? ZMQ_SNDMORE : 0));
        } while (sent < 0 && zmq_errno() == EINTR);
        /* Else the asker is gone with its connection. */
    }
}
