/* Org paths: "plant-1/line-3"; "" is the whole organisation. */
#ifndef MODEL_ORG_H
#define MODEL_ORG_H

#include <stdbool.h>
#include <stddef.h>

enum { ORG_DEPTH_MAX = 16 };

/* At most POISE_ORG_MAX bytes and ORG_DEPTH_MAX segments of printable UTF-8, none empty or edged by blanks.
 */
bool org_valid(const char *org, size_t length);
/* Length of the parent's path; of the root it is not asked. */
size_t org_parent_length(const char *org, size_t length);
bool org_within(const char *org, const char *above); /* is that one, or lies below it; all within "" */
/* Globs (scoring.md section 2), segment by segment: `*` is one or more characters of a segment; `**`, a
 * segment of its own, is any run of segments, none too, but at the end of a longer glob what lies below; ''
 * is the root. */
bool glob_valid(const char *glob);
bool org_matches(const char *glob, const char *org); /* of a valid glob and org */

#endif
