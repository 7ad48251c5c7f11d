/* Formulas: text to postfix steps (scoring.md section 2).
 *   sum:     product { (+|-) product }
 *   product: factor { (*|/) factor }
 *   factor:  { - } ( number | id | "(" sum ")" )
 * An id is the longest run of its characters, and `-` and `.` are among them: what reads as a number is one,
 * and a minus stands between blanks. */
#include <base/text.h>
#include <model/measurement.h>
#include <model/read.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The nearest id is looked for so many times a file: it costs a look at all of them. */
enum { NEAREST_MAX = 20 };

/* The measures that a formula may name. */
struct leaves {
    struct hmap index;   /* of struct node */
    const char **ids;    /* ended by NULL */
    size_t nearest_left; /* searches */
};

enum token_kind {
    TOKEN_END,
    TOKEN_WORD, /* an id or a number */
    TOKEN_PLUS,
    TOKEN_MINUS,
    TOKEN_TIMES,
    TOKEN_OVER,
    TOKEN_OPEN,
    TOKEN_CLOSE,
    TOKEN_UNKNOWN
};
struct token {
    enum token_kind kind;
    const char *text; /* in that of the formula */
    size_t length;
};

struct parser {
    struct card_reader *in;
    struct leaves *leaves;
    const struct yaml_node *node; /* of the file, for problems */
    const char *text;
    struct token token; /* the next one; after a syntax error always the end */
    bool failed;
    struct formula_step steps[FORMULA_STEPS_MAX];
    size_t count, depth; /* steps, and values on the stack behind them */
};

static bool is_id_char(char c)
{
    return id_valid(&c, 1);
}

/* Reads the token behind the present one. */
static void advance(struct parser *parser)
{
    static const char signs[] = "+-*/()"; /* in the order of the tokens */
    const char *at = parser->token.text + parser->token.length;
    at += strspn(at, " ");
    struct token token = {.kind = TOKEN_END, .text = at};
    while (is_id_char(at[token.length]))
        token.length++;
    const char *sign = *at && token.length <= 1 ? strchr(signs, *at) : NULL;
    if (sign) {
        token.kind = (enum token_kind)(TOKEN_PLUS + (sign - signs));
        token.length = 1;
    } else if (token.length > 0) {
        token.kind = TOKEN_WORD;
    } else if (*at) {
        token.kind = TOKEN_UNKNOWN;
        token.length = utf8_prefix(at, 1);
    }
    parser->token = token;
}

/* A problem at a token, unless there is a syntax error already. Characters are counted from 1; all before are
 * ASCII, for what is not is a syntax error. */
__attribute__((format(printf, 3, 4))) static void complain(struct parser *parser, const struct token *token,
                                                           const char *format, ...)
{
    if (parser->failed)
        return;
    char text[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    reader_problem(&parser->in->reader, parser->node, "%s, character %zu: %s", label_of(parser->node).text,
                   (size_t)(token->text - parser->text) + 1, text);
}

/* Behind a syntax error nothing is read: what follows sees the end. */
static void give_up(struct parser *parser)
{
    parser->failed = true;
    parser->token = (struct token){.kind = TOKEN_END, .text = ""};
}

static int shown(const struct token *token)
{
    return token->length < POISE_ID_MAX ? (int)token->length : POISE_ID_MAX;
}

static void emit(struct parser *parser, struct formula_step step)
{
    if (parser->failed)
        return;
    if (step.op == FORMULA_NUMBER || step.op == FORMULA_LEAF)
        parser->depth++;
    else if (step.op != FORMULA_NEGATE)
        parser->depth--;
    bool too_long = parser->count == FORMULA_STEPS_MAX, too_deep = parser->depth > FORMULA_DEPTH_MAX;
    if (too_long)
        complain(
            parser, &parser->token,
            "a formula has at most %d ids, numbers and operators: make a part of it a measure of weight 0",
            FORMULA_STEPS_MAX);
    else if (too_deep)
        complain(parser, &parser->token, "more than %d values wait for their operator here: nest it less",
                 FORMULA_DEPTH_MAX);
    if (too_long || too_deep)
        give_up(parser);
    else
        parser->steps[parser->count++] = step;
}

static void unexpected(struct parser *parser, const char *wanted)
{
    const struct token *token = &parser->token;
    if (token->kind == TOKEN_END)
        complain(parser, token, "%s must follow where the formula ends", wanted);
    else if (token->kind == TOKEN_UNKNOWN)
        complain(parser, token, "'%.*s' means nothing here: a formula has ids, numbers, + - * / ( and )",
                 shown(token), token->text);
    else
        complain(parser, token, "%s must stand before '%.*s'%s", wanted, shown(token), token->text,
                 strchr(parser->text, '-') ? "; a minus needs blanks around it" : "");
    give_up(parser);
}

static bool has_id(const void *entry, const void *key)
{
    const struct node *node = entry;
    const struct token *token = key;
    return strlen(node->id) == token->length && memcmp(node->id, token->text, token->length) == 0;
}

static const struct node *find_leaf(const struct parser *parser, const struct token *word)
{
    return hmap_get(&parser->leaves->index, hash64(word->text, word->length, 0), has_id, word);
}

/* "sold-returned", "-sold", "1-sold": probably meant as a minus. */
static bool lacks_blanks(const struct parser *parser, const struct token *word)
{
    const char *minus = memchr(word->text, '-', word->length);
    struct token left = {.text = word->text, .length = minus ? (size_t)(minus - word->text) : 0};
    double number;
    return minus &&
           (left.length == 0 || find_leaf(parser, &left) || parse_double(left.text, left.length, &number));
}

static const char *nearest_leaf(struct parser *parser, const struct token *word)
{
    if (word->length > POISE_ID_MAX || parser->leaves->nearest_left == 0)
        return NULL;
    parser->leaves->nearest_left--;
    char text[POISE_ID_MAX + 1];
    snprintf(text, sizeof text, "%.*s", shown(word), word->text);
    return nearest_word(text, parser->leaves->ids);
}

static void unknown_leaf(struct parser *parser, const struct token *word)
{
    bool digit = *word->text >= '0' && *word->text <= '9';
    if (lacks_blanks(parser, word)) {
        complain(parser, word, "there is no measure '%.*s'; a minus needs blanks around it", shown(word),
                 word->text);
    } else if (digit) {
        complain(parser, word, "'%.*s' is neither a number up to 1e+100 nor the id of a measure", shown(word),
                 word->text);
    } else {
        const char *near = nearest_leaf(parser, word);
        complain(parser, word, "there is no measure '%.*s'%s%s%s", shown(word), word->text,
                 near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    }
}

static void parse_word(struct parser *parser)
{
    const struct token *token = &parser->token;
    double number;
    if (parse_double(token->text, token->length, &number)) {
        if (!number_valid(number))
            complain(parser, token, "a number must be 0 or between 1e-100 and 1e+100 in size, not %.*s",
                     shown(token), token->text);
        emit(parser, (struct formula_step){.op = FORMULA_NUMBER, .number = number == 0 ? 0 : number});
    } else {
        const struct node *leaf = find_leaf(parser, token);
        if (!leaf && !parser->in->unnamed_measure)
            unknown_leaf(parser, token);
        uint32_t at = leaf ? (uint32_t)(leaf - parser->in->card->nodes) : NODE_NONE;
        emit(parser, (struct formula_step){.op = FORMULA_LEAF, .node = at});
    }
    advance(parser);
}

static void parse_sum(struct parser *parser, int level);

static void parse_group(struct parser *parser, int level)
{
    struct token open = parser->token;
    if (level == FORMULA_DEPTH_MAX) {
        complain(parser, &open, "parentheses are nested more than %d deep", FORMULA_DEPTH_MAX);
        give_up(parser);
    }
    advance(parser);
    parse_sum(parser, level + 1);
    if (parser->token.kind == TOKEN_CLOSE) {
        advance(parser);
    } else if (parser->token.kind == TOKEN_END) {
        complain(parser, &open, "this '(' is not closed: add its ')'");
        give_up(parser);
    } else {
        unexpected(parser, "+, -, *, / or ')'");
    }
}

static void parse_factor(struct parser *parser, int level)
{
    bool negative = false;
    for (; parser->token.kind == TOKEN_MINUS; advance(parser))
        negative = !negative;
    if (parser->token.kind == TOKEN_OPEN)
        parse_group(parser, level);
    else if (parser->token.kind == TOKEN_WORD)
        parse_word(parser);
    else
        unexpected(parser, "an id, a number or '('");
    if (negative)
        emit(parser, (struct formula_step){.op = FORMULA_NEGATE});
}

static void parse_product(struct parser *parser, int level)
{
    parse_factor(parser, level);
    while (parser->token.kind == TOKEN_TIMES || parser->token.kind == TOKEN_OVER) {
        bool times = parser->token.kind == TOKEN_TIMES;
        advance(parser);
        parse_factor(parser, level);
        emit(parser, (struct formula_step){.op = times ? FORMULA_MULTIPLY : FORMULA_DIVIDE});
    }
}

/* `level` parentheses are open. */
static void parse_sum(struct parser *parser, int level)
{
    parse_product(parser, level);
    while (parser->token.kind == TOKEN_PLUS || parser->token.kind == TOKEN_MINUS) {
        bool plus = parser->token.kind == TOKEN_PLUS;
        advance(parser);
        parse_product(parser, level);
        emit(parser, (struct formula_step){.op = plus ? FORMULA_ADD : FORMULA_SUBTRACT});
    }
}

static void read_formula(struct card_reader *in, struct leaves *leaves, const struct names_others *source)
{
    struct formula *formula = source->formula;
    struct parser parser = {
        .in = in,
        .leaves = leaves,
        .node = source->formula_node,
        .text = formula->text,
        .token = {.text = formula->text},
    };
    advance(&parser);
    parse_sum(&parser, 0);
    if (parser.token.kind == TOKEN_CLOSE)
        complain(&parser, &parser.token, "this ')' closes nothing: take it out");
    else if (parser.token.kind != TOKEN_END)
        unexpected(&parser, "+, -, * or /");
    if (parser.failed)
        return;
    formula->steps = take(in, in->reader.arena, parser.count, sizeof *formula->steps);
    if (!formula->steps)
        return;
    memcpy(formula->steps, parser.steps, parser.count * sizeof *formula->steps);
    formula->count = parser.count;
}

/* False: out of memory; a problem was reported. */
static bool index_leaves(struct card_reader *in, struct leaves *leaves)
{
    leaves->ids = take(in, &in->scratch, (size_t)in->card->node_count + 1, sizeof *leaves->ids);
    size_t count = 0;
    for (uint32_t i = 0; leaves->ids && i < in->card->node_count; i++) {
        struct node *node = &in->card->nodes[i];
        struct token token = {.text = node->id, .length = strlen(node->id)};
        uint64_t hash = hash64(token.text, token.length, 0);
        if (node->kind != POISE_MEASURE || hmap_get(&leaves->index, hash, has_id, &token))
            continue;
        leaves->ids[count++] = node->id;
        if (!hmap_add(&leaves->index, hash, node)) {
            out_of_memory(in);
            return false;
        }
    }
    return leaves->ids;
}

void formulas_read(struct card_reader *in)
{
    struct leaves leaves = {.nearest_left = NEAREST_MAX};
    bool fine = index_leaves(in, &leaves);
    for (uint32_t i = 0; fine && i < in->card->node_count; i++)
        if (in->others[i].formula)
            read_formula(in, &leaves, &in->others[i]);
    hmap_free(&leaves.index);
}
