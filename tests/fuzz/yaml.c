/* Files that people write: a scorecard, which then scores something; a formula within one; an aggregator's
 * configuration; any YAML; who may do what, an authorisation file, whose keys are then asked about. The first
 * byte says which. (A collector's configuration: collector.c.) */
#include "fuzz.h"
#include <aggregator/access.h>
#include <aggregator/config.h>
#include <engine/engine.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SCORECARD, FORMULA, AGGREGATOR, TREE, ACCESS, KINDS };
enum { DEPTH_MAX = 32, NODES_MAX = 200000, PROBLEMS_MAX = 200, TEXT_MAX = 4096 };

/* What is accepted has no problem; what is refused has one, with a text for a terminal. */
static void check_problems(const struct problems *problems, poise_code code)
{
    MUST((problems->count == 0) == (code == POISE_OK));
    MUST(problems->kept <= PROBLEMS_MAX && problems->kept <= problems->count);
    for (size_t i = 0; i < problems->kept; i++) {
        MUST(problems->items[i].text[0] != '\0' && fuzz_is_text(problems->items[i].text, TEXT_MAX));
        MUST(problems->items[i].line >= 0 && problems->items[i].column >= 0);
    }
}

/* ---- any YAML ---- */

static size_t check_node(const struct yaml_node *node, size_t depth)
{
    size_t nodes = 1, children = 0;
    MUST(depth <= DEPTH_MAX + (node->kind == YAML_SCALAR ? 1 : 0) && node->line >= 1 && node->column >= 1);
    MUST(strlen(node->text) == node->length);
    for (const struct yaml_node *child = node->first; child; child = child->next) {
        MUST(node->kind != YAML_SCALAR && (node->kind == YAML_MAPPING) == (child->key != NULL));
        nodes += check_node(child, depth + 1);
        children++;
    }
    MUST(children == node->count);
    return nodes;
}

static void try_tree(const char *bytes, size_t length)
{
    struct problems problems = {0};
    struct yaml_tree *tree;
    poise_code code = yaml_read_bytes("file", bytes, length, &tree, &problems);
    MUST(code == POISE_OK || code == POISE_ECONFIG);
    check_problems(&problems, code);
    if (tree && yaml_root(tree)) {
        MUST(check_node(yaml_root(tree), 1) <= NODES_MAX);
    }
    yaml_tree_free(tree);
    problems_free(&problems);
}

/* ---- scorecards ---- */

static bool is_finite_or_none(double x)
{
    return isnan(x) || isfinite(x);
}

static poise_code see(void *visitor, const poise_state *state)
{
    const poise_score *numbers = &state->numbers;
    (void)visitor;
    MUST(is_finite_or_none(numbers->value) && is_finite_or_none(numbers->attainment));
    MUST(isnan(numbers->score) || (numbers->score >= 0 && numbers->score <= 100));
    MUST(numbers->lo >= 0 && numbers->lo <= numbers->hi && numbers->hi <= 100);
    MUST(numbers->coverage >= 0 && numbers->coverage <= 1 && numbers->filled >= 0 && numbers->filled <= 1);
    return POISE_OK;
}

static void give(struct engine *engine, const char *input, int64_t time_ms, double value)
{
    struct engine_series *series;
    poise_refusal refusal;
    const struct engine_row row = {.time_ms = time_ms, .value = value, .of = 2};
    MUST(engine_series(engine, input, "plant-1", "s", &series, &refusal, NULL) == POISE_OK);
    if (series) {
        MUST(engine_apply(engine, series, &row, INT64_MAX, &refusal, NULL) == POISE_OK);
    }
}

enum { ROUNDS = 3, MEASURES_MAX = 50 };
#define DAY_MS   INT64_C(86400000)
#define BEGIN_MS INT64_C(1772582400000)
#define ROUND_MS (20 * DAY_MS)

/* A row of each input for each round. */
static void give_all(struct engine *engine, const struct scorecard *card)
{
    for (uint32_t i = 0, measures = 0; i < card->node_count && measures < MEASURES_MAX; i++) {
        const struct measure *measure = card->nodes[i].measure;
        for (int round = 0; measure && measure->input && round < ROUNDS; round++) {
            give(engine, measure->input, BEGIN_MS + round * ROUND_MS - (int64_t)i % 3 * DAY_MS,
                 (double)(i % 7) - 1 + round * 1e50);
            measures++;
        }
    }
}

/* As `poise eval` does, while T goes on. */
static void score(const struct scorecard *card)
{
    const struct scorecard *const cards[] = {card};
    const struct engine_options options = {.cards = cards, .card_count = 1, .offline = true};
    struct engine *engine;
    MUST(engine_open(&options, &engine, NULL) == POISE_OK);
    MUST(engine_begin(engine, BEGIN_MS - ROUND_MS, NULL) == POISE_OK);
    give_all(engine, card);
    for (int round = 0; round < ROUNDS; round++) {
        MUST(engine_begin(engine, BEGIN_MS + round * ROUND_MS, NULL) == POISE_OK);
        MUST(engine_settle(engine, SIZE_MAX, see, NULL, NULL) == POISE_OK);
    }
    MUST(engine_states(engine, NULL, NULL, see, NULL, NULL) == POISE_OK);
    engine_close(engine);
}

static void check_card(const struct scorecard *card)
{
    MUST(card->node_count >= 4 && card->node_count <= SCORECARD_NODES_MAX);
    for (uint32_t i = 0; i < card->node_count; i++) {
        const struct node *node = &card->nodes[i];
        MUST(fuzz_is_text(node->id, POISE_ID_MAX) && fuzz_is_text(node->name, TEXT_MAX));
        MUST(node->parent == NODE_NONE ? i == 0 : node->parent < i);
        MUST((node->kind == POISE_MEASURE) == (node->measure != NULL));
        MUST(node->weight >= 0 && isfinite(node->weight));
        MUST(card->rank[card->order[i]] == i);
        if (node->measure && node->measure->formula) {
            MUST(node->measure->formula->count <= FORMULA_STEPS_MAX);
        }
    }
}

static void try_scorecard(const char *bytes, size_t length)
{
    enum { SCORED_MAX = 300 };
    struct problems problems = {0};
    struct scorecard *card = NULL;
    poise_code code = scorecard_read_bytes("file", bytes, length, &card, &problems);
    MUST(code == POISE_OK || code == POISE_ECONFIG);
    check_problems(&problems, code);
    if (code == POISE_OK) {
        check_card(card);
        if (card->node_count <= SCORED_MAX) {
            score(card);
        }
    }
    scorecard_free(card);
    problems_free(&problems);
}

/* What YAML gives as it stands in quotes. */
static void try_formula(const uint8_t *text, size_t length)
{
    static const char before[] = "scorecard: card\n"
                                 "name: Card\n"
                                 "perspectives:\n"
                                 "  - id: p\n"
                                 "    name: P\n"
                                 "    objectives:\n"
                                 "      - id: o\n"
                                 "        name: O\n"
                                 "        measures:\n"
                                 "          - {id: a, input: a, aggregate: sum, score: {binary: {}}}\n"
                                 "          - {id: b, input: b, aggregate: last, score: {binary: {}}}\n"
                                 "          - {id: c, formula: 'a + b', score: {binary: {}}}\n"
                                 "          - {id: d, score: {linear: {from: 0, to: 1}}, formula: '";
    struct buf yaml = {0};
    buf_put(&yaml, before, sizeof before - 1);
    for (size_t i = 0; i < length; i++) {
        buf_put_u8(&yaml, text[i] == '\'' || text[i] == '\n' ? ' ' : text[i]);
    }
    buf_put(&yaml, "'}\n", 3);
    MUST(!yaml.failed);
    try_scorecard((const char *)yaml.data, yaml.length);
    buf_free(&yaml);
}

/* ---- the aggregator's configuration ---- */

/* Names files to be read: of those of the system none, which may be without end. */
static bool names_devices(const uint8_t *bytes, size_t length)
{
    return memmem(bytes, length, "dev", 3) || memmem(bytes, length, "..", 2) ||
           memmem(bytes, length, "proc", 4) || memmem(bytes, length, "\\", 1);
}

static void try_aggregator(const uint8_t *bytes, size_t length)
{
    struct config config = {0};
    struct problems problems = {0};
    char path[FUZZ_PATH_MAX];
    if (names_devices(bytes, length)) {
        return;
    }
    int fd = fuzz_file(bytes, length, path);
    poise_code code = config_read(path, &config, &problems);
    MUST(code == POISE_OK || code == POISE_ECONFIG);
    check_problems(&problems, code);
    if (code == POISE_OK) {
        MUST(config.credit >= 1 && config.credit <= 1024 && config.pool >= 1 && config.pool <= 65536);
        MUST(config.store && config.card_count == config.scorecards.count);
    }
    config_free(&config);
    problems_free(&problems);
    close(fd);
}

/* ---- the authorisation file ---- */

/* What it may do at all it may do with something, and no more than that. */
static void check_peer(const struct access_peer *who)
{
    static const char *const names[] = {"a", "b_1", "card", "shop-1", "plant-1", "plant-1/line", ""};
    enum { NAMES = sizeof names / sizeof *names };
    bool sends = access_may(who, ACCESS_SEND), reads = access_may(who, ACCESS_READ);
    MUST(fuzz_is_text(access_name(who), POISE_ID_MAX) && access_name(who)[0] && access_same(who, who));
    MUST(sends || !access_sends_all(who));
    for (size_t i = 0; i < NAMES * NAMES; i++) {
        const char *a = names[i % NAMES], *b = names[i / NAMES], *c = names[(i + 1) % NAMES];
        enum access_sending with = access_sends(who, a, b, c);
        MUST(with == ACCESS_SENDS_NOT || sends);
        MUST(with == ACCESS_SENDS || !access_sends_all(who));
        MUST(access_reads_card(who, a) || !access_reads(who, a, b));
        MUST(access_reads_some(who, NULL, 0, &b, 1) || !access_reads(who, a, b));
        MUST(reads || !access_reads_card(who, a));
    }
    MUST(access_enters(who, ACCESS_AT_INGEST) == sends);
    MUST(access_enters(who, ACCESS_AT_QUERY) ==
         (reads || access_may(who, ACCESS_QUERY) || access_may(who, ACCESS_ADMINISTER)));
}

static void check_access(const struct access *access, const struct access *again, const char *bytes,
                         size_t length)
{
    struct buf difference = {0};
    char user[ACCESS_USER_MAX] = {0};
    access_compare(access, again, &difference);
    MUST(difference.length == 0);
    MUST(!access_narrowed(access, again, ACCESS_AT_INGEST) &&
         !access_narrowed(access, again, ACCESS_AT_QUERY));
    access_compare(NULL, access, &difference);
    MUST(!difference.failed && (difference.length > 0) == (access_keys(access) > 0));
    MUST(difference.length == 0 || fuzz_is_text((const char *)difference.data, TEXT_MAX));
    buf_free(&difference);
    for (size_t at = 0; at + ACCESS_USER_MAX - 1 <= length; at++) {
        memcpy(user, bytes + at, ACCESS_USER_MAX - 1);
        const struct access_peer *who = access_find(access, user);
        MUST((who == NULL) == (access_find(again, user) == NULL));
        if (who) {
            check_peer(who);
            at += ACCESS_USER_MAX - 2;
        }
    }
}

static void try_access(const char *bytes, size_t length)
{
    struct problems problems = {0};
    struct access *access = NULL, *again = NULL;
    char path[FUZZ_PATH_MAX];
    int fd = fuzz_file(bytes, length, path);
    poise_code code = access_read(path, &access, &problems);
    MUST(code == POISE_OK || code == POISE_ECONFIG);
    check_problems(&problems, code);
    if (code == POISE_OK) {
        MUST(access_read(path, &again, &problems) == POISE_OK && access_keys(access) <= length);
        check_access(access, again, bytes, length);
    }
    access_drop(access);
    access_drop(again);
    problems_free(&problems);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    switch (data[0] % KINDS) {
    case SCORECARD:
        try_scorecard((const char *)data + 1, size - 1);
        break;
    case FORMULA:
        try_formula(data + 1, size - 1);
        break;
    case AGGREGATOR:
        try_aggregator(data + 1, size - 1);
        break;
    case ACCESS:
        try_access((const char *)data + 1, size - 1);
        break;
    default:
        try_tree((const char *)data + 1, size - 1);
    }
    return 0;
}
