/* What the machine itself needs in the same run: a synced write of 64 KiB on the store's disk, and a round
 * trip of a small ZeroMQ message over tcp loopback. */
#include "bench.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { SYNCS = 500, SYNC_BYTES = 65536, TRIPS = 5000, TRIP_BYTES = 64 };

static void measure_syncs(const char *directory)
{
    static uint8_t bytes[SYNC_BYTES];
    static double us[SYNCS];
    char path[4096];
    snprintf(path, sizeof path, "%s/sync", directory);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        die("%s: %s", path, strerror(errno));
    for (int i = 0; i < SYNCS; i++) {
        memset(bytes, i, sizeof bytes);
        int64_t start = now_ns();
        if (pwrite(fd, bytes, sizeof bytes, (off_t)i % 64 * SYNC_BYTES) != SYNC_BYTES || fdatasync(fd) != 0)
            die("%s: %s", path, strerror(errno));
        us[i] = (double)(now_ns() - start) / 1e3;
    }
    close(fd);
    unlink(path);
    figure_quantiles("fdatasync_us", us + SYNCS / 10, SYNCS - SYNCS / 10); /* the first ones grow the file */
}

struct echo {
    struct net_socket *socket;
    _Atomic bool stop;
};

static void *send_back(void *context)
{
    struct echo *echo = context;
    while (!echo->stop) {
        struct net_message message;
        struct net_wait item = {.socket = echo->socket, .fd = -1};
        poise_error err = {0};
        check(net_wait(&item, 1, 50, &err), &err);
        while (net_receive(echo->socket, &message, NULL) == POISE_OK)
            check(net_send(echo->socket, &message.peer, message.head, message.head_length, message.body,
                           message.body_length, &err),
                  &err);
    }
    return NULL;
}

void measure_trips(void)
{
    static double us[TRIPS];
    uint8_t body[TRIP_BYTES] = {0};
    struct net *net;
    struct net_socket *client;
    struct net_message message;
    struct echo echo = {0};
    pthread_t thread;
    poise_error err = {0};
    check(net_open(1, &net, &err), &err);
    check(net_bind(net, "tcp://127.0.0.1:*", false, NULL, &echo.socket, &err), &err);
    check(net_connect(net, net_endpoint(echo.socket), false, NULL, &client, &err), &err);
    if (pthread_create(&thread, NULL, send_back, &echo) != 0)
        die("a thread cannot be started");
    struct net_wait room = {.socket = client, .fd = -1, .want_send = true};
    check(net_wait(&room, 1, PATIENCE_MS, &err), &err);
    for (int i = 0; i < TRIPS; i++) {
        struct net_wait item = {.socket = client, .fd = -1};
        int64_t start = now_ns();
        check(net_send(client, NULL, "\1\3", 2, body, sizeof body, &err), &err);
        check(net_wait(&item, 1, PATIENCE_MS, &err), &err);
        check(net_receive(client, &message, &err), &err);
        us[i] = (double)(now_ns() - start) / 1e3;
    }
    echo.stop = true;
    pthread_join(thread, NULL);
    net_socket_close(client);
    net_socket_close(echo.socket);
    net_close(net);
    figure_quantiles("round_trip_us", us, TRIPS);
}

void run_baseline(const struct options *options)
{
    measure_syncs(options->directory);
    measure_trips();
}
