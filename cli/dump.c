/* poise dump: the measurements that an aggregator has counted, as CSV or JSON Lines. */
#include "cli.h"
#include "options.h"
#include "progress.h"
#include "row_text.h"
#include "rows.h"
#include "standing.h"
#include <base/error.h>
#include <base/file.h>
#include <base/text.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <model/calendar.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct dump_options {
    struct asking_options asking;
    poise_selection selection;
    bool standing;
    enum rows_format format;
    const char *output; /* NULL: standard output */
};

enum { KEY_SINCE = 512, KEY_UNTIL, KEY_STANDING };

static const struct argp_option option_list[] = {
    {"measure", 'm', "MEASURE", 0, "of this input; default: of all", 1},
    {"org", 'o', "GLOB", 0, "of these orgs, such as plant-1/**; default: of all", 1},
    {"since", KEY_SINCE, "TIME", 0, "measured at this time (RFC 3339) or later", 1},
    {"until", KEY_UNTIL, "TIME", 0, "measured before this time", 1},
    {"standing", KEY_STANDING, NULL, 0,
     "only what counts now, without what was replaced or retracted; reads twice and keeps all keys in memory",
     1},
    {"output", 'O', "FILE", 0, "write there, and only when all of it is there; default: standard output", 2},
    {"format", 'f', "FORMAT", 0, "csv or jsonl; default: by the end of FILE's name, else csv", 2},
    {0}};

static error_t parse_selection(int key, char *argument, struct argp_state *state)
{
    struct dump_options *options = state->input;
    switch (key) {
    case 'm':
        options->selection.measure = argument;
        return 0;
    case 'o':
        options->selection.org = option_org_glob(state, "org", argument);
        return 0;
    case KEY_SINCE:
        options->selection.from_ms = option_time(state, "since", argument);
        return 0;
    case KEY_UNTIL:
        options->selection.to_ms = option_time(state, "until", argument);
        return 0;
    case KEY_STANDING:
        options->standing = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct dump_options *options = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->asking;
        return 0;
    case 'O':
        options->output = argument;
        return 0;
    case 'f':
        options->format = option_rows_format(state, argument);
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "'%s' is one argument too many", argument);
        return 0;
    case ARGP_KEY_END:
        if (options->selection.from_ms >= options->selection.to_ms) {
            argp_error(state, "--until must be later than --since");
        }
        return 0;
    default:
        return parse_selection(key, argument, state);
    }
}

static const struct argp_child children[] = {{&asking_argp, 0, NULL, 0}, {0}};
static const struct argp parser = {
    .options = option_list,
    .parser = parse_option,
    .children = children,
    .doc =
        "Writes the measurements that an aggregator has counted up to now, in the order in which it counted "
        "them: "
        "replaced ones and retractions too, refused ones not. `poise import` of such a file into an empty "
        "store gives the same scores; `poise eval` computes them from it.\v"
        "With --standing only what counts now is written, which is what sums and averages are to be made of. "
        "The aggregator goes on meanwhile, and may be restarted.\n\n"
        "Exit status: 0 done, 1 failed, 2 wrong usage.\n\n"
        "Examples:\n"
        "  poise dump --output measurements.csv\n"
        "  poise dump --standing --measure defects --org 'plant-1/**' --since 2026-01-01T00:00:00Z\n"
        "  poise dump --format jsonl | gzip >measurements.jsonl.gz\n",
};

/* ---- where it goes ---- */

struct output {
    FILE *file;
    const char *path; /* NULL: standard output */
    char *part;       /* what is written until it is whole; NULL: there is nothing to rename */
};

/* Ours until it is closed: two dumps to one file would each put theirs into what the other gives its name.
 * What a killed one has left is written anew; what another has renamed or removed since it was opened is
 * none. */
static poise_code part_open(const char *part, FILE **ret_file, poise_error *err)
{
    struct stat named, opened;
    int fd = open(part, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) {
        return error_errno(err, POISE_EIO, "opening %s", part);
    }
    poise_code code = POISE_OK;
    bool locked = flock(fd, LOCK_EX | LOCK_NB) == 0;
    if ((!locked && errno == EWOULDBLOCK) ||
        (locked && fstat(fd, &opened) == 0 && (stat(part, &named) != 0 || named.st_ino != opened.st_ino))) {
        code =
            error_set(err, POISE_EBUSY, "another dump writes %s: wait for it, or choose another file", part);
    } else if (ftruncate(fd, 0) != 0 || !(*ret_file = fdopen(fd, "w"))) {
        code = error_errno(err, POISE_EIO, "opening %s", part);
    }
    if (code != POISE_OK) {
        close(fd);
    }
    return code;
}

/* A file gets its name when it is whole; what is no file, such as a pipe, is written at once. */
static poise_code output_open(const char *path, struct output *ret_output, poise_error *err)
{
    struct output output = {.file = stdout, .path = path};
    struct stat status;
    bool special = path && stat(path, &status) == 0 && !S_ISREG(status.st_mode);
    poise_code code = POISE_OK;
    if (special && !(output.file = fopen(path, "we"))) {
        code = error_errno(err, POISE_EIO, "opening %s", path);
    } else if (path && !special) {
        if (asprintf(&output.part, "%s.part", path) < 0) {
            return error_nomem(err, "a file's name");
        }
        code = part_open(output.part, &output.file, err);
    }
    if (code != POISE_OK) {
        free(output.part);
        return code;
    }
    *ret_output = output;
    return POISE_OK;
}

/* Ends it; `whole`: all was written, and the file gets its name. */
static poise_code output_close(struct output *output, bool whole, poise_error *err)
{
    poise_code code = POISE_OK;
    bool written = fflush(output->file) == 0 && !ferror(output->file);
    if (whole && !written) {
        code = error_errno(err, errno == ENOSPC ? POISE_EFULL : POISE_EIO, "writing %s",
                           output->path ? output->path : "standard output");
    }
    if (code == POISE_OK && whole && output->part && fsync(fileno(output->file)) != 0) {
        code = error_errno(err, POISE_EIO, "syncing %s", output->part);
    }
    if (code == POISE_OK && whole && output->part && rename(output->part, output->path) != 0) {
        code = error_errno(err, POISE_EIO, "giving %s its name", output->path);
    }
    if (output->part && (code != POISE_OK || !whole)) {
        unlink(output->part);
    }
    if (output->path && fclose(output->file) != 0 && code == POISE_OK && whole) { /* the lock goes with it */
        code = error_errno(err, POISE_EIO, "closing %s", output->path);
    }
    free(output->part);
    return code;
}

/* ---- the dump ---- */

struct dumping {
    const struct dump_options *options;
    poise_client *client; /* while it runs */
    struct standing standing;
    struct output output;
    struct progress progress;
    struct buf text;
    uint64_t rows;      /* written */
    int64_t dropped_ms; /* before it some are gone; 0: none */
    poise_code code;
    poise_error *err;
};

static void look(struct dumping *dumping, const poise_page *page, unsigned pass, unsigned passes)
{
    dumping->progress.done = page->done + page->total * pass;
    dumping->progress.total = page->total * passes;
    dumping->progress.rows = dumping->rows;
    progress_look(&dumping->progress);
}

static bool note_page(void *context, const poise_page *page)
{
    struct dumping *dumping = context;
    for (size_t i = 0; i < page->count && dumping->code == POISE_OK; i++) {
        dumping->code = standing_note(&dumping->standing, &page->rows[i], page->places[i], dumping->err);
    }
    look(dumping, page, 0, 2);
    return dumping->code == POISE_OK;
}

static bool write_page(void *context, const poise_page *page)
{
    struct dumping *dumping = context;
    const struct dump_options *options = dumping->options;
    buf_reset(&dumping->text);
    for (size_t i = 0; i < page->count; i++) {
        if (options->standing && !standing_has(&dumping->standing, &page->rows[i], page->places[i])) {
            continue;
        }
        (options->format == ROWS_JSON ? row_put_json : row_put_csv)(&dumping->text, &page->rows[i]);
        dumping->rows++;
    }
    if (dumping->text.failed) {
        dumping->code = error_nomem(dumping->err, "a page");
    } else if (fwrite(dumping->text.data, 1, dumping->text.length, dumping->output.file) !=
               dumping->text.length) {
        dumping->code = error_errno(dumping->err, errno == ENOSPC ? POISE_EFULL : POISE_EIO, "writing %s",
                                    options->output ? options->output : "standard output");
    }
    dumping->dropped_ms = page->dropped_ms > dumping->dropped_ms ? page->dropped_ms : dumping->dropped_ms;
    look(dumping, page, options->standing, options->standing + 1u);
    return dumping->code == POISE_OK;
}

/* Keys are the same whatever org or time a measurement has, so the keys of all of them are looked at. */
static poise_code find_standing(struct dumping *dumping)
{
    const poise_selection keyed = {.measure = dumping->options->selection.measure,
                                   .from_ms = TIME_MIN_MS,
                                   .to_ms = TIME_MAX_MS + 1,
                                   .keyed = true};
    poise_code code = poise_dump(dumping->client, &keyed, dumping->options->asking.timeout_ms, note_page,
                                 dumping, dumping->err);
    return code == POISE_OK ? dumping->code : code;
}

static poise_code write_rows(struct dumping *dumping)
{
    const struct dump_options *options = dumping->options;
    if (options->format != ROWS_JSON) {
        row_put_csv_header(&dumping->text);
        fwrite(dumping->text.data, 1, dumping->text.length, dumping->output.file);
    }
    poise_code code = poise_dump(dumping->client, &options->selection, options->asking.timeout_ms, write_page,
                                 dumping, dumping->err);
    return code == POISE_OK ? dumping->code : code;
}

static poise_code ask(poise_client *client, void *context, poise_error *err)
{
    struct dumping *dumping = context;
    const struct dump_options *options = dumping->options;
    dumping->client = client;
    dumping->err = err;
    poise_code code = options->standing ? find_standing(dumping) : POISE_OK;
    if (code != POISE_OK) {
        return code;
    }
    code = output_open(options->output, &dumping->output, dumping->err);
    if (code != POISE_OK) {
        return code;
    }
    code = write_rows(dumping);
    poise_code closed = output_close(&dumping->output, code == POISE_OK, dumping->err);
    return code == POISE_OK ? closed : code;
}

int cli_dump(int argc, char **argv)
{
    struct dump_options options = {.selection = {.from_ms = TIME_MIN_MS, .to_ms = TIME_MAX_MS + 1}};
    asking_defaults(&options.asking, "1m");
    argp_parse(&parser, argc, argv, 0, NULL, &options);
    options.format = rows_format_of(options.format, options.output ? options.output : "");
    poise_error err = {.code = POISE_OK};
    struct dumping dumping = {.options = &options};
    progress_begin(&dumping.progress, options.output || !isatty(STDOUT_FILENO) ? stderr : NULL);
    poise_code code = asking_ask(&options.asking, ask, &dumping, &err);
    progress_hide(&dumping.progress);
    standing_free(&dumping.standing);
    buf_free(&dumping.text);
    if (code == POISE_OK && dumping.dropped_ms) {
        char until[TIME_TEXT_MAX];
        format_time_ms(dumping.dropped_ms, until);
        fprintf(stderr,
                "poise dump: of some inputs measurements from before %s, and of these inputs what was "
                "replaced, are not in it: they were dropped (`keep`)\n",
                until);
    }
    if (code == POISE_OK && options.output) {
        printf("%" PRIu64 " measurements in %s\n", dumping.rows, options.output);
    }
    return code == POISE_OK ? cli_end("dump", CLI_OK) : cli_fail("dump", &err);
}
