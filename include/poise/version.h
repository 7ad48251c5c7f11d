/* The version of the headers; poise_version() is that of the library that runs. */
#ifndef POISE_VERSION_H
#define POISE_VERSION_H

#include <poise/export.h>

#define POISE_VERSION_MAJOR 0
#define POISE_VERSION_MINOR 1
#define POISE_VERSION_PATCH 0
#define POISE_VERSION_TEXT  "0.1.0"

POISE_API const char *poise_version(void);

#endif
