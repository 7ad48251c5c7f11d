/* bench_streams: how late many subscribers get what changes, and the same by a bare ZeroMQ program: a ROUTER
 * that takes each message of a producer and sends 12 states of 190 bytes to as many DEALERs. `bench/streams`
 * runs it.
 */
#include "bench.h"
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    SUBSCRIBERS_MAX = 4000,
    STATES_MAX = 64,
    BARE_STATE_BYTES = 190,
    SYNC_BYTES = 4096,
    SETTLING_MS = 500
};

struct settings {
    const char *ingest, *query, *sync;
    pid_t pid;
    uint32_t subscribers, rate, seconds, states;
    bool bare, filtered, stalled;
};

struct taker { /* a subscriber */
    struct net_socket *socket;
    uint32_t line; /* filtered: its org */
    int64_t seen[MEASURES];
    uint32_t used;
    bool live;
};

struct streams {
    struct settings settings;
    uint64_t count;
    _Atomic int64_t *due_ns;
    struct net *net;
    struct taker *takers;
    struct arena arena;
    struct buf out;
    double *late_us;
    size_t late_count, late_room;
    uint64_t messages, states, bytes;
    uint32_t live;
    _Atomic bool stop;
    pthread_t thread;
    int64_t cpu_ns;
};

static uint32_t line_of(uint64_t batch)
{
    return (uint32_t)(batch / MEASURES * 7 % LINES);
}

/* ---- takers ---- */

static void note_late(struct streams *b, int64_t now, uint64_t batch)
{
    if (b->late_count == b->late_room)
        die("more was delivered than was sent");
    b->late_us[b->late_count++] = (double)(now - b->due_ns[batch]) / 1e3;
}

/* The value is the number of the batch that it came with, and of one that is taken back by a later none is.
 */
static void note_states(struct streams *b, struct taker *taker, const struct wire_states *states, int64_t now)
{
    bool filtered = b->settings.filtered;
    for (size_t i = 0; i < states->count; i++) {
        const poise_state *state = &states->states[i];
        unsigned measure;
        if (state->kind != POISE_MEASURE || (state->org[0] != '\0') != filtered ||
            sscanf(strrchr(state->node, '/'), "/m%u", &measure) != 1 || measure >= MEASURES)
            continue;
        int64_t latest = (int64_t)state->numbers.value, *seen = &taker->seen[measure];
        for (int64_t batch = *seen < 0 ? measure : *seen + MEASURES; batch <= latest; batch += MEASURES)
            if (!filtered || line_of((uint64_t)batch) == taker->line)
                note_late(b, now, (uint64_t)batch);
        *seen = latest > *seen ? latest : *seen;
    }
}

static void send_to(struct streams *b, struct taker *taker, enum wire_kind kind)
{
    uint8_t head[2];
    poise_error err = {0};
    wire_head(kind, head);
    check(net_send(taker->socket, NULL, head, sizeof head, b->out.data, b->out.length, &err), &err);
    buf_reset(&b->out);
}

static void count(struct streams *b, const struct net_message *message)
{
    b->messages++;
    b->bytes += message->body_length;
}

static void take(struct streams *b, struct taker *taker, const struct net_message *message, int64_t now)
{
    enum wire_kind kind;
    struct wire_states states;
    poise_error err = {0};
    if (b->settings.bare) {
        count(b, message);
        uint64_t batch;
        memcpy(&batch, message->body, sizeof batch);
        note_late(b, now, batch);
        return;
    }
    check(wire_head_parse(message->head, message->head_length, &kind, &err), &err);
    arena_reset(&b->arena);
    if (kind == WIRE_ERROR)
        die("the aggregator answered with an error");
    check(wire_decode_states(kind, message->body, message->body_length, &b->arena, &states, &err), &err);
    if (kind == WIRE_UPDATE) {
        count(b, message);
        b->states += states.count;
        note_states(b, taker, &states, now);
    }
    b->live += !taker->live && states.last;
    taker->live |= states.last;
    if (++taker->used >= 32) {
        struct wire_credit credit = {.id = 1, .more = taker->used};
        check(wire_encode_credit(&credit, &b->out), NULL);
        send_to(b, taker, WIRE_CREDIT);
        taker->used = 0;
    }
}

static void *run_takers(void *context)
{
    struct streams *b = context;
    while (!b->stop) {
        bool any = false;
        for (uint32_t i = 0; i < b->settings.subscribers; i++) {
            struct net_message message;
            while (net_receive(b->takers[i].socket, &message, NULL) == POISE_OK) {
                take(b, &b->takers[i], &message, now_ns());
                any = true;
            }
        }
        if (!any)
            nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    }
    b->cpu_ns = cpu_ns(0);
    return NULL;
}

static void subscribe(struct streams *b, struct taker *taker, uint32_t index)
{
    struct series_name name;
    const char *org = name.org;
    uint32_t lines = b->settings.subscribers < LINES ? b->settings.subscribers : LINES;
    taker->line = index % lines;
    series_name(taker->line, 0, false, &name);
    struct wire_subscribe wanted = {.id = 1, .credit = 64};
    if (b->settings.filtered)
        wanted.filter = (struct wire_filter){.orgs = &org, .org_count = 1};
    check(wire_encode_subscribe(&wanted, &b->out), NULL);
    if (b->settings.bare)
        buf_put_u8(&b->out, 1);
    send_to(b, taker, WIRE_SUBSCRIBE);
}

static void open_takers(struct streams *b)
{
    poise_error err = {0};
    b->takers = calloc(b->settings.subscribers, sizeof *b->takers);
    check(net_open(1, &b->net, &err), &err);
    arena_init(&b->arena, WIRE_ARENA);
    for (uint32_t i = 0; i < b->settings.subscribers; i++) {
        struct taker *taker = &b->takers[i];
        check(net_connect(b->net, b->settings.query, false, NULL, &taker->socket, &err), &err);
        for (int measure = 0; measure < MEASURES; measure++)
            taker->seen[measure] = -1;
    }
    for (uint32_t i = 0; i < b->settings.subscribers; i++) {
        struct net_wait room = {.socket = b->takers[i].socket, .fd = -1, .want_send = true};
        check(net_wait(&room, 1, PATIENCE_MS, &err), &err);
        subscribe(b, &b->takers[i], i);
    }
    if (pthread_create(&b->thread, NULL, run_takers, b) != 0)
        die("a thread cannot be started");
}

static void close_takers(struct streams *b)
{
    b->stop = true;
    pthread_join(b->thread, NULL);
    for (uint32_t i = 0; i < b->settings.subscribers; i++)
        net_socket_close(b->takers[i].socket);
    net_close(b->net);
    arena_free(&b->arena);
    buf_free(&b->out);
    free(b->takers);
}

/* ---- producers ---- */

static void wait_until(int64_t due)
{
    struct timespec at = {.tv_sec = due / 1000000000, .tv_nsec = due % 1000000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
        ;
}

static void make_batch(struct wire_builder *builder, uint64_t epoch, uint64_t index, int64_t start_ms,
                       struct buf *out)
{
    struct series_name name;
    series_name(line_of(index), (uint32_t)(index % MEASURES), false, &name);
    poise_measurement row = {.measure = name.measure,
                             .org = name.org,
                             .source = name.source,
                             .time_ms = start_ms + (int64_t)index,
                             .value = (double)index,
                             .of = 1};
    buf_reset(out);
    check(wire_builder_add(builder, &row), NULL);
    check(wire_builder_finish(builder, epoch, index + 1, out), NULL);
}

static void await_acked(struct producer *producer, uint64_t seq)
{
    while (producer->acked < seq) {
        producer_wait(producer, -1);
        producer_receive(producer);
    }
}

/* A row of each line, so that its nodes are there before anybody looks: later a row changes some 8. */
static void warm_up(struct streams *b)
{
    struct producer producer;
    struct series_name name;
    struct wire_builder *builder = wire_builder_open();
    struct buf body = {0};
    uint64_t epoch = (uint64_t)now_ns() | 1;
    for (uint32_t line = 0; line < LINES; line++) {
        series_name(line, 0, false, &name);
        poise_measurement row = {.measure = name.measure,
                                 .org = name.org,
                                 .source = name.source,
                                 .time_ms = wall_ms() - 3600000,
                                 .value = -1,
                                 .of = 1};
        check(wire_builder_add(builder, &row), NULL);
    }
    check(wire_builder_finish(builder, epoch, 1, &body), NULL);
    producer_open(&producer, b->settings.ingest, epoch);
    while (!producer_send(&producer, body.data, body.length)) {
        producer_wait(&producer, -1);
        producer_receive(&producer);
    }
    await_acked(&producer, 1);
    producer_close(&producer);
    wire_builder_close(builder);
    buf_free(&body);
}

/* A row each, at an even rate. */
static void produce(struct streams *b)
{
    struct producer producer;
    struct wire_builder *builder = wire_builder_open();
    struct buf body = {0};
    uint64_t epoch = (uint64_t)now_ns() | 1;
    int64_t start_ms = wall_ms() - (int64_t)b->count, start = now_ns() + 1000000;
    producer_open(&producer, b->settings.ingest, epoch);
    for (uint64_t i = 0; i < b->count; i++) {
        make_batch(builder, epoch, i, start_ms, &body);
        int64_t due = start + (int64_t)(i * 1000000000 / b->settings.rate);
        wait_until(due);
        b->due_ns[i] = due;
        producer_receive(&producer);
        while (!producer_send(&producer, body.data, body.length)) {
            producer_wait(&producer, -1);
            producer_receive(&producer);
        }
    }
    await_acked(&producer, b->count);
    producer_close(&producer);
    wire_builder_close(builder);
    buf_free(&body);
}

static void produce_bare(struct streams *b)
{
    struct net *net;
    struct net_socket *socket;
    poise_error err = {0};
    check(net_open(1, &net, &err), &err);
    check(net_connect(net, b->settings.ingest, false, NULL, &socket, &err), &err);
    struct net_wait room = {.socket = socket, .fd = -1, .want_send = true};
    check(net_wait(&room, 1, PATIENCE_MS, &err), &err);
    int64_t start = now_ns() + 1000000;
    for (uint64_t i = 0; i < b->count; i++) {
        int64_t due = start + (int64_t)(i * 1000000000 / b->settings.rate);
        wait_until(due);
        b->due_ns[i] = due;
        while (net_send(socket, NULL, "\1\3", 2, &i, sizeof i, &err) == POISE_EFULL)
            check(net_wait(&room, 1, PATIENCE_MS, &err), &err);
    }
    net_wait(NULL, 0, SETTLING_MS, NULL);
    net_socket_close(socket);
    net_close(net);
}

/* ---- the bare program ---- */

struct bare {
    struct net_socket *in, *out;
    struct net_peer *peers;
    size_t peer_count;
    uint8_t *body;
    size_t body_length;
    int sync;
};

static void relay(struct bare *bare, const struct net_message *message)
{
    memcpy(bare->body, message->body, sizeof(uint64_t));
    if (bare->sync >= 0 &&
        (pwrite(bare->sync, bare->body, SYNC_BYTES, 0) != SYNC_BYTES || fdatasync(bare->sync)))
        die("the synced file: %s", strerror(errno));
    for (size_t i = 0; i < bare->peer_count; i++)
        (void)net_send(bare->out, &bare->peers[i], "\1\24", 2, bare->body, bare->body_length, NULL);
}

static void serve(struct bare *bare)
{
    for (;;) {
        struct net_message message;
        struct net_wait items[2] = {{.socket = bare->in, .fd = -1}, {.socket = bare->out, .fd = -1}};
        poise_error err = {0};
        check(net_wait(items, 2, -1, &err), &err);
        while (net_receive(bare->out, &message, NULL) == POISE_OK && bare->peer_count < SUBSCRIBERS_MAX)
            bare->peers[bare->peer_count++] = message.peer;
        while (net_receive(bare->in, &message, NULL) == POISE_OK)
            relay(bare, &message);
    }
}

static _Noreturn void run_bare(const struct settings *settings, int told)
{
    struct net *net;
    struct net_limits limits = {.max_message = WIRE_MESSAGE_MAX};
    struct bare bare = {.sync = -1, .body_length = settings->states * BARE_STATE_BYTES};
    poise_error err = {0};
    char ends[512];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    bare.peers = calloc(SUBSCRIBERS_MAX, sizeof *bare.peers);
    bare.body = calloc(1, bare.body_length + SYNC_BYTES);
    check(net_open(1, &net, &err), &err);
    check(net_bind(net, "tcp://127.0.0.1:*", false, &limits, &bare.in, &err), &err);
    check(net_bind(net, "tcp://127.0.0.1:*", false, &limits, &bare.out, &err), &err);
    if (settings->sync && (bare.sync = open(settings->sync, O_RDWR | O_CREAT | O_CLOEXEC, 0600)) < 0)
        die("%s: %s", settings->sync, strerror(errno));
    int length = snprintf(ends, sizeof ends, "%s %s", net_endpoint(bare.in), net_endpoint(bare.out));
    if (write(told, ends, (size_t)length + 1) != length + 1)
        die("the endpoints cannot be told");
    serve(&bare);
    _exit(0);
}

/* Starts it; before any thread. */
static void start_bare(struct settings *settings, char ends[512])
{
    int pipe_fds[2];
    if (pipe(pipe_fds) != 0)
        die("a pipe: %s", strerror(errno));
    settings->pid = fork();
    if (settings->pid == 0)
        run_bare(settings, pipe_fds[1]);
    if (settings->pid < 0 || read(pipe_fds[0], ends, 512) <= 0)
        die("the bare program did not start");
    char *blank = strchr(ends, ' ');
    *blank = '\0';
    settings->ingest = ends;
    settings->query = blank + 1;
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}

/* ---- a subscriber that stands still ---- */

/* It has credit without end, and reads nothing. */
static struct net_socket *open_stalled(struct streams *b, struct net **ret_net)
{
    struct net_limits limits = {.receive_hwm = 1};
    struct taker taker = {0};
    poise_error err = {0};
    struct wire_subscribe wanted = {.id = 1, .credit = UINT32_MAX};
    check(net_open(1, ret_net, &err), &err);
    check(net_connect(*ret_net, b->settings.query, false, &limits, &taker.socket, &err), &err);
    struct net_wait room = {.socket = taker.socket, .fd = -1, .want_send = true};
    check(net_wait(&room, 1, PATIENCE_MS, &err), &err);
    check(wire_encode_subscribe(&wanted, &b->out), NULL);
    send_to(b, &taker, WIRE_SUBSCRIBE);
    return taker.socket;
}

/* ---- the run ---- */

static size_t expected_of(const struct streams *b)
{
    size_t per_line[LINES] = {0}, sum = 0;
    if (!b->settings.filtered)
        return (size_t)(b->count * b->settings.subscribers);
    for (uint64_t i = 0; i < b->count; i++)
        per_line[line_of(i)]++;
    for (uint32_t i = 0; i < b->settings.subscribers; i++)
        sum += per_line[b->takers[i].line];
    return sum;
}

static void await_live(struct streams *b)
{
    if (b->settings.bare)
        net_wait(NULL, 0, SETTLING_MS, NULL);
    for (int i = 0; !b->settings.bare && b->live < b->settings.subscribers; i++) {
        if (i == PATIENCE_MS)
            die("the snapshots did not come");
        net_wait(NULL, 0, 1, NULL);
    }
}

static void run(struct streams *b)
{
    struct net *stalled_net = NULL;
    struct net_socket *stalled = NULL;
    b->count = (uint64_t)b->settings.rate * b->settings.seconds;
    b->due_ns = calloc(b->count, sizeof *b->due_ns);
    b->late_room = b->count * b->settings.subscribers;
    b->late_us = malloc(b->late_room * sizeof *b->late_us);
    if (!b->due_ns || !b->late_us)
        die("out of memory");
    if (!b->settings.bare)
        warm_up(b);
    if (b->settings.stalled)
        stalled = open_stalled(b, &stalled_net);
    open_takers(b);
    await_live(b);
    size_t expected = expected_of(b);
    int64_t cpu = cpu_ns(b->settings.pid);
    (b->settings.bare ? produce_bare : produce)(b);
    for (int i = 0; i < PATIENCE_MS && b->late_count < expected; i++)
        net_wait(NULL, 0, 1, NULL);
    cpu = cpu_ns(b->settings.pid) - cpu;
    bool filtered = b->settings.filtered;
    uint64_t messages = b->messages;
    close_takers(b);
    net_socket_close(stalled);
    net_close(stalled_net);
    if (b->late_count != expected)
        die("%zu of %zu deliveries came", b->late_count, expected);
    figure_quantiles("late_us", b->late_us, b->late_count);
    figure("server_cpu_share", (double)cpu / 1e9 / b->settings.seconds);
    figure("takers_cpu_share", (double)b->cpu_ns / 1e9 / b->settings.seconds);
    figure("cpu_us_per_message", (double)cpu / 1e3 / (double)messages);
    figure("messages_per_second", (double)messages / b->settings.seconds);
    figure("bytes_per_message", (double)b->bytes / (double)messages);
    if (!b->settings.bare && !filtered)
        figure("changes_per_second", (double)b->states / b->settings.subscribers / b->settings.seconds);
    free(b->late_us);
    free(b->due_ns);
}

static const struct argp_option argp_options[] = {
    {"ingest", 'i', "ENDPOINT", 0, "The aggregator's ingest endpoint", 0},
    {"query", 'q', "ENDPOINT", 0, "Its query endpoint", 0},
    {"pid", 'p', "PID", 0, "Its process, for CPU time", 0},
    {"bare", 'B', NULL, 0, "The bare program instead", 0},
    {"sync", 'S', "FILE", 0, "bare: write 4 KiB to FILE and sync them before each message goes out", 0},
    {"states", 'm', "N", 0, "bare: so many states to a message, of 190 bytes each (12)", 0},
    {"subscribers", 'n', "N", 0, "So many (100)", 0},
    {"filtered", 'f', NULL, 0, "Each of one org", 0},
    {"stalled", 'z', NULL, 0, "One more that reads nothing", 0},
    {"rate", 'r', "N", 0, "Rows a second, each in a batch of its own (120)", 0},
    {"seconds", 't', "N", 0, "For so long (10)", 0},
    {0}};

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct settings *settings = state->input;
    uint32_t number = argument ? (uint32_t)strtoul(argument, NULL, 10) : 0;
    switch (key) {
    case 'i':
        return settings->ingest = argument, 0;
    case 'q':
        return settings->query = argument, 0;
    case 'S':
        return settings->sync = argument, 0;
    case 'p':
        return settings->pid = (pid_t)number, 0;
    case 'm':
        return settings->states = number, 0;
    case 'n':
        return settings->subscribers = number, 0;
    case 'r':
        return settings->rate = number, 0;
    case 't':
        return settings->seconds = number, 0;
    case 'B':
        return settings->bare = true, 0;
    case 'f':
        return settings->filtered = true, 0;
    case 'z':
        return settings->stalled = true, 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int main(int argc, char **argv)
{
    struct streams streams = {.settings = {.subscribers = 100, .rate = 120, .seconds = 10, .states = 12}};
    struct settings *settings = &streams.settings;
    const struct argp argp = {
        .options = argp_options, .parser = parse, .doc = "Measures subscribers. Run by bench/streams."};
    char ends[512];
    argp_parse(&argp, argc, argv, 0, NULL, settings);
    if (settings->subscribers == 0 || settings->subscribers > SUBSCRIBERS_MAX || settings->rate == 0 ||
        settings->seconds == 0 || settings->states == 0 || settings->states > STATES_MAX)
        die("a number is 0, or too large");
    if (settings->bare)
        start_bare(settings, ends);
    else if (!settings->ingest || !settings->query || !settings->pid)
        die("say --ingest, --query and --pid, or --bare");
    run(&streams);
    if (settings->bare) {
        kill(settings->pid, SIGKILL);
        waitpid(settings->pid, NULL, 0);
    }
    return fflush(stdout) == 0 ? 0 : 1;
}
