#include <base/buf.h>
#include <base/csv.h>
#include <stdlib.h>
#include <string.h>

/* Input that is not yet a record waits in `data`. Lines without a quote, nearly all, are split where they
 * stand; a field with doubled quotes is written undoubled to `unquoted`. */
struct csv_reader {
    char delimiter;
    char *data;
    size_t start, length, capacity; /* data[start..length) waits */
    uint64_t offset, line;          /* of data[start] in the input */
    uint64_t dropped;               /* bytes of a too long line taken out after its first CSV_RECORD_MAX */
    char unquoted[CSV_RECORD_MAX];
};

static const char too_long[] = "the record is longer than 65536 bytes";
static const char too_many[] = "the record has more than 256 fields";
static const char stray_quote[] = "a quote stands inside a field that does not start with one";
static const char after_quote[] = "text follows the closing quote of a field";
static const char open_quote[] = "a quoted field is not closed";
static const char open_or_too_long[] = "the record is longer than 65536 bytes, or a quote is not closed";

struct csv_reader *csv_open(char delimiter)
{
    struct csv_reader *reader = malloc(sizeof *reader);
    if (reader) {
        memset(reader, 0, offsetof(struct csv_reader, unquoted));
        reader->delimiter = delimiter;
        reader->line = 1;
    }
    return reader;
}

void csv_close(struct csv_reader *reader)
{
    if (reader) {
        free(reader->data);
        free(reader);
    }
}

void csv_seek(struct csv_reader *reader, uint64_t offset, uint64_t line)
{
    reader->start = reader->length = 0;
    reader->dropped = 0;
    reader->offset = offset;
    reader->line = line;
}

poise_code csv_feed(struct csv_reader *reader, const void *bytes, size_t length)
{
    size_t waiting = reader->length - reader->start;
    if (reader->start > 0) {
        memmove(reader->data, reader->data + reader->start, waiting);
        reader->start = 0;
        reader->length = waiting;
    }
    if (length > reader->capacity - waiting) {
        size_t capacity;
        if (__builtin_add_overflow(waiting, length, &capacity)) {
            return POISE_ENOMEM;
        }
        capacity += capacity / 2;
        char *data = realloc(reader->data, capacity);
        if (!data) {
            return POISE_ENOMEM;
        }
        reader->data = data;
        reader->capacity = capacity;
    }
    if (length > 0) {
        memcpy(reader->data + waiting, bytes, length);
        reader->length += length;
    }
    return POISE_OK;
}

/* Of a line or a record: where its text stops and where what follows begins, as indices of data. */
struct extent {
    size_t stop, next;
};

static void consume(struct csv_reader *reader, size_t next, uint64_t lines)
{
    reader->offset += next - reader->start + reader->dropped;
    reader->line += lines;
    reader->start = next;
    reader->dropped = 0;
}

static void skip_byte_order_mark(struct csv_reader *reader)
{
    if (reader->offset == 0 && reader->length - reader->start >= 3 &&
        memcmp(reader->data + reader->start, "\xef\xbb\xbf", 3) == 0) {
        consume(reader, reader->start + 3, 0);
    }
}

/* One byte more than allowed is kept, so that the line is seen to be too long. */
static void drop_excess(struct csv_reader *reader)
{
    size_t keep = reader->start + CSV_RECORD_MAX + 1;
    if (reader->length > keep) {
        reader->dropped += reader->length - keep;
        reader->length = keep;
    }
}

/* The first line that waits; false: it is not whole. */
static bool first_line(struct csv_reader *reader, bool at_end, struct extent *ret_line)
{
    size_t start = reader->start;
    if (start == reader->length) {
        return false;
    }
    const char *text = reader->data + start;
    const char *newline = memchr(text, '\n', reader->length - start);
    if (!newline && !at_end) {
        drop_excess(reader);
        return false;
    }
    size_t stop = newline ? start + (size_t)(newline - text) : reader->length;
    size_t next = newline ? stop + 1 : stop;
    if (stop > start && reader->data[stop - 1] == '\r') {
        stop--;
    }
    *ret_line = (struct extent){.stop = stop, .next = next};
    return true;
}

/* Fields of a line without a quote. Returns the problem, or NULL. */
static const char *split_plain(const char *at, const char *end, char delimiter, struct csv_record *record)
{
    const char *field = at;
    record->count = 0;
    for (;; at++) {
        if (at < end && *at != delimiter) {
            continue;
        }
        if (record->count == CSV_FIELDS_MAX) {
            return too_many;
        }
        record->fields[record->count++] = (struct csv_field){.text = field, .length = (size_t)(at - field)};
        if (at == end) {
            return NULL;
        }
        field = at + 1;
    }
}

/* A record with quotes while it is taken apart. */
struct split {
    const char *at, *end;
    bool final;          /* the input ends at `end` */
    bool more;           /* `end` was met too early */
    const char *problem; /* or NULL */
    char delimiter;
    char *spare; /* room for undoubled text */
};

/* At the end of the record; or more is needed to know. */
static bool at_record_end(struct split *split)
{
    size_t left = (size_t)(split->end - split->at);
    if (left == 0 || (left == 1 && *split->at == '\r')) {
        split->more = !split->final;
        return split->final;
    }
    return split->at[0] == '\n' || (split->at[0] == '\r' && split->at[1] == '\n');
}

static struct csv_field take_bare(struct split *split)
{
    const char *begin = split->at;
    while (split->at < split->end && *split->at != split->delimiter && !at_record_end(split)) {
        if (split->more) {
            return (struct csv_field){0};
        }
        if (*split->at == '"') {
            split->problem = stray_quote;
            return (struct csv_field){0};
        }
        split->at++;
    }
    return (struct csv_field){.text = begin, .length = (size_t)(split->at - begin)};
}

/* Copies text to the spare room, each "" as one quote. */
static struct csv_field undouble(struct split *split, const char *text, const char *end)
{
    struct csv_field field = {.text = split->spare};
    while (text < end) {
        const char *quote = memchr(text, '"', (size_t)(end - text));
        size_t length = quote ? (size_t)(quote + 1 - text) : (size_t)(end - text);
        memcpy(split->spare, text, length);
        split->spare += length;
        text += quote ? length + 1 : length;
    }
    field.length = (size_t)(split->spare - field.text);
    return field;
}

static struct csv_field take_quoted(struct split *split)
{
    const char *begin = ++split->at;
    bool doubled = false;
    for (;;) {
        const char *quote = memchr(split->at, '"', (size_t)(split->end - split->at));
        if (!quote || (quote + 1 == split->end && !split->final)) {
            split->more = true;
            return (struct csv_field){0};
        }
        split->at = quote + 1;
        if (split->at < split->end && *split->at == '"') {
            doubled = true;
            split->at++;
            continue;
        }
        if (doubled) {
            return undouble(split, begin, quote);
        }
        return (struct csv_field){.text = begin, .length = (size_t)(quote - begin)};
    }
}

/* Takes fields until the record ends, more is needed or a problem is met. */
static void take_fields(struct split *split, struct csv_record *record)
{
    for (record->count = 0; record->count < CSV_FIELDS_MAX;) {
        bool quoted = split->at < split->end && *split->at == '"';
        record->fields[record->count++] = quoted ? take_quoted(split) : take_bare(split);
        if (split->more || split->problem || at_record_end(split) || split->more) {
            return;
        }
        if (*split->at != split->delimiter) {
            split->problem = after_quote;
            return;
        }
        split->at++;
    }
    split->problem = too_many;
}

/* Fields of a record with quotes, which may be several lines. False: more input is needed. */
static bool split_quoted(struct csv_reader *reader, bool at_end, struct extent *extent,
                         struct csv_record *record)
{
    const char *text = reader->data + reader->start;
    size_t waiting = reader->length - reader->start;
    bool bounded = waiting > CSV_RECORD_MAX + 2; /* a line end may follow the longest record */
    struct split split = {.at = text,
                          .end = text + (bounded ? CSV_RECORD_MAX + 2 : waiting),
                          .final = at_end && !bounded,
                          .delimiter = reader->delimiter,
                          .spare = reader->unquoted};
    take_fields(&split, record);
    size_t length = (size_t)(split.at - text);
    if (split.more && !split.final && !bounded) {
        return false;
    }
    if (split.problem) {
        record->problem = split.problem;
    } else if (length > CSV_RECORD_MAX || (split.more && bounded)) {
        record->problem = open_or_too_long;
    } else if (split.more) {
        record->problem = open_quote;
    } else {
        const char *newline = memchr(split.at, '\n', (size_t)(split.end - split.at));
        extent->stop = reader->start + length;
        extent->next = newline ? reader->start + (size_t)(newline + 1 - text) : reader->length;
    }
    return true;
}

static uint64_t lines_in(const char *text, size_t length)
{
    uint64_t lines = 0;
    for (const char *end = text + length; (text = memchr(text, '\n', (size_t)(end - text))); text++) {
        lines++;
    }
    return lines;
}

bool csv_next(struct csv_reader *reader, bool at_end, struct csv_record *ret_record)
{
    struct extent extent;
    skip_byte_order_mark(reader);
    for (;;) {
        if (!first_line(reader, at_end, &extent)) {
            return false;
        }
        if (extent.stop > reader->start) {
            break;
        }
        consume(reader, extent.next, 1);
    }
    const char *text = reader->data + reader->start;
    size_t length = extent.stop - reader->start;
    ret_record->problem = NULL;
    if (reader->dropped > 0 || length > CSV_RECORD_MAX) {
        ret_record->problem = too_long;
        length = CSV_RECORD_MAX;
    } else if (!memchr(text, '"', length)) {
        ret_record->problem = split_plain(text, text + length, reader->delimiter, ret_record);
    } else if (split_quoted(reader, at_end, &extent, ret_record)) {
        length = extent.stop - reader->start;
    } else {
        return false;
    }
    if (ret_record->problem) {
        ret_record->count = 0;
    }
    ret_record->raw = text;
    ret_record->raw_length = length;
    ret_record->line = reader->line;
    ret_record->offset = reader->offset;
    consume(reader, extent.next, lines_in(text, extent.next - reader->start));
    ret_record->end = reader->offset;
    return true;
}

void csv_put(struct buf *out, const char *text, size_t length, char delimiter)
{
    bool quote = false;
    for (size_t i = 0; i < length && !quote; i++) {
        quote = text[i] == delimiter || text[i] == '"' || text[i] == '\n' || text[i] == '\r';
    }
    if (!quote) {
        buf_put(out, text, length);
        return;
    }
    buf_put_u8(out, '"');
    for (const char *end = text + length; text < end;) {
        const char *inner = memchr(text, '"', (size_t)(end - text));
        size_t part = inner ? (size_t)(inner + 1 - text) : (size_t)(end - text);
        buf_put(out, text, part);
        if (inner) {
            buf_put_u8(out, '"');
        }
        text += part;
    }
    buf_put_u8(out, '"');
}
