#include <base/error.h>
#include <base/hash.h>
#include <collector/letters.h>
#include <collector/source.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { ARENA_MAX = 4 << 20 };

struct source_letters {
    struct source source;
    const struct collector_config *config;
    FILE *file;
    char *line; /* of getline */
    size_t capacity;
    struct intern seen; /* rows that were given: (inode, offset, hash of the row) */
    uint64_t resume;    /* an earlier run ended here */
    struct position position;
    struct csv_reader *readers[CONFIG_SOURCES_MAX]; /* by source of the configuration, made when needed */
    struct csv_record record;
    struct binding binding;
    struct csv_field cells[COLUMNS_MAX];
    struct arena arena; /* of one letter */
    poise_error problem;
};

static struct source_letters *self(struct source *source)
{
    return (struct source_letters *)source;
}

/* After a crash a row is read again, and what was wrong with it is a dead letter twice. Of standard input it
 * is not known. */
static poise_code is_known(struct source_letters *letters, const struct letter *letter, bool *ret_known,
                           poise_error *err)
{
    const uint64_t identity[] = {letter->inode, letter->offset, hash64(letter->row, letter->row_length, 0)};
    *ret_known = letter->inode != 0 &&
                 intern_find(&letters->seen, (const char *)identity, sizeof identity) != INTERN_NONE;
    if (letter->inode != 0 &&
        intern_add(&letters->seen, (const char *)identity, sizeof identity) == INTERN_NONE) {
        return error_nomem(err, "dead letters");
    }
    return POISE_OK;
}

/* ---- a row as it was in its file ---- */

static const struct source_config *config_of(const struct source_letters *letters, const char *file)
{
    const struct collector_config *config = letters->config;
    for (size_t i = 0; i < config->source_count; i++) {
        if (strcmp(config->sources[i].path, file) == 0) {
            return &config->sources[i];
        }
    }
    return config->source_count == 1 ? config->sources : NULL; /* read under another name */
}

/* Takes a text apart as one record. */
static poise_code read_record(struct source_letters *letters, const struct source_config *config,
                              const char *text, size_t length)
{
    struct csv_reader **reader = &letters->readers[config - letters->config->sources];
    if (!*reader) {
        *reader = csv_open(config->delimiter);
    }
    if (!*reader) {
        return POISE_ENOMEM;
    }
    csv_seek(*reader, 1, 1); /* not at 0: there is no byte order mark here */
    poise_code code = csv_feed(*reader, text, length);
    if (code == POISE_OK && !csv_next(*reader, true, &letters->record)) {
        letters->record = (struct csv_record){.problem = "the row is empty"};
    }
    return code;
}

static poise_code bind_columns(struct source_letters *letters, const struct source_config *config,
                               const struct letter *letter, poise_error *err)
{
    if (config->columns.count > 0) {
        return config_bind(config, &letters->binding, err);
    }
    if (!letter->header) {
        return error_set(err, POISE_EREFUSED, "the dead letter has no 'header'");
    }
    poise_code code = read_record(letters, config, letter->header, strlen(letter->header));
    if (code != POISE_OK) {
        return error_nomem(err, "a header");
    }
    if (letters->record.problem) {
        return error_set(err, POISE_EREFUSED, "'header': %s", letters->record.problem);
    }
    return binding_make(mapping_columns(config->mapping), letters->record.fields, letters->record.count,
                        &letters->binding, err);
}

static poise_code read_row(struct source_letters *letters, const struct letter *letter,
                           struct source_record *record)
{
    poise_error *err = &letters->problem;
    record->config = config_of(letters, letter->file);
    if (!record->config) {
        return error_set(err, POISE_EREFUSED, "no source of the configuration reads '%s'", letter->file);
    }
    if (letter->cut) {
        return error_set(err, POISE_EREFUSED, "the row was too long to keep it whole");
    }
    poise_code code = bind_columns(letters, record->config, letter, err);
    if (code == POISE_OK &&
        read_record(letters, record->config, letter->row, letter->row_length) != POISE_OK) {
        code = error_nomem(err, "a row");
    }
    if (code == POISE_OK) {
        size_t wanted = mapping_columns(record->config->mapping)->count;
        code = binding_cells(&letters->binding, wanted, &letters->record, letters->cells, err);
    }
    record->cells = letters->cells;
    return code;
}

/* ---- letter by letter ---- */

/* The record of a row's letter. EREFUSED and the like: letters->problem says why it cannot be read. */
static poise_code take_row(struct source_letters *letters, const struct letter *letter,
                           struct source_record *record)
{
    bool known = false;
    record->file = letter->file;
    record->header = letter->header;
    record->raw = letter->row;
    record->raw_length = letter->row_length;
    record->cut = letter->cut;
    record->inode = letter->inode;
    record->offset = letter->offset;
    record->line = letter->line;
    poise_code code = is_known(letters, letter, &known, &letters->problem);
    if (code == POISE_OK && known) {
        return POISE_ENOTFOUND;
    }
    return code == POISE_OK ? read_row(letters, letter, record) : code;
}

/* A measurement that the aggregator has in its journal, and that `poise restate` lets in: sent once more it
 * would be let in twice. */
static bool is_held(const struct letter *letter)
{
    static const char locked[] = "locked:";
    return letter->measurement && letter->reason && strncmp(letter->reason, locked, sizeof locked - 1) == 0;
}

static void keep_line(const struct source_letters *letters, size_t length, struct source_record *record)
{
    record->foreign = true;
    record->raw = letters->line;
    record->raw_length = length;
}

/* What the line holds; ENOTFOUND: nothing that is not known already. */
static poise_code read_letter(struct source_letters *letters, size_t length, struct source_record *ret_record,
                              poise_error *err)
{
    struct source_record record = {
        .fault = FAULT_LETTER, .file = letters->source.name, .line = letters->position.line - 1};
    struct letter letter;
    poise_code code = POISE_OK;
    arena_reset(&letters->arena);
    if (letter_parse(letters->line, length, &letters->arena, &letter, &letters->problem) != POISE_OK) {
        code = POISE_EREFUSED;
        keep_line(letters, length, &record);
    } else if (is_held(&letter)) {
        code = error_set(&letters->problem, POISE_EREFUSED,
                         "it is locked: the aggregator holds it, and `poise restate` lets it in");
        keep_line(letters, length, &record);
    } else if (letter.measurement) {
        record.measurement = letter.measurement;
    } else {
        code = take_row(letters, &letter, &record);
    }
    if (code == POISE_ENOMEM) {
        return error_nomem(err, "a dead letter");
    }
    record.problem = code == POISE_OK ? NULL : letters->problem.text;
    *ret_record = record;
    return code == POISE_ENOTFOUND ? code : POISE_OK;
}

static poise_code next_record(struct source *source, struct source_record *ret_record, poise_error *err)
{
    struct source_letters *letters = self(source);
    for (;;) {
        errno = 0;
        ssize_t length = getline(&letters->line, &letters->capacity, letters->file);
        if (length < 0 && !feof(letters->file)) {
            return error_errno(err, POISE_EIO, "cannot read %s", source->name);
        }
        if (length < 0) {
            return POISE_ECLOSED;
        }
        letters->position.offset += (uint64_t)length;
        letters->position.line++;
        size_t text = (size_t)length - (letters->line[length - 1] == '\n');
        poise_code code = text > 0 ? read_letter(letters, text, ret_record, err) : POISE_ENOTFOUND;
        if (code != POISE_ENOTFOUND && (code != POISE_OK || letters->position.offset > letters->resume)) {
            return code;
        }
    }
}

static bool position(struct source *source, struct position *ret_position)
{
    struct source_letters *letters = self(source);
    position_note_head(&letters->position, fileno(letters->file));
    *ret_position = letters->position;
    return true;
}

static int wait_fd(const struct source *source)
{
    (void)source;
    return -1;
}

static void close_letters(struct source *source)
{
    struct source_letters *letters = self(source);
    if (letters->file) {
        fclose(letters->file); /* only read: nothing can be lost */
    }
    for (size_t i = 0; i < CONFIG_SOURCES_MAX; i++) {
        csv_close(letters->readers[i]);
    }
    free(letters->line);
    intern_free(&letters->seen);
    arena_free(&letters->arena);
    free(letters);
}

static const struct source_ops letters_ops = {
    .next = next_record, .position = position, .wait_fd = wait_fd, .close = close_letters};

poise_code source_letters_open(const char *path, const struct collector_config *config,
                               const struct source_options *options, struct source **ret_source,
                               poise_error *err)
{
    struct source_letters *letters = calloc(1, sizeof *letters);
    if (!letters) {
        return error_nomem(err, "a source");
    }
    letters->source = (struct source){.ops = &letters_ops, .name = path};
    letters->config = config;
    arena_init(&letters->arena, ARENA_MAX);
    letters->file = fopen(path, "re");
    if (!letters->file) {
        error_errno(err, POISE_EIO, "cannot open the dead letters %s", path);
        close_letters(&letters->source);
        return POISE_EIO;
    }
    const struct position *known = positions_find(options->known, position_path(path));
    if (known && position_is_of(known, fileno(letters->file))) {
        letters->resume = known->offset;
    }
    struct stat status;
    letters->position = (struct position){.path = position_path(path), .line = 1};
    if (fstat(fileno(letters->file), &status) == 0) {
        letters->position.inode = status.st_ino;
    }
    *ret_source = &letters->source;
    return POISE_OK;
}
