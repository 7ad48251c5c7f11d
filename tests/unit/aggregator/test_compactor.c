/* When runs are made and merged, by a clock that the test sets. */
#include "writer_fixture.h"
#include <aggregator/compactor.h>

struct world {
    struct fixture *f;
    struct ring pieces;
    _Atomic uint64_t put;
    _Atomic bool stop;
    struct compactor *compactor;
};

static void world_open(struct world *world, struct fixture *f)
{
    *world = (struct world){.f = f};
    start(f, 1);
    assert_true(ring_init(&world->pieces, PIECES));
    const struct compactor_options options = {.store = f->store,
                                              .to_writer = &world->pieces,
                                              .put = &world->put,
                                              .writer_wake = f->wake,
                                              .stats = &f->stats,
                                              .log = &f->log,
                                              .clock = &f->clock,
                                              .stop = &world->stop,
                                              .bytes = 1 << 20,
                                              .after_ms = 1000};
    assert_int_equal(compactor_open(&options, &world->compactor, NULL), POISE_OK);
}

static void world_close(struct world *world)
{
    compactor_close(world->compactor);
    ring_free(&world->pieces);
}

/* Rows that are in the checkpointed state, which alone is compacted. */
static void send_and_checkpoint(struct fixture *f)
{
    for (int i = 0; i < 10; i++) {
        hand_over_of(f, i, 8);
        step(f);
        forget_all(f);
        f->now_ms += 50;
    }
    assert_int_equal(writer_finish(f->writer, NULL), POISE_OK);
    forget_all(f);
}

/* It may do what it likes whenever it likes to for so long; the writer puts what it makes at once. */
static void pass(struct world *world, int64_t ms)
{
    struct piece *piece;
    for (int64_t until_ms = world->f->now_ms + ms; world->f->now_ms < until_ms; world->f->now_ms += 100) {
        compactor_step(world->compactor);
        while ((piece = ring_pop(&world->pieces))) {
            assert_int_equal(piece_put(piece, world->f->store, NULL), POISE_OK);
            piece_free(piece);
            world->put++;
        }
    }
}

static uint64_t count(const struct world *world, enum stat stat)
{
    return stats_get(&world->f->stats, stat);
}

/* The runs of today are left alone, as more may come, until nothing comes any more: then at once, though they
 * were looked at a moment ago. */
static void once_nothing_comes_today_is_merged_too(void **state)
{
    struct world world;
    world_open(&world, *state);
    for (uint64_t runs = 1; runs <= 2; runs++) {
        send_and_checkpoint(world.f);
        pass(&world, 4000);
        assert_int_equal(count(&world, STAT_compactions), runs);
    }
    pass(&world, 4000);
    assert_int_equal(count(&world, STAT_merges), 0);
    pass(&world, 4000); /* nothing came for more than 10 s */
    assert_int_equal(count(&world, STAT_merges), 1);
    pass(&world, 60000);
    assert_int_equal(count(&world, STAT_merges), 1);
    assert_int_equal(count(&world, STAT_compactions), 2);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {WRITER_TEST(once_nothing_comes_today_is_merged_too)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
