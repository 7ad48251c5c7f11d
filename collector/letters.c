#include <base/error.h>
#include <base/file.h>
#include <base/text.h>
#include <collector/letters.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct letters {
    const char *path;
    int fd; /* -1: nothing was written yet */
    bool fresh, unsynced;
};

/* ---- the file ---- */

poise_code letters_open(const char *path, struct letters **ret_letters, poise_error *err)
{
    struct letters *letters = calloc(1, sizeof *letters);
    if (!letters) {
        return error_nomem(err, "dead letters");
    }
    letters->path = path;
    letters->fd = -1;
    *ret_letters = letters;
    return POISE_OK;
}

void letters_close(struct letters *letters)
{
    if (letters) {
        if (letters->fd >= 0) {
            close(letters->fd); /* who must know that it is safe calls letters_sync */
        }
        free(letters);
    }
}

/* After a crash the last line may be a half one: what follows must not become a part of it. */
static poise_code end_half_line(struct letters *letters, poise_error *err)
{
    char last = '\n';
    off_t size = lseek(letters->fd, 0, SEEK_END);
    if (size < 0 || (size > 0 && pread(letters->fd, &last, 1, size - 1) != 1)) {
        return error_errno(err, POISE_EIO, "cannot look at %s", letters->path);
    }
    letters->fresh = size == 0;
    return last == '\n' ? POISE_OK : file_write_all(letters->fd, "\n", 1, err);
}

static poise_code begin(struct letters *letters, poise_error *err)
{
    if (letters->fd >= 0) {
        return POISE_OK;
    }
    letters->fd = open(letters->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (letters->fd < 0) {
        return error_errno(err, POISE_EIO, "cannot open the dead letters %s", letters->path);
    }
    return end_half_line(letters, err);
}

static poise_code append(struct letters *letters, const void *line, size_t length, poise_error *err)
{
    poise_code code = begin(letters, err);
    if (code != POISE_OK) {
        return code;
    }
    letters->unsynced = true;
    if (file_write_all(letters->fd, line, length, err) != POISE_OK) {
        return error_wrap(err, "dead letters %s", letters->path);
    }
    return POISE_OK;
}

poise_code letters_put_line(struct letters *letters, const char *line, size_t length, poise_error *err)
{
    struct buf whole = {0};
    buf_put(&whole, line, length);
    buf_put_u8(&whole, '\n');
    poise_code code =
        whole.failed ? error_nomem(err, "a dead letter") : append(letters, whole.data, whole.length, err);
    buf_free(&whole);
    return code;
}

poise_code letters_sync(struct letters *letters, poise_error *err)
{
    if (!letters->unsynced) {
        return POISE_OK;
    }
    if (fdatasync(letters->fd) != 0) {
        return error_errno(err, POISE_EIO, "cannot sync the dead letters %s", letters->path);
    }
    letters->unsynced = false;
    if (!letters->fresh) {
        return POISE_OK;
    }
    letters->fresh = false;
    char path[PATH_MAX];
    if (strlen(letters->path) >= sizeof path) {
        return error_set(err, POISE_ELIMIT, "the path of the dead letters is too long");
    }
    memcpy(path, letters->path, strlen(letters->path) + 1);
    return file_sync_dir(dirname(path), err);
}

/* ---- to JSON ---- */

static json_t *measurement_to_json(const poise_measurement *measurement)
{
    char time[TIME_TEXT_MAX];
    format_time_ms(measurement->time_ms, time);
    return json_pack("{ss, ss, ss, ss*, ss, sf, sf, sI, sb}", "measure", measurement->measure, "org",
                     measurement->org ? measurement->org : "", "source",
                     measurement->source ? measurement->source : "", "key", measurement->key, "time", time,
                     "value", measurement->value, "of", measurement->of, "seq", (json_int_t)measurement->seq,
                     "retract", measurement->retract);
}

/* A text as it is if JSON can hold it, else its bytes in hexadecimal under `name`_hex. */
static bool put_bytes(json_t *object, const char *name, const char *bytes, size_t length)
{
    json_t *text = json_stringn(bytes, length);
    if (text) {
        return json_object_set_new(object, name, text) == 0;
    }
    char key[32];
    struct buf digits = {0};
    snprintf(key, sizeof key, "%s_hex", name);
    for (size_t i = 0; i < length; i++) {
        buf_printf(&digits, "%02x", (unsigned char)bytes[i]);
    }
    bool fine = !digits.failed &&
                json_object_set_new(object, key, json_stringn((const char *)digits.data, digits.length)) == 0;
    buf_free(&digits);
    return fine;
}

static bool put_row(json_t *object, const struct letter *letter)
{
    bool fine = put_bytes(object, "file", letter->file, strlen(letter->file));
    fine = fine && json_object_set_new(object, "line", json_integer((json_int_t)letter->line)) == 0;
    fine = fine && json_object_set_new(object, "offset", json_integer((json_int_t)letter->offset)) == 0;
    fine = fine && json_object_set_new(object, "inode", json_integer((json_int_t)letter->inode)) == 0;
    fine = fine && (!letter->header || put_bytes(object, "header", letter->header, strlen(letter->header)));
    fine = fine && put_bytes(object, "row", letter->row, letter->row_length);
    return fine && (!letter->cut || json_object_set_new(object, "cut", json_true()) == 0);
}

poise_code letters_put(struct letters *letters, int64_t now_ms, const struct letter *letter, poise_error *err)
{
    char now[TIME_TEXT_MAX], *line = NULL;
    format_time_ms(now_ms, now);
    json_t *object = json_pack("{ss, ss}", "when", now, "reason", letter->reason);
    bool fine =
        object && (letter->measurement ? json_object_set_new(object, "measurement",
                                                             measurement_to_json(letter->measurement)) == 0
                                       : put_row(object, letter));
    if (fine) {
        line = json_dumps(object, JSON_COMPACT);
    }
    json_decref(object);
    poise_code code =
        line ? letters_put_line(letters, line, strlen(line), err) : error_nomem(err, "a dead letter");
    free(line);
    return code;
}

/* ---- from JSON ---- */

static int hex_value(char digit)
{
    const char *digits = "0123456789abcdef";
    const char *found = digit ? strchr(digits, digit) : NULL;
    return found ? (int)(found - digits) : -1;
}

static char *copy_hex(struct arena *arena, const char *digits, size_t length)
{
    char *bytes = length % 2 == 0 ? arena_alloc(arena, length / 2 + 1) : NULL;
    for (size_t i = 0; bytes && i < length / 2; i++) {
        int high = hex_value(digits[2 * i]), low = hex_value(digits[2 * i + 1]);
        if (high < 0 || low < 0) {
            return NULL;
        }
        bytes[i] = (char)(high * 16 + low);
    }
    if (bytes) {
        bytes[length / 2] = '\0';
    }
    return bytes;
}

/* What put_bytes put; NULL: not there, or wrong. */
static const char *take_bytes(const json_t *object, const char *name, struct arena *arena, size_t *ret_length)
{
    char key[32];
    const json_t *text = json_object_get(object, name);
    if (json_is_string(text)) {
        *ret_length = json_string_length(text);
        return arena_strndup(arena, json_string_value(text), *ret_length);
    }
    snprintf(key, sizeof key, "%s_hex", name);
    const json_t *digits = json_object_get(object, key);
    if (!json_is_string(digits)) {
        return NULL;
    }
    *ret_length = json_string_length(digits) / 2;
    return copy_hex(arena, json_string_value(digits), json_string_length(digits));
}

static uint64_t take_count(const json_t *object, const char *name)
{
    json_int_t value = json_integer_value(json_object_get(object, name));
    return value > 0 ? (uint64_t)value : 0;
}

static poise_code row_from_json(const json_t *object, struct arena *arena, struct letter *letter,
                                poise_error *err)
{
    size_t length;
    letter->file = take_bytes(object, "file", arena, &length);
    letter->header = take_bytes(object, "header", arena, &length);
    letter->row = take_bytes(object, "row", arena, &letter->row_length);
    if (!letter->file || !letter->row) {
        return error_set(err, POISE_EINVAL, "a dead letter has 'measurement', or 'file' and 'row'");
    }
    letter->line = take_count(object, "line");
    letter->offset = take_count(object, "offset");
    letter->inode = take_count(object, "inode");
    letter->cut = json_is_true(json_object_get(object, "cut"));
    return POISE_OK;
}

static poise_code measurement_from_json(json_t *object, struct arena *arena, struct letter *letter,
                                        poise_error *err)
{
    const char *measure, *time, *org = "", *source = "", *key = NULL;
    double value, of = 1;
    json_int_t seq = 0;
    int retract = 0;
    json_error_t wrong;
    poise_measurement *item = arena_zalloc(arena, 1, sizeof *item);
    if (json_unpack_ex(object, &wrong, 0, "{ss, s?s, s?s, s?s, ss, sF, s?F, s?I, s?b}", "measure", &measure,
                       "org", &org, "source", &source, "key", &key, "time", &time, "value", &value, "of", &of,
                       "seq", &seq, "retract", &retract) != 0) {
        return error_set(err, POISE_EINVAL, "'measurement': %s", wrong.text);
    }
    if (!item || seq < 0 || !parse_time_ms(time, strlen(time), &item->time_ms)) {
        return error_set(err, POISE_EINVAL, "'time' must be RFC 3339 and 'seq' not below 0");
    }
    item->measure = arena_strndup(arena, measure, strlen(measure));
    item->org = arena_strndup(arena, org, strlen(org));
    item->source = arena_strndup(arena, source, strlen(source));
    item->key = key ? arena_strndup(arena, key, strlen(key)) : NULL;
    item->value = value;
    item->of = of;
    item->seq = (uint64_t)seq;
    item->retract = retract;
    letter->measurement = item;
    return item->measure && item->org && item->source && (item->key || !key)
               ? POISE_OK
               : error_nomem(err, "a dead letter");
}

poise_code letter_parse(const char *line, size_t length, struct arena *arena, struct letter *ret_letter,
                        poise_error *err)
{
    json_error_t wrong;
    json_t *object = json_loadb(line, length, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &wrong);
    if (!object) {
        return error_set(err, POISE_EINVAL, "not JSON: %s", wrong.text);
    }
    struct letter letter = {0};
    size_t reason_length;
    letter.reason = take_bytes(object, "reason", arena, &reason_length);
    json_t *measurement = json_object_get(object, "measurement");
    poise_code code = measurement ? measurement_from_json(measurement, arena, &letter, err)
                                  : row_from_json(object, arena, &letter, err);
    json_decref(object);
    if (code == POISE_OK) {
        *ret_letter = letter;
    }
    return code;
}
