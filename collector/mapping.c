#include <base/error.h>
#include <base/text.h>
#include <collector/mapping_parts.h>
#include <model/measurement.h>
#include <string.h>

/* A record on its way through the rules. */
struct pass {
    const struct mapping *mapping;
    const struct csv_field *cells;
    struct arena *scratch;
    enum row_fault fault;
    poise_error *err;
};

static bool equals(struct csv_field cell, const char *text)
{
    return cell.length == strlen(text) && memcmp(cell.text, text, cell.length) == 0;
}

static bool among(struct csv_field cell, const struct texts *texts)
{
    for (size_t i = 0; i < texts->count; i++) {
        if (equals(cell, texts->items[i])) {
            return true;
        }
    }
    return false;
}

static bool present(const struct pass *pass, int slot)
{
    struct csv_field cell = pass->cells[slot];
    return cell.length > 0 && !among(cell, &pass->mapping->missing);
}

static bool holds(const struct pass *pass, const struct condition *condition)
{
    switch (condition->kind) {
    case CONDITION_IS:
        return among(pass->cells[condition->slot], &condition->texts);
    case CONDITION_NOT:
        return !among(pass->cells[condition->slot], &condition->texts);
    case CONDITION_PRESENT:
        return present(pass, condition->slot) == condition->present;
    }
    return false;
}

static bool all_hold(const struct pass *pass, const struct conditions *conditions)
{
    for (size_t i = 0; i < conditions->count; i++) {
        if (!holds(pass, &conditions->items[i])) {
            return false;
        }
    }
    return true;
}

/* The cell, which must hold something. */
static poise_code take_cell(struct pass *pass, int slot, struct csv_field *ret_cell)
{
    char cell[SHOWN_MAX];
    *ret_cell = pass->cells[slot];
    if (present(pass, slot)) {
        return POISE_OK;
    }
    pass->fault = FAULT_EMPTY;
    return error_set(pass->err, POISE_EREFUSED, "column '%s' is empty ('%s')",
                     pass->mapping->columns.names[slot], shown(ret_cell->text, ret_cell->length, cell));
}

/* "column 'Span': '6 h' is not WANTED FORM" */
static poise_code unreadable(struct pass *pass, int slot, enum row_fault fault, const char *wanted,
                             const char *form)
{
    char cell[SHOWN_MAX];
    struct csv_field field = pass->cells[slot];
    pass->fault = fault;
    return error_set(pass->err, POISE_EREFUSED, "column '%s': '%s' is not %s %s",
                     pass->mapping->columns.names[slot], shown(field.text, field.length, cell), wanted, form);
}

static poise_code read_moment(struct pass *pass, const struct moment *moment, int64_t *ret_time_ms)
{
    struct csv_field cell;
    poise_code code = take_cell(pass, moment->slot, &cell);
    if (code != POISE_OK || time_format_read(&moment->format, cell.text, cell.length, ret_time_ms)) {
        return code;
    }
    return unreadable(pass, moment->slot, FAULT_TIME, "a time of the form", moment->format.text);
}

static poise_code read_sum(struct pass *pass, const struct number *number, double *ret_value)
{
    double sum = 0;
    for (size_t i = 0; i < number->slot_count; i++) {
        struct csv_field cell;
        double value;
        poise_code code = take_cell(pass, number->slots[i], &cell);
        if (code != POISE_OK) {
            return code;
        }
        if (!parse_double(cell.text, cell.length, &value)) {
            return unreadable(pass, number->slots[i], FAULT_NUMBER, "a number", "such as 12 or -0.5");
        }
        sum += value;
    }
    *ret_value = sum;
    return POISE_OK;
}

static poise_code read_duration(struct pass *pass, const struct number *number, double *ret_value)
{
    struct csv_field cell;
    int64_t ms;
    poise_code code = take_cell(pass, number->slots[0], &cell);
    if (code != POISE_OK) {
        return code;
    }
    if (!duration_read(number->duration, cell.text, cell.length, &ms)) {
        return unreadable(pass, number->slots[0], FAULT_TIME, "a duration of the form",
                          duration_format_names[number->duration]);
    }
    *ret_value = (double)ms / number->unit_ms;
    return POISE_OK;
}

static poise_code read_word(struct pass *pass, const struct number *number, double *ret_value)
{
    struct csv_field cell;
    poise_code code = take_cell(pass, number->slots[0], &cell);
    if (code != POISE_OK) {
        return code;
    }
    for (size_t i = 0; i < number->word_count; i++) {
        if (equals(cell, number->words[i].text)) {
            *ret_value = number->words[i].value;
            return POISE_OK;
        }
    }
    return unreadable(pass, number->slots[0], FAULT_WORD, "one of its", "`values`");
}

static poise_code read_span(struct pass *pass, const struct number *number, double *ret_value)
{
    int64_t from_ms, to_ms;
    poise_code code = read_moment(pass, &number->from, &from_ms);
    if (code == POISE_OK) {
        code = read_moment(pass, &number->to, &to_ms);
    }
    if (code == POISE_OK) {
        *ret_value = ((double)to_ms - (double)from_ms) / number->unit_ms;
    }
    return code;
}

static poise_code read_number(struct pass *pass, const struct number *number, double *ret_value)
{
    switch (number->kind) {
    case NUMBER_CONSTANT:
        *ret_value = number->constant;
        return POISE_OK;
    case NUMBER_SUM:
        return read_sum(pass, number, ret_value);
    case NUMBER_DURATION:
        return read_duration(pass, number, ret_value);
    case NUMBER_WORD:
        return read_word(pass, number, ret_value);
    case NUMBER_SPAN:
        return read_span(pass, number, ret_value);
    }
    return POISE_EINVAL;
}

/* What a part of a template gives. */
static poise_code read_part(struct pass *pass, const struct template_part *part, struct csv_field *ret_text)
{
    if (part->text) {
        *ret_text = (struct csv_field){.text = part->text, .length = part->length};
        return POISE_OK;
    }
    poise_code code = take_cell(pass, part->slot, ret_text);
    if (code == POISE_OK && !utf8_printable(ret_text->text, ret_text->length)) {
        return unreadable(pass, part->slot, FAULT_WORD, "printable", "UTF-8");
    }
    return code;
}

/* Only the template makes segments of an org: a '/' out of a cell becomes '_'. */
static void put_part(char *at, struct csv_field text, bool in_org)
{
    for (size_t i = 0; i < text.length; i++) {
        at[i] = text.text[i];
        if (in_org && at[i] == '/') {
            at[i] = '_';
        }
    }
}

static poise_code fill(struct pass *pass, const struct template *template, bool is_org, const char **ret_text)
{
    size_t length = 0;
    struct csv_field text;
    for (size_t i = 0; i < template->count; i++) {
        poise_code code = read_part(pass, &template->parts[i], &text);
        if (code != POISE_OK) {
            return code;
        }
        length += text.length;
    }
    char *filled = arena_alloc(pass->scratch, length + 1);
    if (!filled) {
        return error_nomem(pass->err, "a row");
    }
    char *at = filled;
    for (size_t i = 0; i < template->count; i++) {
        const struct template_part *part = &template->parts[i];
        text = part->text ? (struct csv_field){part->text, part->length} : pass->cells[part->slot];
        put_part(at, text, is_org && !part->text);
        at += text.length;
    }
    *at = '\0';
    *ret_text = filled;
    return POISE_OK;
}

static poise_code read_seq(struct pass *pass, int slot, uint64_t *ret_seq)
{
    struct csv_field cell;
    int64_t seq;
    poise_code code = take_cell(pass, slot, &cell);
    if (code != POISE_OK) {
        return code;
    }
    if (!parse_int64(cell.text, cell.length, &seq) || seq < 0) {
        return unreadable(pass, slot, FAULT_NUMBER, "a whole number", "from 0");
    }
    *ret_seq = (uint64_t)seq + 1; /* a measurement's 0 says nothing, and counters begin at 0 */
    return POISE_OK;
}

static poise_code read_names(struct pass *pass, const struct rule *rule, poise_measurement *item)
{
    poise_code code = fill(pass, &rule->org, true, &item->org);
    if (code == POISE_OK) {
        code = fill(pass, &rule->source, false, &item->source);
    }
    if (code == POISE_OK && rule->key.count > 0) {
        code = fill(pass, &rule->key, false, &item->key);
    }
    if (code == POISE_OK && rule->seq != COLUMN_NONE) {
        code = read_seq(pass, rule->seq, &item->seq);
    }
    return code;
}

static poise_code read_numbers(struct pass *pass, const struct rule *rule, poise_measurement *item)
{
    poise_code code = read_moment(pass, &rule->time, &item->time_ms);
    if (code == POISE_OK) {
        code = read_number(pass, &rule->value, &item->value);
    }
    if (code == POISE_OK) {
        code = read_number(pass, &rule->of, &item->of);
    }
    return code;
}

poise_code mapping_check(const poise_measurement *measurement, poise_error *err)
{
    poise_refusal refusal = measurement_check(measurement);
    return refusal == POISE_REFUSAL_NONE ? POISE_OK
                                         : error_set(err, POISE_EREFUSED, "measure %s: %s",
                                                     measurement->measure, poise_refusal_text(refusal));
}

static poise_code apply_rule(struct pass *pass, const struct rule *rule, poise_measurement *ret_item)
{
    poise_measurement item = {.measure = rule->measure, .of = 1};
    item.retract = rule->retracts && all_hold(pass, &rule->retract);
    poise_code code = read_names(pass, rule, &item);
    if (code == POISE_OK &&
        !item.retract) { /* a retraction's time and numbers are ignored: it may lack them */
        code = read_numbers(pass, rule, &item);
    }
    if (code != POISE_OK) {
        return code;
    }
    pass->fault = FAULT_RULE;
    code = mapping_check(&item, pass->err);
    if (code == POISE_OK) {
        *ret_item = item;
    }
    return code;
}

poise_code mapping_apply(const struct mapping *mapping, const struct csv_field *cells, struct arena *scratch,
                         struct mapped *ret_mapped, enum row_fault *ret_fault, poise_error *err)
{
    struct pass pass = {.mapping = mapping, .cells = cells, .scratch = scratch, .err = err};
    size_t count = 0;
    bool wanted = all_hold(&pass, &mapping->when);
    for (size_t i = 0; wanted && i < mapping->rule_count; i++) {
        const struct rule *rule = &mapping->rules[i];
        if (!all_hold(&pass, &rule->when)) {
            continue;
        }
        poise_code code = apply_rule(&pass, rule, &ret_mapped->items[count]);
        if (code != POISE_OK) {
            *ret_fault = pass.fault;
            return code;
        }
        count++;
    }
    ret_mapped->count = count;
    return POISE_OK;
}

const struct columns *mapping_columns(const struct mapping *mapping)
{
    return &mapping->columns;
}
