/* What the shared library shows; everything else is hidden. */
#ifndef POISE_EXPORT_H
#define POISE_EXPORT_H

#define POISE_API __attribute__((visibility("default")))

#endif
