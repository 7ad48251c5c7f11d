#include "permits.h"

#include <base/error.h>
#include <stdio.h>
#include <string.h>

/* ---- whoever it is ---- */

poise_code permits_deny(struct permits *permits, const char *user, const struct access_peer *who,
                        const char *what, poise_error *err)
{
    char key[ACCESS_SHORT_MAX];
    poise_error denied;
    access_short(user, key);
    if (who)
        error_set(&denied, POISE_EDENIED, "%s, key %s, may not %s", access_name(who), key, what);
    else
        error_set(&denied, POISE_EDENIED, "the key %s is unknown, or not any more", key);
    refusals_note(&permits->refusals, STAT_messages_denied, user, who, denied.text);
    return error_set(err, POISE_EDENIED, "%s; the aggregator's authorisation file says who may", denied.text);
}

poise_code permits_find(struct permits *permits, const char *user, const struct access_peer **ret_who,
                        poise_error *err)
{
    *ret_who = permits->view.holder ? access_find(permits->view.access, user) : NULL;
    return *ret_who || !permits->view.holder ? POISE_OK : permits_deny(permits, user, NULL, "", err);
}

/* ---- questions ---- */

/* What is asked about; count 0: everything. */
struct named {
    const char *const *scorecards;
    size_t scorecard_count;
    const char *const *orgs; /* themselves, no globs */
    size_t org_count;
};

poise_code permits_kind(struct permits *permits, const char *user, const struct access_peer *who,
                        enum wire_kind kind, poise_error *err)
{
    if (!who)
        return POISE_OK;
    bool administers = access_may(who, ACCESS_ADMINISTER), allowed = administers;
    const char *what = "administer";
    switch ((int)kind) {
    case WIRE_SUBSCRIBE:
        allowed = access_may(who, ACCESS_READ);
        what = "read scores";
        break;
    case WIRE_LOSSES_REQUEST: /* a loss knows no org */
        allowed = administers || access_may(who, ACCESS_READ);
        what = "see losses";
        break;
    case WIRE_QUERY:
    case WIRE_CHANGES:
        allowed = access_may(who, ACCESS_QUERY);
        what = "ask about the past";
        break;
    case WIRE_STATS_REQUEST:
        allowed = administers || access_may(who, ACCESS_QUERY);
        what = "ask for the aggregator's own numbers";
        break;
    case WIRE_CREDIT: /* for what it has already */
    case WIRE_UNSUBSCRIBE:
        allowed = true;
        break;
    default:
        break;
    }
    return allowed ? POISE_OK : permits_deny(permits, user, who, what, err);
}

/* It may see something of each scorecard that is named, and of one at least of the orgs; what else it may not
 * see is left out. An answer that could never have anything in it would look like nothing having happened. */
static poise_code check_named(struct permits *permits, const char *user, const struct access_peer *who,
                              const struct named *named, poise_error *err)
{
    char what[POISE_ID_MAX + 300];
    for (size_t i = 0; i < named->scorecard_count; i++) {
        if (access_reads_card(who, named->scorecards[i]))
            continue;
        snprintf(what, sizeof what, "read the scorecard '%.64s'", named->scorecards[i]);
        return permits_deny(permits, user, who, what, err);
    }
    if (named->org_count == 0 ||
        access_reads_some(who, named->scorecards, named->scorecard_count, named->orgs, named->org_count))
        return POISE_OK;
    int length = named->scorecard_count == 1
                     ? snprintf(what, sizeof what, "read the scorecard '%.64s'", named->scorecards[0])
                     : snprintf(what, sizeof what, "read any of the scorecards");
    snprintf(what + length, sizeof what - (size_t)length, " of the org '%.200s'%s", named->orgs[0],
             named->org_count > 1 ? " or of the others" : "");
    return permits_deny(permits, user, who, what, err);
}

poise_code permits_filter(struct permits *permits, const char *user, const struct access_peer *who,
                          const struct wire_filter *filter, poise_error *err)
{
    struct named named = {filter->scorecards, filter->scorecard_count, filter->orgs, filter->org_count};
    for (size_t i = 0; i < filter->org_count; i++)
        if (strchr(filter->orgs[i], '*')) /* it may match one that may be seen, now or later */
            named.org_count = 0;
    return who ? check_named(permits, user, who, &named, err) : POISE_OK;
}

poise_code permits_query(struct permits *permits, const char *user, const struct access_peer *who,
                         const struct wire_query *query, poise_error *err)
{
    const struct named named = {&query->scorecard, 1, &query->org, query->all_orgs ? 0 : 1};
    return who ? check_named(permits, user, who, &named, err) : POISE_OK;
}

/* ---- another file ---- */

bool permits_renew(struct permits *permits, struct access **ret_before)
{
    return access_view_renew(&permits->view, ret_before);
}

const struct access_peer *permits_same(const struct permits *permits, const char *user,
                                       const struct access_peer *before, poise_error *ret_error)
{
    char key[ACCESS_SHORT_MAX];
    const struct access_peer *now = access_find(permits->view.access, user);
    access_short(user, key);
    if (now && access_same(now, before))
        return now;
    if (now)
        error_set(ret_error, POISE_ENOTFOUND, "what %s, key %s, may do has changed; ask again",
                  access_name(now), key);
    else
        error_set(ret_error, POISE_EDENIED, "the key %s is not known any more", key);
    return NULL;
}

/* Whether a connection of that key is of use still. */
static bool stays(const void *context, const char *user)
{
    const struct permits *permits = context;
    return access_enters(access_find(permits->view.access, user), permits->endpoint);
}

void permits_renewed(struct permits *permits, struct access *before)
{
    if (before && access_narrowed(before, permits->view.access, permits->endpoint))
        net_socket_revoke(permits->socket, stays, permits);
    access_drop(before);
}

void permits_free(struct permits *permits)
{
    access_view_free(&permits->view);
}
