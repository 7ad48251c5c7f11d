/* A spool that was copied, or restored, gave numbers to batches that the other copy gave to others. What is
 * left goes on under another epoch. The files keep their numbers and epoch: spool.meta says what they mean,
 * so that one replaced file is the whole of it. */
#include "inner.h"
#include <base/error.h>
#include <inttypes.h>

uint64_t spool_forked_epoch(const struct spool *spool)
{
    return spool->fork.before;
}

uint64_t spool_hash(const struct spool *spool, uint64_t seq, uint64_t hash)
{
    return seq < spool->fork.end ? 0 : hash;
}

struct spool_loss spool_loss_of(const struct spool *spool, const struct spool_loss *loss)
{
    struct spool_loss ret = *loss;
    uint64_t least = spool->fork.base + spool->fork.doubt.last + 1;
    ret.first = (ret.first > least ? ret.first : least) - spool->fork.base;
    ret.last = (ret.last > least ? ret.last : least) - spool->fork.base;
    ret.hash = spool_hash(spool, loss->last, loss->hash);
    return ret;
}

poise_code spool_fork(struct spool *spool, uint64_t from, const struct spool_loss *doubt, uint64_t new_epoch,
                      poise_error *err)
{
    bool none = doubt->last == 0;
    if (from < spool_kept_seq(spool) || from > spool_next_seq(spool) || new_epoch == 0 ||
        (!none && (doubt->first != from || doubt->last >= spool_next_seq(spool)))) {
        return error_set(err, POISE_EINVAL,
                         "the spool %s cannot go on from batch %" PRIu64 " under a new epoch: it has %" PRIu64
                         " to before %" PRIu64,
                         spool->path, from, spool_kept_seq(spool), spool_next_seq(spool));
    }
    poise_code code = spool_rewind(spool, from, err); /* where more is to be sent than was not acknowledged */
    if (code != POISE_OK) {
        return code;
    }
    struct spool changed = *spool;
    changed.fork = (struct spool_epoch){.epoch = new_epoch,
                                        .before = spool_epoch(spool),
                                        .base = spool->fork.base + from - 1,
                                        .end = spool->next_seq,
                                        .doubt = {.first = 1, .reason = SPOOL_FORKED}};
    if (!none) {
        changed.fork.doubt.last = doubt->last - from + 1;
        changed.fork.doubt.rows = doubt->rows;
        changed.fork.doubt.from_ms = doubt->from_ms;
        changed.fork.doubt.to_ms = doubt->to_ms;
    }
    changed.first_seq = changed.fork.base + 1;
    changed.acked_hash = 0;
    code = spool->broken ? error_set(err, POISE_EIO, "a write to the spool %s failed before", spool->path)
                         : spool_write_meta(&changed, err);
    if (code == POISE_OK) {
        *spool = changed;
    }
    spool->broken |= code == POISE_EIO;
    return code;
}
