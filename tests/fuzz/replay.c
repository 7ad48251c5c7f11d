/* Gives a harness all inputs of a corpus, and what is left of each when it is cut, without libFuzzer: so that
 * every compiler and sanitizer, and valgrind, sees them too. An input lies in memory of exactly its size.
 *
 *     replay_NAME FILE-OR-DIRECTORY...   */
#include "fuzz.h"
#include <base/file.h>
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { INPUT_MAX = 1 << 20, CUTS = 12 };

static void give(const uint8_t *bytes, size_t length)
{
    uint8_t *copy = malloc(length + (length == 0));
    MUST(copy);
    if (length > 0) {
        memcpy(copy, bytes, length);
    }
    LLVMFuzzerTestOneInput(copy, length);
    free(copy);
}

/* Says its name before: should it fail, that is known. */
static void replay(const char *path, bool cut)
{
    struct buf bytes = {0};
    poise_error err;
    printf("%s\n", path);
    fflush(stdout);
    if (file_read(path, INPUT_MAX, &bytes, &err) != POISE_OK) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    give(bytes.data, bytes.length);
    for (size_t i = 0; cut && i < CUTS; i++) {
        give(bytes.data, bytes.length * i / CUTS);
    }
    buf_free(&bytes);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static size_t replay_all(const char *path)
{
    struct dirent **names;
    int count = scandir(path, &names, NULL, by_name);
    size_t files = 0;
    for (int i = 0; i < count; i++) {
        char file[PATH_MAX];
        int length = snprintf(file, sizeof file, "%s/%s", path, names[i]->d_name);
        if (names[i]->d_name[0] != '.' && length > 0 && (size_t)length < sizeof file) {
            replay(file, true);
            files++;
        }
        free(names[i]);
    }
    if (count >= 0) {
        free(names);
    }
    return files;
}

int main(int argc, char **argv)
{
    size_t files = 0;
    for (int i = 1; i < argc; i++) {
        struct stat at;
        if (stat(argv[i], &at) == 0 && S_ISREG(at.st_mode)) {
            replay(argv[i], false);
            files++;
        } else {
            files += replay_all(argv[i]);
        }
    }
    printf("%zu inputs\n", files);
    return files > 0 ? 0 : 1; /* nothing was proved */
}
