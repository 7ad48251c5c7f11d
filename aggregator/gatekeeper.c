#include "gatekeeper.h"

#include "actions.h"
#include "refusals.h"
#include <base/error.h>
#include <net/keys.h>
#include <stdlib.h>
#include <string.h>

enum { STEP_REQUESTS = 256, PROBLEMS_LOGGED = 20 };

struct gatekeeper {
    struct gatekeeper_options options;
    struct net_zap *zap;
    struct access_view view;
    struct refusals refusals;
};

/* ---- the file ---- */

static void log_problems(const struct gatekeeper *gatekeeper, const struct problems *problems)
{
    for (size_t i = 0; i < problems->kept && i < PROBLEMS_LOGGED; i++)
        log_event(gatekeeper->options.log, LOG_ERROR, "access_problem",
                  log_text("file", problems->items[i].file), log_int("line", problems->items[i].line),
                  log_text("problem", problems->items[i].text));
    if (problems->count > PROBLEMS_LOGGED)
        log_event(gatekeeper->options.log, LOG_ERROR, "more_access_problems",
                  log_int("count", (int64_t)problems->count - PROBLEMS_LOGGED));
}

static poise_code read_file(const struct gatekeeper *gatekeeper, struct access **ret_access, poise_error *err)
{
    struct problems problems = {0};
    poise_code code = access_read(gatekeeper->options.path, ret_access, &problems);
    log_problems(gatekeeper, &problems);
    if (code)
        code = error_set(err, code, "%s has %zu problem%s, which the log names", gatekeeper->options.path,
                         problems.count, problems.count == 1 ? "" : "s");
    problems_free(&problems);
    return code;
}

static void note(const struct gatekeeper *gatekeeper, const char *what, const struct buf *changes,
                 size_t count, const char *result)
{
    const struct gatekeeper_options *options = &gatekeeper->options;
    poise_error problem;
    const struct action action = {
        .what = what, .about = count ? (const char *)changes->data : NULL, .abouts = count, .result = result};
    if (changes->failed || actions_note(options->store, options->clock, &action, &problem))
        log_event(options->log, LOG_ERROR, "not_audited", log_text("action", action.what),
                  log_text("result", result),
                  log_text("reason", changes->failed ? "out of memory" : problem.text));
}

/* A full disk must not keep a revoked key in: what cannot be noted comes in force all the same. */
static void put_in_force(struct gatekeeper *gatekeeper, const char *what, struct access *access)
{
    const struct gatekeeper_options *options = &gatekeeper->options;
    struct access *before = NULL;
    struct buf changes = {0};
    size_t count = access_compare(gatekeeper->view.access, access, &changes);
    note(gatekeeper, what, &changes, count, "done");
    buf_free(&changes);
    stats_set(options->stats, STAT_access_keys, access_keys(access));
    access_holder_set(options->holder, access);
    access_view_renew(&gatekeeper->view, &before);
    access_drop(before);
}

bool gatekeeper_reload(struct gatekeeper *gatekeeper)
{
    const struct gatekeeper_options *options = &gatekeeper->options;
    struct access *access = NULL;
    poise_error problem;
    poise_code code = read_file(gatekeeper, &access, &problem);
    if (code)
        note(gatekeeper, "reload", &(struct buf){0}, 0, problem.text);
    else
        put_in_force(gatekeeper, "reload", access);
    stats_add(options->stats, code ? STAT_access_reloads_failed : STAT_access_reloads, 1);
    if (code)
        log_event(options->log, LOG_ERROR, "access_not_reloaded", log_text("reason", problem.text),
                  log_text("instead", "what it said before stays in force"));
    else
        log_event(options->log, LOG_INFO, "access_reloaded", log_text("file", options->path),
                  log_int("keys", (int64_t)access_keys(gatekeeper->view.access)));
    return !code;
}

/* ---- who is let in ---- */

static void answer(struct gatekeeper *gatekeeper, const struct net_zap_request *request)
{
    char user[NET_KEY_TEXT_MAX], what[160];
    keys_text(request->key, user);
    const struct access_peer *peer = access_find(gatekeeper->view.access, user);
    bool enters = access_enters(peer, request->domain);
    net_zap_answer(gatekeeper->zap, enters ? user : NULL);
    if (enters)
        return;
    snprintf(what, sizeof what, "%s at the %s endpoint, from %s",
             peer ? "the key may do nothing" : "an unknown key", request->domain, request->address);
    refusals_note(&gatekeeper->refusals, STAT_connections_denied, user, peer, what);
}

poise_code gatekeeper_step(struct gatekeeper *gatekeeper, poise_error *err)
{
    for (int i = 0; i < STEP_REQUESTS; i++) {
        struct net_zap_request request;
        poise_error problem;
        poise_code code = net_zap_next(gatekeeper->zap, &request, &problem);
        if (code == POISE_ENOTFOUND)
            break;
        if (code && code != POISE_EPROTO)
            return error_set(err, code, "%s", problem.text);
        if (code)
            refusals_note(&gatekeeper->refusals, STAT_connections_denied, NULL, NULL, problem.text);
        else
            answer(gatekeeper, &request);
    }
    return POISE_OK;
}

struct net_zap *gatekeeper_zap(const struct gatekeeper *gatekeeper)
{
    return gatekeeper->zap;
}

/* ---- life ---- */

poise_code gatekeeper_open(const struct gatekeeper_options *options, struct gatekeeper **ret_gatekeeper,
                           poise_error *err)
{
    struct gatekeeper *gatekeeper = calloc(1, sizeof *gatekeeper);
    if (!gatekeeper)
        return error_nomem(err, "who lets peers in");
    gatekeeper->options = *options;
    gatekeeper->view.holder = options->holder;
    gatekeeper->refusals =
        (struct refusals){.log = options->log, .clock = options->clock, .stats = options->stats};
    struct access *access = NULL;
    poise_code code = read_file(gatekeeper, &access, err);
    if (!code)
        put_in_force(gatekeeper, "start", access);
    if (!code)
        code = net_zap_open(options->net, &gatekeeper->zap, err);
    if (code) {
        gatekeeper_close(gatekeeper);
        return code;
    }
    *ret_gatekeeper = gatekeeper;
    return POISE_OK;
}

void gatekeeper_close(struct gatekeeper *gatekeeper)
{
    if (!gatekeeper)
        return;
    net_zap_close(gatekeeper->zap);
    access_view_free(&gatekeeper->view);
    free(gatekeeper);
}
