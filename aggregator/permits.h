/* What whoever sends to an endpoint may do there: by the key of each message's own connection, each time,
 * since a routing id says nothing, and what was allowed may not be any more. One thread. */
#ifndef AGGREGATOR_PERMITS_H
#define AGGREGATOR_PERMITS_H

#include "access.h"
#include "refusals.h"
#include <net/net.h>
#include <wire/wire.h>

struct permits {
    struct net_socket *socket; /* borrowed */
    const char *endpoint;      /* ACCESS_AT_... */
    struct access_view view;
    struct refusals refusals;
};

/* Who sent a message, before anything of it is read. *ret_who: NULL where nobody is asked. */
poise_code permits_find(struct permits *permits, const char *user, const struct access_peer **ret_who,
                        poise_error *err);
/* Counted, logged, and EDENIED. what: send, or read, ...; who: NULL where the key is unknown. */
poise_code permits_deny(struct permits *permits, const char *user, const struct access_peer *who,
                        const char *what, poise_error *err);

/* At the query endpoint; of who is NULL all is allowed. */
poise_code permits_kind(struct permits *permits, const char *user, const struct access_peer *who,
                        enum wire_kind kind, poise_error *err);
/* EDENIED: a scorecard that is named may not be seen at all, or none of the orgs that are. Of what else is
 * asked for it gets what it may see. */
poise_code permits_filter(struct permits *permits, const char *user, const struct access_peer *who,
                          const struct wire_filter *filter, poise_error *err);
poise_code permits_query(struct permits *permits, const char *user, const struct access_peer *who,
                         const struct wire_query *query, poise_error *err);

/* Goes over to the authorisation file in force; true: that is another than before, which permits_renewed is
 * given once what was asked for before is looked at anew. */
bool permits_renew(struct permits *permits, struct access **ret_before);
/* Whose key something came by that goes on, as far as that may still do the same; NULL: it is over, and
 * ret_error says why. */
const struct access_peer *permits_same(const struct permits *permits, const char *user,
                                       const struct access_peer *before, poise_error *ret_error);
/* Ends the connections of who may do nothing here any more. */
void permits_renewed(struct permits *permits, struct access *before);

void permits_free(struct permits *permits);

#endif
