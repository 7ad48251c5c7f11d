#include "actions.h"

#include "access.h"
#include <base/buf.h>
#include <base/error.h>
#include <base/file.h>
#include <base/text.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* What comes from outside was decoded as printable UTF-8; what was not, such as a path, becomes so. */
static void put_text(struct buf *out, const char *key, const char *text)
{
    bool readable = text && utf8_printable(text, strlen(text));
    buf_printf(out, ",\"%s\":", key);
    if (!text) {
        buf_printf(out, "null");
        return;
    }
    buf_put_u8(out, '"');
    for (const char *at = text; *at; at++) {
        unsigned char byte = (unsigned char)*at;
        if (byte == '"' || byte == '\\')
            buf_put_u8(out, '\\');
        if (byte < 0x20 || byte == 0x7f || (!readable && byte >= 0x80))
            buf_put_u8(out, '?');
        else
            buf_put_u8(out, byte);
    }
    buf_put_u8(out, '"');
}

static poise_code open_log(const char *store, const struct buf *path, int *ret_fd, poise_error *err)
{
    const char *name = (const char *)path->data;
    int fd = open(name, O_RDWR | O_APPEND | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        fd = open(name, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
        poise_code code = fd < 0 ? POISE_OK : file_sync_dir(store, err);
        if (code) {
            close(fd);
            return code;
        }
    }
    if (fd < 0)
        return error_errno(err, errno == ENOSPC ? POISE_EFULL : POISE_EIO, "cannot open the audit log %s",
                           name);
    *ret_fd = fd;
    return POISE_OK;
}

/* A line that was cut off, since the disk was full or the power went, is ended first: no two become one. */
static poise_code end_line(int fd, poise_error *err)
{
    char last = '\n';
    size_t got = 1;
    off_t end = lseek(fd, 0, SEEK_END);
    poise_code code = end > 0 ? file_read_at(fd, &last, 1, end - 1, &got, err) : POISE_OK;
    return code || got == 0 || last == '\n' ? code : file_write_all(fd, "\n", 1, err);
}

static poise_code append(int fd, const struct buf *lines, poise_error *err)
{
    poise_code code = end_line(fd, err);
    if (!code)
        code = file_write_all(fd, lines->data, lines->length, err);
    if (!code && fdatasync(fd) != 0)
        code = error_errno(err, POISE_EIO, "cannot sync");
    return code;
}

static void put_line(struct buf *line, const struct clock *clock, const struct action *action,
                     const char *about)
{
    char time[TIME_TEXT_MAX], key[ACCESS_SHORT_MAX];
    format_time_ms(clock_wall_ms(clock), time);
    access_short(action->user, key);
    buf_printf(line, "{\"when\":\"%s\"", time);
    put_text(line, "who", action->name);
    put_text(line, "key", action->user ? key : NULL);
    put_text(line, "what", action->what);
    put_text(line, "about", about);
    put_text(line, "result", action->result);
    buf_printf(line, "}\n");
}

static void put_lines(struct buf *lines, const struct clock *clock, const struct action *action)
{
    const char *about = action->about;
    put_line(lines, clock, action, about);
    for (size_t i = 1; i < action->abouts; i++) {
        about += strlen(about) + 1;
        put_line(lines, clock, action, about);
    }
}

poise_code actions_note(const char *store, const struct clock *clock, const struct action *action,
                        poise_error *err)
{
    struct buf lines = {0}, path = {0};
    int fd = -1;
    put_lines(&lines, clock, action);
    buf_printf(&path, "%s/audit.jsonl", store);
    buf_put_u8(&path, 0);
    poise_code code = lines.failed || path.failed ? error_nomem(err, "a line of the audit log")
                                                  : open_log(store, &path, &fd, err);
    if (!code) {
        code = append(fd, &lines, err);
        if (code)
            error_wrap(err, "the audit log %s", (const char *)path.data);
        if (close(fd) != 0 && !code)
            code = error_errno(err, POISE_EIO, "cannot close the audit log of %s", store);
    }
    buf_free(&lines);
    buf_free(&path);
    return code;
}
