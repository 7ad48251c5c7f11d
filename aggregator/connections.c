#include "connections.h"

#include "refusals.h"

enum { LOGGED = 100 }; /* all of the first, then one in as many */

static void note(struct connections *connections, enum stat stat, uint64_t before, uint64_t now,
                 const char *event)
{
    if (now == before)
        return;
    stats_add(connections->stats, stat, now - before);
    if (now <= LOGGED || now / LOGGED != before / LOGGED) /* a peer must not fill the disk with our log */
        log_event(connections->log, LOG_WARN, event, log_text("endpoint", net_endpoint(connections->socket)),
                  log_int("count", (int64_t)now));
}

/* Of the connections with failed handshakes as many lines a minute as of those whose key is refused. */
static void say_failed(struct connections *connections, const struct net_failure *failure)
{
    int64_t now_us = clock_monotonic_us(connections->clock);
    if (now_us >= connections->until_us) {
        if (connections->unsaid)
            log_event(connections->log, LOG_WARN, "more_handshakes_failed",
                      log_text("endpoint", net_endpoint(connections->socket)),
                      log_int("count", (int64_t)connections->unsaid));
        connections->until_us = now_us + REFUSALS_MINUTE_US;
        connections->lines = 0;
        connections->unsaid = 0;
    }
    if (connections->lines >= REFUSALS_LINES_MAX) {
        connections->unsaid++;
        return;
    }
    connections->lines++;
    log_event(connections->log, LOG_WARN, "handshake_failed",
              log_text("endpoint", net_endpoint(connections->socket)),
              log_text("from", failure->address[0] ? failure->address : "-"),
              log_text("reason", net_failing_name(failure->why)));
}

static void note_failures(struct connections *connections, uint64_t more)
{
    struct net_failure failure;
    uint64_t unsaid = 0;
    stats_add(connections->stats, STAT_handshakes_failed, more);
    for (int why = NET_FAILING_NONE + 1; why < NET_FAILINGS; why++) {
        uint64_t now = net_socket_failed(connections->socket, (enum net_failing)why);
        uint64_t come = now - connections->failed[why];
        stats_handshakes(connections->stats, (enum net_failing)why, come);
        connections->failed[why] = now;
        unsaid += why == NET_FAILING_DENIED ? 0 : come; /* the gatekeeper has said whose key it is */
    }
    while (net_socket_failure(connections->socket, &failure))
        if (failure.why != NET_FAILING_DENIED && unsaid > 0) {
            say_failed(connections, &failure);
            unsaid--;
        }
    connections->unsaid += unsaid;
}

void connections_note(struct connections *connections)
{
    struct net_connections now;
    const struct net_connections before = connections->noted;
    net_socket_connections(connections->socket, &now);
    stats_set(connections->stats, connections->open, now.open);
    note(connections, STAT_connections_refused, before.refused, now.refused, "connections_refused");
    note(connections, STAT_connections_endless, before.endless, now.endless, "endless_message");
    note(connections, STAT_connections_greedy, before.greedy, now.greedy, "greedy_connection");
    note(connections, STAT_connections_slow, before.slow, now.slow, "slow_handshake");
    stats_add(connections->stats, STAT_connections_revoked, now.revoked - before.revoked);
    if (now.revoked != before.revoked)
        log_event(connections->log, LOG_INFO, "connections_revoked",
                  log_text("endpoint", net_endpoint(connections->socket)),
                  log_int("count", (int64_t)(now.revoked - before.revoked)));
    note_failures(connections, now.failed - before.failed);
    connections->noted = now;
}
