#include "scratch.h"
#include <base/file.h>
#include <base/hash.h>
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int scratch_make(void **state)
{
    const char *base = getenv("TMPDIR");
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/poise-spool-XXXXXX", base ? base : "/tmp");
    *state = mkdtemp(path) ? strdup(path) : NULL;
    return *state ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

int scratch_remove(void **state)
{
    int rc = nftw(*state, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(*state);
    return rc;
}

struct spool_options scratch_options(const char *path)
{
    return (struct spool_options){
        .path = path, .max_bytes = 20000, .segment_bytes = 1000, .new_epoch = EPOCH};
}

struct spool *scratch_open(const char *path)
{
    struct spool_options options = scratch_options(path);
    struct spool *spool = NULL;
    poise_error err = {0};
    if (spool_open(&options, &spool, &err) != POISE_OK) {
        fail_msg("%s", err.text);
    }
    return spool;
}

const char *scratch_refuse(const char *path, poise_code code)
{
    static poise_error err;
    struct spool_options options = scratch_options(path);
    struct spool *spool = NULL;
    assert_int_equal(spool_open(&options, &spool, &err), code);
    assert_null(spool);
    return err.text;
}

static uint8_t *body_of(uint64_t seq, size_t length)
{
    uint8_t *body = malloc(length + 8);
    assert_non_null(body);
    for (size_t i = 0; i < length; i += 8) {
        uint64_t word = hash_mix(seq, i);
        memcpy(body + i, &word, sizeof word);
    }
    return body;
}

uint64_t scratch_hash(uint64_t seq)
{
    return seq ? hash_mix(seq, 1) : 0;
}

void scratch_append(struct spool *spool, uint64_t seq, size_t length)
{
    poise_error err = {0};
    uint8_t *body = body_of(seq, length);
    assert_int_equal(spool_next_seq(spool), seq);
    if (spool_append(spool, body, length, scratch_hash(seq), NULL, 0, &err) != POISE_OK) {
        fail_msg("batch %d: %s", (int)seq, err.text);
    }
    free(body);
}

void scratch_check(struct spool *spool, uint64_t first, uint64_t next, size_t length)
{
    assert_int_equal(spool_first_seq(spool), first);
    assert_int_equal(spool_next_seq(spool), next);
    assert_true(spool_last_hash(spool) == scratch_hash(first - 1));
    for (uint64_t seq = first; seq < next; seq++) {
        struct buf body = {0};
        uint8_t *wanted = body_of(seq, length);
        assert_int_equal(spool_read(spool, seq, &body, NULL), POISE_OK);
        assert_int_equal(body.length, length);
        assert_memory_equal(body.data, wanted, length);
        free(wanted);
        buf_free(&body);
    }
}

void scratch_ack(struct spool *spool, uint64_t seq)
{
    assert_int_equal(spool_ack(spool, seq, NULL), POISE_OK);
}

/* ---- files ---- */

size_t scratch_segments(const char *path)
{
    DIR *dir = opendir(path);
    assert_non_null(dir);
    size_t count = 0;
    for (struct dirent *entry; (entry = readdir(dir));) {
        count += strstr(entry->d_name, ".seg") != NULL;
    }
    closedir(dir);
    return count;
}

static void join(const char *path, const char *name, char joined[PATH_MAX])
{
    int length = snprintf(joined, PATH_MAX, "%s/%s", path, name);
    assert_true(length > 0 && length < PATH_MAX);
}

void scratch_load(const char *path, const char *name, struct buf *out)
{
    char joined[PATH_MAX];
    join(path, name, joined);
    buf_reset(out);
    assert_int_equal(file_read(joined, 1 << 20, out, NULL), POISE_OK);
}

void scratch_store(const char *path, const char *name, const void *bytes, size_t length)
{
    char joined[PATH_MAX];
    join(path, name, joined);
    int fd = open(joined, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, length), length);
    close(fd);
}

void scratch_unlink(const char *path, const char *name)
{
    char joined[PATH_MAX];
    join(path, name, joined);
    assert_int_equal(unlink(joined), 0);
}

void scratch_flip(const char *path, const char *name, size_t at)
{
    struct buf bytes = {0};
    scratch_load(path, name, &bytes);
    assert_true(at < bytes.length);
    bytes.data[at] ^= 0x10;
    scratch_store(path, name, bytes.data, bytes.length);
    buf_free(&bytes);
}
