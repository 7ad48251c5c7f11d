/* Many collectors in one process, each a sender of libpoise with a spool of its own, while their aggregator
 * is killed and started again. bench/storm runs it:
 *
 *   bench_storm --ingest ENDPOINT --directory DIRECTORY --collectors N [--keys DIRECTORY]
 *
 * Says `ready` when each has had something acknowledged, and goes on sending; with a line on standard input
 * it sends no more, waits until all is acknowledged, and says how long that took. */
#include "figures.h"
#include <argp.h>
#include <poise/client.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { ROUND_MS = 100, PATIENCE_S = 120, NAME_MAX_BYTES = 512 };

static const struct argp_option argp_options[] = {
    {"ingest", 'i', "ENDPOINT", 0, "The aggregator's ingest endpoint", 0},
    {"directory", 'd', "DIRECTORY", 0, "For the spools", 0},
    {"collectors", 'n', "N", 0, "So many (500)", 0},
    {"keys", 'k', "DIRECTORY", 0,
     "Of collector-N.key, one of each, and aggregator.pub; without it all is plain", 0},
    {0}};

struct storm {
    const char *ingest, *directory, *keys;
    size_t count;
    poise_sender **senders;
    double *settled_s; /* of each, since the line */
    uint64_t sent;
};

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct storm *storm = state->input;
    switch (key) {
    case 'i':
        storm->ingest = argument;
        return 0;
    case 'd':
        storm->directory = argument;
        return 0;
    case 'n':
        storm->count = strtoul(argument, NULL, 10);
        return 0;
    case 'k':
        storm->keys = argument;
        return 0;
    case ARGP_KEY_END:
        if (!storm->ingest || !storm->directory || storm->count < 1 || storm->count > 10000)
            argp_error(state, "say --ingest, --directory, and 1 to 10,000 --collectors");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* Each has a network thread, files and sockets of its own. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void open_sender(const struct storm *storm, size_t number, poise_sender **ret_sender)
{
    char name[32], spool[NAME_MAX_BYTES], key[NAME_MAX_BYTES], server_key[NAME_MAX_BYTES];
    poise_error err = {0};
    snprintf(name, sizeof name, "collector-%zu", number);
    snprintf(spool, sizeof spool, "%s/%s", storm->directory, name);
    snprintf(key, sizeof key, "%s/%s.key", storm->keys ? storm->keys : "", name);
    snprintf(server_key, sizeof server_key, "%s/aggregator.pub", storm->keys ? storm->keys : "");
    const poise_sender_options options = {.endpoint = storm->ingest,
                                          .producer = name,
                                          .spool = spool,
                                          .spool_max_bytes = 16 << 20,
                                          .linger_ms = 1,
                                          .key_file = storm->keys ? key : NULL,
                                          .server_key = storm->keys ? server_key : NULL,
                                          .software = "bench_storm"};
    check(poise_sender_open(&options, ret_sender, &err), &err);
}

static void open_senders(struct storm *storm)
{
    storm->senders = calloc(storm->count, sizeof *storm->senders);
    storm->settled_s = calloc(storm->count, sizeof *storm->settled_s);
    if (!storm->senders || !storm->settled_s)
        die("out of memory");
    for (size_t i = 0; i < storm->count; i++)
        open_sender(storm, i, &storm->senders[i]);
}

static bool is_told(int timeout_ms)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    return poll(&input, 1, timeout_ms) > 0;
}

/* One measurement of each, until told: where spools are slow a round takes long. */
static void send_round(struct storm *storm)
{
    int64_t time_ms = wall_ms();
    for (size_t i = 0; i < storm->count && !is_told(0); i++) {
        char org[32];
        poise_error err = {0};
        snprintf(org, sizeof org, "line-%zu", i % 10);
        const poise_measurement row = {
            .measure = "m", .org = org, .source = "", .time_ms = time_ms, .value = 1, .of = 1};
        check(poise_send(storm->senders[i], &row, NULL, &err), &err);
        check(poise_sender_flush(storm->senders[i], &err), &err);
        storm->sent++;
    }
}

/* What came, and what may go; how many have all acknowledged. */
static size_t step(struct storm *storm, int64_t since_ns)
{
    size_t done = 0;
    for (size_t i = 0; i < storm->count; i++) {
        poise_error err = {0};
        poise_sender_stats stats;
        check(poise_sender_step(storm->senders[i], 0, &err), &err);
        poise_sender_get_stats(storm->senders[i], &stats);
        if (stats.refused > 0)
            die("%llu measurements of a collector were refused", (unsigned long long)stats.refused);
        if (stats.batches_left == 0 && stats.connected) {
            done++;
            if (storm->settled_s[i] == 0 && since_ns > 0)
                storm->settled_s[i] = (double)(now_ns() - since_ns) / 1e9;
        }
    }
    return done;
}

/* Until all of them have everything acknowledged. */
static void settle(struct storm *storm, int64_t since_ns)
{
    int64_t until_ns = now_ns() + (int64_t)PATIENCE_S * 1000000000;
    while (step(storm, since_ns) < storm->count) {
        if (now_ns() > until_ns)
            die("not all was acknowledged within %d s", PATIENCE_S);
        poll(NULL, 0, 1);
    }
}

int main(int argc, char **argv)
{
    struct storm storm = {.count = 500};
    const struct argp argp = {.options = argp_options,
                              .parser = parse,
                              .doc =
                                  "Many collectors, whose aggregator is started again. Run by bench/storm."};
    argp_parse(&argp, argc, argv, 0, NULL, &storm);
    raise_descriptor_limit();
    open_senders(&storm);
    send_round(&storm);
    settle(&storm, 0);
    puts("ready");
    fflush(stdout);
    int64_t next_ns = now_ns();
    while (!is_told(1)) {
        if (now_ns() >= next_ns) {
            send_round(&storm);
            next_ns += (int64_t)ROUND_MS * 1000000;
        }
        (void)step(&storm, 0);
    }
    int64_t start_ns = now_ns();
    settle(&storm, start_ns);
    figure("collectors", (double)storm.count);
    figure("sent", (double)storm.sent);
    figure("settled_s", (double)(now_ns() - start_ns) / 1e9);
    struct quantiles each = quantiles(storm.settled_s, storm.count);
    figure("settled_s_p50", each.p50);
    figure("settled_s_p99", each.p99);
    for (size_t i = 0; i < storm.count; i++)
        poise_sender_close(storm.senders[i]);
    free(storm.senders);
    free(storm.settled_s);
    return fflush(stdout) == 0 ? 0 : 1;
}
