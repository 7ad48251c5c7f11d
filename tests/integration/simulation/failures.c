/* Writes of the store that fail, and those that do not as the journal is told of them. The linker sends the
 * calls of the objects of this program here (-Wl,--wrap). */
#include "simulation.h"

#include <aggregator/compact.h>
#include <base/error.h>
#include <string.h>

static struct {
    enum store_failure failure;
    bool broke;
} failures;

void failures_start(void)
{
    memset(&failures, 0, sizeof failures);
}

void failures_choose(enum store_failure failure)
{
    failures.failure = failure;
}

bool failures_met(void)
{
    bool broke = failures.broke;
    failures.broke = false;
    return broke;
}

static bool breaks(void)
{
    bool now = failures.failure == STORE_BREAKS && one_in(3);
    failures.broke |= now;
    return now;
}

/* The real store fails when memory or a call did; then it has done nothing. */
static void fail_for_a_reason(void)
{
    assert_true(deployment_troubled());
    failures.broke = true;
}

poise_code __real_store_append(struct store *store, const struct journal_record *record, uint64_t *ret_lsn,
                               poise_error *err);
poise_code __wrap_store_append(struct store *store, const struct journal_record *record, uint64_t *ret_lsn,
                               poise_error *err);
poise_code __real_store_checkpoint_commit(struct store *store, const struct store_mark *mark,
                                          poise_error *err);
poise_code __wrap_store_checkpoint_commit(struct store *store, const struct store_mark *mark,
                                          poise_error *err);
poise_code __real_store_checkpoint_step(struct store *store, bool *ret_done, poise_error *err);
poise_code __wrap_store_checkpoint_step(struct store *store, bool *ret_done, poise_error *err);
poise_code __real_store_upkeep(struct store *store, bool idle, poise_error *err);
poise_code __wrap_store_upkeep(struct store *store, bool idle, poise_error *err);

poise_code __real_store_append_prepared(struct store *store, const struct store_prepared *prepared,
                                        bool may_grow, poise_error *err);
poise_code __wrap_store_append_prepared(struct store *store, const struct store_prepared *prepared,
                                        bool may_grow, poise_error *err);

static poise_code fail_append(poise_error *err)
{
    if (failures.failure == STORE_FULL) {
        return error_set(err, POISE_EFULL, "as the test wants");
    }
    return breaks() ? error_set(err, POISE_EIO, "as the test wants, before the commit") : POISE_OK;
}

static poise_code appended(poise_code code, const struct journal_record *record, uint64_t lsn,
                           poise_error *err)
{
    bool paused = deployment_pause(true);
    if (code == POISE_OK) {
        journal_note(record, lsn);
    } else {
        fail_for_a_reason();
    }
    deployment_pause(paused);
    if (code != POISE_OK) {
        return code;
    }
    return breaks() ? error_set(err, POISE_EIO, "as the test wants, behind the commit") : POISE_OK;
}

poise_code __wrap_store_append(struct store *store, const struct journal_record *record, uint64_t *ret_lsn,
                               poise_error *err)
{
    poise_code code = fail_append(err);
    if (code != POISE_OK) {
        return code;
    }
    code = __real_store_append(store, record, ret_lsn, err);
    return appended(code, record, *ret_lsn, err);
}

poise_code __wrap_store_append_prepared(struct store *store, const struct store_prepared *prepared,
                                        bool may_grow, poise_error *err)
{
    struct arena arena = {0};
    struct journal_record record;
    poise_code code = fail_append(err);
    if (code != POISE_OK) {
        return code;
    }
    bool paused = deployment_pause(true);
    assert_int_equal(store_prepared_record(prepared, &arena, &record, NULL), POISE_OK);
    deployment_pause(paused);
    code = __real_store_append_prepared(store, prepared, may_grow, err);
    code = appended(code, &record, prepared->lsn, err);
    arena_free(&arena);
    return code;
}

/* Before what the store does for a checkpoint, or to tidy up. */
static poise_code fail_before(struct store *store, poise_error *err)
{
    bool full = failures.failure == STORE_FULL;
    if (!full && !breaks()) {
        return POISE_OK;
    }
    store_checkpoint_abort(store);
    return error_set(err, full ? POISE_EFULL : POISE_EIO, "as the test wants, before a slice");
}

static poise_code fail_behind(poise_code code, poise_error *err)
{
    if (code != POISE_OK) {
        fail_for_a_reason();
        return code;
    }
    return breaks() ? error_set(err, POISE_EIO, "as the test wants, behind a slice") : POISE_OK;
}

poise_code __wrap_store_checkpoint_commit(struct store *store, const struct store_mark *mark,
                                          poise_error *err)
{
    poise_code code = fail_before(store, err);
    return code != POISE_OK ? code : fail_behind(__real_store_checkpoint_commit(store, mark, err), err);
}

poise_code __wrap_store_checkpoint_step(struct store *store, bool *ret_done, poise_error *err)
{
    poise_code code = fail_before(store, err);
    return code != POISE_OK ? code : fail_behind(__real_store_checkpoint_step(store, ret_done, err), err);
}

poise_code __wrap_store_upkeep(struct store *store, bool idle, poise_error *err)
{
    poise_code code = fail_before(store, err);
    return code != POISE_OK ? code : fail_behind(__real_store_upkeep(store, idle, err), err);
}

poise_code __real_piece_put(const struct piece *piece, struct store *store, poise_error *err);
poise_code __wrap_piece_put(const struct piece *piece, struct store *store, poise_error *err);

static poise_code put_piece(const struct piece *piece, struct store *store, poise_error *err)
{
    poise_code code = __real_piece_put(piece, store, err);
    if (code == POISE_OK && piece->slice.erased_lsn) {
        erased_ended(piece->slice.erased_lsn);
    }
    return code;
}

poise_code __wrap_piece_put(const struct piece *piece, struct store *store, poise_error *err)
{
    if (failures.failure == STORE_FULL) {
        return error_set(err, POISE_EFULL, "as the test wants");
    }
    return breaks() ? error_set(err, POISE_EIO, "as the test wants, before a piece")
                    : fail_behind(put_piece(piece, store, err), err);
}

poise_code __real_compact_run(struct compact *compact, uint64_t until, piece_take *take, void *taker,
                              uint64_t *ret_lsn, poise_error *err);
poise_code __wrap_compact_run(struct compact *compact, uint64_t until, piece_take *take, void *taker,
                              uint64_t *ret_lsn, poise_error *err);
poise_code __real_compact_merge(struct compact *compact, int32_t idle_before, piece_take *take, void *taker,
                                bool *ret_any, poise_error *err);
poise_code __wrap_compact_merge(struct compact *compact, int32_t idle_before, piece_take *take, void *taker,
                                bool *ret_any, poise_error *err);

static poise_code compacted(poise_code code, const poise_error *err)
{
    if (code != POISE_OK && !deployment_troubled()) {
        fail_msg("compaction fails: %s", err->text);
    }
    return code;
}

poise_code __wrap_compact_run(struct compact *compact, uint64_t until, piece_take *take, void *taker,
                              uint64_t *ret_lsn, poise_error *err)
{
    return compacted(__real_compact_run(compact, until, take, taker, ret_lsn, err), err);
}

poise_code __wrap_compact_merge(struct compact *compact, int32_t idle_before, piece_take *take, void *taker,
                                bool *ret_any, poise_error *err)
{
    return compacted(__real_compact_merge(compact, idle_before, take, taker, ret_any, err), err);
}
