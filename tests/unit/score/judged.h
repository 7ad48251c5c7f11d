/* A measure of a scorecard by the month in UTC, and its measurements: evaluated through a source that counts
 * them one by one, so that every edge of a window shows. */
#ifndef TESTS_UNIT_SCORE_JUDGED_H
#define TESTS_UNIT_SCORE_JUDGED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <score/evaluate.h>

#define MINUTE   INT64_C(60000)
#define HOUR     (60 * MINUTE)
#define DAY      (24 * HOUR)
#define DEC_2025 (JAN_2026 - 31 * DAY)
#define JAN_2026 INT64_C(1767225600000)
#define FEB_2026 (JAN_2026 + 31 * DAY)
#define MAR_2026 (FEB_2026 + 28 * DAY)

enum { JUDGED_SAID_MAX = 16, JUDGED_ORGS = 5, JUDGED_READ_MAX = 16 };

struct judged {
    struct zone *zone;
    struct scorecard card;
    struct measure measure; /* a sum, carry 1, scored by form */
    struct form form;       /* linear from 0 to 100 */
    struct intern sources;
    struct said { /* a measurement, of one of the orgs of a subtree */
        int org;
        struct sample sample;
    } said[JUDGED_SAID_MAX];
    size_t said_count;
    struct period read[JUDGED_READ_MAX]; /* the windows that the last evaluation asked for */
    size_t read_count;
};

int judged_setup(void **state);
int judged_teardown(void **state);

void say(struct judged *f, int64_t time_ms, double value);
void say_of(struct judged *f, int org, int64_t time_ms, double value, double of);
poise_score as_of(struct judged *f, int64_t as_of_ms);

void assert_near(double got, double wanted); /* NaN is near NaN */

#endif
