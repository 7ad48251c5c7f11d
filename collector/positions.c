#include <base/error.h>
#include <base/hash.h>
#include <collector/positions.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { VERSION = 1 };

void positions_set(struct positions *positions, const struct position *position)
{
    size_t at = 0;
    while (at < positions->count && positions->items[at].path != position->path) {
        at++;
    }
    if (at == positions->count && positions->count == POSITIONS_MAX) {
        at = 0;
    }
    if (at < positions->count) {
        memmove(&positions->items[at], &positions->items[at + 1],
                (positions->count - at - 1) * sizeof *positions->items);
        positions->count--;
    }
    positions->items[positions->count++] = *position;
}

const struct position *positions_find(const struct positions *positions, uint64_t path)
{
    for (size_t i = 0; i < positions->count; i++) {
        if (positions->items[i].path == path) {
            return &positions->items[i];
        }
    }
    return NULL;
}

uint64_t position_path(const char *path)
{
    char directory[PATH_MAX] = "";
    if (*path != '/' && !getcwd(directory, sizeof directory)) {
        directory[0] = '\0';
    }
    return hash_mix(hash64(directory, strlen(directory), 0), hash64(path, strlen(path), 0));
}

/* Hash of the first bytes; 0 where they cannot be read. */
static uint64_t hash_head(int fd, uint32_t length)
{
    char head[POSITION_HEAD_MAX];
    return pread(fd, head, length, 0) == (ssize_t)length ? hash64(head, length, 0) : 0;
}

void position_note_head(struct position *position, int fd)
{
    uint32_t length = position->offset < POSITION_HEAD_MAX ? (uint32_t)position->offset : POSITION_HEAD_MAX;
    if (length > position->head_length) {
        position->head_length = length;
        position->head_hash = hash_head(fd, length);
    }
}

bool position_is_of(const struct position *position, int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 && position->inode == status.st_ino &&
           position->offset <= (uint64_t)status.st_size &&
           position->head_hash == hash_head(fd, position->head_length);
}

void positions_encode(const struct positions *positions, struct buf *out)
{
    buf_put_u8(out, VERSION);
    buf_put_varint(out, positions->count);
    for (size_t i = 0; i < positions->count; i++) {
        const struct position *position = &positions->items[i];
        buf_put_u64(out, position->path);
        buf_put_varint(out, position->inode);
        buf_put_varint(out, position->offset);
        buf_put_varint(out, position->line);
        buf_put_varint(out, position->head_length);
        buf_put_u64(out, position->head_hash);
    }
}

poise_code positions_decode(const void *bytes, size_t length, struct positions *ret_positions,
                            poise_error *err)
{
    struct cursor cursor = cursor_of(bytes, length);
    struct positions positions = {.count = 0};
    uint8_t version = cursor_u8(&cursor);
    uint64_t count = cursor_varint(&cursor);
    if (!cursor.failed && version != VERSION) {
        return error_set(err, POISE_EVERSION, "the positions in the spool are of format %d, known is %d",
                         version, VERSION);
    }
    for (uint64_t i = 0; i < count && i < POSITIONS_MAX; i++) {
        struct position *position = &positions.items[positions.count++];
        position->path = cursor_u64(&cursor);
        position->inode = cursor_varint(&cursor);
        position->offset = cursor_varint(&cursor);
        position->line = cursor_varint(&cursor);
        position->head_length = (uint32_t)cursor_varint(&cursor);
        position->head_hash = cursor_u64(&cursor);
        cursor.failed |= position->head_length > POSITION_HEAD_MAX;
    }
    if (cursor.failed || count > POSITIONS_MAX || cursor_left(&cursor) > 0) {
        return error_set(err, POISE_ECORRUPT, "the positions in the spool are damaged");
    }
    *ret_positions = positions;
    return POISE_OK;
}
