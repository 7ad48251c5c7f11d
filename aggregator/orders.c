#include "orders.h"

#include "actions.h"
#include "dump.h"
#include "erase.h"
#include "rescore.h"
#include "restate.h"
#include <base/error.h>
#include <base/text.h>

bool order_is_noted(const struct inquiry *inquiry)
{
    bool erases = inquiry->erase && !inquiry->erase->dry_run;
    bool begins = inquiry->dump && inquiry->dump->cursor_length == 0;
    return inquiry->restate || inquiry->rescore || erases || inquiry->backup[0] || begins;
}

static void put_range(struct buf *out, int64_t from_ms, int64_t to_ms)
{
    char from[TIME_TEXT_MAX], to[TIME_TEXT_MAX];
    format_time_ms(from_ms, from);
    format_time_ms(to_ms, to);
    buf_printf(out, " from %s to %s", from, to);
}

static void put_selection(struct buf *out, const char *measure, const char *org)
{
    buf_printf(out, "%s of %s", measure[0] ? measure : "all", org[0] ? org : "all orgs");
}

static void put_about(struct buf *out, const struct inquiry *inquiry)
{
    char from[TIME_TEXT_MAX];
    const struct restate *restate = inquiry->restate;
    const struct rescore *rescore = inquiry->rescore;
    const struct dump *dump = inquiry->dump;
    if (restate) {
        put_selection(out, restate->measure, restate->org);
        put_range(out, restate->from_ms, restate->to_ms);
        buf_printf(out, ": %s", restate->reason);
    } else if (inquiry->erase) {
        put_selection(out, inquiry->erase->measure, inquiry->erase->org);
        put_range(out, inquiry->erase->from_ms, inquiry->erase->to_ms);
        buf_printf(out, ": %s", inquiry->erase->reason);
    } else if (rescore) {
        format_time_ms(rescore->from_ms, from);
        buf_printf(out, "%s from %s: %s", inquiry->scorecard[0] ? inquiry->scorecard : "all", from,
                   rescore->reason);
    } else if (dump) {
        put_selection(out, dump->measure, dump->org);
        put_range(out, dump->from_ms, dump->to_ms);
    } else {
        buf_printf(out, "%s", inquiry->backup);
    }
    buf_put_u8(out, 0);
}

poise_code order_note(const char *store, const struct clock *clock, const struct inquiry *inquiry,
                      const char *result, poise_error *err)
{
    struct buf about = {0};
    put_about(&about, inquiry);
    const struct action action = {.user = inquiry->user[0] ? inquiry->user : NULL,
                                  .name = inquiry->reader ? access_name(inquiry->reader) : NULL,
                                  .what = inquiry->restate   ? "restate"
                                          : inquiry->rescore ? "rescore"
                                          : inquiry->erase   ? "erase"
                                          : inquiry->dump    ? "dump"
                                                             : "backup",
                                  .about = (const char *)about.data,
                                  .result = result};
    poise_code code =
        about.failed ? error_nomem(err, "a line of the audit log") : actions_note(store, clock, &action, err);
    buf_free(&about);
    return code;
}
