/* Reads lines "ZONE UNIT FISCAL_YEAR_START TIME_MS" and prints "START_MS END_MS OFFSET_S" of the period that
 * holds each. */
#include <inttypes.h>
#include <model/calendar.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
    char name[128];
    int unit, fiscal_year_start;
    int64_t time_ms;
    struct zone *zone = NULL;
    while (scanf("%127s %d %d %" SCNd64, name, &unit, &fiscal_year_start, &time_ms) == 4) {
        if (!zone || strcmp(zone_name(zone), name) != 0) {
            zone_close(zone);
            zone = NULL;
            poise_error err;
            if (zone_open(name, &zone, &err) != POISE_OK) {
                fprintf(stderr, "%s\n", err.text);
                return 1;
            }
        }
        struct calendar calendar = {
            .zone = zone, .unit = (enum period_unit)unit, .fiscal_year_start = fiscal_year_start};
        struct period period = period_of(&calendar, time_ms);
        printf("%" PRId64 " %" PRId64 " %" PRId32 "\n", period.start_ms, period.end_ms,
               zone_offset_s(zone, time_ms));
    }
    zone_close(zone);
    return 0;
}
