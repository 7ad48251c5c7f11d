#include <base/text.h>
#include <model/org.h>
#include <poise/types.h>
#include <string.h>

/* The end of the segment that starts at `at`. */
static const char *segment_end(const char *at)
{
    return at + strcspn(at, "/");
}

bool org_valid(const char *org, size_t length)
{
    if (length == 0)
        return true;
    if (length > POISE_ORG_MAX || !utf8_printable(org, length))
        return false;
    size_t segments = 0;
    for (const char *at = org, *end = org + length; at <= end; segments++) {
        const char *slash = at < end ? memchr(at, '/', (size_t)(end - at)) : NULL;
        const char *stop = slash ? slash : end;
        if (stop == at || *at == ' ' || stop[-1] == ' ')
            return false;
        at = stop + 1;
    }
    return segments <= ORG_DEPTH_MAX;
}

size_t org_parent_length(const char *org, size_t length)
{
    while (length > 0 && org[length - 1] != '/')
        length--;
    return length > 0 ? length - 1 : 0;
}

bool org_within(const char *org, const char *above)
{
    size_t length = strlen(above);
    return length == 0 || (strncmp(org, above, length) == 0 && (org[length] == '\0' || org[length] == '/'));
}

bool glob_valid(const char *glob)
{
    if (!org_valid(glob, strnlen(glob, POISE_ORG_MAX + 1)))
        return false;
    for (const char *at = glob; *at; at = *segment_end(at) ? segment_end(at) + 1 : segment_end(at)) {
        size_t length = (size_t)(segment_end(at) - at);
        bool any_path = length == 2 && strncmp(at, "**", 2) == 0;
        const char *pair = strstr(at, "**");
        if (pair && pair < at + length && !any_path)
            return false;
    }
    return true;
}

/* Each literal between stars is looked for as early as it can stand, so that the rest has most room; the last
 * one must stand at the end. Peers choose both sides: this is quick also for the worst of them. */
static bool segment_matches(const char *glob, const char *glob_end, const char *text, const char *text_end)
{
    const char *star = memchr(glob, '*', (size_t)(glob_end - glob));
    size_t length = (size_t)((star ? star : glob_end) - glob);
    if ((size_t)(text_end - text) < length || memcmp(glob, text, length) != 0)
        return false;
    text += length;
    while (star) {
        if (text++ == text_end) /* a star is at least one byte */
            return false;
        glob = star + 1;
        star = memchr(glob, '*', (size_t)(glob_end - glob));
        length = (size_t)((star ? star : glob_end) - glob);
        size_t left = (size_t)(text_end - text);
        if (!star)
            return length <= left && memcmp(glob, text_end - length, length) == 0;
        text = memmem(text, left, glob, length);
        if (!text)
            return false;
        text += length;
    }
    return text == text_end;
}

/* After a segment: the next one, or NULL at the end of the path. */
static const char *next_segment(const char *at)
{
    const char *end = segment_end(at);
    return *end ? end + 1 : NULL;
}

static bool is_any_path(const char *glob)
{
    return glob && strncmp(glob, "**", 2) == 0;
}

/* Two paths that are compared, and where to go on after the last `**` when they differ: it then swallows one
 * segment more. Trying the shortest first is enough, since a later one can swallow all that an earlier could.
 */
struct match {
    const char *glob, *text;
    const char *star_glob, *star_text;
};

bool org_matches(const char *glob, const char *org)
{
    struct match at = {.glob = *glob ? glob : NULL, .text = *org ? org : NULL};
    if (is_any_path(at.glob) && !next_segment(at.glob))
        return true;
    while (at.text || at.glob) {
        bool last = at.glob && !next_segment(at.glob);
        if (is_any_path(at.glob) && last && at.text)
            return true; /* something lies below */
        if (is_any_path(at.glob) && !last) {
            at.star_glob = at.glob = next_segment(at.glob);
            at.star_text = at.text;
        } else if (at.glob && at.text && !is_any_path(at.glob) &&
                   segment_matches(at.glob, segment_end(at.glob), at.text, segment_end(at.text))) {
            at.glob = next_segment(at.glob);
            at.text = next_segment(at.text);
        } else if (at.star_glob && at.star_text) {
            at.glob = at.star_glob;
            at.text = at.star_text = next_segment(at.star_text);
        } else {
            return false;
        }
    }
    return true;
}
