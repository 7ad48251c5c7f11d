#include <base/clock.h>
#include <collector/complaints.h>

static const char *const kind_names[] = {
    [FAULT_RECORD] = "record", [FAULT_EMPTY] = "empty",
    [FAULT_TIME] = "time",     [FAULT_NUMBER] = "number",
    [FAULT_WORD] = "word",     [FAULT_RULE] = "rule",
    [FAULT_LETTER] = "letter", [FAULT_COUNT] = "refused by the aggregator",
};

/* Whether this one is to be shown. */
static bool counted(struct complaints *complaints, const struct log *log, size_t kind)
{
    complaints_sum_up(complaints, log, false);
    if (complaints->kinds[kind].shown == COMPLAINTS_MAX) {
        complaints->kinds[kind].hidden++;
        return false;
    }
    complaints->kinds[kind].shown++;
    return true;
}

void complain(struct complaints *complaints, const struct log *log, const struct source_record *record,
              enum row_fault fault, const char *reason)
{
    if (counted(complaints, log, fault)) {
        log_event(log, LOG_WARN, "row refused", log_text("file", record->file),
                  log_int("line", (int64_t)record->line), log_text("reason", reason));
    }
}

void complain_measurement(struct complaints *complaints, const struct log *log,
                          const poise_measurement *measurement, const char *reason)
{
    if (counted(complaints, log, FAULT_COUNT)) {
        log_event(log, LOG_WARN, "measurement refused", log_text("measure", measurement->measure),
                  log_text("org", measurement->org), log_text("source", measurement->source),
                  log_text("key", measurement->key), log_text("reason", reason));
    }
}

void complaints_sum_up(struct complaints *complaints, const struct log *log, bool all)
{
    int64_t now_us = clock_monotonic_us(log->clock);
    if (!all && now_us - complaints->since_us < COMPLAINTS_WINDOW_US) {
        return;
    }
    for (size_t kind = 0; kind <= FAULT_COUNT; kind++) {
        if (complaints->kinds[kind].hidden > 0) {
            log_event(log, LOG_WARN, "more were refused for such reasons", log_text("kind", kind_names[kind]),
                      log_int("count", (int64_t)complaints->kinds[kind].hidden));
        }
    }
    *complaints = (struct complaints){.since_us = now_us};
}
