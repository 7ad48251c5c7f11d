/* What a collector reads: its configuration, CSV by a mapping, dead letters. The first byte says which. */
#include "fuzz.h"
#include <collector/letters.h>
#include <collector/source.h>
#include <math.h>
#include <model/measurement.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CONFIG, RECORDS, REPLAY, LETTER, KINDS };

/* ---- the configuration ---- */

static void check_config(const struct collector_config *config)
{
    MUST(config->source_count >= 1 && config->source_count <= CONFIG_SOURCES_MAX);
    MUST(config->batch_rows >= 1 && config->spool_max > 0 && config->linger_ms >= 0 &&
         config->keep_acked_ms >= 0);
    for (size_t i = 0; i < config->source_count; i++) {
        const struct source_config *source = &config->sources[i];
        MUST(source->path && source->mapping && mapping_columns(source->mapping)->count <= COLUMNS_MAX);
    }
}

static void try_config(const char *bytes, size_t length)
{
    struct problems problems = {0};
    struct collector_config *config = NULL;
    poise_code code = config_read_bytes("file", bytes, length, &config, &problems);
    MUST(code == POISE_OK || code == POISE_ECONFIG);
    MUST((code == POISE_OK) == (problems.count == 0));
    for (size_t i = 0; i < problems.kept; i++) {
        MUST(fuzz_is_text(problems.items[i].text, 4096));
    }
    if (code == POISE_OK) {
        check_config(config);
    }
    config_free(config);
    problems_free(&problems);
}

/* ---- records by a mapping ---- */

/* Every way to read a column. */
static struct collector_config *fixed_config(void)
{
    static const char yaml[] = "producer: p\n"
                               "aggregator: tcp://127.0.0.1:1\n"
                               "spool: s\n"
                               "dead_letters: d\n"
                               "sources:\n"
                               "  - csv: {path: a.csv}\n"
                               "    time: {column: t, format: '%Y/%m/%d %H:%M:%S', zone: Europe/Berlin}\n"
                               "    org: 'shop/{o}'\n"
                               "    source: '{s}'\n"
                               "    key: '{k}'\n"
                               "    seq: n\n"
                               "    missing: ['', '-']\n"
                               "    when: {column: w, not: no}\n"
                               "    measurements:\n"
                               "      - {measure: m, value: {column: v}, of: {columns: [v, u]}}\n"
                               "      - {measure: d, value: {column: h, duration: 'H:M', unit: hours}, when: "
                               "{column: h, present: true}}\n"
                               "      - {measure: q, value: {column: c, values: {red: 0, green: 1}}}\n"
                               "  - csv: {path: b.csv, delimiter: ';', columns: [t, b, v]}\n"
                               "    time: {column: t, format: '%Y-%m-%dT%H:%M:%S.%f%z'}\n"
                               "    measurements:\n"
                               "      - {measure: days, value: {from: b, to: t, unit: days}}\n"
                               "      - {measure: n, value: {column: v}}\n";
    struct problems problems = {0};
    struct collector_config *config = NULL;
    config_read_bytes("file", yaml, sizeof yaml - 1, &config, &problems);
    problems_print(&problems, stderr);
    problems_free(&problems);
    MUST(config);
    return config;
}

static void check_mapped(const struct mapped *mapped)
{
    MUST(mapped->count <= MAPPING_RULES_MAX);
    for (size_t i = 0; i < mapped->count; i++) {
        MUST(measurement_check(&mapped->items[i]) == POISE_REFUSAL_NONE);
    }
}

static void check_record(const struct source_record *record)
{
    struct arena scratch;
    struct mapped mapped;
    enum row_fault fault;
    poise_error err;
    if (record->problem) {
        MUST(fuzz_is_text(record->problem, POISE_ERROR_TEXT_MAX) && record->fault < FAULT_COUNT);
        return;
    }
    arena_init(&scratch, 1 << 20);
    poise_code code = source_map(record, &scratch, &mapped, &fault, &err);
    MUST(code == POISE_OK || code == POISE_EREFUSED);
    if (code == POISE_OK) {
        check_mapped(&mapped);
    } else {
        MUST(fault < FAULT_COUNT && fuzz_is_text(err.text, POISE_ERROR_TEXT_MAX));
    }
    arena_free(&scratch);
}

static void read_all(struct source *source)
{
    struct source_record record;
    struct position at, before = {0};
    poise_error err;
    poise_code code;
    for (size_t i = 0; (code = source->ops->next(source, &record, &err)) == POISE_OK; i++) {
        check_record(&record);
        if (source->ops->position(source, &at)) {
            MUST(at.offset >= before.offset && at.line >= before.line);
            before = at;
        }
    }
    MUST(code == POISE_ECLOSED || code == POISE_EINVAL);
    MUST(code == POISE_ECLOSED || fuzz_is_text(err.text, POISE_ERROR_TEXT_MAX));
}

static void try_source(bool letters, size_t which, const uint8_t *bytes, size_t length)
{
    static struct collector_config *config;
    static const struct positions known;
    static const struct log log; /* silent */
    config = config ? config : fixed_config();
    const struct source_options options = {.once = true, .known = &known, .log = &log};
    struct source *source;
    char path[FUZZ_PATH_MAX];
    int fd = fuzz_file(bytes, length, path);
    struct source_config *csv = &config->sources[which % config->source_count];
    const char *was = csv->path;
    csv->path = letters ? was : path;
    poise_code code = letters ? source_letters_open(path, config, &options, &source, NULL)
                              : source_csv_open(csv, &options, &source, NULL);
    MUST(code == POISE_OK);
    read_all(source);
    source_close(source);
    csv->path = was;
    close(fd);
}

/* ---- a dead letter ---- */

static bool same_text(const char *a, const char *b)
{
    return !a == !b && (!a || strcmp(a, b) == 0);
}

static void check_same(const struct letter *a, const struct letter *b)
{
    MUST(!a->measurement == !b->measurement && same_text(a->reason, b->reason));
    if (a->measurement) {
        const poise_measurement *x = a->measurement, *y = b->measurement;
        MUST(same_text(x->measure, y->measure) && same_text(x->org, y->org) &&
             same_text(x->source, y->source) && same_text(x->key, y->key));
        MUST(x->time_ms == y->time_ms && x->seq == y->seq && x->retract == y->retract);
        MUST(x->value == y->value && x->of == y->of);
        return;
    }
    MUST(same_text(a->file, b->file) && same_text(a->header, b->header) && a->cut == b->cut);
    MUST(a->line == b->line && a->offset == b->offset && a->inode == b->inode);
    MUST(a->row_length == b->row_length && memcmp(a->row, b->row, a->row_length) == 0);
}

static void try_letter(const char *line, size_t length)
{
    struct arena arena;
    struct letter letter, again;
    struct letters *letters;
    poise_error err;
    char path[FUZZ_PATH_MAX], written[4096];
    arena_init(&arena, 1 << 22);
    poise_code code = letter_parse(line, length, &arena, &letter, &err);
    MUST(code == POISE_OK || (code == POISE_EINVAL && fuzz_is_text(err.text, POISE_ERROR_TEXT_MAX)));
    if (code == POISE_OK && letter.reason && length < sizeof written / 4) {
        int fd = fuzz_file("", 0, path);
        MUST(letters_open(path, &letters, NULL) == POISE_OK);
        MUST(letters_put(letters, 0, &letter, NULL) == POISE_OK);
        letters_close(letters);
        ssize_t count = pread(fd, written, sizeof written, 0);
        MUST(count > 1 && written[count - 1] == '\n' && !memchr(written, '\n', (size_t)count - 1));
        MUST(letter_parse(written, (size_t)count - 1, &arena, &again, NULL) == POISE_OK);
        check_same(&letter, &again);
        close(fd);
    }
    arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    const char *text = (const char *)data + 1;
    switch (data[0] % KINDS) {
    case CONFIG:
        try_config(text, size - 1);
        break;
    case RECORDS:
        try_source(false, data[0] / KINDS, data + 1, size - 1);
        break;
    case REPLAY:
        try_source(true, 0, data + 1, size - 1);
        break;
    default:
        try_letter(text, size - 1);
    }
    return 0;
}
