#include <base/arena.h>
#include <base/buf.h>
#include <base/error.h>
#include <base/file.h>
#include <config/yaml.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

enum {
    TEXT_MAX = 4 << 20,
    DEPTH_MAX = 32,
    NODES_MAX = 200000,
    KEYS_MAX = 1000, /* of one mapping; also keeps the search for duplicates short */
    ARENA_MAX = 64 << 20
};

/* There can be one file only of some kinds. */
#define SHORTEN                                                                                              \
    "take out what nobody uses, put globs in place of lists, or split it where there may be several"

struct yaml_tree {
    struct arena arena;
    const char *name;
    struct yaml_node *root;
};

/* A mapping or sequence that is being filled. */
struct frame {
    struct yaml_node *node, *last;
    struct yaml_node *key; /* the key that waits for its value */
    bool drop;             /* its key was refused: the value goes too */
};

struct builder {
    struct yaml_tree *tree;
    struct problems *problems;
    struct frame frames[DEPTH_MAX];
    size_t depth, nodes, documents;
    bool unusable;   /* the tree misses parts whose absence would look like further mistakes */
    poise_code code; /* ENOMEM */
};

static void problem_at(struct builder *builder, yaml_mark_t mark, const char *text)
{
    problems_add(builder->problems, builder->tree->name, (int)mark.line + 1, (int)mark.column + 1, "%s",
                 text);
}

static struct yaml_node *new_node(struct builder *builder, enum yaml_kind kind, yaml_mark_t mark)
{
    struct yaml_node *node = arena_zalloc(&builder->tree->arena, 1, sizeof *node);
    if (!node) {
        builder->code = POISE_ENOMEM;
        return NULL;
    }
    node->kind = kind;
    node->line = (int)mark.line + 1;
    node->column = (int)mark.column + 1;
    node->text = "";
    if (++builder->nodes > NODES_MAX) {
        problem_at(builder, mark, "the file has more than 200,000 values: " SHORTEN);
        builder->unusable = true;
        return NULL;
    }
    return node;
}

static void take_key(struct builder *builder, struct frame *frame, struct yaml_node *key, yaml_mark_t mark)
{
    frame->drop = true;
    if (key->kind != YAML_SCALAR) {
        problem_at(builder, mark, "a key must be a plain word, not a list or a mapping");
        return;
    }
    const struct yaml_node *other = yaml_get(frame->node, key->text);
    if (other) {
        problems_add(builder->problems, builder->tree->name, key->line, key->column,
                     "duplicate key '%.60s': it stands in line %d already; keep one of them", key->text,
                     other->key->line);
        return;
    }
    if (frame->node->count == KEYS_MAX) {
        problem_at(builder, mark, "a mapping may have at most 1000 keys");
        return;
    }
    frame->drop = false;
    frame->key = key;
}

/* Hangs a node where the reading stands; `keep` false: only counts it as read. */
static void attach(struct builder *builder, struct yaml_node *node, bool keep, yaml_mark_t mark)
{
    if (builder->depth == 0) {
        builder->tree->root = keep ? node : NULL;
        return;
    }
    struct frame *frame = &builder->frames[builder->depth - 1];
    if (frame->node->kind == YAML_MAPPING && !frame->key && !frame->drop) {
        if (keep)
            take_key(builder, frame, node, mark);
        else
            frame->drop = true;
        return;
    }
    node->key = frame->key;
    frame->key = NULL;
    keep = keep && !frame->drop;
    frame->drop = false;
    if (!keep)
        return;
    if (frame->last)
        frame->last->next = node;
    else
        frame->node->first = node;
    frame->last = node;
    frame->node->count++;
}

static void refuse_marks(struct builder *builder, const yaml_event_t *event, const yaml_char_t *anchor,
                         const yaml_char_t *tag)
{
    if (anchor)
        problem_at(builder, event->start_mark, "anchors (&name) are not allowed: write the values out");
    if (tag)
        problem_at(builder, event->start_mark, "tags (!name) are not allowed: leave it out");
}

static void on_scalar(struct builder *builder, const yaml_event_t *event)
{
    refuse_marks(builder, event, event->data.scalar.anchor, event->data.scalar.tag);
    struct yaml_node *node = new_node(builder, YAML_SCALAR, event->start_mark);
    if (!node)
        return;
    const char *text = (const char *)event->data.scalar.value;
    node->length = event->data.scalar.length;
    node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    bool whole = memchr(text, 0, node->length) == NULL;
    if (!whole)
        problem_at(builder, event->start_mark, "a text may not hold a zero character");
    node->text = arena_strndup(&builder->tree->arena, text, node->length);
    if (!node->text)
        builder->code = POISE_ENOMEM;
    else
        attach(builder, node, whole, event->start_mark);
}

static void on_start(struct builder *builder, const yaml_event_t *event, enum yaml_kind kind)
{
    struct yaml_node *node = new_node(builder, kind, event->start_mark);
    if (!node)
        return;
    if (builder->depth == DEPTH_MAX) {
        problem_at(builder, event->start_mark, "the values are nested more than 32 deep");
        builder->unusable = true;
        return;
    }
    attach(builder, node, true, event->start_mark);
    builder->frames[builder->depth++] = (struct frame){.node = node};
}

static void on_alias(struct builder *builder, const yaml_event_t *event)
{
    problem_at(builder, event->start_mark, "aliases (*name) are not allowed: write the value out");
    struct yaml_node *node = new_node(builder, YAML_SCALAR, event->start_mark);
    if (node)
        attach(builder, node, false, event->start_mark);
}

static void on_event(struct builder *builder, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (++builder->documents == 2) {
            problem_at(builder, event->start_mark, "a file holds one document: take out the second '---'");
            builder->unusable = true;
        }
        break;
    case YAML_ALIAS_EVENT:
        on_alias(builder, event);
        break;
    case YAML_SCALAR_EVENT:
        on_scalar(builder, event);
        break;
    case YAML_SEQUENCE_START_EVENT:
        refuse_marks(builder, event, event->data.sequence_start.anchor, event->data.sequence_start.tag);
        on_start(builder, event, YAML_SEQUENCE);
        break;
    case YAML_MAPPING_START_EVENT:
        refuse_marks(builder, event, event->data.mapping_start.anchor, event->data.mapping_start.tag);
        on_start(builder, event, YAML_MAPPING);
        break;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        builder->depth--;
        break;
    default:
        break;
    }
}

/* Where a byte stands; for errors below the level of characters, which libyaml gives no mark. */
static yaml_mark_t mark_of_byte(const char *bytes, size_t at)
{
    yaml_mark_t mark = {.index = at};
    for (size_t i = 0; i < at; i++) {
        mark.column = bytes[i] == '\n' ? 0 : mark.column + 1;
        mark.line += bytes[i] == '\n';
    }
    return mark;
}

static void syntax_problem(struct builder *builder, const yaml_parser_t *parser, const char *bytes,
                           size_t length)
{
    builder->unusable = true;
    if (parser->error == YAML_MEMORY_ERROR) {
        builder->code = POISE_ENOMEM;
        return;
    }
    if (parser->error == YAML_READER_ERROR) {
        size_t at = parser->problem_offset < length ? parser->problem_offset : length;
        problem_at(builder, mark_of_byte(bytes, at), "this is not readable text: save the file as UTF-8");
        return;
    }
    const char *hint = "";
    if (strstr(parser->problem, "cannot start any token"))
        hint = "; indent with blanks, not tabs, and quote a text that starts with a special character";
    else if (strstr(parser->problem, "mapping values are not allowed"))
        hint = "; quote a text that holds ': ', and check the indentation";
    problems_add(builder->problems, builder->tree->name, (int)parser->problem_mark.line + 1,
                 (int)parser->problem_mark.column + 1, "this is not YAML: %s%s%s%s", parser->problem,
                 parser->context ? " " : "", parser->context ? parser->context : "", hint);
}

static void parse(struct builder *builder, const char *bytes, size_t length)
{
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser)) {
        builder->code = POISE_ENOMEM;
        return;
    }
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)bytes, length);
    for (bool end = false; !end && !builder->unusable && builder->code == POISE_OK;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event)) {
            syntax_problem(builder, &parser, bytes, length);
            break;
        }
        on_event(builder, &event);
        end = event.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
}

static poise_code too_large(const char *name, struct problems *problems)
{
    problems_add(problems, name, 0, 0, "the file is larger than 4 MiB: " SHORTEN);
    return POISE_ECONFIG;
}

poise_code yaml_read_bytes(const char *name, const char *bytes, size_t length, struct yaml_tree **ret_tree,
                           struct problems *problems)
{
    *ret_tree = NULL;
    if (length > TEXT_MAX)
        return too_large(name, problems);
    struct yaml_tree *tree = calloc(1, sizeof *tree);
    if (!tree)
        return POISE_ENOMEM;
    arena_init(&tree->arena, ARENA_MAX);
    tree->name = arena_strndup(&tree->arena, name, strlen(name));
    if (!tree->name) {
        yaml_tree_free(tree);
        return POISE_ENOMEM;
    }
    if (length >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0) { /* as editors on Windows write it */
        bytes += 3;
        length -= 3;
    }
    size_t before = problems->count;
    struct builder builder = {.tree = tree, .problems = problems};
    parse(&builder, bytes, length);
    if (builder.unusable || builder.code != POISE_OK)
        yaml_tree_free(tree);
    else
        *ret_tree = tree;
    if (builder.code != POISE_OK)
        return builder.code;
    return problems->count == before ? POISE_OK : POISE_ECONFIG;
}

poise_code yaml_load(const char *path, struct buf *out, struct problems *problems)
{
    poise_error err;
    poise_code code = file_read(path, TEXT_MAX, out, &err);
    if (code == POISE_ELIMIT)
        return too_large(path, problems);
    if (code != POISE_OK && code != POISE_ENOMEM)
        problems_add(problems, path, 0, 0, "%s", err.text);
    return code;
}

poise_code yaml_read_file(const char *path, struct yaml_tree **ret_tree, struct problems *problems)
{
    *ret_tree = NULL;
    struct buf text = {0};
    poise_code code = yaml_load(path, &text, problems);
    if (code == POISE_OK)
        code = yaml_read_bytes(path, (const char *)text.data, text.length, ret_tree, problems);
    buf_free(&text);
    return code;
}

void yaml_tree_free(struct yaml_tree *tree)
{
    if (!tree)
        return;
    arena_free(&tree->arena);
    free(tree);
}

const struct yaml_node *yaml_root(const struct yaml_tree *tree)
{
    return tree->root;
}

const char *yaml_name(const struct yaml_tree *tree)
{
    return tree->name;
}

const struct yaml_node *yaml_get(const struct yaml_node *mapping, const char *key)
{
    if (!mapping || mapping->kind != YAML_MAPPING)
        return NULL;
    for (const struct yaml_node *child = mapping->first; child; child = child->next)
        if (strcmp(child->key->text, key) == 0)
            return child;
    return NULL;
}

bool yaml_is_null(const struct yaml_node *node)
{
    return node->kind == YAML_SCALAR && !node->quoted &&
           (node->length == 0 || strcmp(node->text, "~") == 0 || strcmp(node->text, "null") == 0);
}
