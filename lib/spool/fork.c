/* A spool that was copied, or restored, gave numbers to batches that the other copy gave to others. What is
 * left goes on under another epoch, with its numbers. The files keep the old one: spool.meta says which it is
 * now, so that one replaced file is the whole of it. */
#include "inner.h"
#include <base/error.h>
#include <inttypes.h>

uint64_t spool_forked_epoch(const struct spool *spool)
{
    return spool->fork.before;
}

uint64_t spool_start_seq(const struct spool *spool)
{
    return spool->fork.epoch ? spool->fork.start : 1;
}

uint64_t spool_hash(const struct spool *spool, uint64_t seq, uint64_t hash)
{
    return seq < spool->fork.end ? 0 : hash;
}

struct spool_loss spool_loss_of(const struct spool *spool, const struct spool_loss *loss)
{
    struct spool_loss ret = *loss;
    uint64_t start = spool_start_seq(spool);
    uint64_t least = spool->fork.doubt >= start ? spool->fork.doubt + 1 : start;
    ret.first = ret.first > least ? ret.first : least;
    ret.last = ret.last >= ret.first ? ret.last : 0;
    ret.hash = spool_hash(spool, loss->last, loss->hash);
    return ret;
}

/* All or nothing: spool.meta is replaced. */
static poise_code change(struct spool *spool, const struct spool *changed, poise_error *err)
{
    poise_code code = spool->broken
                          ? error_set(err, POISE_EIO, "a write to the spool %s failed before", spool->path)
                          : spool_write_meta(changed, err);
    if (code == POISE_OK) {
        *spool = *changed;
    }
    spool->broken |= code == POISE_EIO;
    return code;
}

poise_code spool_doubt(struct spool *spool, uint64_t last, poise_error *err)
{
    struct spool changed = *spool;
    if (last <= spool->fork.doubt) {
        return POISE_OK;
    }
    if (last >= spool->next_seq || spool->fork.epoch == 0) {
        return error_set(err, POISE_EINVAL, "batch %" PRIu64 " of the spool %s cannot be in doubt", last,
                         spool->path);
    }
    changed.fork.doubt = last;
    return change(spool, &changed, err);
}

poise_code spool_fork(struct spool *spool, uint64_t from, uint64_t doubt, uint64_t new_epoch, uint64_t hash,
                      poise_error *err)
{
    if (from < spool_kept_seq(spool) || from > spool->next_seq || new_epoch == 0 ||
        doubt >= spool->next_seq) {
        return error_set(err, POISE_EINVAL,
                         "the spool %s cannot go on from batch %" PRIu64 " under a new epoch: it has %" PRIu64
                         " to before %" PRIu64,
                         spool->path, from, spool_kept_seq(spool), spool->next_seq);
    }
    poise_code code = spool_rewind(spool, from, err); /* where more is to be sent than was not acknowledged */
    if (code != POISE_OK) {
        return code;
    }
    struct spool changed = *spool;
    uint64_t before = spool->fork.doubt; /* they may count in an epoch further back */
    changed.fork = (struct spool_epoch){.epoch = new_epoch,
                                        .before = spool_epoch(spool),
                                        .start = from,
                                        .hash = hash,
                                        .end = spool->next_seq,
                                        .doubt = doubt > before ? doubt : before};
    changed.first_seq = from;
    changed.acked_hash = hash;
    return change(spool, &changed, err);
}
