#include "figures.h"
#include "push.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

uint16_t sink_listen(struct sink *sink)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    sink->listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (sink->listening < 0 || bind(sink->listening, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(sink->listening, 1) != 0 ||
        getsockname(sink->listening, (struct sockaddr *)&address, &length) != 0)
        die("cannot listen: %s", strerror(errno));
    return ntohs(address.sin_port);
}

static void welcome(int fd)
{
    static const uint8_t ok[] = {'R', 0, 0, 0, 8, 0, 0, 0, 0, 'Z', 0, 0, 0, 5, 'I'};
    uint8_t bytes[256];
    uint32_t length;
    read_all(fd, &length, sizeof length);
    length = ntohl(length);
    if (length < 4 || length > sizeof bytes)
        die("no start of a PostgreSQL client");
    read_all(fd, bytes, length - 4);
    write_all(fd, ok, sizeof ok);
}

static void *serve(void *context)
{
    static const char answer[] = "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n";
    static const uint8_t ready[] = {'Z', 0, 0, 0, 5, 'I'};
    struct sink *sink = context;
    uint8_t bytes[65536];
    const uint8_t *request;
    size_t length;
    int fd = accept(sink->listening, NULL, NULL), on = 1;
    if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0)
        die("cannot accept: %s", strerror(errno));
    if (sink->postgres)
        welcome(fd);
    while (requests_next(&sink->requests, &request, &length)) {
        for (size_t left = length; left > 0;) {
            size_t part = left < sizeof bytes ? left : sizeof bytes;
            read_all(fd, bytes, part);
            left -= part;
        }
        if (!sink->postgres)
            write_all(fd, answer, sizeof answer - 1);
        for (uint32_t i = answers_of(sink->postgres, request, length); sink->postgres && i > 0; i--)
            write_all(fd, ready, sizeof ready);
    }
    close(fd);
    return NULL;
}

void sink_start(struct sink *sink)
{
    if (pthread_create(&sink->thread, NULL, serve, sink) != 0)
        die("a thread cannot be started");
}
