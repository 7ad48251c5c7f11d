/* The tree of a definition: scorecard, perspectives, objectives; measures are measure_read.c's. */
#include <base/buf.h>
#include <base/error.h>
#include <model/read.h>
#include <stdlib.h>
#include <string.h>

enum { CARD_ARENA_MAX = 128 << 20, PATH_TEXT_MAX = 4 * (POISE_ID_MAX + 1) };

struct part_fields {
    struct part part;
    const struct yaml_node *rollup, *drives, *children;
    double min_coverage;
    const char *zone; /* this and the rest: of the scorecard */
    int64_t fiscal_year_start, tick_ms, grace_ms, lock_after_ms, keep_ms;
    int period;
    const struct yaml_node *status;
};
#define AT(field) .offset = offsetof(struct part_fields, field)
#define NAME_ROW                                                                                             \
    {                                                                                                        \
        .name = "name", .type = SETTING_TEXT, AT(part.name), .min = 1, .max = 200,                           \
        .text = "for people; the id where it is absent"                                                      \
    }
#define WEIGHT_ROW                                                                                           \
    {                                                                                                        \
        .name = "weight", .type = SETTING_REAL, AT(part.weight), .max = 1e100, .fallback = "1",              \
        .text = "its share among its siblings; 0: shown, not counted"                                        \
    }
#define ROLLUP_ROW(words)                                                                                    \
    {                                                                                                        \
        .name = "rollup", .type = SETTING_NODE, AT(rollup),                                                  \
        .unit = "`mean`, `min`, `max`, `geometric` or `{penalised_mean: 0..1}`", .text = words               \
    }

static const struct setting scorecard_table[] = {
    {.name = "scorecard",
     .type = SETTING_ID,
     AT(part.id),
     .required = true,
     .text = "the id of the scorecard, the first part of every node's name"},
    NAME_ROW,
    {.name = "timezone",
     .type = SETTING_TEXT,
     AT(zone),
     .max = 64,
     .fallback = "UTC",
     .text = "IANA name of the zone of all periods and dates"},
    {.name = "fiscal_year_start",
     .type = SETTING_INT,
     AT(fiscal_year_start),
     .min = 1,
     .max = 12,
     .fallback = "1",
     .text = "the month in which quarters, halves and years start"},
    {.name = "period",
     .type = SETTING_CHOICE,
     AT(period),
     .choices = period_unit_names,
     .fallback = "month",
     .text = "the calendar of history and trend, and the default of measures"},
    {.name = "tick",
     .type = SETTING_DURATION,
     AT(tick_ms),
     .min = 1000,
     .max = 86400000,
     .fallback = "1m",
     .unit = "`1s` to `1d`, whole seconds",
     .text = "time alone changes scores in steps of this"},
    {.name = "grace",
     .type = SETTING_DURATION,
     AT(grace_ms),
     .max = LONGEST_WAIT_MS,
     .fallback = "2d",
     .text = "a period is closed so long after its end: what changes it then makes a revision"},
    {.name = "lock_after",
     .type = SETTING_DURATION,
     AT(lock_after_ms),
     .max = LONGEST_WAIT_MS,
     .text = "a period is locked so long after its end: what would change it is kept, and waits for "
             "`poise restate`; never where it is absent"},
    {.name = "keep",
     .type = SETTING_DURATION,
     AT(keep_ms),
     .max = LONGEST_WAIT_MS,
     .text =
         "the measurements of a period are dropped so long after its end, its scores stay; never where it "
         "is absent"},
    ROLLUP_ROW("what makes one score of the children's; `mean` where it is absent"),
    {.name = "min_coverage",
     .type = SETTING_REAL,
     AT(min_coverage),
     .max = 1,
     .fallback = "0.5",
     .text = "with a smaller share of the weight filled there is no score"},
    {.name = "status",
     .type = SETTING_NODE,
     AT(status),
     .unit = "`{green: score, amber: score}`",
     .text = "the scores where green and amber begin; two thirds and one third of 100 where absent"},
    {.name = "perspectives",
     .type = SETTING_NODE,
     AT(children),
     .required = true,
     .unit = "list of perspectives",
     .text = "at least one"},
};
static const struct setting perspective_table[] = {
    {.name = "id",
     .type = SETTING_ID,
     AT(part.id),
     .required = true,
     .text = "unique among the perspectives"},
    NAME_ROW,
    WEIGHT_ROW,
    ROLLUP_ROW("that of the scorecard where it is absent"),
    {.name = "min_coverage",
     .type = SETTING_REAL,
     AT(min_coverage),
     .max = 1,
     .text = "that of the scorecard where it is absent"},
    {.name = "objectives",
     .type = SETTING_NODE,
     AT(children),
     .required = true,
     .unit = "list of objectives",
     .text = "at least one"},
};
static const struct setting objective_table[] = {
    {.name = "id",
     .type = SETTING_ID,
     AT(part.id),
     .required = true,
     .text = "unique among the objectives of its perspective"},
    NAME_ROW,
    WEIGHT_ROW,
    ROLLUP_ROW("that of the perspective where it is absent"),
    {.name = "min_coverage",
     .type = SETTING_REAL,
     AT(min_coverage),
     .max = 1,
     .text = "that of the perspective where it is absent"},
    {.name = "drives",
     .type = SETTING_NODE,
     AT(drives),
     .unit = "list of `perspective.objective`",
     .text = "the objectives that this one furthers; no cycles"},
    {.name = "measures",
     .type = SETTING_NODE,
     AT(children),
     .required = true,
     .unit = "list of measures",
     .text = "at least one"},
};

static const struct tier {
    const struct setting *table;
    size_t count;
    const char *title, *children;
} tiers[] = {
    [POISE_SCORECARD] = {scorecard_table, COUNT(scorecard_table), "Scorecard", "perspectives"},
    [POISE_PERSPECTIVE] = {perspective_table, COUNT(perspective_table), "Perspective", "objectives"},
    [POISE_OBJECTIVE] = {objective_table, COUNT(objective_table), "Objective", "measures"},
};

struct status_fields {
    double green, amber;
};
static const struct setting status_table[] = {
    {.name = "green",
     .type = SETTING_REAL,
     .offset = offsetof(struct status_fields, green),
     .max = 100,
     .text = "green from this score on"},
    {.name = "amber",
     .type = SETTING_REAL,
     .offset = offsetof(struct status_fields, amber),
     .max = 100,
     .text = "amber from this score on"},
};

static const char *const rollup_words[] = {"mean", "min", "max", "geometric", NULL};
static const struct setting rollup_table[] = {
    {.name = "penalised_mean",
     .type = SETTING_REAL,
     .offset = offsetof(struct rollup, penalty),
     .required = true,
     .max = 1,
     .text = "how much the worst child takes away, 0 to 1"},
};

void *take(struct card_reader *in, struct arena *arena, size_t count, size_t size)
{
    void *bytes = arena_zalloc(arena, count, size);
    if (!bytes)
        out_of_memory(in);
    return bytes;
}

void out_of_memory(struct card_reader *in)
{
    reader_problem(&in->reader, NULL, "out of memory: the definition is too large");
}

struct seen_id {
    uint32_t scope;
    const char *id;
    int line;
};

static bool same_id(const void *entry, const void *key)
{
    const struct seen_id *a = entry, *b = key;
    return a->scope == b->scope && strcmp(a->id, b->id) == 0;
}

void check_id(struct card_reader *in, uint32_t scope, const struct yaml_node *mapping, const char *id)
{
    const struct yaml_node *node = yaml_get(mapping, "id");
    if (!id || !node)
        return;
    struct seen_id key = {.scope = scope, .id = id, .line = node->line};
    uint64_t hash = hash64(id, strlen(id), scope);
    const struct seen_id *other = hmap_get(&in->ids, hash, same_id, &key);
    if (other) {
        reader_problem(&in->reader, node, "duplicate id '%s': line %d has it already; %s", id, other->line,
                       scope == NODE_NONE ? "measures need ids that are unique in the whole scorecard"
                                          : "siblings need different ids");
        return;
    }
    struct seen_id *entry = take(in, &in->scratch, 1, sizeof *entry);
    if (!entry)
        return;
    *entry = key;
    if (!hmap_add(&in->ids, hash, entry))
        out_of_memory(in);
}

static void read_rollup(struct card_reader *in, const struct yaml_node *node, struct rollup *rollup)
{
    int choice;
    if (node->kind == YAML_MAPPING) {
        rollup->kind = ROLLUP_PENALISED_MEAN;
        settings_read(&in->reader, rollup_table, COUNT(rollup_table), node, rollup);
    } else if (node->kind == YAML_SCALAR && strcmp(node->text, "penalised_mean") == 0) {
        reader_problem(&in->reader, node, "penalised_mean needs its penalty: write {penalised_mean: 0.5}");
    } else if (setting_choice(&in->reader, node, rollup_words, &choice)) {
        rollup->kind = (enum rollup_kind)choice;
    }
}

static void read_drives(struct card_reader *in, const struct yaml_node *value, uint32_t at)
{
    struct texts texts;
    if (value && setting_texts(&in->reader, value, &texts)) {
        in->others[at].drives = value;
        in->card->nodes[at].drives = (struct texts_of_drives){.items = texts.items, .count = texts.count};
    }
}

/* Appends a node; ids that were refused are shown as ?, the definition is not used then. */
static uint32_t add_node(struct card_reader *in, poise_kind kind, uint32_t parent, const struct part *part)
{
    const char *id = part->id ? part->id : "?";
    in->unnamed |= !part->id && (kind == POISE_PERSPECTIVE || kind == POISE_OBJECTIVE);
    in->unnamed_measure |= !part->id && kind == POISE_MEASURE;
    char path[PATH_TEXT_MAX];
    int length =
        snprintf(path, sizeof path, "%s%s%s", parent == NODE_NONE ? "" : in->card->nodes[parent].path,
                 parent == NODE_NONE ? "" : "/", id);
    const char *copy = arena_strndup(in->reader.arena, path, (size_t)length);
    uint32_t at = in->card->node_count;
    if (!copy || at == in->capacity) {
        out_of_memory(in);
        return NODE_NONE;
    }
    in->card->nodes[at] = (struct node){
        .kind = kind,
        .id = id,
        .path = copy,
        .name = part->name ? part->name : id,
        .weight = part->weight,
        .parent = parent,
        .first_child = NODE_NONE,
        .next_sibling = NODE_NONE,
    };
    in->card->node_count++;
    return at;
}

static uint32_t read_part(struct card_reader *in, poise_kind kind, const struct yaml_node *mapping,
                          uint32_t parent);

static void read_children(struct card_reader *in, uint32_t parent, const struct yaml_node *list)
{
    struct node *nodes = in->card->nodes;
    const char *word = tiers[nodes[parent].kind].children;
    if (list->kind != YAML_SEQUENCE || list->count == 0) {
        reader_problem(&in->reader, list,
                       "'%s' must be a list with at least one item, lines that start with '- '", word);
        return;
    }
    uint32_t last = NODE_NONE;
    for (const struct yaml_node *item = list->first; item; item = item->next) {
        uint32_t at = read_part(in, (poise_kind)(nodes[parent].kind + 1), item, parent);
        if (at == NODE_NONE)
            continue;
        if (last == NODE_NONE)
            nodes[parent].first_child = at;
        else
            nodes[last].next_sibling = at;
        nodes[parent].child_count++;
        last = at;
    }
}

static uint32_t read_leaf(struct card_reader *in, const struct yaml_node *mapping, uint32_t parent)
{
    struct part part = {0};
    const struct measure *measure = measure_read(in, mapping, &part);
    check_id(in, NODE_NONE, mapping, part.id);
    uint32_t at = measure ? add_node(in, POISE_MEASURE, parent, &part) : NODE_NONE;
    if (at == NODE_NONE)
        return at;
    in->card->nodes[at].measure = measure;
    in->others[at].formula = part.formula;
    in->others[at].formula_node = yaml_get(mapping, "formula");
    return at;
}

static uint32_t read_part(struct card_reader *in, poise_kind kind, const struct yaml_node *mapping,
                          uint32_t parent)
{
    if (kind == POISE_MEASURE)
        return read_leaf(in, mapping, parent);
    struct rollup rollup = in->card->nodes[parent].rollup;
    struct part_fields fields = {.min_coverage = rollup.min_coverage};
    settings_read(&in->reader, tiers[kind].table, tiers[kind].count, mapping, &fields);
    check_id(in, parent, mapping, fields.part.id);
    if (fields.rollup)
        read_rollup(in, fields.rollup, &rollup);
    rollup.min_coverage = fields.min_coverage;
    uint32_t at = add_node(in, kind, parent, &fields.part);
    if (at == NODE_NONE)
        return at;
    in->card->nodes[at].rollup = rollup;
    read_drives(in, fields.drives, at);
    if (fields.children)
        read_children(in, at, fields.children);
    return at;
}

static void read_status(struct card_reader *in, const struct yaml_node *node)
{
    struct status_fields fields = {.green = in->card->green_from, .amber = in->card->amber_from};
    settings_read(&in->reader, status_table, COUNT(status_table), node, &fields);
    if (fields.amber >= fields.green)
        reader_problem(&in->reader, node, "'amber' must begin below 'green': %g is not below %g",
                       fields.amber, fields.green);
    in->card->green_from = fields.green;
    in->card->amber_from = fields.amber;
}

static void open_zone(struct card_reader *in, const struct yaml_node *root, const char *name)
{
    poise_error err;
    if (name && zone_open(name, &in->card->zone, &err) != POISE_OK)
        reader_problem(&in->reader, yaml_get(root, "timezone"), "%s", err.text);
}

static void read_root(struct card_reader *in, const struct yaml_node *root)
{
    struct scorecard *card = in->card;
    struct part_fields fields = {.part = {.weight = 1}, .lock_after_ms = INT64_MAX, .keep_ms = INT64_MAX};
    settings_read(&in->reader, scorecard_table, COUNT(scorecard_table), root, &fields);
    card->fiscal_year_start = (int)fields.fiscal_year_start;
    card->period = (enum period_unit)fields.period;
    card->tick_ms = fields.tick_ms;
    whole_seconds(in, root, "tick", fields.tick_ms);
    card->grace_ms = fields.grace_ms;
    card->lock_after_ms = fields.lock_after_ms;
    card->keep_ms = fields.keep_ms;
    lock_after_grace(in, root, fields.grace_ms, fields.lock_after_ms);
    keep_after_lock(in, root, fields.lock_after_ms, fields.keep_ms);
    card->green_from = 200.0 / 3;
    card->amber_from = 100.0 / 3;
    open_zone(in, root, fields.zone);
    if (fields.status)
        read_status(in, fields.status);
    uint32_t at = add_node(in, POISE_SCORECARD, NODE_NONE, &fields.part);
    if (at == NODE_NONE)
        return;
    card->id = card->nodes[at].id;
    card->name = card->nodes[at].name;
    card->nodes[at].rollup = (struct rollup){.min_coverage = fields.min_coverage};
    if (fields.rollup)
        read_rollup(in, fields.rollup, &card->nodes[at].rollup);
    if (fields.children)
        read_children(in, at, fields.children);
    if (!in->unnamed)
        drives_check(in);
    formulas_read(in);
    order_make(in);
}

static size_t count_nodes(const struct yaml_node *mapping, poise_kind kind)
{
    size_t count = 1;
    const struct yaml_node *list = kind < POISE_MEASURE ? yaml_get(mapping, tiers[kind].children) : NULL;
    for (const struct yaml_node *item = list ? list->first : NULL; item; item = item->next)
        count += count_nodes(item, (poise_kind)(kind + 1));
    return count;
}

static void read_tree(struct card_reader *in, const struct yaml_node *root)
{
    size_t count = count_nodes(root, POISE_SCORECARD);
    if (count > SCORECARD_NODES_MAX) {
        reader_problem(&in->reader, NULL, "the scorecard has %zu nodes; at most %d are allowed", count,
                       SCORECARD_NODES_MAX);
        return;
    }
    in->capacity = (uint32_t)count;
    in->card->nodes = take(in, in->reader.arena, count, sizeof *in->card->nodes);
    in->others = take(in, &in->scratch, count, sizeof *in->others);
    if (in->card->nodes && in->others)
        read_root(in, root);
}

static struct scorecard *new_card(const char *bytes, size_t length)
{
    struct arena *arena = calloc(1, sizeof *arena);
    if (!arena)
        return NULL;
    arena_init(arena, CARD_ARENA_MAX);
    struct scorecard *card = arena_zalloc(arena, 1, sizeof *card);
    if (!card) {
        free(arena);
        return NULL;
    }
    card->arena = arena;
    card->text = arena_strndup(arena, bytes, length);
    card->text_length = length;
    if (!card->text) {
        scorecard_free(card);
        return NULL;
    }
    return card;
}

static uint64_t hash_card(const struct scorecard *card, const char *bytes, size_t length)
{
    const char *version = zone_data_version(card->zone);
    return hash64(bytes, length, hash64(version, strlen(version), 0));
}

poise_code scorecard_read_bytes(const char *name, const char *bytes, size_t length,
                                struct scorecard **ret_card, struct problems *problems)
{
    size_t before = problems->count;
    struct yaml_tree *tree;
    poise_code code = yaml_read_bytes(name, bytes, length, &tree, problems);
    if (!tree)
        return code;
    struct scorecard *card = new_card(bytes, length);
    if (card) {
        struct card_reader in = {
            .reader = {.tree = tree, .problems = problems, .arena = card->arena, .is_later = is_later},
            .card = card,
        };
        if (yaml_root(tree))
            read_tree(&in, yaml_root(tree));
        else if (problems->count == before) /* else it has something, and is told what is wrong with it */
            reader_problem(&in.reader, NULL, "the file is empty: it must hold a scorecard");
        hmap_free(&in.ids);
        arena_free(&in.scratch);
    }
    yaml_tree_free(tree);
    if (!card || problems->count != before) {
        scorecard_free(card);
        return card ? POISE_ECONFIG : POISE_ENOMEM;
    }
    card->hash = hash_card(card, bytes, length);
    *ret_card = card;
    return POISE_OK;
}

poise_code scorecard_read_file(const char *path, struct scorecard **ret_card, struct problems *problems)
{
    struct buf text = {0};
    poise_code code = yaml_load(path, &text, problems);
    if (code == POISE_OK)
        code = scorecard_read_bytes(path, (const char *)text.data, text.length, ret_card, problems);
    buf_free(&text);
    return code;
}

void scorecard_document(FILE *out)
{
    for (size_t i = 0; i < COUNT(tiers); i++) {
        fprintf(out, "%s### %s\n\n", i == 0 ? "" : "\n", tiers[i].title);
        settings_document(tiers[i].table, tiers[i].count, out);
    }
    measure_document(out);
    forms_document(out);
}
