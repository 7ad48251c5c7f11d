#include <base/error.h>
#include <collector/source.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK = 65536 };

struct source_csv {
    struct source source;
    const struct source_config *config;
    const struct log *log;
    struct csv_reader *reader;
    int fd;      /* -1: not open */
    bool stream; /* standard input: read from where it stands to its end */
    bool follow;
    bool waiting;  /* said that the file is not there */
    bool at_end;   /* nothing more will come from fd */
    bool replaced; /* a new file has the path */
    bool bound;    /* the columns are known */
    struct binding binding;
    struct buf header; /* the header as it stands in the file, ended by 0 */
    struct position position;
    bool remembered; /* position is of an earlier run: go on there */
    struct csv_record record;
    struct csv_field cells[COLUMNS_MAX];
    poise_error problem;
    char chunk[CHUNK];
};

static struct source_csv *self(struct source *source)
{
    return (struct source_csv *)source;
}

/* ---- opening, and going on where an earlier run ended ---- */

static poise_code seek_to(struct source_csv *csv, uint64_t offset, uint64_t line, poise_error *err)
{
    csv_seek(csv->reader, offset, line);
    if (lseek(csv->fd, (off_t)offset, SEEK_SET) < 0) {
        return error_errno(err, POISE_EIO, "cannot go to byte %llu of %s", (unsigned long long)offset,
                           csv->config->path);
    }
    return POISE_OK;
}

/* ENOTFOUND: it is not there yet. */
static poise_code open_path(struct source_csv *csv, poise_error *err)
{
    const char *path = csv->config->path;
    csv->fd = csv->stream ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
    if (csv->fd >= 0) {
        csv->waiting = false;
        return POISE_OK;
    }
    if (errno != ENOENT || !csv->follow) {
        return error_errno(err, POISE_EIO, "cannot open %s", path);
    }
    if (!csv->waiting) {
        log_event(csv->log, LOG_WARN, "waiting for a file that is not there", log_text("file", path));
        csv->waiting = true;
    }
    return error_errno(err, POISE_ENOTFOUND, "cannot open %s", path);
}

static poise_code open_file(struct source_csv *csv, poise_error *err)
{
    struct stat status;
    poise_code code = open_path(csv, err);
    if (code != POISE_OK) {
        return code;
    }
    if (fstat(csv->fd, &status) != 0) {
        return error_errno(err, POISE_EIO, "cannot look at %s", csv->config->path);
    }
    if (csv->remembered && !position_is_of(&csv->position, csv->fd)) {
        log_event(csv->log, LOG_WARN, "another file than before; read from its beginning",
                  log_text("file", csv->config->path));
        csv->remembered = false;
    }
    if (!csv->remembered) {
        csv->position = (struct position){.path = csv->position.path, .inode = status.st_ino, .line = 1};
    }
    csv->at_end = csv->replaced = false;
    csv_seek(csv->reader, 0, 1);
    csv->bound = csv->config->columns.count > 0;
    if (csv->bound && csv->remembered) {
        csv->remembered = false;
        return seek_to(csv, csv->position.offset, csv->position.line, err);
    }
    return POISE_OK;
}

/* ---- the header ---- */

/* The first record names the columns. Then go on where an earlier run ended. */
static poise_code bind_header(struct source_csv *csv, poise_error *err)
{
    const struct csv_record *record = &csv->record;
    const char *path = csv->config->path;
    if (record->problem) {
        return error_set(err, POISE_EINVAL, "%s:%llu: the header cannot be read: %s", path,
                         (unsigned long long)record->line, record->problem);
    }
    const struct columns *wanted = mapping_columns(csv->config->mapping);
    if (binding_make(wanted, record->fields, record->count, &csv->binding, err) != POISE_OK) {
        return error_wrap(err, "%s:%llu", path, (unsigned long long)record->line);
    }
    buf_reset(&csv->header);
    buf_put(&csv->header, record->raw, record->raw_length);
    buf_put_u8(&csv->header, 0);
    if (csv->header.failed) {
        return error_nomem(err, "a header");
    }
    csv->bound = true;
    if (csv->remembered) {
        csv->remembered = false;
        return seek_to(csv, csv->position.offset, csv->position.line, err);
    }
    return POISE_OK;
}

/* ---- reading ---- */

/* Says whether another file has the path by now, or this one has become shorter than what was read of it. */
static bool is_replaced(const struct source_csv *csv)
{
    struct stat now;
    if (csv->stream || stat(csv->config->path, &now) != 0) {
        return false;
    }
    off_t read_so_far = lseek(csv->fd, 0, SEEK_CUR);
    return now.st_ino != csv->position.inode || now.st_size < read_so_far;
}

/* OK: there is more, or at_end was set; ENOTFOUND: nothing for now. */
static poise_code read_more(struct source_csv *csv, poise_error *err)
{
    struct pollfd readable = {.fd = csv->fd, .events = POLLIN};
    if (csv->stream && poll(&readable, 1, 0) == 0) {
        return POISE_ENOTFOUND;
    }
    ssize_t count = read(csv->fd, csv->chunk, sizeof csv->chunk);
    if (count < 0) {
        return errno == EINTR ? POISE_OK : error_errno(err, POISE_EIO, "cannot read %s", csv->config->path);
    }
    if (count > 0) {
        return csv_feed(csv->reader, csv->chunk, (size_t)count) == POISE_OK ? POISE_OK
                                                                            : error_nomem(err, "a record");
    }
    csv->replaced = csv->follow && is_replaced(csv);
    csv->at_end = !csv->follow || csv->replaced;
    return csv->at_end ? POISE_OK : POISE_ENOTFOUND;
}

static poise_code leave_file(struct source_csv *csv)
{
    close(csv->fd); /* only read: nothing can be lost */
    csv->fd = -1;
    if (!csv->replaced) {
        return POISE_ECLOSED;
    }
    log_event(csv->log, LOG_INFO, "the file was replaced or cut; read from its beginning",
              log_text("file", csv->config->path));
    return POISE_OK;
}

static uint64_t lines_of(const struct csv_record *record)
{
    uint64_t lines = record->end > record->offset + record->raw_length; /* its own line end */
    for (size_t i = 0; i < record->raw_length; i++) {
        lines += record->raw[i] == '\n';
    }
    return lines;
}

static void give_record(struct source_csv *csv, struct source_record *ret_record)
{
    const struct csv_record *record = &csv->record;
    size_t wanted = mapping_columns(csv->config->mapping)->count;
    poise_code code = binding_cells(&csv->binding, wanted, record, csv->cells, &csv->problem);
    *ret_record =
        (struct source_record){.problem = code == POISE_OK ? NULL : csv->problem.text,
                               .config = csv->config,
                               .cells = csv->cells,
                               .fault = FAULT_RECORD,
                               .file = csv->config->path,
                               .raw = record->raw,
                               .raw_length = record->raw_length,
                               .cut = record->end - record->offset > record->raw_length + 2,
                               .header = csv->header.length > 0 ? (const char *)csv->header.data : NULL,
                               .inode = csv->position.inode,
                               .offset = record->offset,
                               .line = record->line};
    csv->position.offset = record->end;
    csv->position.line = record->line + lines_of(record);
}

static poise_code next_record(struct source *source, struct source_record *ret_record, poise_error *err)
{
    struct source_csv *csv = self(source);
    poise_code code = POISE_OK;
    while (code == POISE_OK) {
        if (csv->fd < 0) {
            code = csv->at_end && !csv->replaced ? POISE_ECLOSED : open_file(csv, err);
        } else if (!csv_next(csv->reader, csv->at_end, &csv->record)) {
            code = csv->at_end ? leave_file(csv) : read_more(csv, err);
        } else if (!csv->bound) {
            code = bind_header(csv, err);
        } else {
            give_record(csv, ret_record);
            return POISE_OK;
        }
    }
    return code;
}

static bool position(struct source *source, struct position *ret_position)
{
    struct source_csv *csv = self(source);
    struct position *at = &csv->position;
    if (csv->stream || at->offset == 0) {
        return false;
    }
    position_note_head(at, csv->fd);
    *ret_position = *at;
    return true;
}

static int wait_fd(const struct source *source)
{
    const struct source_csv *csv = (const struct source_csv *)source;
    return csv->stream ? csv->fd : -1;
}

static void close_csv(struct source *source)
{
    struct source_csv *csv = self(source);
    if (csv->fd >= 0) {
        close(csv->fd);
    }
    csv_close(csv->reader);
    buf_free(&csv->header);
    free(csv);
}

static const struct source_ops csv_ops = {
    .next = next_record, .position = position, .wait_fd = wait_fd, .close = close_csv};

poise_code source_csv_open(const struct source_config *config, const struct source_options *options,
                           struct source **ret_source, poise_error *err)
{
    struct source_csv *csv = calloc(1, sizeof *csv);
    if (!csv) {
        return error_nomem(err, "a source");
    }
    csv->source = (struct source){.ops = &csv_ops, .name = config->path};
    csv->config = config;
    csv->log = options->log;
    csv->fd = -1;
    csv->stream = strcmp(config->path, "-") == 0;
    csv->follow = config->follow && !options->once && !csv->stream;
    csv->position.path = position_path(config->path);
    const struct position *known = positions_find(options->known, csv->position.path);
    if (known && !csv->stream) {
        csv->position = *known;
        csv->remembered = true;
    }
    csv->reader = csv_open(config->delimiter);
    poise_code code = csv->reader ? POISE_OK : error_nomem(err, "a source");
    if (code == POISE_OK && config->columns.count > 0) {
        code = config_bind(config, &csv->binding, err);
    }
    if (code != POISE_OK) {
        close_csv(&csv->source);
        return code;
    }
    *ret_source = &csv->source;
    return POISE_OK;
}
