/* Errors of Poise: one space of codes for the library, the wire and the binaries.
 *
 * A call that can fail returns a poise_code; POISE_OK is 0. Where it takes a poise_error, that holds the
 * code and a text for people (what, where, what to do), written only on failure; NULL is allowed.
 * Codes travel on the wire by number: append, never renumber. */
#ifndef POISE_ERROR_H
#define POISE_ERROR_H

#include <poise/export.h>

#define POISE_ERRORS(X)                                                                                      \
    X(OK, 0, "ok")                                                                                           \
    X(ENOMEM, 1, "out of memory")                                                                            \
    X(EINVAL, 2, "an argument is not valid")                                                                 \
    X(ECONFIG, 3, "the configuration is not valid")                                                          \
    X(EIO, 4, "the disk or the operating system refused")                                                    \
    X(ECORRUPT, 5, "stored data is damaged")                                                                 \
    X(EFULL, 6, "no room: a queue, a spool or the disk is full")                                             \
    X(ETIMEOUT, 7, "no answer in time")                                                                      \
    X(EPROTO, 8, "the peer broke the protocol")                                                              \
    X(EVERSION, 9, "the version is not supported")                                                           \
    X(ENOTFOUND, 10, "there is no such thing")                                                               \
    X(EDENIED, 11, "access is denied")                                                                       \
    X(ELIMIT, 12, "a limit is exceeded")                                                                     \
    X(EFORK, 13, "two different histories claim the same sequence")                                          \
    X(EGAP, 14, "a sequence is missing")                                                                     \
    X(EBUSY, 15, "in use by another process")                                                                \
    X(EUNSUPPORTED, 16, "not supported by this version")                                                     \
    X(ESTORE, 17, "another store answered than the one this spool belongs to")                               \
    X(EREFUSED, 18, "the measurement was refused")                                                           \
    X(ECLOSED, 19, "closed")

typedef enum poise_code {
#define POISE_ERROR_ENUM(name, number, text) POISE_##name = number,
    POISE_ERRORS(POISE_ERROR_ENUM)
#undef POISE_ERROR_ENUM
} poise_code;

enum { POISE_ERROR_TEXT_MAX = 480 };

typedef struct poise_error {
    poise_code code;
    char text[POISE_ERROR_TEXT_MAX]; /* UTF-8, cut to fit, always ended */
} poise_error;

/* "EINVAL" and its sentence; for a number that is no code "EUNKNOWN" and a sentence saying so. */
POISE_API const char *poise_code_name(poise_code code);
POISE_API const char *poise_code_text(poise_code code);

#endif
