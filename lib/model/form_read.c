/* `score`: one form, or a list of forms with dates and orgs (scoring.md section 3). */
#include <base/text.h>
#include <model/org.h>
#include <model/read.h>
#include <string.h>

enum { FORMS_MAX = 1000, DAY_MS = 86400000 };

struct form_fields {
    const struct yaml_node *kinds[FORM_MILESTONE + 1];
    const struct yaml_node *from;
    struct texts orgs;
};
#define KIND(word, number, holds, words)                                                                     \
    {                                                                                                        \
        .name = word, .type = SETTING_NODE, .offset = offsetof(struct form_fields, kinds[number]),           \
        .unit = holds, .text = words                                                                         \
    }
static const struct setting form_table[] = {
    KIND("linear", FORM_LINEAR, "`{from, to}`", "a straight line from 0 to 100"),
    KIND("goal_red", FORM_GOAL_RED, "`{goal, red}`", "a straight line through the two thresholds"),
    KIND("band", FORM_BAND, "`{low_zero, low, high, high_zero}`", "100 inside, falling to 0 outside"),
    KIND("step", FORM_STEP, "`{below, steps}`", "a staircase"),
    KIND("levels", FORM_LEVELS, "list of `{name, value, score}`", "values that stand for words"),
    KIND("binary", FORM_BINARY, "`{}`", "100 where the value is not 0"),
    KIND("milestone", FORM_MILESTONE, "`{planned}`", "the share of what is planned by then"),
    {.name = "from",
     .type = SETTING_NODE,
     .offset = offsetof(struct form_fields, from),
     .unit = "date such as `2026-04-01`",
     .text = "in force from this midnight in the scorecard's zone; without it always"},
    {.name = "orgs",
     .type = SETTING_TEXTS,
     .offset = offsetof(struct form_fields, orgs),
     .text = "for these orgs; without it for all"},
};

void globs_read(struct card_reader *in, const struct yaml_node *node, const struct texts *texts,
                struct globs *ret_globs)
{
    if (!node || !texts->items)
        return;
    if (texts->count == 0)
        reader_problem(&in->reader, node, "'orgs' is empty: give at least one pattern, or leave it out");
    const struct yaml_node *item = node->kind == YAML_SCALAR ? node : node->first;
    for (size_t i = 0; i < texts->count; i++, item = item->next)
        if (!glob_valid(texts->items[i]))
            reader_problem(
                &in->reader, item,
                "'%.60s' is no pattern of orgs: write '' for the root, or segments joined by / such as "
                "plant-1/line-3, plant-*/line-3 or plant-1/**",
                texts->items[i]);
    *ret_globs = (struct globs){.items = texts->items, .count = texts->count};
}

bool date_read(struct card_reader *in, const struct yaml_node *node, int64_t *ret_ms)
{
    char text[sizeof "2026-04-01T00:00:00Z"];
    int64_t utc_ms;
    bool fine = node->kind == YAML_SCALAR && node->length == strlen("2026-04-01");
    if (fine) {
        snprintf(text, sizeof text, "%sT00:00:00Z", node->text);
        fine = parse_time_ms(text, strlen(text), &utc_ms) && utc_ms >= TIME_MIN_MS && utc_ms < TIME_MAX_MS;
    }
    if (!fine) {
        reader_problem(&in->reader, node,
                       "%s must be a date from 1900-01-01 to 2199-12-31, such as 2026-04-01",
                       label_of(node).text);
        return false;
    }
    *ret_ms =
        in->card->zone ? zone_midnight_ms(in->card->zone, utc_ms / DAY_MS - (utc_ms % DAY_MS < 0)) : utc_ms;
    return true;
}

static struct form read_form(struct card_reader *in, const struct yaml_node *node)
{
    struct form form = {.from_ms = INT64_MIN};
    struct form_fields fields = {0};
    settings_read(&in->reader, form_table, COUNT(form_table), node, &fields);
    if (node->kind != YAML_MAPPING)
        return form;
    size_t kinds = 0;
    for (size_t kind = 0; kind < COUNT(fields.kinds); kind++)
        if (fields.kinds[kind] && kinds++ == 0) {
            form.kind = (enum form_kind)kind;
            shape_read(in, fields.kinds[kind], &form);
        }
    if (kinds != 1)
        reader_problem(
            &in->reader, node,
            "a score needs exactly one of linear, goal_red, band, step, levels, binary or milestone");
    if (fields.from)
        date_read(in, fields.from, &form.from_ms);
    globs_read(in, yaml_get(node, "orgs"), &fields.orgs, &form.orgs);
    return form;
}

/* Before those of the same or an earlier date: the first that fits is the one that counts. */
static void insert_form(struct measure *measure, struct form form)
{
    size_t at = 0;
    while (at < measure->form_count && measure->forms[at].from_ms > form.from_ms)
        at++;
    memmove(measure->forms + at + 1, measure->forms + at, (measure->form_count - at) * sizeof form);
    measure->forms[at] = form;
    measure->form_count++;
}

void forms_read(struct card_reader *in, const struct yaml_node *score, struct measure *measure)
{
    bool list = score->kind == YAML_SEQUENCE;
    size_t count = list ? score->count : 1;
    if (count == 0 || count > FORMS_MAX) {
        reader_problem(&in->reader, score, "'score' must have 1 to %d forms, not %zu", FORMS_MAX, count);
        return;
    }
    measure->forms = take(in, in->reader.arena, count, sizeof *measure->forms);
    if (!measure->forms)
        return;
    for (const struct yaml_node *form = list ? score->first : score; form; form = list ? form->next : NULL)
        insert_form(measure, read_form(in, form));
}

void forms_document(FILE *out)
{
    fprintf(out, "\n### score\n\n");
    settings_document(form_table, COUNT(form_table), out);
    shapes_document(out);
}
