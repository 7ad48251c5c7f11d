/* The files of a spool. The first byte says what the input is:
 *
 *     DAMAGE  bytes of batches, and what happens to the segment that has them: cut, changed, or more behind
 * it SEGMENT records of a segment, whose CRCs the harness puts in: [flags, mark, body] one after the other
 *     META    spool.meta, whose CRC the harness puts in, and `acked`, beside a segment of two batches */
#include "fuzz.h"
#include <base/hash.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <spool/segment.h>
#include <spool/spool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DAMAGE, SEGMENT, META, KINDS };
enum { EPOCH = 77, BATCHES_MAX = 16 };

/* ---- a directory for all inputs ---- */

static char directory[] = "/dev/shm/poise-fuzz-XXXXXX"; /* in memory: syncs cost nothing */

static void path_of(const char *name, char path[PATH_MAX])
{
    snprintf(path, PATH_MAX, "%s/%s", directory, name);
}

#define SEGMENT_1 "00000000000000000001.seg"

static void empty_directory(void)
{
    char path[PATH_MAX];
    struct dirent *entry;
    DIR *dir = opendir(directory);
    MUST(dir);
    while ((entry = readdir(dir))) {
        path_of(entry->d_name, path);
        (void)unlink(path); /* not . and .. */
    }
    closedir(dir);
}

static void remove_directory(void)
{
    empty_directory();
    (void)rmdir(directory);
}

static void make_directory(void)
{
    static bool is_made;
    if (!is_made) {
        MUST(mkdtemp(directory));
        (void)atexit(remove_directory);
        is_made = true;
    }
}

static void write_file(const char *name, const struct buf *bytes)
{
    char path[PATH_MAX];
    path_of(name, path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    MUST(fd >= 0 && !bytes->failed);
    MUST(write(fd, bytes->data, bytes->length) == (ssize_t)bytes->length);
    MUST(close(fd) == 0);
}

static poise_code open_spool(struct spool **ret_spool)
{
    const struct spool_options options = {.path = directory, .new_epoch = EPOCH};
    poise_error err;
    poise_code code = spool_open(&options, ret_spool, &err);
    MUST(code == POISE_OK || code == POISE_ECORRUPT || code == POISE_EVERSION);
    return code;
}

/* ---- damage ---- */

struct batches {
    struct cursor body[BATCHES_MAX];
    int64_t end[BATCHES_MAX]; /* of its record in the segment */
    size_t count;
};

static void take_batches(struct cursor *in, struct batches *batches)
{
    size_t count = 1 + cursor_u8(in) % BATCHES_MAX;
    int64_t at = SEGMENT_HEAD;
    while (batches->count < count && !in->failed) {
        size_t length;
        const char *body = cursor_text(in, &length);
        if (!in->failed) {
            at += SEGMENT_RECORD + (int64_t)length;
            batches->body[batches->count] = cursor_of(body, length);
            batches->end[batches->count++] = at;
        }
    }
    in->failed = false;
}

static void append_batches(const struct batches *batches)
{
    struct spool *spool;
    MUST(open_spool(&spool) == POISE_OK);
    for (size_t i = 0; i < batches->count; i++) {
        const struct cursor *body = &batches->body[i];
        size_t length = cursor_left(body);
        MUST(spool_append(spool, body->at, length, hash64(body->at, length, 0), NULL, 0, NULL) == POISE_OK);
    }
    spool_close(spool);
}

/* Damages the segment; *ret_whole: from there on. True: all before was written so, as a power cut leaves it.
 */
static bool damage(struct cursor *in, int64_t *ret_from)
{
    enum { CUT, CHANGE, MORE, WAYS };
    struct stat file;
    char path[PATH_MAX];
    path_of(SEGMENT_1, path);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    MUST(fd >= 0 && fstat(fd, &file) == 0);
    unsigned way = cursor_u8(in) % WAYS;
    int64_t at = cursor_u16(in) % (file.st_size + 1);
    size_t length = way == CHANGE && cursor_left(in) > (size_t)(file.st_size - at)
                        ? (size_t)(file.st_size - at)
                        : cursor_left(in);
    at = way == MORE ? file.st_size : at;
    if (way == CUT) {
        MUST(ftruncate(fd, at) == 0);
    } else {
        MUST(pwrite(fd, in->at, length, at) == (ssize_t)length);
    }
    MUST(close(fd) == 0);
    *ret_from = at;
    return way == CUT;
}

/* What is read is what was appended; how many of them are. */
static size_t read_batches(struct spool *spool, const struct batches *batches)
{
    size_t read = 0;
    for (uint64_t seq = spool_first_seq(spool); seq < spool_next_seq(spool); seq++) {
        struct buf body = {0};
        poise_code code = spool_read(spool, seq, &body, NULL);
        MUST(code == POISE_OK || code == POISE_ECORRUPT);
        if (code == POISE_OK && seq - 1 < batches->count) {
            const struct cursor *was = &batches->body[seq - 1];
            MUST(body.length == cursor_left(was) &&
                 (body.length == 0 || memcmp(body.data, was->at, body.length) == 0));
            read++;
        }
        buf_free(&body);
    }
    return read;
}

static void try_damage(struct cursor in)
{
    struct batches batches = {0};
    struct spool *spool;
    int64_t from;
    size_t whole = 0;
    take_batches(&in, &batches);
    append_batches(&batches);
    bool is_cut = damage(&in, &from);
    while (whole < batches.count && batches.end[whole] <= from) {
        whole++;
    }
    poise_code code = open_spool(&spool);
    MUST(!is_cut || code == POISE_OK || from < SEGMENT_HEAD);
    if (code == POISE_OK) {
        size_t read = read_batches(spool, &batches);
        MUST(read >= whole && (!is_cut || read == whole));
        spool_close(spool);
    }
}

/* ---- what was opened goes on ---- */

static void go_on(void)
{
    struct spool *spool;
    size_t length;
    if (open_spool(&spool) != POISE_OK) {
        return;
    }
    uint64_t first = spool_first_seq(spool), next = spool_next_seq(spool);
    MUST(first <= next);
    for (uint64_t seq = first; seq < next && seq - first < BATCHES_MAX; seq++) {
        struct buf body = {0};
        struct spool_loss loss = {0};
        MUST(spool_lost(spool, seq, &loss, NULL) == POISE_OK); /* opening has read all of it */
        poise_code code = spool_read(spool, seq, &body, NULL);
        MUST(code == (loss.last ? POISE_EGAP : POISE_OK) ||
             (code == POISE_OK && loss.reason == SPOOL_FORKED));
        MUST(body.length <= SPOOL_BODY_MAX);
        buf_free(&body);
    }
    MUST(!spool_mark(spool, &length) || length <= SPOOL_MARK_MAX);
    MUST(spool_append(spool, "x", 1, 5, "mark", 4, NULL) == POISE_OK && spool_next_seq(spool) == next + 1);
    spool_close(spool);
    MUST(open_spool(&spool) == POISE_OK);
    MUST(spool_first_seq(spool) == first && spool_next_seq(spool) == next + 1 && spool_mark(spool, &length));
    MUST(memcmp(spool_mark(spool, &length), "mark", 4) == 0 && length == 4);
    struct spool_loss loss = {0};
    MUST(spool_lost(spool, next, &loss, NULL) == POISE_OK && loss.last == 0);
    MUST(spool_ack(spool, next, NULL) == POISE_OK);
    spool_close(spool);
}

/* ---- a segment ---- */

static void put_segment_head(struct buf *out)
{
    buf_put(out, "PSEG", 4);
    buf_put_u32(out, 1);
    buf_put_u64(out, EPOCH);
    buf_put_u64(out, 1);
    buf_put_u64(out, 0);
    MUST(!out->failed);
    buf_put_u32(out, crc32c(out->data, out->length));
}

static void try_segment(struct cursor in)
{
    enum { SKIPS = 1, BARE = 2 };
    struct spool *spool;
    struct buf bytes = {0};
    MUST(open_spool(&spool) == POISE_OK); /* makes the other files */
    spool_close(spool);
    put_segment_head(&bytes);
    for (uint64_t seq = 1; cursor_left(&in) > 0 && seq < BATCHES_MAX; seq++) {
        size_t mark_length, length;
        unsigned flags = cursor_u8(&in);
        const char *mark = cursor_text(&in, &mark_length), *body = cursor_text(&in, &length);
        if (in.failed) {
            break;
        }
        if (flags & BARE) { /* no record at all, or one of its own making */
            buf_put(&bytes, body, length);
            continue;
        }
        segment_put_record(&bytes, seq + (flags & SKIPS), seq, mark, mark_length, body, length);
    }
    write_file(SEGMENT_1, &bytes);
    buf_free(&bytes);
    go_on();
}

/* ---- spool.meta and acked ---- */

static void put_with_crc(const char *name, struct cursor content)
{
    struct buf bytes = {0};
    buf_put(&bytes, content.at, cursor_left(&content));
    MUST(!bytes.failed);
    buf_put_u32(&bytes, crc32c(bytes.data, bytes.length));
    write_file(name, &bytes);
    buf_free(&bytes);
}

static void try_meta(struct cursor in)
{
    size_t length;
    struct batches batches = {.body = {cursor_of("ab", 2), cursor_of("c", 1)}, .count = 2};
    const char *acked = cursor_text(&in, &length);
    append_batches(&batches);
    if (acked && length > 0) {
        put_with_crc("acked", cursor_of(acked, length));
    }
    if (!in.failed && cursor_left(&in) > 0) {
        put_with_crc("spool.meta", in);
    }
    go_on();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct cursor in = cursor_of(data + 1, size - 1);
    make_directory();
    switch (data[0] % KINDS) {
    case DAMAGE:
        try_damage(in);
        break;
    case SEGMENT:
        try_segment(in);
        break;
    default:
        try_meta(in);
    }
    empty_directory();
    return 0;
}
