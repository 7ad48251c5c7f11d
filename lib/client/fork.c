/* Two copies of a spool, or one that was restored from an older copy, give one number to two batches. The one
 * that comes second finds it out here and goes on under another epoch. */
#include <base/error.h>
#include <base/hash.h>
#include <client/outbox.h>
#include <stdlib.h>
#include <string.h>

/* 0: not known. */
static poise_code hash_of(struct outbox *outbox, uint64_t seq, uint64_t *ret_hash, poise_error *err)
{
    struct spool_loss loss = {0};
    *ret_hash = 0;
    if (seq + 1 == spool_first_seq(outbox->spool) && spool_last_hash(outbox->spool) != 0) {
        *ret_hash = spool_last_hash(outbox->spool);
        return POISE_OK;
    }
    if (seq < spool_kept_seq(outbox->spool)) {
        return POISE_OK;
    }
    poise_code code = outbox_lost(outbox, seq, &loss, err);
    if (code == POISE_OK && loss.last > 0) {
        *ret_hash = loss.last == seq ? loss.hash : 0;
        return POISE_OK;
    }
    code = code == POISE_OK ? outbox_read(outbox, seq, err) : code;
    if (code == POISE_OK) {
        *ret_hash = outbox_record_hash(outbox);
    }
    return code;
}

/* What was lost before any of it was sent has one mind about it: the aggregator must have all of it or none.
 */
static poise_code look_at_losses(struct outbox *outbox, uint64_t end, struct outbox_history *history,
                                 poise_error *err)
{
    uint64_t seq = history->differs ? history->differs : end;
    struct spool_loss loss = {0};
    if (seq < spool_kept_seq(outbox->spool) || seq >= spool_next_seq(outbox->spool)) {
        return POISE_OK;
    }
    poise_code code = spool_lost(outbox->spool, seq, &loss, err);
    if (code == POISE_OK && loss.last > 0 && loss.first < seq) {
        history->differs = loss.first;
    }
    return code;
}

poise_code outbox_compare(struct outbox *outbox, uint64_t end, const uint64_t *hashes, size_t count,
                          struct outbox_history *ret_history, poise_error *err)
{
    uint64_t next = spool_next_seq(outbox->spool);
    *ret_history = (struct outbox_history){0};
    for (size_t i = 0; i < count && end - count + i < next; i++) {
        uint64_t seq = end - count + i, ours = 0;
        poise_code code = hashes[i] != 0 ? hash_of(outbox, seq, &ours, err) : POISE_OK;
        if (code == POISE_ECORRUPT && seq < spool_first_seq(outbox->spool)) {
            code = POISE_OK; /* it is not needed */
        }
        if (code != POISE_OK) {
            return code;
        }
        if (ours != 0 && ours == hashes[i]) {
            ret_history->same = seq;
        } else if (ours != 0 && hashes[i] != 0) {
            ret_history->differs = seq;
            break;
        }
    }
    return look_at_losses(outbox, end, ret_history, err);
}

/* The rows of batches in doubt: whoever keeps refusals can send them again. *told becomes those that were not
 * told before; last 0: all were. */
static poise_code tell_doubt(struct outbox *outbox, uint64_t first, uint64_t last, struct spool_loss *told,
                             poise_error *err)
{
    uint64_t refused = outbox->refused_count;
    *told = (struct spool_loss){.reason = SPOOL_FORKED};
    for (uint64_t seq = first; seq <= last; seq++) {
        struct spool_loss lost = {0};
        poise_code code = spool_lost(outbox->spool, seq, &lost, err);
        if (code == POISE_OK && lost.last == 0) {
            code = outbox_read(outbox, seq, err);
        }
        if (code != POISE_OK) {
            return code;
        }
        if (lost.last > 0) {
            continue; /* and was told before */
        }
        lost = (struct spool_loss){.first = seq, .last = seq};
        outbox_describe(outbox, outbox->record.data, outbox->record.length, &lost);
        told->first = told->last > 0 ? told->first : seq;
        outbox_extend(told, &lost);
        const struct wire_refusal all = {.seq = seq, .row = WIRE_ROW_ALL, .reason = POISE_REFUSAL_IN_DOUBT};
        code = outbox_tell(outbox, &all, 1, err);
        if (code != POISE_OK) {
            return code;
        }
    }
    outbox->refused_count = refused; /* they count as lost */
    return POISE_OK;
}

static void tell_fork(struct outbox *outbox, const struct spool_loss *told)
{
    const struct spool *spool = outbox->spool;
    outbox->forks++;
    if (told->last > 0) {
        outbox_tell_loss(outbox, told, NULL);
    }
    if (outbox->forked) {
        const poise_fork fork = {.producer = outbox->producer,
                                 .epoch = spool_forked_epoch(spool),
                                 .new_epoch = spool_epoch(spool),
                                 .batches = spool_next_seq(spool) - spool_first_seq(spool),
                                 .doubtful = told->rows};
        outbox->forked(outbox->context, &fork);
    }
}

/* Where the new epoch begins; batches before *ret_sure are in doubt. */
static uint64_t split(const struct outbox *outbox, const struct outbox_history *history, uint64_t end,
                      uint64_t *ret_sure)
{
    uint64_t first = spool_first_seq(outbox->spool), next = spool_next_seq(outbox->spool);
    uint64_t differs = history->differs ? history->differs : end < next ? end : next;
    *ret_sure = differs;
    if (differs < first) {
        return differs; /* the store went back, and the other copy was there first */
    }
    return history->same >= first ? history->same + 1 : first;
}

/* It follows from the one before alone, and numbers stay: so copies that have a batch in common, and are not
 * told the same of what the aggregator has, still send it under one name, and it counts once. Who finds that
 * the epoch was taken by others goes on to the next. */
static uint64_t epoch_after(uint64_t epoch)
{
    uint64_t next = hash_mix(epoch, 1);
    return next != 0 ? next : 1;
}

poise_code outbox_doubt(struct outbox *outbox, uint64_t last, poise_error *err)
{
    struct spool_loss told;
    poise_code code = tell_doubt(outbox, spool_first_seq(outbox->spool), last, &told, err);
    if (code == POISE_OK) {
        code = spool_doubt(outbox->spool, last, err);
    }
    if (code == POISE_OK && told.last > 0) {
        outbox_tell_loss(outbox, &told, NULL);
    }
    return code;
}

poise_code outbox_fork(struct outbox *outbox, const struct outbox_history *history, uint64_t end,
                       poise_error *err)
{
    struct spool *spool = outbox->spool;
    uint64_t sure, hash, passed = 0, first = spool_first_seq(spool), epoch = epoch_after(spool_epoch(spool));
    uint64_t from = split(outbox, history, end, &sure);
    struct spool_loss told;
    poise_code code = tell_doubt(outbox, from, sure - 1, &told, err);
    if (code == POISE_OK) {
        code = outbox_rows(outbox, first, from, &passed, err);
    }
    if (code == POISE_OK) {
        code = outbox_hash_under(outbox, from - 1, epoch, &hash, err);
    }
    if (code == POISE_OK) {
        code = spool_fork(spool, from, sure - 1, epoch, hash, err);
    }
    if (code != POISE_OK) {
        return code;
    }
    outbox->acknowledged += passed;
    outbox_look(outbox);
    memset(outbox->sent, 0, sizeof outbox->sent);
    if (from < first && outbox->again_seq < first) { /* they were counted before */
        outbox->again_seq = first;
    }
    tell_fork(outbox, &told);
    return POISE_OK;
}
