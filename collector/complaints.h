/* Says why rows are refused, each kind of reason some times a minute and then how many more there were. */
#ifndef COLLECTOR_COMPLAINTS_H
#define COLLECTOR_COMPLAINTS_H

#include <base/log.h>
#include <collector/source.h>

enum { COMPLAINTS_MAX = 20 };
#define COMPLAINTS_WINDOW_US INT64_C(60000000)

struct complaints { /* zeroed at the start */
    struct {
        uint64_t shown, hidden;
    } kinds[FAULT_COUNT + 1]; /* and measurements that the aggregator refused */
    int64_t since_us;
};

void complain(struct complaints *complaints, const struct log *log, const struct source_record *record,
              enum row_fault fault, const char *reason);
void complain_measurement(struct complaints *complaints, const struct log *log,
                          const poise_measurement *measurement, const char *reason);
/* At the end, and now and then: sums up what was not shown once a minute has passed, or at once with `all`.
 */
void complaints_sum_up(struct complaints *complaints, const struct log *log, bool all);

#endif
