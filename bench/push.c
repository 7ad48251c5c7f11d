#include "push.h"
#include "figures.h"
#include <argp.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILES_MAX = 8, ANSWER_MAX = 65536 };

struct options {
    uint16_t port;
    bool postgres, sink;
    uint32_t times; /* of each request, one by one, with how long each took; 0: send all once */
    const char *files[FILES_MAX];
    uint32_t count;
};

struct connection {
    const struct options *options;
    int fd;
    struct requests requests;
    struct sink sink;
    pthread_t thread;
    uint64_t bytes, sent;
    int64_t cpu_ns;
    char answer[ANSWER_MAX]; /* read and not used yet */
    size_t have;
};

/* ---- bytes ---- */

void write_all(int fd, const void *bytes, size_t length)
{
    const uint8_t *at = bytes;
    while (length > 0) {
        ssize_t done = send(fd, at, length, MSG_NOSIGNAL);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            die("sending: %s", strerror(errno));
        at += done;
        length -= (size_t)done;
    }
}

void read_all(int fd, void *bytes, size_t length)
{
    for (uint8_t *at = bytes; length > 0;) {
        ssize_t done = recv(fd, at, length, 0);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            die("receiving: %s", done == 0 ? "the connection was closed" : strerror(errno));
        at += done;
        length -= (size_t)done;
    }
}

static uint32_t big(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

bool requests_next(struct requests *requests, const uint8_t **ret_bytes, size_t *ret_length)
{
    const uint8_t *at = requests->at;
    if (requests->end - at < 4)
        return false;
    size_t length = (size_t)at[0] | (size_t)at[1] << 8 | (size_t)at[2] << 16 | (size_t)at[3] << 24;
    if ((size_t)(requests->end - at - 4) < length)
        die("a file of requests is cut short");
    *ret_bytes = at + 4;
    *ret_length = length;
    requests->at = at + 4 + length;
    return true;
}

uint32_t answers_of(bool postgres, const uint8_t *request, size_t length)
{
    uint32_t queries = 0;
    for (size_t at = 0; postgres && at + 5 <= length; at += 1 + big(request + at + 1))
        queries += request[at] == 'Q';
    return postgres ? queries : 1;
}

static struct requests requests_map(const char *path)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) != 0 || status.st_size == 0)
        die("%s: %s", path, fd < 0 ? strerror(errno) : "is empty");
    const uint8_t *bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    if (bytes == MAP_FAILED)
        die("%s: %s", path, strerror(errno));
    close(fd);
    return (struct requests){bytes, bytes + status.st_size};
}

/* ---- answers ---- */

static void read_more(struct connection *connection)
{
    if (connection->have == sizeof connection->answer)
        die("an answer is too long");
    ssize_t done;
    do {
        done = recv(connection->fd, connection->answer + connection->have,
                    sizeof connection->answer - connection->have, 0);
    } while (done < 0 && errno == EINTR);
    if (done <= 0)
        die("receiving: %s", done == 0 ? "the server closed the connection" : strerror(errno));
    connection->have += (size_t)done;
}

static void drop(struct connection *connection, size_t length)
{
    connection->have -= length;
    memmove(connection->answer, connection->answer + length, connection->have);
}

/* The first place of text behind `from`, NULL: not there (yet). */
static const char *find(const struct connection *connection, size_t from, const char *text)
{
    return memmem(connection->answer + from, connection->have - from, text, strlen(text));
}

/* Reads until text is there; returns what lies up to its end. */
static size_t read_until(struct connection *connection, size_t from, const char *text)
{
    const char *found;
    while (!(found = find(connection, from, text)))
        read_more(connection);
    return (size_t)(found - connection->answer) + strlen(text);
}

static size_t header_number(const struct connection *connection, size_t head, const char *name)
{
    const char *at = memmem(connection->answer, head, name, strlen(name));
    return at ? strtoul(at + strlen(name), NULL, 10) : 0;
}

static void read_http(struct connection *connection)
{
    size_t head = read_until(connection, 0, "\r\n\r\n"), end = head;
    long status = strtol(connection->answer + strlen("HTTP/1.1 "), NULL, 10);
    if (memmem(connection->answer, head, "chunked", strlen("chunked")))
        end = read_until(connection, head - 2, "\r\n0\r\n\r\n"); /* the head itself ends so */
    else if (status != 204)
        end = head + header_number(connection, head, "Content-Length: ");
    while (connection->have < end)
        read_more(connection);
    if (status < 200 || status > 299)
        die("the server refused: %.*s", (int)(end < 600 ? end : 600), connection->answer);
    drop(connection, end);
}

/* Messages until so many say that the server is ready. */
static void read_postgres(struct connection *connection, uint32_t answers)
{
    while (answers > 0) {
        while (connection->have < 5)
            read_more(connection);
        size_t length = 1 + big((const uint8_t *)connection->answer + 1);
        while (connection->have < length)
            read_more(connection);
        if (connection->answer[0] == 'E') {
            for (size_t i = 5; i < length; i++)
                if (connection->answer[i] == '\0')
                    connection->answer[i] = ' ';
            die("the server refused: %.*s", (int)length - 5, connection->answer + 5);
        }
        answers -= connection->answer[0] == 'Z';
        drop(connection, length);
    }
}

/* ---- connections ---- */

static void greet_postgres(struct connection *connection)
{
    static const char start[] = "\0\0\0\51\0\3\0\0user\0postgres\0database\0postgres\0"; /* and one 0 */
    _Static_assert(sizeof start == 0x29, "its length stands in it");
    write_all(connection->fd, start, sizeof start);
    read_postgres(connection, 1);
}

static void connect_to(struct connection *connection, uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;
    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection->fd < 0 || connect(connection->fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0)
        die("cannot connect: %s", strerror(errno));
    if (connection->options->postgres)
        greet_postgres(connection);
}

static void open_connection(struct connection *connection, const struct options *options, uint32_t i)
{
    uint16_t port = options->port;
    connection->options = options;
    connection->requests = requests_map(options->files[i]);
    if (options->sink) {
        connection->sink = (struct sink){.requests = connection->requests, .postgres = options->postgres};
        port = sink_listen(&connection->sink);
        sink_start(&connection->sink);
    }
    connect_to(connection, port);
}

static void ask(struct connection *connection, const uint8_t *request, size_t length)
{
    write_all(connection->fd, request, length);
    if (connection->options->postgres)
        read_postgres(connection, answers_of(true, request, length));
    else
        read_http(connection);
    connection->bytes += length;
    connection->sent++;
}

static void *send_all(void *context)
{
    struct connection *connection = context;
    const uint8_t *request;
    size_t length;
    while (requests_next(&connection->requests, &request, &length))
        ask(connection, request, length);
    connection->cpu_ns = cpu_ns(0);
    return NULL;
}

static void push(struct connection *connections, uint32_t count)
{
    uint64_t bytes = 0, sent = 0;
    int64_t cpu = 0, start = now_ns();
    for (uint32_t i = 0; i < count; i++)
        if (pthread_create(&connections[i].thread, NULL, send_all, &connections[i]) != 0)
            die("a thread cannot be started");
    for (uint32_t i = 0; i < count; i++) {
        pthread_join(connections[i].thread, NULL);
        bytes += connections[i].bytes;
        sent += connections[i].sent;
        cpu += connections[i].cpu_ns;
    }
    double seconds = (double)(now_ns() - start) / 1e9;
    figure("seconds", seconds);
    figure("push_bytes", (double)bytes);
    figure("push_requests", (double)sent);
    figure("push_cpu_s", (double)cpu / 1e9);
}

/* Each request of the file in turn, each alone. */
static void time_each(struct connection *connection, uint32_t times)
{
    struct requests all = connection->requests;
    double *us = calloc(times, sizeof *us);
    if (!us)
        die("out of memory");
    for (uint32_t i = 0; i < times; i++) {
        const uint8_t *request;
        size_t length;
        if (!requests_next(&connection->requests, &request, &length)) {
            connection->requests = all;
            requests_next(&connection->requests, &request, &length);
        }
        int64_t start = now_ns();
        ask(connection, request, length);
        us[i] = (double)(now_ns() - start) / 1e3;
    }
    figure_quantiles("us", us, times);
    free(us);
}

/* ---- options ---- */

static const struct argp_option argp_options[] = {
    {"port", 'p', "N", 0, "Of the server, on 127.0.0.1", 0},
    {"sink", 's', NULL, 0, "Send to a sink of its own", 0},
    {"postgres", 'g', NULL, 0, "Requests are PostgreSQL's messages, not HTTP", 0},
    {"times", 'n', "N", 0, "So many requests, in turn; print how long each took", 0},
    {0}};

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct options *options = state->input;
    unsigned long value;
    switch (key) {
    case 'p':
    case 'n':
        value = strtoul(argument, NULL, 10);
        if (value == 0 || value > (key == 'p' ? 65535 : 1000000))
            argp_error(state, "'%s' is not possible", argument);
        if (key == 'p')
            options->port = (uint16_t)value;
        else
            options->times = (uint32_t)value;
        return 0;
    case 's':
        return options->sink = true, 0;
    case 'g':
        return options->postgres = true, 0;
    case ARGP_KEY_ARG:
        if (options->count == FILES_MAX)
            argp_error(state, "%d files at most", FILES_MAX);
        return options->files[options->count++] = argument, 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int main(int argc, char **argv)
{
    struct options options = {0};
    const struct argp argp = {.options = argp_options,
                              .parser = parse,
                              .args_doc = "FILE...",
                              .doc = "Sends requests. Run by bench/peers."};
    static struct connection connections[FILES_MAX];
    argp_parse(&argp, argc, argv, 0, NULL, &options);
    if (options.count == 0 || options.sink == (options.port != 0))
        die("say --port or --sink, and files");
    for (uint32_t i = 0; i < options.count; i++)
        open_connection(&connections[i], &options, i);
    if (options.times)
        time_each(&connections[0], options.times);
    else
        push(connections, options.count);
    return fflush(stdout) == 0 ? 0 : 1; /* the sinks end with the process */
}
