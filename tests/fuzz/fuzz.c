#include "fuzz.h"
#include <base/text.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

void fuzz_broken(const char *file, int line, const char *promise)
{
    fprintf(stderr, "%s:%d: broken: %s\n", file, line, promise);
    abort();
}

bool fuzz_is_text(const char *text, size_t max)
{
    size_t length = strlen(text);
    return length <= max && utf8_printable(text, length);
}

bool fuzz_same_bits(double a, double b)
{
    return memcmp(&a, &b, sizeof a) == 0;
}

void fuzz_same_bytes(const struct buf *a, const struct buf *b)
{
    MUST(!a->failed && !b->failed);
    MUST(a->length == b->length);
    MUST(a->length == 0 || memcmp(a->data, b->data, a->length) == 0);
}

int fuzz_file(const void *bytes, size_t length, char path[FUZZ_PATH_MAX])
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    MUST(fd >= 0 && fchmod(fd, S_IRUSR | S_IWUSR) == 0); /* as files have to be that say who may do what */
    for (size_t done = 0; done < length;) {
        ssize_t count = write(fd, (const char *)bytes + done, length - done);
        MUST(count > 0);
        done += (size_t)count;
    }
    snprintf(path, FUZZ_PATH_MAX, "/proc/%ld/fd/%d", (long)getpid(), fd);
    return fd;
}
