/* Who may do what: the authorisation file (docs/access.md). What was read of it never changes; a reload reads
 * another, which each thread goes over to by itself, between two messages. */
#ifndef AGGREGATOR_ACCESS_H
#define AGGREGATOR_ACCESS_H

#include <base/buf.h>
#include <config/yaml.h>
#include <poise/types.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>

enum {
    ACCESS_PEERS_MAX = 4096,
    ACCESS_PRODUCERS_MAX = 8192,
    ACCESS_USER_MAX = 65, /* a public key as text */
    ACCESS_SHORT_MAX = 9
};

struct access;      /* opaque: a file as it was read; freed by the last who drops it */
struct access_peer; /* opaque: somebody whom it names; lives as long as it */

/* ECONFIG: every problem is in the list. */
poise_code access_read(const char *path, struct access **ret_access, struct problems *problems);
void access_document(FILE *out);
struct access *access_keep(struct access *access);
void access_drop(struct access *access); /* NULL is fine */
size_t access_keys(const struct access *access);
/* Which keys went, may do something else, or came, in this order: appends texts of at most so many bytes,
 * each with a 0 behind it. Returns how many; 0: nothing differs. before may be NULL. */
enum { ACCESS_COMPARED_MAX = 2000 /* a line of the audit log stays short */ };
size_t access_compare(const struct access *before, const struct access *after, struct buf *out);

/* By a public key as text, which a connection's messages carry (net_message.user); NULL: it is not named. */
const struct access_peer *access_find(const struct access *access, const char *user);
const char *access_name(const struct access_peer *peer);
/* Of what a peer is called and may do, for who has to know whether it changed. */
uint64_t access_digest(const struct access_peer *peer);
/* Whether two, of two files, are called the same and may do the same. */
bool access_same(const struct access_peer *a, const struct access_peer *b);

enum access_right { ACCESS_SEND, ACCESS_READ, ACCESS_QUERY, ACCESS_ADMINISTER };
bool access_may(const struct access_peer *peer, enum access_right right); /* at all */
/* The names of the endpoints, for ZAP. */
#define ACCESS_AT_INGEST "ingest"
#define ACCESS_AT_QUERY  "query"
/* Whether there is something that it may do at an endpoint; NULL: nobody may. */
bool access_enters(const struct access_peer *peer, const char *endpoint);
/* Whether some key may do nothing there now that before could. */
bool access_narrowed(const struct access *before, const struct access *after, const char *endpoint);
bool access_speaks_for(const struct access_peer *peer, const char *producer);
/* A row with a key replaces what the key said before, at whatever org: where orgs are limited only sources
 * that are named, too, may have keys. */
enum access_sending { ACCESS_SENDS, ACCESS_SENDS_KEYLESS, ACCESS_SENDS_NOT };
enum access_sending access_sends(const struct access_peer *peer, const char *input, const char *org,
                                 const char *source);
bool access_sends_all(const struct access_peer *peer);
bool access_reads(const struct access_peer *peer, const char *scorecard, const char *org);
/* At any org. */
bool access_reads_card(const struct access_peer *peer, const char *scorecard);
/* Whether it may see one of these scorecards at one of these orgs; count 0: at any, of any. */
bool access_reads_some(const struct access_peer *peer, const char *const *scorecards, size_t scorecard_count,
                       const char *const *orgs, size_t org_count);

/* The first digits of a key, by which logs call it; NULL or empty:
 * "-". */
void access_short(const char *user, char text[ACCESS_SHORT_MAX]);

/* Which file is in force. One thread sets it, any looks. */
struct access_holder {
    pthread_mutex_t mutex; /* of current */
    struct access *current;
    _Atomic uint64_t revision; /* of current; 0: none was set */
};
bool access_holder_init(struct access_holder *holder);
void access_holder_free(struct access_holder *holder);
void access_holder_set(struct access_holder *holder, struct access *access); /* takes it over */

/* A thread's look at a holder; zeroed: nothing is looked up yet. */
struct access_view {
    struct access_holder *holder; /* NULL: everybody may do everything */
    struct access *access;
    uint64_t revision;
};
/* Goes over to what is in force; true: that is another file than before, which the caller drops. */
bool access_view_renew(struct access_view *view, struct access **ret_before);
/* NULL: it is not named, or nobody is asked. */
const struct access_peer *access_view_find(const struct access_view *view, const char *user);
void access_view_free(struct access_view *view);

#endif
