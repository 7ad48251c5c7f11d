#include "disk.h"
#include <base/hash.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *const lost_names[LOST_HOWS] = {
    [LOST_ALL] = "all",         [LOST_NOTHING] = "nothing",      [LOST_BUT_LAST] = "all but the last",
    [LOST_FIRST] = "the first", [LOST_LAST] = "the last",        [LOST_TORN_LAST] = "the last in part",
    [LOST_RANDOM] = "some",     [LOST_SECTORS] = "some sectors",
};

struct content { /* bytes from size to room are zeros */
    uint8_t *bytes;
    size_t size, room;
};

struct file {
    uint64_t inode; /* 0: another file has it by now */
    bool directory;
    bool scratch; /* means nothing after a crash */
    bool gone;    /* its name is, for good: nobody finds it any more */
    struct content synced, now;
};

struct entry { /* a name */
    char *name;
    size_t parent, file;
};

struct names {
    struct entry *entries;
    size_t count, room;
};

struct change { /* that is not synced */
    enum op_kind kind;
    size_t file, parent;
    char *name, *other;
    uint64_t at, length; /* of a write: whole sectors, as long as the file reaches */
    uint8_t *bytes;
    bool given_up; /* a sync failed to write it, and no later one tries again */
};

struct disk {
    struct file *files; /* the first is the root */
    size_t file_count, file_room;
    struct names synced, now;
    struct change *changes;
    size_t change_count, change_room;
};

static const size_t NONE = SIZE_MAX;

static void *need(void *memory)
{
    if (!memory) {
        fprintf(stderr, "disk: out of memory\n");
        abort();
    }
    return memory;
}

static void *grown(void *array, size_t count, size_t *room, size_t size)
{
    if (count < *room) {
        return array;
    }
    *room = *room ? 2 * *room : 16;
    return need(realloc(array, *room * size));
}

/* ---- contents ---- */

static void reserve(struct content *content, size_t room)
{
    if (room > content->room) {
        room = room > 2 * content->room ? room : 2 * content->room;
        content->bytes = need(realloc(content->bytes, room));
        memset(content->bytes + content->room, 0, room - content->room);
        content->room = room;
    }
}

static void resize(struct content *content, size_t size)
{
    reserve(content, size);
    if (size < content->size) {
        memset(content->bytes + size, 0, content->size - size);
    }
    content->size = size;
}

static void fill(struct content *content, size_t at, const uint8_t *bytes, size_t length)
{
    reserve(content, at + length);
    memcpy(content->bytes + at, bytes, length);
    if (content->size < at + length) {
        content->size = at + length;
    }
}

/* ---- names ---- */

static size_t find_name(const struct names *names, size_t parent, const char *name)
{
    for (size_t i = 0; i < names->count; i++) {
        if (names->entries[i].parent == parent && strcmp(names->entries[i].name, name) == 0) {
            return i;
        }
    }
    return NONE;
}

static void drop_name(struct names *names, size_t parent, const char *name)
{
    size_t at = find_name(names, parent, name);
    if (at != NONE) {
        free(names->entries[at].name);
        names->entries[at] = names->entries[--names->count];
    }
}

static void add_name(struct names *names, size_t parent, const char *name, size_t file)
{
    drop_name(names, parent, name);
    names->entries = grown(names->entries, names->count, &names->room, sizeof *names->entries);
    names->entries[names->count++] =
        (struct entry){.name = need(strdup(name)), .parent = parent, .file = file};
}

static void free_names(struct names *names)
{
    while (names->count > 0) {
        free(names->entries[--names->count].name);
    }
    free(names->entries);
}

static struct names copy_names(const struct names *names)
{
    struct names copy = {0};
    for (size_t i = 0; i < names->count; i++) {
        add_name(&copy, names->entries[i].parent, names->entries[i].name, names->entries[i].file);
    }
    return copy;
}

static bool is_naming(const struct change *change)
{
    return change->kind != OP_WRITE && change->kind != OP_SIZE;
}

static void do_naming(struct names *names, const struct change *change)
{
    if (change->kind == OP_FILE || change->kind == OP_DIR) {
        add_name(names, change->parent, change->name, change->file);
    } else {
        drop_name(names, change->parent, change->name);
    }
    if (change->kind == OP_RENAME) {
        add_name(names, change->parent, change->other, change->file);
    }
}

/* ---- what is done ---- */

struct disk *disk_open(uint64_t root)
{
    struct disk *disk = need(calloc(1, sizeof *disk));
    disk->files = grown(NULL, 0, &disk->file_room, sizeof *disk->files);
    disk->files[disk->file_count++] = (struct file){.inode = root, .directory = true};
    return disk;
}

static void free_change(struct change *change)
{
    free(change->name);
    free(change->other);
    free(change->bytes);
}

void disk_empty(struct disk *disk)
{
    for (size_t i = 1; i < disk->file_count; i++) {
        free(disk->files[i].synced.bytes);
        free(disk->files[i].now.bytes);
    }
    for (size_t i = 0; i < disk->change_count; i++) {
        free_change(&disk->changes[i]);
    }
    free_names(&disk->synced);
    free_names(&disk->now);
    disk->synced = disk->now = (struct names){0};
    disk->file_count = 1;
    disk->change_count = 0;
}

void disk_close(struct disk *disk)
{
    disk_empty(disk);
    free(disk->changes);
    free(disk->files);
    free(disk);
}

static size_t find_file(const struct disk *disk, uint64_t inode)
{
    for (size_t i = disk->file_count; i-- > 0;) {
        if (disk->files[i].inode == inode) {
            return i;
        }
    }
    return NONE;
}

/* LMDB's table of readers is written through a map and means nothing after a crash. */
static size_t make_file(struct disk *disk, const struct op *op, const char *name)
{
    size_t before = find_file(disk, op->file);
    if (before != NONE) {
        disk->files[before].inode = 0;
    }
    disk->files = grown(disk->files, disk->file_count, &disk->file_room, sizeof *disk->files);
    disk->files[disk->file_count] = (struct file){
        .inode = op->file, .directory = op->kind == OP_DIR, .scratch = strcmp(name, "lock.mdb") == 0};
    return disk->file_count++;
}

static void do_change(struct disk *disk, const struct change *change)
{
    if (change->kind == OP_WRITE) {
        fill(&disk->files[change->file].synced, change->at, change->bytes, change->length);
    } else if (change->kind == OP_SIZE) {
        resize(&disk->files[change->file].synced, change->at);
    } else {
        do_naming(&disk->synced, change);
    }
}

/* These bytes are there for good: what was written there before cannot come back. */
static void outdate(struct change *change, size_t file, uint64_t at, uint64_t length, const uint8_t *bytes)
{
    uint64_t low = change->at > at ? change->at : at;
    uint64_t high = change->at + change->length < at + length ? change->at + change->length : at + length;
    if (change->kind == OP_WRITE && change->file == file && low < high) {
        memcpy(change->bytes + (low - change->at), bytes + (low - at), high - low);
    }
}

/* As outdate, where the file is shorter for good. */
static void cut(struct change *change, size_t file, uint64_t size)
{
    if (change->kind == OP_WRITE && change->file == file && change->at + change->length > size) {
        change->length = change->at < size ? size - change->at : 0;
    }
}

/* A file, or a directory with what was in it. */
static void forget(struct disk *disk, size_t file)
{
    disk->files[file].gone = true;
    for (size_t i = 0; i < disk->synced.count; i++) {
        if (disk->synced.entries[i].parent == file) {
            forget(disk, disk->synced.entries[i].file);
        }
    }
    for (size_t i = 0; i < disk->change_count; i++) {
        if (is_naming(&disk->changes[i]) && disk->changes[i].parent == file) {
            forget(disk, disk->changes[i].file);
        }
    }
}

/* The names in the directory are as they are for good. What was done to files that are gone waits for no
 * sync. */
static void forget_removed(struct disk *disk, size_t directory)
{
    size_t kept = 0;
    for (size_t i = 0; i < disk->change_count; i++) {
        if (disk->changes[i].kind == OP_UNLINK && disk->changes[i].parent == directory) {
            forget(disk, disk->changes[i].file);
        }
    }
    for (size_t i = 0; i < disk->change_count; i++) {
        struct change *change = &disk->changes[i];
        if (disk->files[is_naming(change) ? change->parent : change->file].gone) {
            free_change(change);
        } else {
            disk->changes[kept++] = *change;
        }
    }
    disk->change_count = kept;
}

/* All that was done to the file, or to the names in the directory, is there for good. */
static void sync_file(struct disk *disk, size_t file)
{
    size_t kept = 0;
    forget_removed(disk, file);
    for (size_t i = 0; i < disk->change_count; i++) {
        struct change *change = &disk->changes[i];
        if ((is_naming(change) ? change->parent : change->file) != file || change->given_up) {
            disk->changes[kept++] = *change;
            continue;
        }
        do_change(disk, change);
        for (size_t j = 0; j < kept; j++) {
            if (change->kind == OP_WRITE) {
                outdate(&disk->changes[j], file, change->at, change->length, change->bytes);
            } else if (change->kind == OP_SIZE) {
                cut(&disk->changes[j], file, change->at);
            }
        }
        free_change(change);
    }
    disk->change_count = kept;
}

static void sync_range(struct disk *disk, size_t file, uint64_t at, uint64_t length)
{
    struct content *now = &disk->files[file].now;
    uint64_t from = at / SECTOR * SECTOR, to = (at + length + SECTOR - 1) / SECTOR * SECTOR;
    to = to < now->size ? to : now->size;
    fill(&disk->files[file].synced, from, now->bytes + from, to - from);
    for (size_t i = 0; i < disk->change_count; i++) {
        outdate(&disk->changes[i], file, from, to - from, now->bytes + from);
    }
}

/* The system has told once; from now on it takes the pages for written. */
static void give_up(struct disk *disk, size_t file)
{
    for (size_t i = 0; i < disk->change_count; i++) {
        struct change *change = &disk->changes[i];
        change->given_up |= change->kind == OP_WRITE && change->file == file;
    }
}

static void add_change(struct disk *disk, struct change change, const char *name, const char *other,
                       const void *bytes)
{
    change.name = name ? need(strdup(name)) : NULL;
    change.other = other ? need(strdup(other)) : NULL;
    if (change.kind == OP_WRITE) {
        struct content *now = &disk->files[change.file].now;
        fill(now, change.at, bytes, change.length);
        size_t from = change.at / SECTOR * SECTOR;
        size_t to = (change.at + change.length + SECTOR - 1) / SECTOR * SECTOR;
        change.at = from;
        change.length = (to < now->size ? to : now->size) - from;
        change.bytes = need(malloc(change.length));
        memcpy(change.bytes, now->bytes + from, change.length);
    } else if (change.kind == OP_SIZE) {
        resize(&disk->files[change.file].now, change.at);
    } else {
        do_naming(&disk->now, &change);
    }
    disk->changes = grown(disk->changes, disk->change_count, &disk->change_room, sizeof *disk->changes);
    disk->changes[disk->change_count++] = change;
}

void disk_do(struct disk *disk, const struct op *op, const char *name, const char *other, const void *bytes)
{
    if (op->kind == OP_MARK) {
        return;
    }
    bool naming = op->kind == OP_FILE || op->kind == OP_DIR || op->kind == OP_UNLINK || op->kind == OP_RENAME;
    size_t parent = naming ? find_file(disk, op->parent) : NONE;
    struct change change = {.kind = op->kind, .parent = parent, .at = op->at, .length = op->length};
    if (naming && parent == NONE) { /* elsewhere */
        return;
    }
    if (op->kind == OP_FILE || op->kind == OP_DIR) {
        change.file = make_file(disk, op, name);
    } else if (naming) {
        size_t at = find_name(&disk->now, parent, name);
        change.file = at != NONE ? disk->now.entries[at].file : NONE;
    } else {
        change.file = find_file(disk, op->file);
    }
    if (change.file == NONE || disk->files[change.file].gone ||
        (!naming && disk->files[change.file].scratch)) {
        return;
    }
    if (op->kind == OP_SYNC) {
        sync_file(disk, change.file);
    } else if (op->kind == OP_RANGE) {
        sync_range(disk, change.file, op->at, op->length);
    } else if (op->kind == OP_FAIL) {
        give_up(disk, change.file);
    } else {
        add_change(disk, change, name, other, bytes);
    }
}

size_t disk_unsynced(const struct disk *disk)
{
    size_t count = 0;
    for (size_t i = 0; i < disk->change_count; i++) {
        count += !disk->changes[i].given_up;
    }
    return count;
}

/* ---- images ---- */

struct image {
    const struct disk *disk;
    enum lost_how how;
    uint64_t seed;
    bool garbage; /* in sectors that were never written */
    struct names names;
    struct content scratch;
};

enum fate { GONE, THERE, IN_PART };

static uint64_t chance(const struct image *image, uint64_t change, uint64_t which)
{
    return hash_mix(hash_mix(image->seed, change), which);
}

/* Writes mostly there, mostly gone, or even: by the image. Names mostly there, or nothing below would be. */
static enum fate fate_by_chance(const struct image *image, size_t which)
{
    bool naming = is_naming(&image->disk->changes[which]);
    uint64_t of_four = naming ? 3 : 1 + chance(image, 0, 3) % 3;
    if (!naming && (image->how == LOST_SECTORS || chance(image, which, 1) % 16 < 3)) {
        return IN_PART;
    }
    return chance(image, which, 2) % 4 < of_four ? THERE : GONE;
}

static enum fate fate_of(const struct image *image, size_t change)
{
    size_t last = image->disk->change_count - 1;
    switch (image->how) {
    case LOST_ALL:
        return GONE;
    case LOST_BUT_LAST:
        return change == last ? THERE : GONE;
    case LOST_FIRST:
        return change > 0 ? THERE : GONE;
    case LOST_LAST:
        return change < last ? THERE : GONE;
    case LOST_TORN_LAST:
        return change < last ? THERE : IN_PART;
    case LOST_RANDOM:
    case LOST_SECTORS:
        return fate_by_chance(image, change);
    default:
        return THERE;
    }
}

/* The sectors of the write that reached the disk; whether its size did is another matter. */
static void write_part(struct image *image, size_t which, const struct change *change, enum fate fate)
{
    struct content *out = &image->scratch;
    size_t end = change->at + change->length;
    if (change->length == 0) {
        return;
    }
    reserve(out, (end + SECTOR - 1) / SECTOR * SECTOR);
    for (size_t at = change->at; at < end;) {
        size_t next = (at / SECTOR + 1) * SECTOR;
        next = next < end ? next : end;
        if (fate == THERE || (fate == IN_PART && chance(image, which, 16 + at / SECTOR) % 2)) {
            memcpy(out->bytes + at, change->bytes + (at - change->at), next - at);
        }
        at = next;
    }
    if (out->size < end && (fate == THERE || (fate == IN_PART && chance(image, which, 4) % 4 > 0))) {
        out->size = end;
    }
}

/* Where a grown file was never written there may be what the disk held there before. */
static void spread_garbage(struct image *image, const struct change *change, size_t which)
{
    const struct content *synced = &image->disk->files[change->file].synced;
    size_t from = change->at > synced->size ? change->at : synced->size;
    reserve(&image->scratch, change->at + change->length);
    for (size_t at = from; at < change->at + change->length; at++) {
        image->scratch.bytes[at] = (uint8_t)chance(image, which, at / 8);
    }
}

static void make_content(struct image *image, size_t file)
{
    const struct disk *disk = image->disk;
    const struct content *synced = &disk->files[file].synced;
    struct content *out = &image->scratch;
    resize(out, 0);
    memset(out->bytes, 0, out->room);
    if (synced->size > 0) {
        fill(out, 0, synced->bytes, synced->size);
    }
    for (size_t i = 0; image->garbage && i < disk->change_count; i++) {
        if (disk->changes[i].file == file && disk->changes[i].kind == OP_WRITE) {
            spread_garbage(image, &disk->changes[i], i);
        }
    }
    for (size_t i = 0; i < disk->change_count; i++) {
        const struct change *change = &disk->changes[i];
        if (change->file == file && change->kind == OP_WRITE) {
            write_part(image, i, change, fate_of(image, i));
        } else if (change->file == file && change->kind == OP_SIZE && fate_of(image, i) != GONE) {
            resize(out, change->at);
        }
    }
}

static void fail_at(const char *what, const char *path)
{
    fprintf(stderr, "disk: cannot %s ", what);
    perror(path);
    abort();
}

static void write_file(struct image *image, const char *path, size_t file)
{
    make_content(image, file);
    if (image->disk->files[file].scratch) {
        resize(&image->scratch, chance(image, file, 5) % 40000);
        for (size_t i = 0; i < image->scratch.size; i++) {
            image->scratch.bytes[i] = (uint8_t)chance(image, file, i / 8);
        }
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    const struct content *content = &image->scratch;
    if (fd < 0 || write(fd, content->bytes, content->size) != (ssize_t)content->size) {
        fail_at("write", path);
    }
    close(fd);
}

static void write_directory(struct image *image, size_t directory, const char *path)
{
    for (size_t i = 0; i < image->names.count; i++) {
        const struct entry *entry = &image->names.entries[i];
        char inner[4096];
        if (entry->parent != directory) {
            continue;
        }
        snprintf(inner, sizeof inner, "%s/%s", path, entry->name);
        if (!image->disk->files[entry->file].directory) {
            write_file(image, inner, entry->file);
        } else if (mkdir(inner, 0750) == 0) {
            write_directory(image, entry->file, inner);
        } else {
            fail_at("make", inner);
        }
    }
}

void disk_image(const struct disk *disk, enum lost_how how, uint64_t seed, const char *path)
{
    struct image image = {.disk = disk, .how = how, .seed = seed, .names = copy_names(&disk->synced)};
    image.garbage = how >= LOST_TORN_LAST && chance(&image, 0, 6) % 4 == 0;
    reserve(&image.scratch, SECTOR);
    for (size_t i = 0; i < disk->change_count; i++) {
        if (is_naming(&disk->changes[i]) && fate_of(&image, i) != GONE) {
            do_naming(&image.names, &disk->changes[i]);
        }
    }
    write_directory(&image, 0, path);
    free_names(&image.names);
    free(image.scratch.bytes);
}

/* ---- the files themselves ---- */

static bool same_file(const char *path, const struct content *wanted)
{
    uint8_t *bytes = need(malloc(wanted->size + 1));
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool same = fd >= 0 && read(fd, bytes, wanted->size + 1) == (ssize_t)wanted->size &&
                (wanted->size == 0 || memcmp(bytes, wanted->bytes, wanted->size) == 0);
    if (fd >= 0) {
        close(fd);
    }
    free(bytes);
    if (!same) {
        fprintf(stderr, "disk: %s is not what was recorded\n", path);
    }
    return same;
}

static bool same_directory(const struct disk *disk, size_t directory, const char *path)
{
    size_t wanted = 0, found = 0;
    bool same = true;
    for (size_t i = 0; i < disk->now.count; i++) {
        const struct entry *entry = &disk->now.entries[i];
        char inner[4096];
        if (entry->parent != directory) {
            continue;
        }
        wanted++;
        snprintf(inner, sizeof inner, "%s/%s", path, entry->name);
        if (disk->files[entry->file].directory) {
            same &= same_directory(disk, entry->file, inner);
        } else if (!disk->files[entry->file].scratch) {
            same &= same_file(inner, &disk->files[entry->file].now);
        }
    }
    DIR *dir = opendir(path);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        found += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    }
    if (dir) {
        closedir(dir);
    }
    if (found != wanted) {
        fprintf(stderr, "disk: %s has %zu names, but %zu were recorded\n", path, found, wanted);
    }
    return same && found == wanted;
}

bool disk_is_complete(const struct disk *disk, const char *path)
{
    return same_directory(disk, 0, path);
}

void disk_clear(const char *path)
{
    DIR *dir = opendir(path);
    if (!dir) {
        fail_at("read", path);
    }
    for (struct dirent *entry; (entry = readdir(dir));) {
        char inner[4096];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
        struct stat status;
        if (lstat(inner, &status) == 0 && S_ISDIR(status.st_mode)) {
            disk_clear(inner);
        }
        if (remove(inner) != 0) {
            fail_at("remove", inner);
        }
    }
    closedir(dir);
}
