#include "connections.h"

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

void connections_note(struct connections *connections)
{
    struct net_connections now;
    const struct net_connections before = connections->noted;
    net_socket_connections(connections->socket, &now);
    stats_set(connections->stats, connections->open, now.open);
    note(connections, STAT_connections_refused, before.refused, now.refused, "connections_refused");
    note(connections, STAT_connections_endless, before.endless, now.endless, "endless_message");
    note(connections, STAT_connections_greedy, before.greedy, now.greedy, "greedy_connection");
    note(connections, STAT_handshakes_failed, before.failed, now.failed, "handshake_failed");
    connections->noted = now;
}
