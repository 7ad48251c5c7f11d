/* Filling a poise_error. Every call returns the code it was given, so that a failure is one line:
 *     return error_set(err, POISE_EINVAL, "weight %g is below 0", w);                               */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <poise/error.h>

__attribute__((format(printf, 3, 4))) poise_code error_set(poise_error *err, poise_code code,
                                                           const char *format, ...);

/* As error_set, ending in ": " and the text of errno. */
__attribute__((format(printf, 3, 4))) poise_code error_errno(poise_error *err, poise_code code,
                                                             const char *format, ...);

/* Puts "context: " before the text that is there; returns err->code (POISE_EINVAL for a NULL err). */
__attribute__((format(printf, 2, 3))) poise_code error_wrap(poise_error *err, const char *format, ...);

/* "out of memory" with what was wanted. */
poise_code error_nomem(poise_error *err, const char *what);

#endif
