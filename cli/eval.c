/* poise eval: scores a file of measurements offline. */
#include "cli.h"
#include "options.h"
#include "rows.h"
#include "series_cache.h"
#include <argp.h>
#include <base/error.h>
#include <engine/report.h>
#include <inttypes.h>
#include <locale.h>
#include <string.h>

struct eval_options {
    enum output_format format;
    const char *scorecard, *measurements;
    const char *org;  /* NULL: the root */
    int64_t as_of_ms; /* INT64_MIN: after the latest measurement */
    bool all_orgs, history, strict;
};

enum { KEY_AS_OF = 512, KEY_HISTORY, KEY_STRICT };

static const struct argp_option option_list[] = {
    {"scorecard", 's', "FILE", 0, "the definition, YAML", 0},
    {"measurements", 'm', "FILE", 0,
     "the measurements, CSV, or JSON Lines where FILE ends in .jsonl; - for CSV from standard input", 0},
    {"as-of", KEY_AS_OF, "TIME", 0,
     "score as of this time (RFC 3339); default: just after the latest measurement", 0},
    {"org", 'o', "ORG", 0, "the org to show; default: the root, which is the whole organisation", 0},
    {"all-orgs", 'a', NULL, 0, "show every org", 0},
    {"history", KEY_HISTORY, NULL, 0, "as of the end of every period of the scorecard's calendar, too", 0},
    {"strict", KEY_STRICT, NULL, 0, "exit 1 if a row was refused", 0},
    {0}};

static void check_options(const struct eval_options *options, struct argp_state *state)
{
    if (!options->scorecard || !options->measurements) {
        argp_error(state, "--scorecard FILE and --measurements FILE are needed");
    }
    if (options->org && options->all_orgs) {
        argp_error(state, "--org and --all-orgs exclude each other");
    }
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct eval_options *options = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->format;
        return 0;
    case 's':
        options->scorecard = argument;
        return 0;
    case 'm':
        options->measurements = argument;
        return 0;
    case KEY_AS_OF:
        options->as_of_ms = option_time(state, "as-of", argument);
        return 0;
    case 'o':
        options->org = option_org(state, "org", argument);
        return 0;
    case 'a':
        options->all_orgs = true;
        return 0;
    case KEY_HISTORY:
        options->history = true;
        return 0;
    case KEY_STRICT:
        options->strict = true;
        return 0;
    case ARGP_KEY_END:
        check_options(options, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = {{&format_options, 0, NULL, 0}, {0}};
static const struct argp parser = {
    .options = option_list,
    .parser = parse_option,
    .children = children,
    .doc = "Scores measurements offline, without a server: the same rules and the same numbers as an "
           "aggregator.\v"
           "The CSV header is time,measure,org,value,of,key,seq,source,retract in any order; all but the "
           "first four "
           "may be absent. Rows that would be refused are named on standard error with line and reason, and "
           "skipped.\n\n"
           "Exit status: 0 done, 1 failed (with --strict: a row was refused), 2 wrong usage.\n\n"
           "Examples:\n"
           "  poise eval -s card.yaml -m rows.csv\n"
           "  poise eval -s card.yaml -m rows.csv --as-of 2026-04-01T00:00:00Z\n"
           "  zcat 2026.csv.gz | poise eval -s card.yaml -m - --history --format csv\n",
};

/* What happened while rows were read. */
struct tally {
    int64_t latest_ms; /* of the accepted rows; INT64_MIN: none */
    uint64_t refused;
};

static void report_refused(struct tally *tally, const struct rows *rows, const struct row *row,
                           const char *reason)
{
    tally->refused++;
    fprintf(stderr, "%s:%" PRIu64 ": refused: %s\n", rows_name(rows), row->line, reason);
}

static poise_code apply_row(struct engine *engine, struct series_cache *cache, const struct row *row,
                            poise_refusal *ret_refusal, poise_error *err)
{
    struct engine_series *series = NULL;
    poise_code code = series_cache_get(cache, engine, row, &series, ret_refusal, err);
    if (code != POISE_OK) {
        return code;
    }
    if (!series) {
        engine_skip(engine);
        return POISE_OK;
    }
    char key[POISE_KEY_MAX + 2];
    row_text(row->key, key, sizeof key);
    const struct engine_row applied = {.time_ms = row->time_ms,
                                       .value = row->value,
                                       .of = row->of,
                                       .key = row->key.length > 0 ? key : NULL,
                                       .key_length = strlen(key),
                                       .seq = row->seq,
                                       .retract = row->retract};
    return engine_apply(engine, series, &applied, INT64_MAX, ret_refusal, err);
}

static poise_code apply_rows(struct engine *engine, struct rows *rows, struct tally *tally, poise_error *err)
{
    struct series_cache cache = {0};
    struct row row;
    poise_code code;
    for (bool more = true; (code = rows_next(rows, &row, &more, err)) == POISE_OK && more;) {
        poise_refusal refusal = POISE_REFUSAL_NONE;
        if (!row.readable) {
            engine_skip(engine);
            report_refused(tally, rows, &row, row.problem);
            continue;
        }
        code = apply_row(engine, &cache, &row, &refusal, err);
        if (code != POISE_OK) {
            break;
        }
        if (refusal != POISE_REFUSAL_NONE) {
            report_refused(tally, rows, &row, poise_refusal_text(refusal));
        } else if (!row.retract && row.time_ms > tally->latest_ms) {
            tally->latest_ms = row.time_ms;
        }
    }
    series_cache_free(&cache);
    return code;
}

static poise_code print_report(const struct eval_options *options, struct engine *engine,
                               const struct report_question *question, poise_error *err)
{
    struct table_style style = table_style_of(stdout);
    struct printer *printer = printer_open(options->format, &style, stdout);
    poise_code code = printer ? report_states(engine, question, printer_state, printer, err) : POISE_ENOMEM;
    if (code == POISE_OK) {
        code = printer_end(printer);
    }
    printer_close(printer);
    return code == POISE_ENOMEM ? error_nomem(err, "the output") : code;
}

static poise_code evaluate(const struct eval_options *options, struct engine *engine,
                           const struct scorecard *card, uint64_t *ret_refused, poise_error *err)
{
    struct report_question question = {.card = card,
                                       .org = options->all_orgs ? NULL
                                              : options->org    ? options->org
                                                                : "",
                                       .history = options->history,
                                       .as_of_ms = options->as_of_ms};
    struct tally tally = {.latest_ms = INT64_MIN};
    struct rows *rows = NULL;
    poise_code code = report_begin(engine, &question, err);
    if (code == POISE_OK) {
        code = rows_open(options->measurements, ROWS_BY_NAME, &rows, err);
    }
    if (code == POISE_OK) {
        code = apply_rows(engine, rows, &tally, err);
    }
    rows_close(rows);
    *ret_refused = tally.refused;
    if (code != POISE_OK) {
        return code;
    }
    if (question.as_of_ms == INT64_MIN && tally.latest_ms == INT64_MIN) {
        return error_set(err, POISE_ENOTFOUND, "no measurement was accepted; say --as-of TIME to score none");
    }
    if (question.as_of_ms == INT64_MIN) {
        question.as_of_ms = tally.latest_ms + 1;
    }
    return print_report(options, engine, &question, err);
}

static poise_code open_engine(const struct scorecard *const *card, struct engine **ret_engine,
                              poise_error *err)
{
    const struct engine_options options = {
        .cards = card, .card_count = 1, .max_cells = SIZE_MAX, .offline = true};
    return engine_open(&options, ret_engine, err);
}

int cli_eval(int argc, char **argv)
{
    struct eval_options options = {.as_of_ms = INT64_MIN};
    setlocale(LC_CTYPE, "");
    argp_parse(&parser, argc, argv, 0, NULL, &options);
    struct scorecard *card = NULL;
    struct problems problems = {0};
    if (scorecard_read_file(options.scorecard, &card, &problems) != POISE_OK) {
        problems_print(&problems, stderr);
        problems_free(&problems);
        return CLI_FAILED;
    }
    problems_free(&problems);
    const struct scorecard *const cards[] = {card};
    struct engine *engine = NULL;
    poise_error err;
    uint64_t refused = 0;
    poise_code code = open_engine(cards, &engine, &err);
    if (code == POISE_OK) {
        code = evaluate(&options, engine, card, &refused, &err);
    }
    engine_close(engine);
    scorecard_free(card);
    if (code != POISE_OK) {
        return cli_fail("eval", &err);
    }
    return cli_end("eval", options.strict && refused > 0 ? CLI_FAILED : CLI_OK);
}
