/* What the harnesses share. A harness is one function that is given bytes: whatever they are, it must not
 * crash, leak, take long or much memory, nor find a promise of the decoder broken. */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <base/buf.h>
#include <poise/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A promise. */
#define MUST(condition) ((condition) ? (void)0 : fuzz_broken(__FILE__, __LINE__, #condition))
_Noreturn void fuzz_broken(const char *file, int line, const char *promise);

bool fuzz_is_text(const char *text, size_t max); /* printable UTF-8 of at most so many bytes */
bool fuzz_same_bits(double a, double b);
void fuzz_same_bytes(const struct buf *a, const struct buf *b);

/* An open file without a name, with these bytes; its path. Closing the file removes it. */
enum { FUZZ_PATH_MAX = 64 };
int fuzz_file(const void *bytes, size_t length, char path[FUZZ_PATH_MAX]);

#endif
