#include "epochs.h"

#include "access.h"
#include <base/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SECOND_US = 1000000, SPOOL_US = 60 * SECOND_US };

struct producer_owner {
    char user[ACCESS_USER_MAX];
    size_t count; /* of its producers' epochs */
};

/* ---- by name, by connection ---- */

static uint64_t peer_hash(const struct net_peer *peer)
{
    return hash64(peer->bytes, peer->length, 0);
}

static bool peer_matches(const void *entry, const void *key)
{
    return net_peer_equal(&((const struct producer *)entry)->peer, key);
}

static bool entry_matches(const void *producer, const void *entry)
{
    return ((const struct producer *)producer)->entry == entry;
}

static uint64_t entry_hash(const struct ledger_entry *entry)
{
    return hash_mix((uint64_t)(uintptr_t)entry, 1);
}

struct producer *epochs_find(const struct epochs *epochs, const char *name, uint64_t epoch)
{
    struct ledger_entry *entry = ledger_find(&epochs->ledger, name, epoch);
    return entry ? hmap_get(&epochs->map, entry_hash(entry), entry_matches, entry) : NULL;
}

struct producer *epochs_of(const struct epochs *epochs, const struct net_peer *peer)
{
    return hmap_get(&epochs->peers, peer_hash(peer), peer_matches, peer);
}

void epochs_detach(struct epochs *epochs, struct producer *producer)
{
    hmap_remove(&epochs->peers, peer_hash(&producer->peer), peer_matches, &producer->peer);
    producer->peer.length = 0;
}

/* ---- by key ---- */

static uint64_t user_hash(const char *user)
{
    return hash64(user, strlen(user), 0);
}

static bool owner_matches(const void *owner, const void *user)
{
    return strcmp(((const struct producer_owner *)owner)->user, user) == 0;
}

static struct producer_owner *find_owner(const struct epochs *epochs, const char *user)
{
    return user ? hmap_get(&epochs->owners, user_hash(user), owner_matches, user) : NULL;
}

const char *producer_user(const struct producer *producer)
{
    return producer->owner ? producer->owner->user : NULL;
}

static void disown(struct epochs *epochs, struct producer *producer)
{
    struct producer_owner *owner = producer->owner;
    producer->owner = NULL;
    if (owner && --owner->count == 0)
        free(hmap_remove(&epochs->owners, user_hash(owner->user), owner_matches, owner->user));
}

/* False: out of memory. */
static bool own(struct epochs *epochs, struct producer *producer, const char *user)
{
    struct producer_owner *owner = find_owner(epochs, user);
    if (owner && owner == producer->owner)
        return true;
    disown(epochs, producer);
    if (!user)
        return true;
    if (!owner) {
        owner = calloc(1, sizeof *owner);
        if (!owner)
            return false;
        snprintf(owner->user, sizeof owner->user, "%s", user);
        if (!hmap_add(&epochs->owners, user_hash(owner->user), owner)) {
            free(owner);
            return false;
        }
    }
    owner->count++;
    producer->owner = owner;
    return true;
}

/* ---- those that are idle ---- */

void epochs_settle(struct epochs *epochs, struct producer *producer)
{
    if (!producer->idle)
        return;
    *(producer->older ? &producer->older->newer : &epochs->oldest) = producer->newer;
    *(producer->newer ? &producer->newer->older : &epochs->newest) = producer->older;
    producer->older = producer->newer = NULL;
    producer->idle = false;
}

static void await(struct epochs *epochs, struct producer *producer)
{
    producer->idle = true;
    producer->older = epochs->newest;
    *(producer->older ? &producer->older->newer : &epochs->oldest) = producer;
    epochs->newest = producer;
}

/* Nobody else knows an idle one: no batch of it is on its way. */
static void forget(struct epochs *epochs, struct producer *producer)
{
    epochs_settle(epochs, producer);
    if (producer->peer.length)
        epochs_detach(epochs, producer);
    disown(epochs, producer);
    hmap_remove(&epochs->map, entry_hash(producer->entry), entry_matches, producer->entry);
    ledger_remove(&epochs->ledger, producer->entry);
    free(producer);
    stats_set(epochs->stats, STAT_producers, epochs->map.count);
}

/* The oldest that is idle, of a key or (NULL) of anybody; false: there is none. Should its connection still
 * send something, it is asked for its HELLO. */
static bool forget_oldest(struct epochs *epochs, const struct producer_owner *owner)
{
    struct producer *producer = epochs->oldest;
    while (producer && owner && producer->owner != owner)
        producer = producer->newer;
    if (producer)
        forget(epochs, producer);
    return producer != NULL;
}

/* Who comes takes from his own key first. */
static poise_code make_room(struct epochs *epochs, const char *user, poise_error *err)
{
    struct producer_owner *owner = find_owner(epochs, user);
    bool full = epochs->map.count >= epochs->most;
    bool share_full = owner && owner->count >= epochs->most_each;
    if ((!full && !share_full) || (owner && forget_oldest(epochs, owner)))
        return POISE_OK;
    if (share_full)
        return error_set(err, POISE_ELIMIT,
                         "this key has begun %zu epochs of producers already, as many as one may "
                         "(max_producers_each); give each collector a key of its own, or have it raised",
                         owner->count);
    if (!forget_oldest(epochs, NULL))
        return error_set(err, POISE_ELIMIT,
                         "this aggregator already knows %zu epochs of producers (max_producers); have it "
                         "raised, and see who begins so many",
                         epochs->map.count);
    return POISE_OK;
}

/* ---- who comes ---- */

static poise_code add(struct epochs *epochs, const char *name, uint64_t epoch, struct producer **ret,
                      poise_error *err)
{
    struct producer *producer = calloc(1, sizeof *producer);
    struct ledger_entry *entry = producer ? ledger_add(&epochs->ledger, name, epoch) : NULL;
    if (!entry || !hmap_add(&epochs->map, entry_hash(entry), producer)) {
        free(producer);
        return error_nomem(err, "a producer");
    }
    producer->entry = entry;
    producer->received_seq = entry->seq;
    producer->on_disk = entry->seq > 0;
    producer->hashes[entry->seq % LEDGER_WINDOW] = entry->hash;
    stats_set(epochs->stats, STAT_producers, epochs->map.count);
    *ret = producer;
    return POISE_OK;
}

poise_code epochs_add(struct epochs *epochs, const char *name, uint64_t epoch,
                      const struct net_message *message, struct producer **ret_producer, poise_error *err)
{
    struct producer *before = epochs_of(epochs, &message->peer);
    if (before && before->idle)
        forget(epochs, before);
    poise_code code = make_room(epochs, message->user, err);
    if (!code)
        code = add(epochs, name, epoch, ret_producer, err);
    if (code)
        return code;
    await(epochs, *ret_producer);
    return own(epochs, *ret_producer, message->user) ? POISE_OK : error_nomem(err, "a producer's key");
}

poise_code epochs_attach(struct epochs *epochs, struct producer *producer, const struct net_message *message,
                         poise_error *err)
{
    const struct net_peer *peer = &message->peer;
    struct producer *before = epochs_of(epochs, peer);
    if (before && before != producer && before->idle)
        forget(epochs, before);
    else if (before)
        epochs_detach(epochs, before);
    if (producer->peer.length)
        epochs_detach(epochs, producer);
    producer->peer = *peer;
    producer->gap_told = false;
    producer->heard_seq = producer->entry->seq;
    if (!own(epochs, producer, message->user) || !hmap_add(&epochs->peers, peer_hash(peer), producer)) {
        producer->peer.length = 0;
        return error_nomem(err, "a producer's connection");
    }
    if (producer->idle) { /* the newest */
        epochs_settle(epochs, producer);
        await(epochs, producer);
    }
    return POISE_OK;
}

/* ---- their spools ---- */

void epochs_tell_spool(struct epochs *epochs, struct producer *producer, const struct wire_spool *spool,
                       int64_t now_us)
{
    producer->spool = *spool;
    producer->spool_us = now_us;
    epochs->spools = true;
}

void epochs_count_spools(struct epochs *epochs, int64_t now_us)
{
    const struct producer *producer;
    struct wire_spool all = {0};
    if (!epochs->spools || now_us - epochs->spools_us < SECOND_US)
        return;
    for (size_t at = 0; (producer = hmap_next(&epochs->peers, &at));) {
        const struct wire_spool *spool = &producer->spool;
        if (now_us - producer->spool_us >= SPOOL_US)
            continue;
        all.bytes = spool->bytes < UINT64_MAX - all.bytes ? all.bytes + spool->bytes : UINT64_MAX;
        all.age_ms = spool->age_ms > all.age_ms ? spool->age_ms : all.age_ms;
    }
    stats_set(epochs->stats, STAT_spool_bytes, all.bytes);
    stats_set(epochs->stats, STAT_spool_age_ms, all.age_ms);
    epochs->spools = all.bytes > 0 || all.age_ms > 0;
    epochs->spools_us = now_us;
}

int64_t epochs_idle_ms(const struct epochs *epochs)
{
    return epochs->spools ? SECOND_US / 1000 : -1;
}

/* ---- life ---- */

poise_code epochs_open(struct epochs *epochs, struct ledger *ledger, poise_error *err)
{
    struct ledger_entry *entry;
    epochs->ledger = *ledger;
    *ledger = (struct ledger){0};
    for (size_t at = 0; (entry = hmap_next(&epochs->ledger.map, &at));) {
        struct producer *producer = NULL;
        poise_code code = add(epochs, entry->producer, entry->epoch, &producer, err);
        if (code)
            return code;
    }
    return POISE_OK;
}

void epochs_free(struct epochs *epochs)
{
    struct producer *producer;
    for (size_t at = 0; (producer = hmap_next(&epochs->map, &at));) {
        disown(epochs, producer);
        free(producer);
    }
    hmap_free(&epochs->map);
    hmap_free(&epochs->peers);
    hmap_free(&epochs->owners);
    ledger_free(&epochs->ledger);
}
