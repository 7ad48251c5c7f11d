#include "guard.h"
#include "socket.h"
#include <base/error.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <zmq.h>

/* ---- wake ---- */

struct net_wake {
    int fd;
};

poise_code net_wake_open(struct net_wake **ret_wake, poise_error *err)
{
    struct net_wake *wake = malloc(sizeof *wake);
    if (!wake) {
        return error_nomem(err, "a wake");
    }
    wake->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (wake->fd < 0) {
        free(wake);
        return error_errno(err, POISE_EIO, "cannot make an eventfd");
    }
    *ret_wake = wake;
    return POISE_OK;
}

void net_wake_close(struct net_wake *wake)
{
    if (wake) {
        close(wake->fd);
        free(wake);
    }
}

void net_wake_up(struct net_wake *wake)
{
    /* The only failure is a full counter, and then it is awake. */
    (void)!eventfd_write(wake->fd, 1);
}

void net_wake_clear(struct net_wake *wake)
{
    /* The only failure is that nobody woke it. */
    eventfd_t count;
    (void)!eventfd_read(wake->fd, &count);
}

int wake_descriptor(const struct net_wake *wake)
{
    return wake->fd;
}

/* ---- wait ---- */

static zmq_pollitem_t poll_item(const struct net_wait *item)
{
    zmq_pollitem_t polled = {.fd = item->fd, .events = item->want_send ? ZMQ_POLLOUT : ZMQ_POLLIN};
    if (item->socket) {
        polled.socket = socket_handle(item->socket);
    } else if (item->wake) {
        polled.fd = wake_descriptor(item->wake);
        polled.events = ZMQ_POLLIN;
    } else if (item->zap) {
        polled.socket = zap_handle(item->zap);
    }
    return polled;
}

static bool is_used(const struct net_wait *item)
{
    return (item->socket && !item->aside) || item->wake || item->zap || item->fd >= 0;
}

static struct guard *guard_of(const struct net_wait *item)
{
    return item->socket ? socket_guard(item->socket) : NULL;
}

static bool has_message(const struct net_wait *item)
{
    return guard_of(item) && !item->aside && !item->want_send && guard_has_kept(guard_of(item));
}

/* What to poll for: the items, behind them the monitors of their guards. */
static int poll_items(struct net_wait *items, size_t count, zmq_pollitem_t *polled, int64_t *timeout_ms)
{
    int used = 0;
    for (size_t i = 0; i < count; i++) {
        items[i].ready = false;
        if (is_used(&items[i])) {
            polled[used++] = poll_item(&items[i]);
        }
    }
    for (size_t i = 0; i < count; i++) {
        struct guard *guard = guard_of(&items[i]);
        if (guard) {
            int64_t wait_ms = guard_wait_ms(guard);
            wait_ms = has_message(&items[i]) ? 0 : wait_ms;
            *timeout_ms = wait_ms >= 0 && (*timeout_ms < 0 || wait_ms < *timeout_ms) ? wait_ms : *timeout_ms;
            polled[used++] = (zmq_pollitem_t){.socket = guard_monitor(guard), .events = ZMQ_POLLIN};
        }
    }
    return used;
}

static void see_to(struct net_wait *item)
{
    socket_look(item->socket);
    item->ready |= has_message(item);
}

poise_code net_wait(struct net_wait *items, size_t count, int64_t timeout_ms, poise_error *err)
{
    if (count > NET_WAIT_MAX) {
        return error_set(err, POISE_EINVAL, "cannot wait for %zu things; at most %d", count, NET_WAIT_MAX);
    }
    zmq_pollitem_t polled[2 * NET_WAIT_MAX];
    int used = poll_items(items, count, polled, &timeout_ms);
    long timeout = timeout_ms < 0 ? -1 : timeout_ms > INT_MAX ? INT_MAX : (long)timeout_ms;
    if (zmq_poll(polled, used, timeout) < 0) {
        return zmq_errno() == EINTR
                   ? POISE_OK
                   : error_set(err, POISE_EIO, "cannot wait for sockets: %s", zmq_strerror(zmq_errno()));
    }
    used = 0;
    for (size_t i = 0; i < count; i++) {
        if (is_used(&items[i])) {
            items[i].ready = polled[used++].revents != 0;
        }
        if (guard_of(&items[i])) {
            see_to(&items[i]);
        }
    }
    return POISE_OK;
}
