/* The spool: whichever allocation or system call fails, no batch that was accepted is lost or there twice, no
 * acknowledgement is forgotten, nothing leaks, and it works again: at once after ENOMEM and EFULL, opened
 * anew after EIO. Every n of a small life of a spool. */
#include "fault.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unit/spool/scratch.h>

enum { LENGTH = 900, MARKS = 3 }; /* each third batch has a mark */

/* First two a segment, then one, so that there are many segments. */
static size_t length_of(uint64_t seq)
{
    return seq <= 12 ? LENGTH / 3 : LENGTH;
}

static const uint8_t STORE_ID[16] = "of some store";

struct life {
    const char *path;
    struct spool *spool;
    uint64_t accepted, acked;
    uint64_t marked; /* 0: no mark yet */
    uint64_t incarnation;
    size_t met;  /* failures */
    bool unsure; /* what failed last may have been done */
};

static poise_code step_open(struct life *life, poise_error *err)
{
    struct spool_options options = scratch_options(life->path);
    options.sync = true;
    poise_code code = spool_open(&options, &life->spool, err);
    if (code == POISE_OK && !life->unsure) {
        assert_int_equal(spool_first_seq(life->spool), life->acked + 1);
        assert_int_equal(spool_next_seq(life->spool), life->accepted + 1);
    }
    return code;
}

static poise_code step_close(struct life *life, poise_error *err)
{
    (void)err;
    spool_close(life->spool);
    life->spool = NULL;
    return POISE_OK;
}

static void fill(uint64_t seq, uint8_t body[LENGTH])
{
    memset(body, (int)seq, LENGTH);
}

static poise_code step_append(struct life *life, poise_error *err)
{
    uint8_t body[LENGTH];
    uint64_t seq = life->accepted + 1;
    bool marks = seq % MARKS == 0;
    assert_int_equal(spool_next_seq(life->spool), seq);
    fill(seq, body);
    poise_code code =
        spool_append(life->spool, body, length_of(seq), scratch_hash(seq), &seq, marks ? sizeof seq : 0, err);
    if (code == POISE_OK) {
        life->accepted = seq;
        life->marked = marks ? seq : life->marked;
    }
    return code;
}

static poise_code step_mark(struct life *life, poise_error *err)
{
    uint64_t mark = 1000 + life->accepted;
    poise_code code = spool_set_mark(life->spool, &mark, sizeof mark, err);
    life->marked = code == POISE_OK ? mark : life->marked;
    return code;
}

static poise_code step_store(struct life *life, poise_error *err)
{
    poise_code code = spool_set_store(life->spool, STORE_ID, life->incarnation + 1, err);
    life->incarnation += code == POISE_OK;
    return code;
}

static poise_code step_ack(struct life *life, poise_error *err)
{
    uint64_t seq = life->acked + 1;
    poise_code code = spool_ack(life->spool, seq, err);
    life->acked = code == POISE_OK ? seq : life->acked;
    return code;
}

static poise_code step_ack_all(struct life *life, poise_error *err)
{
    poise_code code = spool_ack(life->spool, life->accepted, err);
    life->acked = code == POISE_OK ? life->accepted : life->acked;
    return code;
}

static poise_code step_read(struct life *life, poise_error *err)
{
    struct buf body = {0};
    uint8_t wanted[LENGTH];
    poise_code code = POISE_OK;
    for (uint64_t seq = life->acked + 1; code == POISE_OK && seq <= life->accepted; seq++) {
        buf_reset(&body);
        fill(seq, wanted);
        code = spool_read(life->spool, seq, &body, err);
        if (code == POISE_OK) {
            assert_int_equal(body.length, length_of(seq));
            assert_memory_equal(body.data, wanted, body.length);
        }
    }
    buf_free(&body);
    return code;
}

typedef poise_code step(struct life *life, poise_error *err);
/* Opened, too, when one of the two batches of a segment is acknowledged. */
static step *const steps[] = {
    step_open,    step_append, step_append, step_store,  step_append, step_append, step_append, step_read,
    step_mark,    step_append, step_append, step_append, step_ack,    step_append, step_close,  step_open,
    step_read,    step_ack,    step_ack,    step_append, step_append, step_close,  step_open,   step_store,
    step_append,  step_append, step_append, step_append, step_append, step_append, step_append, step_append,
    step_append,  step_append, step_append, step_append, step_append, step_append, step_mark,   step_append,
    step_append,  step_append, step_close,  step_open,   step_append, step_read,   step_ack,    step_ack,
    step_ack_all, step_append, step_close,
};
enum { STEPS = sizeof steps / sizeof *steps };

/* What it holds is what is known of it. */
static void check(struct life *life)
{
    uint8_t id[16];
    uint64_t incarnation = 0, mark = 0;
    size_t length = 0;
    assert_int_equal(spool_epoch(life->spool), EPOCH);
    assert_int_equal(spool_first_seq(life->spool), life->acked + 1);
    assert_int_equal(spool_next_seq(life->spool), life->accepted + 1);
    assert_true(spool_last_hash(life->spool) == scratch_hash(life->acked));
    if (spool_store(life->spool, id, &incarnation)) {
        assert_memory_equal(id, STORE_ID, sizeof id);
    }
    assert_int_equal(incarnation, life->incarnation);
    const void *bytes = spool_mark(life->spool, &length);
    if (bytes) {
        assert_int_equal(length, sizeof mark);
        memcpy(&mark, bytes, sizeof mark);
    }
    assert_int_equal(mark, life->marked);
    assert_int_equal(step_read(life, NULL), POISE_OK);
}

/* Of what failed it is not known whether it was done: done or not done, nothing else. */
static void find_out(struct life *life, step *what)
{
    uint64_t incarnation = 0, mark = 0;
    size_t length = 0;
    if (what == step_append && spool_next_seq(life->spool) == life->accepted + 2) {
        life->accepted++;
        life->marked = life->accepted % MARKS == 0 ? life->accepted : life->marked;
    }
    if (what == step_ack && spool_first_seq(life->spool) == life->acked + 2) {
        life->acked++;
    }
    if (what == step_ack_all && spool_first_seq(life->spool) == life->accepted + 1) {
        life->acked = life->accepted;
    }
    if (what == step_store && spool_store(life->spool, (uint8_t[16]){0}, &incarnation) &&
        incarnation == life->incarnation + 1) {
        life->incarnation++;
    }
    const void *bytes = what == step_mark ? spool_mark(life->spool, &length) : NULL;
    if (bytes && length == sizeof mark && memcmp(bytes, &(uint64_t){1000 + life->accepted}, length) == 0) {
        life->marked = 1000 + life->accepted;
    }
    check(life);
}

static bool is_same(const struct life *a, const struct life *b)
{
    return a->accepted == b->accepted && a->acked == b->acked && a->marked == b->marked &&
           a->incarnation == b->incarnation;
}

static void do_after_all(struct life *life, step *what, poise_code code, const struct fault_plan *plan)
{
    poise_error err = {0};
    struct life before = *life;
    life->met++;
    if (plan->from_then) { /* it goes on failing, and nothing worse */
        for (int i = 0; i < 2 && what(life, &err) != POISE_OK; i++) {
        }
        fault_stop();
    }
    if (!is_same(&before, life)) {
        return; /* the failure had gone by */
    }
    bool broke = code == POISE_EIO && what != step_open && what != step_read;
    assert_true(!broke || step_append(life, &err) == POISE_EIO); /* from then on */
    if (plan->from_then && !broke && what != step_open) {        /* something else may have failed since */
        code = what(life, &err);
        broke = code == POISE_EIO;
    }
    if (broke) {
        step_close(life, NULL);
        life->unsure = true;
        if (step_open(life, &err) != POISE_OK) {
            fail_msg("at %s number %d: it does not open again: %s", fault_name(), (int)plan->nth, err.text);
        }
        find_out(life, what);
        life->unsure = false;
    }
    bool done = what == step_open ? life->spool != NULL : !is_same(&before, life);
    if (!done && what(life, &err) != POISE_OK) {
        fail_msg("at %s number %d: it does not work again: %s", fault_name(), (int)plan->nth, err.text);
    }
    if (life->spool) {
        check(life);
    }
}

static bool code_fits(poise_code code, const struct fault_plan *plan)
{
    if (plan->kinds == FAULT_MEMORY) {
        return code == POISE_ENOMEM;
    }
    return code == POISE_EIO || (code == POISE_EFULL && plan->error == ENOSPC);
}

static void live(struct life *life, const struct fault_plan *plan)
{
    fault_start(plan);
    for (size_t i = 0; i < STEPS; i++) {
        poise_error err = {0};
        poise_code code = steps[i](life, &err);
        if (code == POISE_OK) {
            continue;
        }
        if (fault_hits() == 0 || !code_fits(code, plan) || err.code != code || err.text[0] == '\0') {
            fail_msg("step %zu, at %s number %d: %s: %s", i, fault_name(), (int)plan->nth,
                     poise_code_name(code), err.text);
        }
        do_after_all(life, steps[i], code, plan);
    }
    fault_stop();
}

static uint64_t try_plan(const struct fault_plan *plan)
{
    void *path = NULL;
    assert_int_equal(scratch_make(&path), 0);
    struct fault_held before = fault_held();
    struct life life = {.path = path};
    live(&life, plan);
    uint64_t count = fault_count();
    if (plan->error == EINTR || plan->error == FAULT_SHORT) {
        assert_int_equal(life.met, 0); /* done again, or the rest of it */
    }
    assert_int_equal(step_open(&life, NULL), POISE_OK);
    check(&life);
    step_close(&life, NULL);
    struct fault_held after = fault_held();
    if (memcmp(&before, &after, sizeof before) != 0) {
        fail_msg("%s, number %d of them: leaks %d allocations, %d descriptors", fault_name(), (int)plan->nth,
                 (int)(after.allocations - before.allocations),
                 (int)(after.descriptors - before.descriptors));
    }
    assert_int_equal(scratch_remove(&path), 0);
    return count;
}

FAULT_TEST_EVERY(allocation, FAULT_MEMORY, 0, try_plan)
FAULT_TEST_EVERY(call_eio, FAULT_CALLS, EIO, try_plan)
FAULT_TEST_EVERY(call_enospc, FAULT_CALLS, ENOSPC, try_plan)
FAULT_TEST_EVERY(short_transfer, FAULT_CALLS, FAULT_SHORT, try_plan)
FAULT_TEST_EVERY(interruption, FAULT_CALLS, EINTR, try_plan)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_allocation),   cmocka_unit_test(test_every_call_eio),
        cmocka_unit_test(test_every_call_enospc),  cmocka_unit_test(test_every_short_transfer),
        cmocka_unit_test(test_every_interruption),
    };
    fault_scratch_in_memory();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
