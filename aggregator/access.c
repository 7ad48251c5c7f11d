#include "access.h"

#include <base/arena.h>
#include <base/hash.h>
#include <config/settings.h>
#include <model/org.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct rule {
    struct texts inputs, orgs, sources; /* of `send`; count 0: all */
    struct texts scorecards;            /* of `read`, with orgs; likewise */
};

struct access_peer {
    const char *name;
    struct texts keys, producers;
    struct rule *send, *read;
    size_t send_count, read_count;
    bool query, administer;
    struct hash128 digest; /* of all but the keys */
};

struct access {
    _Atomic size_t users;
    struct access_peer *peers;
    size_t count, producer_count;
    struct hmap keys; /* entries: struct key */
    struct arena arena;
};

struct key {
    const char *text;
    const struct access_peer *peer;
};

/* ---- patterns ---- */

static size_t stem_of(const char *pattern)
{
    size_t length = strlen(pattern);
    return length > 0 && pattern[length - 1] == '*' ? length - 1 : SIZE_MAX;
}

/* A text, or its beginning and a star. */
static bool pattern_matches(const char *pattern, const char *text)
{
    size_t stem = stem_of(pattern);
    return stem == SIZE_MAX ? strcmp(pattern, text) == 0 : strncmp(pattern, text, stem) == 0;
}

static bool any_pattern(const struct texts *patterns, const char *text)
{
    for (size_t i = 0; i < patterns->count; i++)
        if (pattern_matches(patterns->items[i], text))
            return true;
    return patterns->count == 0;
}

static bool any_glob(const struct texts *globs, const char *org)
{
    for (size_t i = 0; i < globs->count; i++)
        if (org_matches(globs->items[i], org))
            return true;
    return globs->count == 0;
}

/* Whether some text matches both. */
static bool patterns_meet(const char *a, const char *b)
{
    size_t stem_a = stem_of(a), stem_b = stem_of(b);
    if (stem_a == SIZE_MAX || stem_b == SIZE_MAX)
        return stem_a == SIZE_MAX ? pattern_matches(b, a) : pattern_matches(a, b);
    return strncmp(a, b, stem_a < stem_b ? stem_a : stem_b) == 0;
}

/* ---- what may be done ---- */

const char *access_name(const struct access_peer *peer)
{
    return peer->name;
}

uint64_t access_digest(const struct access_peer *peer)
{
    return peer->digest.low;
}

bool access_same(const struct access_peer *a, const struct access_peer *b)
{
    return a->digest.low == b->digest.low && a->digest.high == b->digest.high;
}

bool access_may(const struct access_peer *peer, enum access_right right)
{
    switch (right) {
    case ACCESS_SEND:
        return peer->send_count > 0;
    case ACCESS_READ:
        return peer->read_count > 0;
    case ACCESS_QUERY:
        return peer->query;
    case ACCESS_ADMINISTER:
        return peer->administer;
    }
    return false;
}

bool access_speaks_for(const struct access_peer *peer, const char *producer)
{
    return any_pattern(&peer->producers, producer);
}

enum access_sending access_sends(const struct access_peer *peer, const char *input, const char *org,
                                 const char *source)
{
    enum access_sending best = ACCESS_SENDS_NOT;
    for (size_t i = 0; i < peer->send_count && best != ACCESS_SENDS; i++) {
        const struct rule *rule = &peer->send[i];
        if (any_pattern(&rule->inputs, input) && any_glob(&rule->orgs, org) &&
            any_pattern(&rule->sources, source))
            best = rule->orgs.count == 0 || rule->sources.count > 0 ? ACCESS_SENDS : ACCESS_SENDS_KEYLESS;
    }
    return best;
}

bool access_sends_all(const struct access_peer *peer)
{
    for (size_t i = 0; i < peer->send_count; i++)
        if (peer->send[i].inputs.count + peer->send[i].orgs.count + peer->send[i].sources.count == 0)
            return true;
    return false;
}

bool access_reads(const struct access_peer *peer, const char *scorecard, const char *org)
{
    return access_reads_some(peer, &scorecard, 1, &org, 1);
}

bool access_reads_card(const struct access_peer *peer, const char *scorecard)
{
    return access_reads_some(peer, &scorecard, 1, NULL, 0);
}

/* Rule by rule: what is named is a peer's choice, and not each scorecard is tried with each org. */
bool access_reads_some(const struct access_peer *peer, const char *const *scorecards, size_t scorecard_count,
                       const char *const *orgs, size_t org_count)
{
    for (size_t i = 0; i < peer->read_count; i++) {
        const struct rule *rule = &peer->read[i];
        bool card = scorecard_count == 0, org = org_count == 0;
        for (size_t k = 0; !card && k < scorecard_count; k++)
            card = any_pattern(&rule->scorecards, scorecards[k]);
        for (size_t k = 0; card && !org && k < org_count; k++)
            org = any_glob(&rule->orgs, orgs[k]);
        if (card && org)
            return true;
    }
    return false;
}

void access_short(const char *user, char text[ACCESS_SHORT_MAX])
{
    snprintf(text, ACCESS_SHORT_MAX, "%s", user && user[0] ? user : "-");
}

/* ---- reading ---- */

struct peer_settings {
    const char *name;
    struct texts keys, producers;
    const struct yaml_node *send, *read;
    bool query, administer;
};
#define FIELD(name) .offset = offsetof(struct peer_settings, name)
static const struct setting peer_table[] = {
    {"name", SETTING_ID, FIELD(name), .required = true, .text = "What the logs call it; each name once."},
    {"key", SETTING_TEXTS, FIELD(keys), .required = true,
     .text = "Its public key, 64 hex digits; several while one is replaced by another."},
    {"send", SETTING_NODE, FIELD(send), .unit = "list of mappings as below, or `all`",
     .text = "Which measurements it may send; left out: none."},
    {"producers", SETTING_TEXTS, FIELD(producers),
     .text =
         "The names of producers that it alone may send as, or how they begin with a star behind it, such "
         "as `cli-*`; left out: its own name."},
    {"read", SETTING_NODE, FIELD(read), .unit = "list of mappings as below, or `all`",
     .text = "Which scores it may see, now and as they change; left out: none."},
    {"query", SETTING_BOOL, FIELD(query), .fallback = "false",
     .text = "Whether it may ask about the past of the scores that it may see (`poise get --as-of`, "
             "`--history`, `poise changes`), and for the aggregator's own numbers."},
    {"administer", SETTING_BOOL, FIELD(administer), .fallback = "false",
     .text = "Whether it may erase, restate, rescore, write backups, dump measurements, and ask for the "
             "aggregator's "
             "own numbers."},
};
#undef FIELD
#define FIELD(name) .offset = offsetof(struct rule, name)
static const struct setting send_table[] = {
    {"inputs", SETTING_TEXTS, FIELD(inputs),
     .text = "Of these inputs, or of those that begin so, with a star: `defects_*`; left out: of all."},
    {"orgs", SETTING_TEXTS, FIELD(orgs),
     .text =
         "For these orgs: globs as in scorecards, such as `plant-1` and `plant-1/**`; left out: for all."},
    {"sources", SETTING_TEXTS, FIELD(sources),
     .text = "With these sources, or such that begin so; left out: with any, but where `orgs` is given a row "
             "with a key is refused."},
};
static const struct setting read_table[] = {
    {"scorecards", SETTING_TEXTS, FIELD(scorecards),
     .text = "Of these scorecards, or of those that begin so; left out: of all."},
    {"orgs", SETTING_TEXTS, FIELD(orgs), .text = "At these orgs, globs likewise; left out: at all."},
};
#undef FIELD
enum {
    PEER_SETTINGS = sizeof peer_table / sizeof peer_table[0],
    SEND_SETTINGS = sizeof send_table / sizeof send_table[0],
    READ_SETTINGS = sizeof read_table / sizeof read_table[0]
};

void access_document(FILE *out)
{
    fputs("### A peer\n\n", out);
    settings_document(peer_table, PEER_SETTINGS, out);
    fputs("\n### `send`\n\n", out);
    settings_document(send_table, SEND_SETTINGS, out);
    fputs("\n### `read`\n\n", out);
    settings_document(read_table, READ_SETTINGS, out);
}

/* An empty list would look like none, and mean all. */
static void check_list(struct reader *reader, const struct yaml_node *mapping, const char *key,
                       const struct texts *texts, bool globs)
{
    const struct yaml_node *node = yaml_get(mapping, key);
    if (node && texts->count == 0)
        reader_problem(reader, node, "'%s' is empty: name at least one, or leave it out", key);
    for (size_t i = 0; globs && i < texts->count; i++)
        if (!glob_valid(texts->items[i]))
            reader_problem(reader, node, "'%.200s' is no org and no glob of orgs", texts->items[i]);
    for (size_t i = 0; !globs && i < texts->count; i++) {
        const char *star = strchr(texts->items[i], '*');
        if (star && star[1])
            reader_problem(reader, node, "'%.200s': a star may only stand at the end", texts->items[i]);
    }
}

static void read_rule(struct reader *reader, const struct yaml_node *item, bool send, struct rule *rule)
{
    if (item->kind != YAML_MAPPING) {
        reader_problem(reader, item, "a rule is a mapping, such as {%s: [...], orgs: [...]}",
                       send ? "inputs" : "scorecards");
        return;
    }
    settings_read(reader, send ? send_table : read_table, send ? SEND_SETTINGS : READ_SETTINGS, item, rule);
    check_list(reader, item, "inputs", &rule->inputs, false);
    check_list(reader, item, "sources", &rule->sources, false);
    check_list(reader, item, "scorecards", &rule->scorecards, false);
    check_list(reader, item, "orgs", &rule->orgs, true);
}

/* `all` is one rule that limits nothing. */
static struct rule *read_rules(struct reader *reader, const struct yaml_node *node, bool send,
                               size_t *ret_count)
{
    bool all = node->kind == YAML_SCALAR && strcmp(node->text, "all") == 0;
    if (!all && node->kind != YAML_SEQUENCE) {
        reader_problem(reader, node, "'%s' is `all` or a list of rules", send ? "send" : "read");
        return NULL;
    }
    size_t count = all ? 1 : node->count;
    struct rule *rules = arena_zalloc(reader->arena, count ? count : 1, sizeof *rules);
    if (!rules) {
        reader_problem(reader, node, "out of memory: the file says too much");
        return NULL;
    }
    const struct yaml_node *item = all ? NULL : node->first;
    for (size_t i = 0; item; item = item->next, i++)
        read_rule(reader, item, send, &rules[i]);
    *ret_count = count;
    return rules;
}

static struct hash128 digest_texts(const struct texts *texts, struct hash128 digest)
{
    for (size_t i = 0; i < texts->count; i++) {
        struct hash128 text = hash128(texts->items[i], strlen(texts->items[i]), digest.low ^ i);
        digest = (struct hash128){hash_mix(digest.low, text.low), hash_mix(digest.high, text.high)};
    }
    return (struct hash128){hash_mix(digest.low, texts->count), hash_mix(digest.high, texts->count)};
}

static struct hash128 digest_of(const struct access_peer *peer)
{
    struct hash128 digest =
        hash128(peer->name, strlen(peer->name), (uint64_t)peer->query * 2 + (uint64_t)peer->administer);
    digest = digest_texts(&peer->producers, digest);
    for (size_t i = 0; i < peer->send_count + peer->read_count; i++) {
        bool send = i < peer->send_count;
        const struct rule *rule = send ? &peer->send[i] : &peer->read[i - peer->send_count];
        digest.low = hash_mix(digest.low, send);
        digest = digest_texts(&rule->inputs, digest);
        digest = digest_texts(&rule->sources, digest);
        digest = digest_texts(&rule->scorecards, digest);
        digest = digest_texts(&rule->orgs, digest);
    }
    return digest;
}

/* Its own; none would mean all. */
static void name_producer(struct reader *reader, const struct yaml_node *item, struct access_peer *peer)
{
    peer->producers.items = arena_zalloc(reader->arena, 1, sizeof(char *));
    if (!peer->producers.items) {
        reader_problem(reader, item, "out of memory");
        return;
    }
    peer->producers.items[0] = peer->name;
    peer->producers.count = 1;
}

static void read_peer(struct reader *reader, const struct yaml_node *item, struct access_peer *peer)
{
    struct peer_settings settings = {0};
    if (item->kind != YAML_MAPPING) {
        reader_problem(reader, item, "a peer is a mapping, with at least `name` and `key`");
        return;
    }
    settings_read(reader, peer_table, PEER_SETTINGS, item, &settings);
    check_list(reader, item, "producers", &settings.producers, false);
    *peer = (struct access_peer){.name = settings.name,
                                 .keys = settings.keys,
                                 .producers = settings.producers,
                                 .query = settings.query,
                                 .administer = settings.administer};
    if (settings.send)
        peer->send = read_rules(reader, settings.send, true, &peer->send_count);
    if (settings.read)
        peer->read = read_rules(reader, settings.read, false, &peer->read_count);
    if (peer->name && peer->producers.count == 0)
        name_producer(reader, item, peer);
    if (peer->name)
        peer->digest = digest_of(peer);
}

/* ---- the file as a whole ---- */

static bool key_matches(const void *entry, const void *user)
{
    return strcmp(((const struct key *)entry)->text, user) == 0;
}

static uint64_t key_hash(const char *user)
{
    return hash64(user, strlen(user), 0);
}

const struct access_peer *access_find(const struct access *access, const char *user)
{
    const struct key *key = user ? hmap_get(&access->keys, key_hash(user), key_matches, user) : NULL;
    return key ? key->peer : NULL;
}

size_t access_keys(const struct access *access)
{
    return access->keys.count;
}

static bool is_key(const char *text)
{
    return strlen(text) == ACCESS_USER_MAX - 1 && strspn(text, "0123456789abcdef") == ACCESS_USER_MAX - 1;
}

static void add_keys(struct reader *reader, const struct yaml_node *item, const struct access_peer *peer,
                     struct access *access)
{
    const struct yaml_node *node = yaml_get(item, "key");
    for (size_t i = 0; i < peer->keys.count; i++) {
        const char *text = peer->keys.items[i];
        const struct access_peer *other = access_find(access, text);
        struct key *key = arena_alloc(&access->arena, sizeof *key);
        if (!is_key(text)) {
            reader_problem(reader, node, "a public key is 64 hex digits, as `poise keygen` prints it");
        } else if (other) {
            reader_problem(reader, node, "'%s' has this key already: a key belongs to one peer", other->name);
        } else if (!key || !hmap_add(&access->keys, key_hash(text), (*key = (struct key){text, peer}, key))) {
            reader_problem(reader, node, "out of memory");
        }
    }
}

/* Neither a name nor a producer may be somebody else's. */
static void check_names(struct reader *reader, const struct yaml_node *item, const struct access *access,
                        const struct access_peer *peer)
{
    for (const struct access_peer *other = access->peers; peer->name && other < peer; other++) {
        if (other->name && strcmp(other->name, peer->name) == 0)
            reader_problem(reader, yaml_get(item, "name"), "another peer is called '%s' already", peer->name);
        for (size_t i = 0; peer->send_count && other->send_count && i < peer->producers.count; i++)
            for (size_t k = 0; k < other->producers.count; k++)
                if (patterns_meet(peer->producers.items[i], other->producers.items[k]))
                    reader_problem(
                        reader, item,
                        "the producer '%.64s' of '%s' may be '%.64s' of '%s': a producer belongs to "
                        "one peer",
                        peer->producers.items[i], peer->name, other->producers.items[k], other->name);
    }
}

static void read_peers(struct reader *reader, const struct yaml_node *list, struct access *access)
{
    if (list->kind != YAML_SEQUENCE || list->count > ACCESS_PEERS_MAX) {
        reader_problem(reader, list, "'peers' is a list of at most %d mappings", ACCESS_PEERS_MAX);
        return;
    }
    access->peers = arena_zalloc(&access->arena, list->count ? list->count : 1, sizeof *access->peers);
    if (!access->peers) {
        reader_problem(reader, list, "out of memory");
        return;
    }
    for (const struct yaml_node *item = list->first; item; item = item->next) {
        struct access_peer *peer = &access->peers[access->count++];
        read_peer(reader, item, peer);
        access->producer_count += peer->producers.count;
        if (access->producer_count > ACCESS_PRODUCERS_MAX) {
            reader_problem(reader, item, "the file names more than %d producers", ACCESS_PRODUCERS_MAX);
            return;
        }
        add_keys(reader, item, peer, access);
        check_names(reader, item, access, peer);
    }
}

/* Who may write the file has every right that it gives. False: opening it could take for ever, as of a pipe
 * to which nobody writes, and nobody would be let in meanwhile. */
static bool check_file(const char *path, struct problems *problems)
{
    struct stat status;
    if (stat(path, &status) != 0) /* opening it says why */
        return true;
    if (!S_ISREG(status.st_mode)) {
        problems_add(problems, path, 0, 0, "this is no regular file");
        return false;
    }
    if (status.st_uid != 0 && status.st_uid != geteuid())
        problems_add(
            problems, path, 0, 0,
            "this file belongs to user %ld, who may so give himself access: chown it to root or to user "
            "%ld, who runs this",
            (long)status.st_uid, (long)geteuid());
    if (status.st_mode & (S_IWGRP | S_IWOTH))
        problems_add(problems, path, 0, 0,
                     "others than its owner may write this file (mode %04o), and so give themselves access: "
                     "chmod go-w it",
                     (unsigned)(status.st_mode & 07777));
    return true;
}

poise_code access_read(const char *path, struct access **ret_access, struct problems *problems)
{
    static const struct setting file_table[] = {
        {"peers", SETTING_NODE, 0, .required = true,
         .text = "The list of who is let in: of each its `name`, its `key`, and what it may do."}};
    const struct yaml_node *peers = NULL;
    struct yaml_tree *tree = NULL;
    struct access *access = calloc(1, sizeof *access);
    if (!access) {
        problems_add(problems, path, 0, 0, "out of memory");
        return POISE_ENOMEM;
    }
    access->users = 1;
    arena_init(&access->arena, 0);
    bool readable = check_file(path, problems);
    poise_code code = readable ? yaml_read_file(path, &tree, problems) : POISE_ECONFIG;
    if (tree) {
        struct reader reader = {.tree = tree, .problems = problems, .arena = &access->arena};
        if (yaml_root(tree))
            settings_read(&reader, file_table, 1, yaml_root(tree), &peers);
        else
            reader_problem(&reader, NULL, "the file is empty; it needs at least `peers:`");
        if (peers)
            read_peers(&reader, peers, access);
        code = problems->count ? POISE_ECONFIG : POISE_OK;
    }
    yaml_tree_free(tree);
    if (code) {
        access_drop(access);
        return code;
    }
    *ret_access = access;
    return POISE_OK;
}

struct access *access_keep(struct access *access)
{
    if (access)
        atomic_fetch_add_explicit(&access->users, 1, memory_order_relaxed);
    return access;
}

void access_drop(struct access *access)
{
    if (!access || atomic_fetch_sub_explicit(&access->users, 1, memory_order_acq_rel) > 1)
        return;
    hmap_free(&access->keys);
    arena_free(&access->arena);
    free(access);
}

/* ---- what differs ---- */

struct comparing {
    struct buf *out;
    size_t start, texts; /* the last text begins there; how many there are */
};

static void put_difference(struct comparing *comparing, const char *how, const struct key *key)
{
    struct buf *out = comparing->out;
    char name[ACCESS_SHORT_MAX], text[ACCESS_SHORT_MAX + POISE_ID_MAX + 16];
    access_short(key->text, name);
    int length = snprintf(text, sizeof text, "%s %s %s", how, key->peer->name, name);
    bool begins = comparing->texts == 0;
    if (!begins && out->length - comparing->start + (size_t)length + 2 > ACCESS_COMPARED_MAX) {
        buf_put_u8(out, 0);
        begins = true;
    }
    if (begins) {
        comparing->start = out->length;
        comparing->texts++;
    }
    buf_printf(out, "%s%s", begins ? "" : ", ", text);
}

/* Those of one file that the other does not have, or, `both`, that may do something else there. */
static void put_differences(struct comparing *comparing, const char *how, const struct access *access,
                            const struct access *other, bool both)
{
    const struct key *key;
    for (size_t at = 0; access && (key = hmap_next(&access->keys, &at));) {
        const struct access_peer *there = other ? access_find(other, key->text) : NULL;
        if (both ? there && !access_same(there, key->peer) : !there)
            put_difference(comparing, how, key);
    }
}

size_t access_compare(const struct access *before, const struct access *after, struct buf *out)
{
    struct comparing comparing = {.out = out};
    put_differences(&comparing, "removed", before, after, false);
    put_differences(&comparing, "changed", after, before, true);
    put_differences(&comparing, "added", after, before, false);
    if (comparing.texts)
        buf_put_u8(out, 0);
    return comparing.texts;
}

bool access_enters(const struct access_peer *peer, const char *endpoint)
{
    if (!peer)
        return false;
    return strcmp(endpoint, ACCESS_AT_INGEST) == 0
               ? access_may(peer, ACCESS_SEND)
               : access_may(peer, ACCESS_READ) || access_may(peer, ACCESS_QUERY) ||
                     access_may(peer, ACCESS_ADMINISTER);
}

bool access_narrowed(const struct access *before, const struct access *after, const char *endpoint)
{
    const struct key *key;
    for (size_t at = 0; (key = hmap_next(&before->keys, &at));)
        if (access_enters(key->peer, endpoint) && !access_enters(access_find(after, key->text), endpoint))
            return true;
    return false;
}

/* ---- which is in force ---- */

bool access_holder_init(struct access_holder *holder)
{
    *holder = (struct access_holder){.revision = 0};
    return pthread_mutex_init(&holder->mutex, NULL) == 0;
}

void access_holder_free(struct access_holder *holder)
{
    access_drop(holder->current);
    holder->current = NULL;
    pthread_mutex_destroy(&holder->mutex);
}

void access_holder_set(struct access_holder *holder, struct access *access)
{
    pthread_mutex_lock(&holder->mutex);
    struct access *before = holder->current;
    holder->current = access;
    atomic_fetch_add(&holder->revision, 1);
    pthread_mutex_unlock(&holder->mutex);
    access_drop(before);
}

bool access_view_renew(struct access_view *view, struct access **ret_before)
{
    if (!view->holder || atomic_load(&view->holder->revision) == view->revision)
        return false;
    *ret_before = view->access;
    pthread_mutex_lock(&view->holder->mutex);
    view->access = access_keep(view->holder->current);
    view->revision = atomic_load(&view->holder->revision);
    pthread_mutex_unlock(&view->holder->mutex);
    return true;
}

const struct access_peer *access_view_find(const struct access_view *view, const char *user)
{
    return view->holder ? access_find(view->access, user) : NULL;
}

void access_view_free(struct access_view *view)
{
    access_drop(view->access);
    *view = (struct access_view){0};
}
