/* The spool after power cuts: it opens, and has what was accepted or was just being accepted, each batch as
 * it was; nothing counts as acknowledged that was not; no sequence is given again. A new kind of step needs a
 * function in `steps`, and marks of what it promises. */
#include "lost.h"
#include <base/hash.h>
#include <poise/error.h>
#include <spool/spool.h>
#include <stdio.h>
#include <string.h>

enum { POINTS = 2000, LIVES = 40, KILL_WITHIN = 150, STEPS = 100, PATH_BYTES = 320, BODY_MAX = 3000 };
enum { EPOCH = 7, LATER_EPOCH = 8 };
enum mark {
    MARK_TRIES,    /* a: sequence, b: which batch */
    MARK_ACCEPTED, /* likewise */
    MARK_ACKS,     /* a: sequence */
    MARK_SETS,     /* a: which note, b: its value */
    MARK_SET       /* likewise, done */
};
enum note { NOTE_MARK, NOTE_STORE, NOTES };

struct work {
    char path[PATH_BYTES];
    struct spool *spool;
    uint64_t seed;
    uint64_t drawn; /* numbers */
    bool over;      /* the life is: a sync failed */
};

static uint64_t draw(struct work *work, uint64_t below)
{
    return hash_mix(work->seed, work->drawn++) % below;
}

/* ---- what is in it ---- */

/* A batch says which one it is. */
static size_t make_body(uint64_t which, uint8_t body[BODY_MAX])
{
    size_t length = 8 + hash_mix(which, 1) % (which % 8 == 0 ? BODY_MAX - 8 : 200);
    memcpy(body, &which, 8);
    for (size_t i = 8; i < length; i++) {
        body[i] = (uint8_t)hash_mix(which, i);
    }
    return length;
}

static uint64_t read_batch(struct spool *spool, uint64_t seq)
{
    struct buf out = {0};
    uint8_t wanted[BODY_MAX];
    poise_error err = {0};
    uint64_t which = 0;
    if (spool_read(spool, seq, &out, &err) != POISE_OK) {
        fail_msg("%s", err.text);
    }
    assert_true(out.length >= 8);
    memcpy(&which, out.data, 8);
    assert_int_equal(out.length, make_body(which, wanted));
    assert_memory_equal(out.data, wanted, out.length);
    buf_free(&out);
    return which;
}

static uint64_t read_note(const struct spool *spool, enum note note)
{
    uint64_t value = 0;
    if (note == NOTE_MARK) {
        size_t length;
        const void *bytes = spool_mark(spool, &length);
        memcpy(&value, bytes ? bytes : &value, 8);
        return value;
    }
    uint8_t id[16];
    (void)spool_store(spool, id, &value);
    return value;
}

/* ---- steps ---- */

static void open_spool_as(struct work *work, uint64_t epoch)
{
    struct spool_options options = {
        .path = work->path, .max_bytes = 40000, .segment_bytes = 4000, .sync = true, .new_epoch = epoch};
    poise_error err = {0};
    if (spool_open(&options, &work->spool, &err) != POISE_OK) {
        fail_msg("%s", err.text);
    }
}

/* Whoever opens it relies on what he finds. */
static void open_spool(struct work *work)
{
    open_spool_as(work, EPOCH);
    for (uint64_t seq = spool_first_seq(work->spool); seq < spool_next_seq(work->spool); seq++) {
        recorder_mark(MARK_ACCEPTED, seq, read_batch(work->spool, seq));
    }
    for (int note = 0; note < NOTES; note++) {
        recorder_mark(MARK_SET, (uint64_t)note, read_note(work->spool, (enum note)note));
    }
}

/* Full, it is tried again later; after a failed sync the process must end. */
static bool did(struct work *work, poise_code code, const poise_error *err)
{
    if (code == POISE_EIO) {
        work->over = true;
    } else if (code != POISE_OK && code != POISE_EFULL) {
        fail_msg("%s", err->text);
    }
    return code == POISE_OK;
}

static void append_noting(struct work *work, bool noting, bool big)
{
    uint8_t body[BODY_MAX];
    poise_error err = {0};
    uint64_t seq = spool_next_seq(work->spool),
             which = hash_mix(work->seed, work->drawn++) & (big ? ~7ULL : ~0ULL);
    size_t length = make_body(which, body);
    if (noting) {
        recorder_mark(MARK_SETS, NOTE_MARK, which);
    }
    recorder_mark(MARK_TRIES, seq, which);
    if (did(work,
            spool_append(work->spool, body, length, hash64(body, length, 1), &which, noting ? 8 : 0, &err),
            &err)) {
        recorder_mark(MARK_ACCEPTED, seq, which);
        if (noting) {
            recorder_mark(MARK_SET, NOTE_MARK, which);
        }
    }
}

static void append(struct work *work)
{
    append_noting(work, false, false);
}

static void append_and_note(struct work *work)
{
    append_noting(work, true, false);
}

static void acknowledge(struct work *work)
{
    uint64_t first = spool_first_seq(work->spool), next = spool_next_seq(work->spool);
    poise_error err = {0};
    if (first < next) {
        uint64_t seq = first + draw(work, next - first);
        recorder_mark(MARK_ACKS, seq, 0);
        (void)did(work, spool_ack(work->spool, seq, &err), &err);
    }
}

static void note(struct work *work)
{
    poise_error err = {0};
    uint64_t value = draw(work, UINT64_MAX);
    recorder_mark(MARK_SETS, NOTE_MARK, value);
    if (did(work, spool_set_mark(work->spool, &value, sizeof value, &err), &err)) {
        recorder_mark(MARK_SET, NOTE_MARK, value);
    }
}

static void set_store(struct work *work)
{
    poise_error err = {0};
    uint64_t value = 1 + draw(work, 1000);
    recorder_mark(MARK_SETS, NOTE_STORE, value);
    if (did(work, spool_set_store(work->spool, (const uint8_t *)"sixteen bytes id", value, &err), &err)) {
        recorder_mark(MARK_SET, NOTE_STORE, value);
    }
}

static void open_again(struct work *work)
{
    spool_close(work->spool);
    open_spool(work);
}

static void append_to_full_disk(struct work *work)
{
    recorder_fill_disk(draw(work, 120));
    append_and_note(work);
    recorder_empty_disk();
    if (!work->over) {
        append_noting(work, false, true); /* often to another segment */
    }
}

static void work_without_sync(struct work *work)
{
    static void (*const some[])(struct work *) = {append, append_and_note, acknowledge, note};
    recorder_fail_sync(1 + draw(work, 3));
    for (int i = 0; i < 6 && !work->over; i++) {
        some[draw(work, sizeof some / sizeof some[0])](work);
    }
    recorder_fail_sync(0);
}

static const struct lost_step steps[] = {
    {40, append},   {10, append_and_note}, {20, acknowledge},        {3, note},
    {2, set_store}, {3, open_again},       {8, append_to_full_disk}, {2, work_without_sync},
};

static void path_of(const char *directory, char path[PATH_BYTES])
{
    snprintf(path, PATH_BYTES, "%s/var/spool", directory); /* nothing of it is there before */
}

static enum lost_life live(const char *directory, uint64_t seed, unsigned life)
{
    struct work work = {.seed = hash_mix(seed, life)};
    path_of(directory, work.path);
    open_spool(&work);
    for (unsigned i = 0; i < STEPS && !work.over; i++) {
        lost_step(steps, sizeof steps / sizeof steps[0], draw(&work, UINT64_MAX), &work);
    }
    spool_close(work.spool);
    return work.over ? LIFE_AGAIN : LIFE_LAST;
}

/* ---- after the power cut ---- */

/* Which batch was last accepted, or tried, with the sequence; 0: none. */
static bool is_known(const struct lost_marks *marks, uint64_t seq, uint64_t which)
{
    for (size_t i = marks->until; i > 0; i--) {
        const struct lost_mark *mark = &marks->marks[i - 1];
        if (mark->a == seq && mark->mark == MARK_ACCEPTED) {
            return mark->b == which;
        }
        if (mark->a == seq && mark->b == which && mark->mark == MARK_TRIES) {
            return true;
        }
    }
    return false;
}

static uint64_t last_of(const struct lost_marks *marks, enum mark kind)
{
    uint64_t last = 0;
    for (size_t i = 0; i < marks->until; i++) {
        if (marks->marks[i].mark == kind && marks->marks[i].a > last) {
            last = marks->marks[i].a;
        }
    }
    return last;
}

static void check_batches(struct spool *spool, const struct lost_marks *marks)
{
    uint64_t first = spool_first_seq(spool), next = spool_next_seq(spool);
    uint64_t accepted = last_of(marks, MARK_ACCEPTED), acked = last_of(marks, MARK_ACKS);
    if (first > acked + 1 || next <= accepted || next < first) {
        fail_msg("the spool has batches %d to before %d; accepted were those to %d, acknowledged at most %d",
                 (int)first, (int)next, (int)accepted, (int)acked);
    }
    for (uint64_t seq = first; seq < next; seq++) {
        if (!is_known(marks, seq, read_batch(spool, seq))) {
            fail_msg("batch %d is another than was accepted, of %d accepted", (int)seq, (int)accepted);
        }
    }
    if (accepted > 0) {
        assert_int_equal(spool_epoch(spool), EPOCH);
    }
}

static void check_note(const struct spool *spool, enum note which, const struct lost_marks *marks)
{
    uint64_t is = read_note(spool, which);
    for (size_t i = marks->until; i > 0; i--) {
        const struct lost_mark *mark = &marks->marks[i - 1];
        bool concerns = (mark->mark == MARK_SETS || mark->mark == MARK_SET) && mark->a == (uint64_t)which;
        if (concerns && mark->b == is) {
            return;
        }
        if (concerns && mark->mark == MARK_SET) {
            fail_msg("note %d is neither what was set last nor what was then being set", (int)which);
        }
    }
    assert_int_equal(is, 0);
}

static void check(const char *directory, const struct lost_marks *marks, uint64_t seed)
{
    struct work work = {.seed = seed};
    path_of(directory, work.path);
    open_spool_as(&work, LATER_EPOCH);
    check_batches(work.spool, marks);
    for (int which = 0; which < NOTES; which++) {
        check_note(work.spool, (enum note)which, marks);
    }
    uint64_t next = spool_next_seq(work.spool);
    for (uint64_t i = 0; i < 3; i++) {
        if (spool_first_seq(work.spool) < next) {
            assert_int_equal(spool_ack(work.spool, next - 1, NULL), POISE_OK); /* makes room */
        }
        append(&work);
        assert_int_equal(spool_next_seq(work.spool), next + i + 1);
    }
    uint64_t was = read_batch(work.spool, next + 2);
    spool_close(work.spool);
    open_spool_as(&work, LATER_EPOCH);
    assert_int_equal(spool_next_seq(work.spool), next + 3);
    assert_true(read_batch(work.spool, next + 2) == was);
    spool_close(work.spool);
}

static void test_power_cuts(void **state)
{
    (void)state;
    lost_run(&(struct lost_test){.name = "spool",
                                 .points = POINTS,
                                 .lives = LIVES,
                                 .kill_within = KILL_WITHIN,
                                 .live = live,
                                 .check = check});
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_teardown(test_power_cuts, lost_tell)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
