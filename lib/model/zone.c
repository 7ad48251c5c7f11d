#include <base/error.h>
#include <ctype.h>
#include <model/zone.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define ZONE_DIR "/usr/share/zoneinfo/"

enum {
    NAME_MAX_BYTES = 64,
    VERSION_MAX = 32,
    CHANGES_MAX = 4096,
    /* Probes are so near to each other that no two changes fall between them: since 1900 the shortest stretch
     * of any zone is Freetown's of 3 days and 23 hours in 1939. */
    PROBE_STEP_S = 3 * 86400
};

struct change {
    int64_t at_s; /* first second with the offset */
    int32_t offset_s;
};

struct zone {
    char name[NAME_MAX_BYTES + 1];
    char version[VERSION_MAX];
    struct change *changes; /* the first at INT64_MIN */
    size_t count;
};

static bool name_valid(const char *name)
{
    size_t length = strnlen(name, NAME_MAX_BYTES + 1);
    if (length == 0 || length > NAME_MAX_BYTES || name[0] == '/' || strstr(name, ".."))
        return false;
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)name[i]) && !strchr("/_+-", name[i]))
            return false;
    return true;
}

/* An unknown zone would silently be UTC, as would the other files that lie there. */
static bool is_zone_file(const char *path)
{
    struct stat info;
    if (stat(path, &info) != 0 || !S_ISREG(info.st_mode))
        return false;
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    char magic[4];
    bool fine =
        fread(magic, 1, sizeof magic, file) == sizeof magic && memcmp(magic, "TZif", sizeof magic) == 0;
    fclose(file);
    return fine;
}

static void read_version(char version[VERSION_MAX])
{
    snprintf(version, VERSION_MAX, "unknown");
    FILE *file = fopen(ZONE_DIR "tzdata.zi", "re");
    if (!file)
        return;
    char found[VERSION_MAX];
    if (fscanf(file, "# version %31s", found) == 1)
        memcpy(version, found, sizeof found);
    fclose(file);
}

static int32_t probe(int64_t at_s)
{
    time_t time = (time_t)at_s;
    struct tm local;
    return localtime_r(&time, &local) ? (int32_t)local.tm_gmtoff : 0;
}

static bool add_change(struct zone *zone, int64_t at_s, int32_t offset_s)
{
    if (zone->count == CHANGES_MAX)
        return false;
    zone->changes[zone->count++] = (struct change){.at_s = at_s, .offset_s = offset_s};
    return true;
}

/* Finds the first second with the new offset in (low, high]. */
static int64_t bisect(int64_t low, int64_t high, int32_t old_offset)
{
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        if (probe(middle) == old_offset)
            low = middle;
        else
            high = middle;
    }
    return high;
}

static bool probe_all(struct zone *zone)
{
    int64_t at = TIME_MIN_MS / 1000;
    int32_t offset = probe(at);
    bool fine = add_change(zone, INT64_MIN, offset);
    for (; fine && at < TIME_MAX_MS / 1000; at += PROBE_STEP_S) {
        int32_t next = probe(at + PROBE_STEP_S);
        if (next == offset)
            continue;
        fine = add_change(zone, bisect(at, at + PROBE_STEP_S, offset), next);
        offset = next;
    }
    return fine;
}

/* Runs probe_all with TZ set to the zone's file, and puts TZ back. */
static poise_code probe_with(const char *path, struct zone *zone, poise_error *err)
{
    char value[sizeof ZONE_DIR + NAME_MAX_BYTES + 1];
    snprintf(value, sizeof value, ":%s", path);
    const char *old = getenv("TZ");
    char *saved = old ? strdup(old) : NULL;
    if ((old && !saved) || setenv("TZ", value, 1) != 0) {
        free(saved);
        return error_nomem(err, "the name of a time zone");
    }
    tzset();
    bool fine = probe_all(zone);
    int restored = saved ? setenv("TZ", saved, 1) : unsetenv("TZ");
    tzset();
    free(saved);
    if (restored != 0)
        return error_nomem(err, "the TZ of the environment");
    return fine ? POISE_OK
                : error_set(err, POISE_ELIMIT, "the time zone %s has more than %d changes", zone->name,
                            CHANGES_MAX);
}

poise_code zone_open(const char *name, struct zone **ret_zone, poise_error *err)
{
    char path[sizeof ZONE_DIR + NAME_MAX_BYTES] = "";
    if (name_valid(name))
        snprintf(path, sizeof path, ZONE_DIR "%s", name);
    if (path[0] == '\0' || !is_zone_file(path))
        return error_set(
            err, POISE_ENOTFOUND,
            "this system has no time zone '%.64s'; use an IANA name such as Europe/London or UTC "
            "(package tzdata)",
            name);
    struct zone *zone = calloc(1, sizeof *zone);
    struct change *changes = calloc(CHANGES_MAX, sizeof *changes);
    if (!zone || !changes) {
        free(zone);
        free(changes);
        return error_nomem(err, "a time zone");
    }
    zone->changes = changes;
    snprintf(zone->name, sizeof zone->name, "%s", name);
    read_version(zone->version);
    poise_code code = probe_with(path, zone, err);
    if (code != POISE_OK) {
        zone_close(zone);
        return code;
    }
    struct change *fitting = realloc(changes, zone->count * sizeof *changes);
    zone->changes = fitting ? fitting : changes;
    *ret_zone = zone;
    return POISE_OK;
}

void zone_close(struct zone *zone)
{
    if (!zone)
        return;
    free(zone->changes);
    free(zone);
}

const char *zone_name(const struct zone *zone)
{
    return zone->name;
}

const char *zone_data_version(const struct zone *zone)
{
    return zone->version;
}

/* The index of the change in force. */
static size_t find(const struct zone *zone, int64_t time_ms)
{
    size_t low = 0, high = zone->count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (zone->changes[middle].at_s * 1000 <= time_ms)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static struct stretch stretch_of(const struct zone *zone, size_t i)
{
    return (struct stretch){
        .start_ms = i == 0 ? INT64_MIN : zone->changes[i].at_s * 1000,
        .end_ms = i + 1 == zone->count ? INT64_MAX : zone->changes[i + 1].at_s * 1000,
        .offset_ms = (int64_t)zone->changes[i].offset_s * 1000,
    };
}

struct stretch zone_stretch(const struct zone *zone, int64_t time_ms)
{
    return stretch_of(zone, find(zone, time_ms));
}

int32_t zone_offset_s(const struct zone *zone, int64_t time_ms)
{
    return zone->changes[find(zone, time_ms)].offset_s;
}

int64_t zone_local_to_utc_ms(const struct zone *zone, int64_t local_ms)
{
    /* No offset is larger than a day, so the instant lies after this one; the first stretch whose wall clock
     * is not past local_ms at its end holds it, or starts with the gap that swallowed it. */
    const int64_t day_ms = 86400000;
    for (size_t i = find(zone, local_ms - day_ms);; i++) {
        struct stretch stretch = stretch_of(zone, i);
        int64_t utc_ms = local_ms - stretch.offset_ms;
        if (utc_ms < stretch.end_ms)
            return utc_ms > stretch.start_ms ? utc_ms : stretch.start_ms;
    }
}

int64_t zone_midnight_ms(const struct zone *zone, int64_t local_day)
{
    return zone_local_to_utc_ms(zone, local_day * 86400000);
}
