#include "lost.h"
#include "disk.h"
#include <base/file.h>
#include <base/hash.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LIVES_MAX = 200, CODE_AGAIN = 98, SAID_MAX = 512, PATH_BYTES = 256, EARLY = 20 };
enum {
    MARK_LIFE = 1 << 20,
    MARK_CUT,
    MARK_ON
}; /* a life begins; the power is cut, the files are as it left them */

struct lost {
    const struct lost_test *test;
    uint64_t seed;
    char recorded[PATH_BYTES + 16], image[PATH_BYTES + 16];
    int log;
    const uint8_t *bytes;
    size_t length;
    struct lost_mark *marks;
    struct lost_marks said;
    size_t places; /* operations */
    size_t lives, starts[LIVES_MAX];
    struct span { /* of places, from what was said last before a power cut that came in the log */
        size_t from, to;
    } cuts[LIVES_MAX];
    size_t cut_count;
};

static char where[SAID_MAX];  /* of the point that is being checked, also for who dies of it */
static char base[PATH_BYTES]; /* a directory for all of it */
static pid_t owner;           /* of which it is */

int lost_tell(void **state)
{
    (void)state;
    if (getpid() != owner) { /* a life that failed */
        return 0;
    }
    if (where[0] != '\0') {
        print_error("it failed at %s\n", where);
    }
    if (getenv("POISE_POINT")) {
        print_message("the files, as the check left them, are in %s/image\n", base);
    } else if (base[0] != '\0') {
        disk_clear(base);
        (void)remove(base);
    }
    return 0;
}

static void say_where(int number)
{
    static const char text[] = "a signal ended ";
    ssize_t ignored = write(STDERR_FILENO, text, sizeof text - 1);
    ignored = write(STDERR_FILENO, where, strlen(where));
    ignored = write(STDERR_FILENO, "\n", 1);
    (void)ignored;
    signal(number, SIG_DFL);
    raise(number);
}

static uint64_t number_of(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text && *text ? strtoull(text, NULL, 10) : otherwise;
}

/* ---- recording ---- */

static void make_directories(struct lost *lost)
{
    const char *temporary = getenv("TMPDIR");
    snprintf(base, sizeof base, "%s/poise-lost-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm"
             : temporary                   ? temporary
                                           : "/tmp");
    assert_non_null(mkdtemp(base));
    owner = getpid();
    snprintf(lost->recorded, sizeof lost->recorded, "%s/recorded", base);
    snprintf(lost->image, sizeof lost->image, "%s/image", base);
    assert_int_equal(mkdir(lost->recorded, 0750), 0);
    assert_int_equal(mkdir(lost->image, 0750), 0);
    lost->log = memfd_create("log", MFD_CLOEXEC);
    assert_true(lost->log >= 0);
}

static int live(const struct lost *lost, unsigned life)
{
    const struct lost_test *test = lost->test;
    size_t kill_after = life + 1 < test->lives ? 20 + hash_mix(lost->seed, life) % test->kill_within : 0;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        recorder_start(lost->log, lost->recorded, kill_after, life % 2);
        recorder_mark(MARK_LIFE, life, 0);
        enum lost_life how = test->live(lost->recorded, lost->seed, life);
        recorder_stop();
        fflush(NULL);
        _exit(how == LIFE_LAST ? 0 : CODE_AGAIN);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFEXITED(status)) {
        fail_msg("life %u was ended by signal %d", life, WTERMSIG(status));
    }
    return WEXITSTATUS(status);
}

/* ---- the log ---- */

struct place { /* in the log */
    size_t at;
    struct op op;
    const char *name, *other;
    const void *bytes;
};

static bool next_op(const struct lost *lost, struct place *place)
{
    static _Thread_local char name[4096], other[4096];
    size_t at = place->at;
    if (at + sizeof place->op > lost->length) {
        return false;
    }
    memcpy(&place->op, lost->bytes + at, sizeof place->op);
    at += sizeof place->op;
    memcpy(name, lost->bytes + at, place->op.name_length);
    name[place->op.name_length] = '\0';
    at += place->op.name_length;
    memcpy(other, lost->bytes + at, place->op.other_length);
    other[place->op.other_length] = '\0';
    at += place->op.other_length;
    place->name = place->op.name_length ? name : NULL;
    place->other = place->op.other_length ? other : NULL;
    place->bytes = lost->bytes + at;
    place->at = at + (place->op.kind == OP_WRITE ? place->op.length : 0);
    return true;
}

static void map_log(struct lost *lost)
{
    struct stat status;
    assert_int_equal(fstat(lost->log, &status), 0);
    lost->length = (size_t)status.st_size;
    lost->bytes = mmap(NULL, lost->length, PROT_READ, MAP_PRIVATE, lost->log, 0);
    assert_true(lost->bytes != MAP_FAILED);
}

static void unmap_log(struct lost *lost)
{
    munmap((void *)(uintptr_t)lost->bytes, lost->length);
}

/* Whether it is an operation of a life, before which the power may be cut. */
static bool counts(const struct op *op, bool *making)
{
    if (op->kind == OP_MARK && (op->mark == MARK_CUT || op->mark == MARK_ON)) {
        *making = op->mark == MARK_CUT;
    }
    return op->kind != OP_MARK && !*making;
}

static void note_mark(struct lost *lost, const struct op *op, size_t *said)
{
    if (op->mark == MARK_LIFE) {
        lost->starts[lost->lives++] = lost->places;
    } else if (op->mark == MARK_CUT) {
        lost->cuts[lost->cut_count++] = (struct span){*said, lost->places};
    } else if (op->mark < MARK_LIFE) {
        *said = lost->places;
        lost->marks = realloc(lost->marks, (lost->said.count + 1) * sizeof *lost->marks);
        assert_non_null(lost->marks);
        lost->marks[lost->said.count++] = (struct lost_mark){.mark = op->mark, .a = op->at, .b = op->length};
    }
}

static void read_log(struct lost *lost)
{
    bool making = false;
    size_t said = 0;
    map_log(lost);
    for (struct place place = {0}; next_op(lost, &place);) {
        lost->places += counts(&place.op, &making);
        if (place.op.kind == OP_MARK) {
            note_mark(lost, &place.op, &said);
        }
    }
    lost->said.marks = lost->marks;
}

static struct disk *open_disk(const struct lost *lost)
{
    struct stat status;
    assert_int_equal(stat(lost->recorded, &status), 0);
    return disk_open(status.st_ino);
}

static void apply(struct disk *disk, const struct place *place)
{
    if (place->op.kind == OP_MARK && place->op.mark == MARK_CUT) {
        disk_empty(disk);
    }
    disk_do(disk, &place->op, place->name, place->other, place->bytes);
}

static struct disk *replay(const struct lost *lost)
{
    struct disk *disk = open_disk(lost);
    for (struct place place = {0}; next_op(lost, &place);) {
        apply(disk, &place);
    }
    return disk;
}

/* Else something was done to the files that the recorder does not know, and the images would be worth
 * nothing. */
static void check_recorder(const struct lost *lost)
{
    struct disk *disk = replay(lost);
    assert_true(disk_is_complete(disk, lost->recorded));
    disk_close(disk);
}

/* ---- lives that begin after a power cut ---- */

static void copy_file(const char *from, const char *to)
{
    char bytes[65536];
    int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
    assert_true(in >= 0 && out >= 0);
    for (ssize_t count; (count = read(in, bytes, sizeof bytes)) > 0;) {
        assert_int_equal(write(out, bytes, (size_t)count), count);
    }
    assert_int_equal(fsync(out), 0);
    close(in);
    close(out);
}

static void copy_directory(const char *from, const char *to)
{
    DIR *dir = opendir(from);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        char inner[4096], inner_to[4096];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        snprintf(inner, sizeof inner, "%s/%s", from, entry->d_name);
        snprintf(inner_to, sizeof inner_to, "%s/%s", to, entry->d_name);
        if (entry->d_type == DT_DIR) {
            assert_int_equal(mkdir(inner_to, 0750), 0);
            copy_directory(inner, inner_to);
        } else {
            copy_file(inner, inner_to);
        }
    }
    closedir(dir);
    assert_int_equal(file_sync_dir(to, NULL), POISE_OK);
}

/* The next life finds what a power cut has left of this one, so that recovering is cut short, too. */
static void cut_power(struct lost *lost, unsigned life)
{
    map_log(lost);
    struct disk *disk = replay(lost);
    disk_image(disk, life % 2 ? LOST_RANDOM : LOST_SECTORS, hash_mix(lost->seed + 3, life), lost->image);
    disk_close(disk);
    unmap_log(lost);
    disk_clear(lost->recorded);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        recorder_start(lost->log, lost->recorded, 0, false);
        recorder_mark(MARK_CUT, life, 0);
        copy_directory(lost->image, lost->recorded);
        recorder_mark(MARK_ON, life, 0);
        _exit(0);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    disk_clear(lost->image);
}

static void live_on(struct lost *lost)
{
    unsigned killed = 0;
    for (unsigned life = 0; life < LIVES_MAX; life++) {
        int code = live(lost, life);
        killed += code == RECORDER_KILLED;
        if (code != 0 && life % 3 == 2) {
            cut_power(lost, life);
        }
        if (code != 0 && code != CODE_AGAIN && code != RECORDER_KILLED) {
            fail_msg("life %u ended with %d", life, code);
        }
        if (code == 0 && life + 1 >= lost->test->lives) {
            assert_true(killed > 0 || lost->test->lives < 2);
            return;
        }
    }
    fail_msg("it did not end after %d lives", LIVES_MAX);
}

/* ---- points ---- */

static int by_place(const void *a, const void *b)
{
    size_t left = *(const size_t *)a, right = *(const size_t *)b;
    return (left > right) - (left < right);
}

/* What was being done when the log goes on after a power cut is not known to any mark. */
static size_t leave_cuts(const struct lost *lost, size_t place)
{
    for (size_t i = 0; i < lost->cut_count; i++) {
        if (place > lost->cuts[i].from && place < lost->cuts[i].to) {
            return lost->cuts[i].to;
        }
    }
    return place;
}

/* Before which operations the power is cut, in the order of the log: half of them evenly, with some chance;
 * a fourth where all is made, a fourth where a life goes on from what the one before left. */
static size_t *choose_places(const struct lost *lost, size_t points)
{
    size_t *places = calloc(points, sizeof *places), all = lost->places + 1, early = lost->lives * EARLY;
    assert_non_null(places);
    for (size_t i = 0; i < points; i++) {
        uint64_t chance = hash_mix(lost->seed + 1, i);
        size_t at = i % 4 ? (i * early + chance % early) / points : i * EARLY / points;
        places[i] = i % 2 ? (i * all + chance % all) / points : lost->starts[at / EARLY] + at % EARLY;
        places[i] = leave_cuts(lost, places[i] < all ? places[i] : all - 1);
    }
    qsort(places, points, sizeof *places, by_place);
    return places;
}

static void check_point(struct lost *lost, const struct disk *disk, size_t point, size_t place)
{
    uint64_t seed = hash_mix(lost->seed + 2, point);
    enum lost_how how = (enum lost_how)(point % LOST_HOWS);
    snprintf(where, sizeof where,
             "POISE_SEED=%llu POISE_POINT=%zu, before operation %zu of %zu, lost of %zu unsynced: %s",
             (unsigned long long)lost->seed, point, place, lost->places, disk_unsynced(disk),
             lost_names[how]);
    disk_image(disk, how, seed, lost->image);
    lost->test->check(lost->image, &lost->said, seed);
    where[0] = '\0';
}

static size_t check_points(struct lost *lost, size_t points)
{
    uint64_t only = number_of("POISE_POINT", UINT64_MAX);
    struct disk *disk = open_disk(lost);
    struct place at = {0}, next = {0};
    bool making = false;
    size_t done = 0, losing = 0, *places = choose_places(lost, points);
    for (size_t point = 0; point < points; point++) {
        size_t place = places[point];
        while (next = at, next_op(lost, &next) && (done < place || making || next.op.kind == OP_MARK)) {
            apply(disk, &next);
            done += counts(&next.op, &making);
            lost->said.until += next.op.kind == OP_MARK && next.op.mark < MARK_LIFE;
            at = next;
        }
        losing += disk_unsynced(disk) > 0;
        if (only == UINT64_MAX || only == point) {
            check_point(lost, disk, point, place);
        }
        if (only == point) {
            break;
        }
        disk_clear(lost->image);
    }
    disk_close(disk);
    free(places);
    return losing;
}

void lost_step(const struct lost_step *steps, size_t count, uint64_t drawn, struct work *work)
{
    unsigned all = 0;
    for (size_t i = 0; i < count; i++) {
        all += steps[i].often;
    }
    size_t at = 0;
    for (drawn %= all; drawn >= steps[at].often; at++) {
        drawn -= steps[at].often;
    }
    steps[at].do_it(work);
}

void lost_run(const struct lost_test *test)
{
    struct lost lost = {.test = test, .seed = number_of("POISE_SEED", 1)};
    size_t points = number_of("POISE_POINTS", test->points);
    signal(SIGBUS, say_where);
    signal(SIGABRT, say_where);
    make_directories(&lost);
    live_on(&lost);
    read_log(&lost);
    check_recorder(&lost);
    size_t losing = check_points(&lost, points);
    print_message(
        "%s: %zu operations in %zu lives, %zu after a power cut; %zu points, something was not synced "
        "at %zu\n",
        test->name, lost.places, lost.lives, lost.cut_count, points, losing);
    if (!getenv("POISE_POINT")) {
        assert_true(losing > points / 3);
    }
    unmap_log(&lost);
    close(lost.log);
    free(lost.marks);
}
