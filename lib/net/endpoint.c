#include "socket.h"
#include <arpa/inet.h>
#include <base/error.h>
#include <base/text.h>
#include <string.h>

enum { HOST_MAX = 255 };

static bool starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

static bool is_loopback(const char *host)
{
    struct in_addr address;
    return strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0 ||
           (inet_pton(AF_INET, host, &address) == 1 && ntohl(address.s_addr) >> 24 == 127);
}

/* libzmq takes port 99999 for 34463. */
static bool is_port(const char *port)
{
    int64_t number;
    return strcmp(port, "*") == 0 ||
           (parse_int64(port, strlen(port), &number) && number >= 1 && number <= UINT16_MAX);
}

/* The host of HOST:PORT; false if it is not that. */
static bool take_host(const char *address, char host[HOST_MAX + 1])
{
    const char *colon = strrchr(address, ':');
    size_t length = colon ? (size_t)(colon - address) : 0;
    /* "SOURCE;TARGET" would name two hosts. */
    if (length == 0 || length > HOST_MAX || !is_port(colon + 1) || strchr(address, ';')) {
        return false;
    }
    memcpy(host, address, length);
    host[length] = '\0';
    return true;
}

bool net_is_tcp(const char *endpoint)
{
    return starts_with(endpoint, "tcp://");
}

poise_code net_check(const char *endpoint, bool insecure, poise_error *err)
{
    bool ipv6;
    return endpoint_check(endpoint, insecure, &ipv6, err);
}

poise_code endpoint_check(const char *endpoint, bool insecure, bool *ret_ipv6, poise_error *err)
{
    static const char tcp[] = "tcp://", ipc[] = "ipc://", inproc[] = "inproc://";
    if ((starts_with(endpoint, ipc) && endpoint[sizeof ipc - 1]) ||
        (starts_with(endpoint, inproc) && endpoint[sizeof inproc - 1])) {
        *ret_ipv6 = false;
        return POISE_OK;
    }
    char host[HOST_MAX + 1];
    if (!starts_with(endpoint, tcp) || !take_host(endpoint + sizeof tcp - 1, host)) {
        return error_set(err, POISE_EINVAL,
                         "%s is no endpoint; write tcp://HOST:PORT, ipc://PATH or inproc://NAME", endpoint);
    }
    if (!insecure && !is_loopback(host)) {
        return error_set(err, POISE_EDENIED,
                         "%s leaves this machine without encryption or access control; give keys "
                         "(docs/access.md), use 127.0.0.1 or ipc://, or allow it with `insecure: true`",
                         endpoint);
    }
    *ret_ipv6 = host[0] == '[';
    return POISE_OK;
}
