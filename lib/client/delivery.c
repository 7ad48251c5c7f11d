#include <base/error.h>
#include <client/delivery.h>
#include <string.h>

static bool emit(const struct delivery *delivery, poise_event_kind kind, const poise_state *state,
                 poise_on_event *on_event, void *context)
{
    poise_event event = {
        .kind = kind, .state = state, .lsn = delivery->states.lsn, .as_of_ms = delivery->states.as_of_ms};
    return on_event(context, &event);
}

/* Crosses a flag off. */
static bool take(bool *flag)
{
    bool was = *flag;
    *flag = false;
    return was;
}

bool deliver(struct delivery *delivery, poise_on_event *on_event, void *context)
{
    if (take(&delivery->lost) && !emit(delivery, POISE_EVENT_LOST, NULL, on_event, context)) {
        return false;
    }
    if (take(&delivery->reset) && !emit(delivery, POISE_EVENT_RESET, NULL, on_event, context)) {
        return false;
    }
    while (delivery->told < delivery->states.count) {
        const poise_state *state = &delivery->states.states[delivery->told++];
        poise_event_kind kind = delivery->live && state->revision ? POISE_EVENT_REVISION : POISE_EVENT_STATE;
        if (!emit(delivery, kind, state, on_event, context)) {
            return false;
        }
    }
    return !take(&delivery->ready) || emit(delivery, POISE_EVENT_READY, NULL, on_event, context);
}

enum { CHANGES_ALL = POISE_CHANGES_NUMBERS | POISE_CHANGES_STATUS | POISE_CHANGES_REVISIONS };

static poise_code copy_list(struct arena *arena, const char *what, const char *const *list, size_t count,
                            const char ***ret_list, poise_error *err)
{
    if (count > WIRE_FILTER_MAX) {
        return error_set(err, POISE_ELIMIT, "a filter has %zu %s, at most %d are allowed", count, what,
                         WIRE_FILTER_MAX);
    }
    const char **copy = arena_zalloc(arena, count + 1, sizeof *copy);
    for (size_t i = 0; copy && i < count; i++) {
        size_t length = list[i] ? strlen(list[i]) : 0;
        if (!list[i] || length > WIRE_TEXT_MAX) {
            return error_set(err, POISE_EINVAL, "%s of a filter: entry %zu is NULL or longer than %d bytes",
                             what, i, WIRE_TEXT_MAX);
        }
        copy[i] = arena_strndup(arena, list[i], length);
        if (!copy[i]) {
            return error_nomem(err, "a filter");
        }
    }
    if (!copy) {
        return error_nomem(err, "a filter");
    }
    *ret_list = copy;
    return POISE_OK;
}

poise_code filter_copy(struct arena *arena, const poise_filter *filter, struct wire_filter *ret_filter,
                       poise_error *err)
{
    static const poise_filter everything;
    const poise_filter *from = filter ? filter : &everything;
    struct wire_filter copy = {.scorecard_count = from->scorecard_count,
                               .org_count = from->org_count,
                               .node_count = from->node_count,
                               .kinds = from->kinds,
                               .changes = from->changes};
    if (from->kinds >> (POISE_MEASURE + 1) || from->changes > CHANGES_ALL) {
        return error_set(err, POISE_EINVAL, "a filter has kinds %#x, changes %#x, which are none",
                         from->kinds, from->changes);
    }
    poise_code code =
        copy_list(arena, "scorecards", from->scorecards, from->scorecard_count, &copy.scorecards, err);
    if (code == POISE_OK) {
        code = copy_list(arena, "orgs", from->orgs, from->org_count, &copy.orgs, err);
    }
    if (code == POISE_OK) {
        code = copy_list(arena, "nodes", from->nodes, from->node_count, &copy.nodes, err);
    }
    if (code == POISE_OK) {
        *ret_filter = copy;
    }
    return code;
}
