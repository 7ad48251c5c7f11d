#include <base/error.h>
#include <collector/mapping_parts.h>
#include <model/org.h>
#include <stdlib.h>
#include <string.h>

struct rule_settings {
    const char *measure;
    const struct yaml_node *time, *value, *of, *org, *source, *key, *seq, *retract, *when;
};
const struct setting mapping_rule_settings[] = {
    {.name = "measure",
     .type = SETTING_ID,
     .offset = offsetof(struct rule_settings, measure),
     .required = true,
     .text = "The input that the measurement feeds."},
    {.name = "value",
     .type = SETTING_NODE,
     .offset = offsetof(struct rule_settings, value),
     .required = true,
     .unit = "a number, or a mapping as below",
     .text = "What was measured."},
    {.name = "of",
     .type = SETTING_NODE,
     .offset = offsetof(struct rule_settings, of),
     .unit = "a number, or a mapping as below",
     .text = "Denominator or weight; 1 if left out."},
    {.name = "time",
     .type = SETTING_NODE,
     .offset = offsetof(struct rule_settings, time),
     .unit = "a mapping as below",
     .text = "When it happened."},
    {.name = "org",
     .type = SETTING_NODE,
     .offset = offsetof(struct rule_settings, org),
     .unit = "template",
     .text = "To which part of the organisation it belongs, `shop/{Resource}`; the whole if left out."},
    {.name = "source",
     .type = SETTING_NODE,
     .offset = offsetof(struct rule_settings, source),
     .unit = "template",
     .text = "Who says so; keys of different sources are unrelated."},
    {.name = "key",
     .type = SETTING_NODE,
     .offset = offsetof(struct rule_settings, key),
     .unit = "template",
     .text = "Replaces what the same measure, source and key said before; without it each row is added."},
    {.name = "seq",
     .type = SETTING_NODE,
     .offset = offsetof(struct rule_settings, seq),
     .unit = "name of a column",
     .text = "A whole number from 0: of two with one key the higher stands. One more is sent, since 0 says "
             "nothing there."},
    {.name = "retract",
     .type = SETTING_NODE,
     .offset = offsetof(struct rule_settings, retract),
     .unit = "conditions",
     .text = "Where all hold, the row takes away what its key said."},
    {.name = "when",
     .type = SETTING_NODE,
     .offset = offsetof(struct rule_settings, when),
     .unit = "conditions",
     .text = "Only where all hold, and those of the source, there is a measurement."},
};
const size_t mapping_rule_setting_count = sizeof mapping_rule_settings / sizeof *mapping_rule_settings;

/* Whether an org is right can be seen before any row, with something in the place of each column. */
static void check_org(struct maker *maker, const struct yaml_node *node, const struct template *template)
{
    char sample[2 * POISE_ORG_MAX];
    size_t length = 0;
    for (size_t i = 0; i < template->count; i++) {
        const struct template_part *part = &template->parts[i];
        const char *text = part->text ? part->text : "x";
        size_t more = part->text ? part->length : 1;
        if (length + more >= sizeof sample) {
            break;
        }
        memcpy(sample + length, text, more);
        length += more;
    }
    if (!org_valid(sample, length)) {
        reader_problem(
            maker->reader, node,
            "'%s' is no path of an org: segments joined by '/', none empty or with blanks at its ends, at "
            "most %d bytes and %d segments",
            node->text, POISE_ORG_MAX, ORG_DEPTH_MAX);
    }
}

/* The names of a rule; those that are not given stay as they are. */
static void read_names(struct maker *maker, const struct rule_settings *settings, struct rule *rule)
{
    const char *column;
    if (settings->org && make_template(maker, settings->org, &rule->org)) {
        check_org(maker, settings->org, &rule->org);
    }
    if (settings->source) {
        make_template(maker, settings->source, &rule->source);
    }
    if (settings->key && make_template(maker, settings->key, &rule->key) && rule->key.count == 0) {
        reader_problem(maker->reader, settings->key, "'key' is empty; leave it out where rows have none");
    }
    if (settings->seq && setting_text(maker->reader, settings->seq, &column)) {
        make_slot(maker, settings->seq, column, &rule->seq);
    }
}

static void read_retract(struct maker *maker, const struct yaml_node *node, bool keyed, struct rule *rule)
{
    rule->retracts = make_conditions(maker, node, &rule->retract);
    if (!keyed) {
        reader_problem(maker->reader, node, "'retract' needs a 'key' that says what is taken away");
    }
}

/* `rule` holds what the source says for all; `timed`: it has tried to say a time. */
static void read_rule(struct maker *maker, const struct yaml_node *node, bool timed, bool keyed,
                      struct rule *rule)
{
    struct rule_settings own = {0};
    settings_read(maker->reader, mapping_rule_settings, mapping_rule_setting_count, node, &own);
    rule->measure = own.measure;
    rule->of = (struct number){.kind = NUMBER_CONSTANT, .constant = 1};
    read_names(maker, &own, rule);
    if (own.time) {
        make_moment(maker, own.time, &rule->time);
    } else if (!timed) {
        reader_problem(maker->reader, node, "the key 'time' is missing, here or for the whole source");
    }
    if (own.value) {
        make_number(maker, own.value, &rule->time, &rule->value);
    }
    if (own.of) {
        make_number(maker, own.of, &rule->time, &rule->of);
    }
    if (own.retract) {
        read_retract(maker, own.retract, keyed || own.key, rule);
    }
    if (own.when) {
        make_conditions(maker, own.when, &rule->when);
    }
}

/* What the source says for all its measurements. */
static struct rule read_common(struct maker *maker, const struct mapping_settings *settings)
{
    struct rule common = {.seq = COLUMN_NONE};
    struct rule_settings names = {
        .org = settings->org, .source = settings->source, .key = settings->key, .seq = settings->seq};
    read_names(maker, &names, &common);
    if (settings->time) {
        make_moment(maker, settings->time, &common.time);
    }
    if (settings->when) {
        make_conditions(maker, settings->when, &maker->mapping->when);
    }
    return common;
}

static bool is_list(struct reader *reader, const struct yaml_node *node)
{
    if (node->kind == YAML_SEQUENCE && node->count > 0 && node->count <= MAPPING_RULES_MAX) {
        return true;
    }
    reader_problem(reader, node,
                   "'measurements' must be a list of 1 to %d mappings, each with 'measure' and 'value'",
                   MAPPING_RULES_MAX);
    return false;
}

struct mapping *mapping_read(struct reader *reader, const struct yaml_node *where,
                             const struct mapping_settings *settings)
{
    struct mapping *mapping = calloc(1, sizeof *mapping);
    if (!mapping) {
        reader_problem(reader, where, "out of memory");
        return NULL;
    }
    struct maker maker = {.reader = reader, .mapping = mapping};
    mapping->missing = settings->missing;
    struct rule common = read_common(&maker, settings);
    const struct yaml_node *list = settings->measurements;
    if (!list || !is_list(reader, list)) {
        return mapping;
    }
    mapping->rules = arena_zalloc(reader->arena, list->count, sizeof *mapping->rules);
    if (!mapping->rules) {
        reader_problem(reader, list, "out of memory: the file says too much");
        return mapping;
    }
    for (const struct yaml_node *item = list->first; item; item = item->next) {
        struct rule *rule = &mapping->rules[mapping->rule_count++];
        *rule = common;
        read_rule(&maker, item, settings->time, settings->key, rule);
    }
    return mapping;
}

void mapping_free(struct mapping *mapping)
{
    if (mapping) {
        for (size_t i = 0; i < mapping->zone_count; i++) {
            zone_close(mapping->zones[i]);
        }
        free(mapping);
    }
}
