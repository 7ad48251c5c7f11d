/* poise changes: the log of what an aggregator has published, each change once, for batch readers. */
#include "cli.h"
#include "options.h"
#include "state_text.h"
#include <base/buf.h>
#include <base/error.h>
#include <base/file.h>
#include <base/text.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <model/org.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct changes_options {
    struct asking_options asking;
    const char *scorecard, *org, *node;
    poise_filter filter;
    const char *cursor, *cursor_file, *output;
    bool snapshot;
    enum rows_format format;
};

enum { KEY_AFTER = 512, KEY_CURSOR_FILE, KEY_SNAPSHOT, KEY_KIND, KEY_CHANGES, KEY_NODE };

static const struct argp_option option_list[] = {
    {"org", 'o', "GLOB", 0, "of these orgs, such as plant-1/**; default: of all", 1},
    {"node", KEY_NODE, "PATH", 0, "of this node and those below it", 1},
    {"kind", KEY_KIND, "KIND", 0,
     "of nodes of this kind: scorecard, perspective, objective or measure; may be given again", 1},
    {"changes", KEY_CHANGES, "WHAT", 0,
     "numbers: no revisions of closed periods; revisions: nothing else; default: both", 1},
    {"after", KEY_AFTER, "CURSOR", 0, "those behind this cursor; default: from the first that there is", 2},
    {"cursor-file", KEY_CURSOR_FILE, "FILE", 0,
     "those behind the cursor in FILE, where a new one is kept once what was written is safe", 2},
    {"snapshot", KEY_SNAPSHOT, NULL, 0,
     "without a cursor yet: first all states of now, then what changes behind them", 2},
    {"output", 'O', "FILE", 0, "append there; default: standard output", 3},
    {"format", 'f', "FORMAT", 0, "csv or jsonl; default: by the end of FILE's name, else csv", 3},
    {0}};

static error_t parse_filter(int key, char *argument, struct argp_state *state)
{
    struct changes_options *options = state->input;
    switch (key) {
    case 'o':
        options->org = option_org_glob(state, "org", argument);
        return 0;
    case KEY_NODE:
        options->node = argument;
        return 0;
    case KEY_KIND:
        options->filter.kinds |= option_kind(state, argument);
        return 0;
    case KEY_CHANGES:
        options->filter.changes = option_changes(state, argument);
        if (options->filter.changes & POISE_CHANGES_STATUS) {
            argp_error(state,
                       "the log has what each change became, not what it was before, so it cannot tell "
                       "which are of a status. For what comes take `poise watch --changes status`; of the "
                       "log take all, and keep the lines whose status differs from that of the line "
                       "before of the same node and org: docs/operations.md shows how");
        }
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0) {
            argp_error(state, "one scorecard at most; '%s' is another", argument);
        }
        options->scorecard = argument;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct changes_options *options = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->asking;
        return 0;
    case KEY_AFTER:
        options->cursor = argument;
        return 0;
    case KEY_CURSOR_FILE:
        options->cursor_file = argument;
        return 0;
    case KEY_SNAPSHOT:
        options->snapshot = true;
        return 0;
    case 'O':
        options->output = argument;
        return 0;
    case 'f':
        options->format = option_rows_format(state, argument);
        return 0;
    case ARGP_KEY_END:
        if (options->cursor && (options->cursor_file || options->snapshot)) {
            argp_error(state, "--after goes neither with --cursor-file nor with --snapshot");
        }
        return 0;
    default:
        return parse_filter(key, argument, state);
    }
}

static const struct argp_child children[] = {{&asking_argp, 0, NULL, 0}, {0}};
static const struct argp parser = {
    .options = option_list,
    .parser = parse_option,
    .children = children,
    .args_doc = "[SCORECARD]",
    .doc =
        "Writes the log of what an aggregator has published up to now: each change once, in the order in "
        "which they were.\v"
        "Run it again with the cursor, by hand or with --cursor-file, and it goes on behind what was "
        "written. "
        "With --cursor-file and --output FILE each change is in FILE once, whatever is killed when: what was "
        "written and not counted is cut off first. To a pipe those of the last page may come twice after a "
        "crash: lsn and number tell a change from all others.\n"
        "Columns are lsn, number, settled, those of `poise get --format csv`, replaced and cause. A line "
        "with "
        "a cause is a revision: the node as of the end of a closed period. Lines of --snapshot have number "
        "0.\n\n"
        "Exit status: 0 done, 1 failed, 2 wrong usage.\n\n"
        "Examples:\n"
        "  poise changes --cursor-file bi.cursor --snapshot --output changes.csv\n"
        "  poise changes acme --kind scorecard --changes revisions --format jsonl\n",
};

/* ---- the cursor file: the cursor, and how long the output was ---- */

#define NO_CURSOR "-" /* in the file: nothing is counted yet */
enum { CHUNK_BYTES = 1 << 20 };

struct changing {
    const struct changes_options *options;
    poise_client *client;
    FILE *file;
    int64_t length; /* of the output, so far as it is counted; -1: it is no file */
    char cursor[POISE_CURSOR_MAX];
    uint64_t after_lsn;
    struct buf text;
    poise_code code;
    poise_error *err;
};

static poise_code load_cursor(struct changing *changing)
{
    const char *path = changing->options->cursor_file;
    struct buf bytes = {0};
    char cursor[POISE_CURSOR_MAX] = "";
    long long length = -1;
    poise_code code = file_read(path, 4096, &bytes, changing->err);
    if (code == POISE_ENOTFOUND) {
        buf_free(&bytes);
        return POISE_OK;
    }
    buf_put_u8(&bytes, 0);
    if (code == POISE_OK &&
        (bytes.failed || sscanf((const char *)bytes.data, "%128[-0-9a-f] %lld", cursor, &length) != 2)) {
        code = error_set(changing->err, POISE_ECORRUPT,
                         "%s is no cursor file of `poise changes`; remove it to begin anew", path);
    }
    buf_free(&bytes);
    if (code == POISE_OK) {
        if (strcmp(cursor, NO_CURSOR) != 0) {
            memcpy(changing->cursor, cursor, sizeof cursor);
        }
        changing->length = length;
    }
    return code;
}

static poise_code store_cursor(struct changing *changing, const char *cursor)
{
    char text[POISE_CURSOR_MAX + 32];
    int length = snprintf(text, sizeof text, "%s %" PRId64 "\n", cursor, changing->length);
    return file_replace(changing->options->cursor_file, text, (size_t)length, changing->err);
}

/* ---- the output ---- */

static poise_code output_error(const struct changing *changing, const char *what)
{
    const char *path = changing->options->output;
    return error_errno(changing->err, errno == ENOSPC ? POISE_EFULL : POISE_EIO, "%s %s", what,
                       path ? path : "standard output");
}

/* The file's name must outlive a power cut that the cursor outlives. */
static poise_code sync_name(const char *path, poise_error *err)
{
    const char *end = strrchr(path, '/');
    char *directory = end ? strndup(path, (size_t)(end - path) + 1) : strdup(".");
    poise_code code = directory ? file_sync_dir(directory, err) : error_nomem(err, "a file's name");
    free(directory);
    return code;
}

/* What lies behind the counted length was written before a crash, and its cursor was not kept. */
static poise_code open_output(struct changing *changing)
{
    const char *path = changing->options->output;
    struct stat status;
    int64_t counted = changing->length;
    changing->length = -1;
    changing->file = path ? fopen(path, "ae") : stdout;
    if (!changing->file || fstat(fileno(changing->file), &status) != 0) {
        return output_error(changing, "opening");
    }
    if (!path || !S_ISREG(status.st_mode)) {
        return POISE_OK;
    }
    changing->length = status.st_size;
    if (changing->options->cursor_file && sync_name(path, changing->err) != POISE_OK) {
        return POISE_EIO;
    }
    if (counted > changing->length) {
        return error_set(changing->err, POISE_ECORRUPT,
                         "%s has %" PRId64 " bytes, but %s says %" PRId64
                         ": it is another file, or some of it was lost; remove both to begin anew",
                         path, changing->length, changing->options->cursor_file, counted);
    }
    if (counted >= 0 && counted < changing->length) {
        if (ftruncate(fileno(changing->file), counted) != 0) {
            return output_error(changing, "cutting");
        }
        changing->length = counted;
    }
    return POISE_OK;
}

/* Writes the text, and makes it safe where a cursor counts on it. */
static poise_code write_text(struct changing *changing)
{
    if (changing->text.failed) {
        return error_nomem(changing->err, "a page of changes");
    }
    size_t length = changing->text.length;
    bool written = length == 0 || fwrite(changing->text.data, 1, length, changing->file) == length;
    buf_reset(&changing->text);
    if (!written || fflush(changing->file) != 0) {
        return output_error(changing, "writing");
    }
    if (changing->length < 0) {
        return POISE_OK;
    }
    changing->length += (int64_t)length;
    bool synced = !changing->options->cursor_file || length == 0 || fdatasync(fileno(changing->file)) == 0;
    return synced ? POISE_OK : output_error(changing, "syncing");
}

static void put_change(struct changing *changing, const poise_change *change)
{
    struct buf *out = &changing->text;
    char settled[TIME_TEXT_MAX];
    format_time_ms(change->settled_ms, settled);
    if (changing->options->format == ROWS_JSON) {
        buf_printf(out, "{\"lsn\":%" PRIu64 ",\"number\":%" PRIu32 ",\"settled\":\"%s\",", change->lsn,
                   change->number, settled);
        state_put_json_members(out, change->state);
        buf_printf(out, "}\n");
        return;
    }
    buf_printf(out, "%" PRIu64 ",%" PRIu32 ",%s,", change->lsn, change->number, settled);
    state_put_csv_change(out, change->state);
}

/* ---- changes ---- */

static bool take_page(void *context, const poise_changes_page *page)
{
    struct changing *changing = context;
    for (size_t i = 0; i < page->count; i++) {
        put_change(changing, &page->changes[i]);
    }
    changing->code = write_text(changing);
    if (changing->code == POISE_OK && changing->options->cursor_file) {
        changing->code = store_cursor(changing, page->cursor);
    }
    memcpy(changing->cursor, page->cursor, strlen(page->cursor) + 1);
    return changing->code == POISE_OK;
}

static bool take_snapshot(void *context, const poise_event *event)
{
    struct changing *changing = context;
    if (event->kind == POISE_EVENT_STATE) {
        const poise_change change = {.state = event->state, .lsn = event->lsn, .settled_ms = event->as_of_ms};
        put_change(changing, &change);
        if (changing->text.length > CHUNK_BYTES) {
            changing->code = write_text(changing);
        }
    } else if (event->kind == POISE_EVENT_READY) {
        changing->after_lsn = event->lsn;
    }
    return changing->code == POISE_OK;
}

/* It counts when all of it is there: it is one view, and the log goes on behind it. */
static poise_code write_snapshot(struct changing *changing)
{
    const struct changes_options *options = changing->options;
    poise_code code = poise_get(changing->client, &options->filter, options->asking.timeout_ms, take_snapshot,
                                changing, changing->err);
    code = code == POISE_OK ? changing->code : code;
    return code == POISE_OK ? write_text(changing) : code;
}

static poise_code run(poise_client *client, void *context, poise_error *err)
{
    struct changing *changing = context;
    const struct changes_options *options = changing->options;
    poise_code code = POISE_OK;
    changing->client = client;
    changing->err = err;
    if (options->cursor_file) {
        code = load_cursor(changing);
    } else if (options->cursor) {
        snprintf(changing->cursor, sizeof changing->cursor, "%s", options->cursor);
    }
    if (code == POISE_OK) {
        code = open_output(changing);
    }
    bool begins = changing->cursor[0] == '\0';
    if (code == POISE_OK && begins && options->cursor_file) {
        code = store_cursor(changing, NO_CURSOR);
    }
    if (code == POISE_OK && begins && options->format != ROWS_JSON && changing->length <= 0) {
        buf_printf(&changing->text, "lsn,number,settled,");
        state_put_csv_change_header(&changing->text);
    }
    if (code == POISE_OK && begins && options->snapshot) {
        code = write_snapshot(changing);
    }
    if (code != POISE_OK) {
        return code;
    }
    char start[POISE_CURSOR_MAX];
    memcpy(start, changing->cursor, sizeof start);
    const poise_changes_from from = {.cursor = start, .after_lsn = changing->after_lsn};
    code = poise_read_changes(changing->client, &options->filter, &from, options->asking.timeout_ms,
                              take_page, changing, changing->err);
    return code == POISE_OK ? changing->code : code;
}

static poise_code close_output(struct changing *changing)
{
    if (!changing->file || changing->file == stdout) {
        return POISE_OK;
    }
    return fclose(changing->file) == 0 ? POISE_OK : output_error(changing, "closing");
}

int cli_changes(int argc, char **argv)
{
    struct changes_options options = {.snapshot = false};
    asking_defaults(&options.asking, "1m");
    argp_parse(&parser, argc, argv, 0, NULL, &options);
    options.format = rows_format_of(options.format, options.output ? options.output : "");
    options.filter.scorecards = &options.scorecard;
    options.filter.scorecard_count = options.scorecard != NULL;
    options.filter.orgs = &options.org;
    options.filter.org_count = options.org != NULL;
    options.filter.nodes = &options.node;
    options.filter.node_count = options.node != NULL;
    poise_error err = {.code = POISE_OK};
    struct changing changing = {.options = &options, .length = -1, .err = &err};
    poise_code code = asking_ask(&options.asking, run, &changing, &err);
    poise_code closed = close_output(&changing);
    code = code == POISE_OK ? closed : code;
    buf_free(&changing.text);
    if (code == POISE_OK && !options.cursor_file) {
        fprintf(stderr, "cursor: %s\n", changing.cursor);
    }
    return code == POISE_OK ? cli_end("changes", CLI_OK) : cli_fail("changes", &err);
}
