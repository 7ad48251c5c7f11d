/* SUBSCRIBE, CREDIT, UNSUBSCRIBE, QUERY, RESTATE, ERASE, RESCORE, STATS. */
#include "codec.h"
#include <base/error.h>
#include <poise.pb-c.h>

static const struct codec_kind subscribe_kind = {"SUBSCRIBE", &poise__v1__subscribe__descriptor,
                                                 WIRE_TEXT_MAX};
static const struct codec_kind credit_kind = {"CREDIT", &poise__v1__credit__descriptor, WIRE_TEXT_MAX};
static const struct codec_kind unsubscribe_kind = {"UNSUBSCRIBE", &poise__v1__unsubscribe__descriptor,
                                                   WIRE_TEXT_MAX};
static const struct codec_kind query_kind = {"QUERY", &poise__v1__query__descriptor, WIRE_TEXT_MAX};
static const struct codec_kind restate_kind = {"RESTATE", &poise__v1__restate__descriptor, WIRE_TEXT_MAX};
static const struct codec_kind erase_kind = {"ERASE", &poise__v1__erase__descriptor, WIRE_TEXT_MAX};
static const struct codec_kind erased_kind = {"ERASED", &poise__v1__erased__descriptor, WIRE_TEXT_MAX};
static const struct codec_kind restated_kind = {"RESTATED", &poise__v1__restated__descriptor, WIRE_TEXT_MAX};
static const struct codec_kind rescore_kind = {"RESCORE", &poise__v1__rescore__descriptor, WIRE_TEXT_MAX};
static const struct codec_kind rescored_kind = {"RESCORED", &poise__v1__rescored__descriptor, WIRE_TEXT_MAX};
static const struct codec_kind backup_kind = {"BACKUP", &poise__v1__backup__descriptor, WIRE_TEXT_MAX};
static const struct codec_kind backed_up_kind = {"BACKED_UP", &poise__v1__backed_up__descriptor,
                                                 WIRE_TEXT_MAX};
static const struct codec_kind stats_request_kind = {"STATS_REQUEST", &poise__v1__stats_request__descriptor,
                                                     WIRE_TEXT_MAX};
static const struct codec_kind stats_kind = {"STATS", &poise__v1__stats__descriptor, WIRE_TEXT_MAX};

static poise_code check_id(const struct codec_kind *kind, uint64_t id, poise_error *err)
{
    return id ? POISE_OK : error_set(err, POISE_EPROTO, "%s: id must not be 0", kind->name);
}

/* ---- SUBSCRIBE ---- */

enum { CHANGES_BITS = POISE_CHANGES_NUMBERS | POISE_CHANGES_STATUS | POISE_CHANGES_REVISIONS };

/* A kind or a bit of a later version asks for what is not known here: better nothing than something else. */
static poise_code take_kinds(const Poise__V1__Filter *message, struct wire_filter *ret, poise_error *err)
{
    for (size_t i = 0; i < message->n_kinds; i++) {
        if (message->kinds[i] < POISE__V1__KIND__SCORECARD || message->kinds[i] > POISE__V1__KIND__MEASURE) {
            return error_set(err, POISE_EUNSUPPORTED, "the filter names a kind of node that is not known: %d",
                             (int)message->kinds[i]);
        }
        ret->kinds |= UINT32_C(1) << message->kinds[i];
    }
    if (message->changes & ~(uint32_t)CHANGES_BITS) {
        return error_set(err, POISE_EUNSUPPORTED, "the filter names changes that are not known: %u",
                         (unsigned)message->changes);
    }
    ret->changes = message->changes;
    return POISE_OK;
}

poise_code codec_take_filter(const void *filter, struct wire_filter *ret, poise_error *err)
{
    const Poise__V1__Filter *message = filter;
    if (!message) {
        *ret = (struct wire_filter){0};
        return POISE_OK;
    }
    if (message->n_scorecards > WIRE_FILTER_MAX || message->n_orgs > WIRE_FILTER_MAX ||
        message->n_nodes > WIRE_FILTER_MAX) {
        return error_set(err, POISE_ELIMIT, "a list of the filter has more than %d entries", WIRE_FILTER_MAX);
    }
    *ret = (struct wire_filter){.scorecards = codec_borrow(message->scorecards),
                                .scorecard_count = message->n_scorecards,
                                .orgs = codec_borrow(message->orgs),
                                .org_count = message->n_orgs,
                                .nodes = codec_borrow(message->nodes),
                                .node_count = message->n_nodes};
    return take_kinds(message, ret, err);
}

void codec_put_filter(const struct wire_filter *filter, void *ret_message, int kinds[CODEC_KINDS_MAX])
{
    Poise__V1__Filter *message = ret_message;
    poise__v1__filter__init(message);
    message->scorecards = codec_borrow(filter->scorecards);
    message->n_scorecards = filter->scorecard_count;
    message->orgs = codec_borrow(filter->orgs);
    message->n_orgs = filter->org_count;
    message->nodes = codec_borrow(filter->nodes);
    message->n_nodes = filter->node_count;
    message->kinds = (Poise__V1__Kind *)kinds;
    for (int kind = POISE_SCORECARD; kind <= POISE_MEASURE; kind++) {
        if (filter->kinds & UINT32_C(1) << kind) {
            kinds[message->n_kinds++] = kind;
        }
    }
    message->changes = filter->changes;
}

static bool is_everything(const Poise__V1__Filter *filter)
{
    return filter->n_scorecards + filter->n_orgs + filter->n_nodes + filter->n_kinds == 0 &&
           filter->changes == 0;
}

poise_code wire_decode_subscribe(const void *body, size_t length, struct arena *arena,
                                 struct wire_subscribe *ret, poise_error *err)
{
    void *unpacked;
    poise_code code = codec_unpack(&subscribe_kind, body, length, arena, &unpacked, err);
    if (code != POISE_OK) {
        return code;
    }
    const Poise__V1__Subscribe *message = unpacked;
    struct wire_filter filter;
    if ((code = check_id(&subscribe_kind, message->id, err)) != POISE_OK ||
        (code = codec_take_filter(message->filter, &filter, err)) != POISE_OK) {
        return code;
    }
    *ret = (struct wire_subscribe){.id = message->id,
                                   .filter = filter,
                                   .least_interval_ms = message->least_interval_ms,
                                   .credit = message->credit,
                                   .once = message->once,
                                   .from_lsn = message->from_lsn,
                                   .from_revised = message->from_revised,
                                   .from_view = message->from_view};
    return POISE_OK;
}

poise_code wire_encode_subscribe(const struct wire_subscribe *subscribe, struct buf *out)
{
    Poise__V1__Filter filter;
    int kinds[CODEC_KINDS_MAX];
    codec_put_filter(&subscribe->filter, &filter, kinds);
    Poise__V1__Subscribe message;
    poise__v1__subscribe__init(&message);
    message.id = subscribe->id;
    if (!is_everything(&filter)) {
        message.filter = &filter;
    }
    message.least_interval_ms = subscribe->least_interval_ms;
    message.credit = subscribe->credit;
    message.once = subscribe->once;
    message.from_lsn = subscribe->from_lsn;
    message.from_revised = subscribe->from_revised;
    message.from_view = subscribe->from_view;
    return codec_put(out, &message.base);
}

/* ---- CREDIT, UNSUBSCRIBE ---- */

poise_code wire_decode_credit(const void *body, size_t length, struct arena *arena, struct wire_credit *ret,
                              poise_error *err)
{
    void *unpacked;
    poise_code code = codec_unpack(&credit_kind, body, length, arena, &unpacked, err);
    if (code != POISE_OK) {
        return code;
    }
    const Poise__V1__Credit *message = unpacked;
    code = check_id(&credit_kind, message->id, err);
    if (code == POISE_OK) {
        *ret = (struct wire_credit){.id = message->id, .more = message->more};
    }
    return code;
}

poise_code wire_encode_credit(const struct wire_credit *credit, struct buf *out)
{
    Poise__V1__Credit message;
    poise__v1__credit__init(&message);
    message.id = credit->id;
    message.more = credit->more;
    return codec_put(out, &message.base);
}

poise_code wire_decode_unsubscribe(const void *body, size_t length, struct arena *arena, uint64_t *ret_id,
                                   poise_error *err)
{
    void *unpacked;
    poise_code code = codec_unpack(&unsubscribe_kind, body, length, arena, &unpacked, err);
    if (code != POISE_OK) {
        return code;
    }
    const Poise__V1__Unsubscribe *message = unpacked;
    code = check_id(&unsubscribe_kind, message->id, err);
    if (code == POISE_OK) {
        *ret_id = message->id;
    }
    return code;
}

poise_code wire_encode_unsubscribe(uint64_t id, struct buf *out)
{
    Poise__V1__Unsubscribe message;
    poise__v1__unsubscribe__init(&message);
    message.id = id;
    return codec_put(out, &message.base);
}

/* ---- QUERY ---- */

poise_code wire_decode_query(const void *body, size_t length, struct arena *arena, struct wire_query *ret,
                             poise_error *err)
{
    void *unpacked;
    poise_code code = codec_unpack(&query_kind, body, length, arena, &unpacked, err);
    if (code != POISE_OK) {
        return code;
    }
    const Poise__V1__Query *message = unpacked;
    code = check_id(&query_kind, message->id, err);
    if (code == POISE_OK) {
        *ret = (struct wire_query){.id = message->id,
                                   .scorecard = message->scorecard,
                                   .org = message->org,
                                   .all_orgs = message->all_orgs,
                                   .history = message->history,
                                   .as_of_ms = message->as_of_ms,
                                   .credit = message->credit,
                                   .known_at_ms = message->known_at_ms,
                                   .known_lsn = message->known_lsn};
    }
    return code;
}

poise_code wire_encode_query(const struct wire_query *query, struct buf *out)
{
    Poise__V1__Query message;
    poise__v1__query__init(&message);
    message.id = query->id;
    message.scorecard = codec_text(query->scorecard);
    message.org = codec_text(query->org);
    message.all_orgs = query->all_orgs;
    message.as_of_ms = query->as_of_ms;
    message.history = query->history;
    message.credit = query->credit;
    message.known_at_ms = query->known_at_ms;
    message.known_lsn = query->known_lsn;
    return codec_put(out, &message.base);
}

/* ---- RESTATE ---- */

poise_code wire_decode_restate(const void *body, size_t length, struct arena *arena, struct wire_restate *ret,
                               poise_error *err)
{
    void *unpacked;
    poise_code code = codec_unpack(&restate_kind, body, length, arena, &unpacked, err);
    if (code != POISE_OK) {
        return code;
    }
    const Poise__V1__Restate *message = unpacked;
    code = check_id(&restate_kind, message->id, err);
    if (code == POISE_OK) {
        *ret = (struct wire_restate){.id = message->id,
                                     .measure = message->measure,
                                     .org = message->org,
                                     .reason = message->reason,
                                     .from_ms = message->from_ms,
                                     .to_ms = message->to_ms,
                                     .place = message->place};
    }
    return code;
}

poise_code wire_encode_restate(const struct wire_restate *restate, struct buf *out)
{
    Poise__V1__Restate message;
    poise__v1__restate__init(&message);
    message.id = restate->id;
    message.measure = codec_text(restate->measure);
    message.org = codec_text(restate->org);
    message.reason = codec_text(restate->reason);
    message.from_ms = restate->from_ms;
    message.to_ms = restate->to_ms;
    message.place = restate->place;
    return codec_put(out, &message.base);
}

poise_code wire_decode_restated(const void *body, size_t length, struct arena *arena,
                                struct wire_restated *ret, poise_error *err)
{
    void *unpacked;
    poise_code code = codec_unpack(&restated_kind, body, length, arena, &unpacked, err);
    if (code != POISE_OK) {
        return code;
    }
    const Poise__V1__Restated *message = unpacked;
    *ret = (struct wire_restated){
        .id = message->id, .rows = message->rows, .refused = message->refused, .lsn = message->lsn};
    return POISE_OK;
}

poise_code wire_encode_restated(const struct wire_restated *restated, struct buf *out)
{
    Poise__V1__Restated message;
    poise__v1__restated__init(&message);
    message.id = restated->id;
    message.rows = restated->rows;
    message.refused = restated->refused;
    message.lsn = restated->lsn;
    return codec_put(out, &message.base);
}

/* ---- ERASE ---- */

poise_code wire_decode_erase(const void *body, size_t length, struct arena *arena, struct wire_erase *ret,
                             poise_error *err)
{
    void *unpacked;
    poise_code code = codec_unpack(&erase_kind, body, length, arena, &unpacked, err);
    if (code != POISE_OK) {
        return code;
    }
    const Poise__V1__Erase *message = unpacked;
    code = check_id(&erase_kind, message->id, err);
    if (code == POISE_OK) {
        *ret = (struct wire_erase){.id = message->id,
                                   .measure = message->measure,
                                   .org = message->org,
                                   .reason = message->reason,
                                   .from_ms = message->from_ms,
                                   .to_ms = message->to_ms,
                                   .dry_run = message->dry_run};
    }
    return code;
}

poise_code wire_encode_erase(const struct wire_erase *erase, struct buf *out)
{
    Poise__V1__Erase message;
    poise__v1__erase__init(&message);
    message.id = erase->id;
    message.measure = codec_text(erase->measure);
    message.org = codec_text(erase->org);
    message.reason = codec_text(erase->reason);
    message.from_ms = erase->from_ms;
    message.to_ms = erase->to_ms;
    message.dry_run = erase->dry_run;
    return codec_put(out, &message.base);
}

poise_code wire_decode_erased(const void *body, size_t length, struct arena *arena, struct wire_erased *ret,
                              poise_error *err)
{
    void *unpacked;
    poise_code code = codec_unpack(&erased_kind, body, length, arena, &unpacked, err);
    if (code != POISE_OK) {
        return code;
    }
    const Poise__V1__Erased *message = unpacked;
    *ret = (struct wire_erased){
        .id = message->id, .rows = message->rows, .counted = message->counted, .lsn = message->lsn};
    return POISE_OK;
}

poise_code wire_encode_erased(const struct wire_erased *erased, struct buf *out)
{
    Poise__V1__Erased message;
    poise__v1__erased__init(&message);
    message.id = erased->id;
    message.rows = erased->rows;
    message.counted = erased->counted;
    message.lsn = erased->lsn;
    return codec_put(out, &message.base);
}

/* ---- RESCORE ---- */

poise_code wire_decode_rescore(const void *body, size_t length, struct arena *arena, struct wire_rescore *ret,
                               poise_error *err)
{
    void *unpacked;
    poise_code code = codec_unpack(&rescore_kind, body, length, arena, &unpacked, err);
    if (code != POISE_OK) {
        return code;
    }
    const Poise__V1__Rescore *message = unpacked;
    code = check_id(&rescore_kind, message->id, err);
    if (code == POISE_OK) {
        *ret = (struct wire_rescore){.id = message->id,
                                     .scorecard = message->scorecard,
                                     .reason = message->reason,
                                     .from_ms = message->from_ms};
    }
    return code;
}

poise_code wire_encode_rescore(const struct wire_rescore *rescore, struct buf *out)
{
    Poise__V1__Rescore message;
    poise__v1__rescore__init(&message);
    message.id = rescore->id;
    message.scorecard = codec_text(rescore->scorecard);
    message.reason = codec_text(rescore->reason);
    message.from_ms = rescore->from_ms;
    return codec_put(out, &message.base);
}

poise_code wire_decode_rescored(const void *body, size_t length, struct arena *arena,
                                struct wire_rescored *ret, poise_error *err)
{
    void *unpacked;
    poise_code code = codec_unpack(&rescored_kind, body, length, arena, &unpacked, err);
    if (code != POISE_OK) {
        return code;
    }
    const Poise__V1__Rescored *message = unpacked;
    *ret = (struct wire_rescored){.id = message->id,
                                  .scorecards = message->scorecards,
                                  .revised = message->revised,
                                  .locked = message->locked,
                                  .lsn = message->lsn};
    return code;
}

poise_code wire_encode_rescored(const struct wire_rescored *rescored, struct buf *out)
{
    Poise__V1__Rescored message;
    poise__v1__rescored__init(&message);
    message.id = rescored->id;
    message.scorecards = rescored->scorecards;
    message.revised = rescored->revised;
    message.locked = rescored->locked;
    message.lsn = rescored->lsn;
    return codec_put(out, &message.base);
}

/* ---- BACKUP ---- */

poise_code wire_decode_backup(const void *body, size_t length, struct arena *arena, struct wire_backup *ret,
                              poise_error *err)
{
    void *unpacked;
    poise_code code = codec_unpack(&backup_kind, body, length, arena, &unpacked, err);
    if (code != POISE_OK) {
        return code;
    }
    const Poise__V1__Backup *message = unpacked;
    code = check_id(&backup_kind, message->id, err);
    if (code == POISE_OK) {
        *ret = (struct wire_backup){.id = message->id, .name = message->name};
    }
    return code;
}

poise_code wire_encode_backup(const struct wire_backup *backup, struct buf *out)
{
    Poise__V1__Backup message;
    poise__v1__backup__init(&message);
    message.id = backup->id;
    message.name = codec_text(backup->name);
    return codec_put(out, &message.base);
}

poise_code wire_decode_backed_up(const void *body, size_t length, struct arena *arena,
                                 struct wire_backed_up *ret, poise_error *err)
{
    void *unpacked;
    poise_code code = codec_unpack(&backed_up_kind, body, length, arena, &unpacked, err);
    if (code != POISE_OK) {
        return code;
    }
    const Poise__V1__BackedUp *message = unpacked;
    *ret = (struct wire_backed_up){.id = message->id,
                                   .lsn = message->lsn,
                                   .bytes = message->bytes,
                                   .duration_ms = message->duration_ms,
                                   .path = message->path};
    return code;
}

poise_code wire_encode_backed_up(const struct wire_backed_up *backed_up, struct buf *out)
{
    Poise__V1__BackedUp message;
    poise__v1__backed_up__init(&message);
    message.id = backed_up->id;
    message.lsn = backed_up->lsn;
    message.bytes = backed_up->bytes;
    message.duration_ms = backed_up->duration_ms;
    message.path = codec_text(backed_up->path);
    return codec_put(out, &message.base);
}

/* ---- STATS ---- */

poise_code wire_decode_stats_request(const void *body, size_t length, struct arena *arena, uint64_t *ret_id,
                                     poise_error *err)
{
    void *unpacked;
    poise_code code = codec_unpack(&stats_request_kind, body, length, arena, &unpacked, err);
    if (code != POISE_OK) {
        return code;
    }
    const Poise__V1__StatsRequest *message = unpacked;
    code = check_id(&stats_request_kind, message->id, err);
    if (code == POISE_OK) {
        *ret_id = message->id;
    }
    return code;
}

poise_code wire_encode_stats_request(uint64_t id, struct buf *out)
{
    Poise__V1__StatsRequest message;
    poise__v1__stats_request__init(&message);
    message.id = id;
    return codec_put(out, &message.base);
}

poise_code wire_decode_stats(const void *body, size_t length, struct arena *arena, struct wire_stats *ret,
                             poise_error *err)
{
    void *unpacked;
    poise_code code = codec_unpack(&stats_kind, body, length, arena, &unpacked, err);
    if (code != POISE_OK) {
        return code;
    }
    const Poise__V1__Stats *message = unpacked;
    if (message->n_name != message->n_value) {
        return error_set(err, POISE_EPROTO, "STATS: %zu names for %zu values", message->n_name,
                         message->n_value);
    }
    *ret = (struct wire_stats){.id = message->id,
                               .names = codec_borrow(message->name),
                               .values = message->value,
                               .count = message->n_name};
    return POISE_OK;
}

poise_code wire_encode_stats(const struct wire_stats *stats, struct buf *out)
{
    Poise__V1__Stats message;
    poise__v1__stats__init(&message);
    message.id = stats->id;
    message.name = codec_borrow(stats->names);
    message.n_name = stats->count;
    message.value = codec_borrow(stats->values);
    message.n_value = stats->count;
    return codec_put(out, &message.base);
}
