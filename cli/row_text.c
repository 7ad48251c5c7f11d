#include "row_text.h"
#include "state_text.h"
#include <base/csv.h>
#include <base/text.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

static void put(struct buf *out, const char *text)
{
    buf_put(out, text, strlen(text));
}

static void put_time(struct buf *out, int64_t time_ms)
{
    char text[TIME_TEXT_MAX];
    buf_put(out, text, format_time_ms(time_ms, text));
}

/* The sign of zero too, which a JSON reader would drop from a whole number. */
static void put_number(struct buf *out, double number, const char *minus_zero)
{
    char text[NUMBER_TEXT_MAX];
    if (number == 0 && signbit(number)) {
        put(out, minus_zero);
    } else {
        buf_put(out, text, format_double(number, text));
    }
}

/* ---- CSV ---- */

void row_put_csv_header(struct buf *out)
{
    put(out, "time,measure,org,value,of,key,seq,source,retract\n");
}

static void put_csv_text(struct buf *out, const char *text)
{
    if (text) {
        csv_put(out, text, strlen(text), ',');
    }
    buf_put_u8(out, ',');
}

void row_put_csv(struct buf *out, const poise_measurement *row)
{
    if (!row->retract) {
        put_time(out, row->time_ms);
    }
    buf_put_u8(out, ',');
    put_csv_text(out, row->measure);
    put_csv_text(out, row->org);
    if (!row->retract) {
        put_number(out, row->value, "-0");
    }
    buf_put_u8(out, ',');
    if (!row->retract) {
        put_number(out, row->of, "-0");
    }
    buf_put_u8(out, ',');
    put_csv_text(out, row->key);
    if (row->seq) {
        buf_printf(out, "%" PRIu64, row->seq);
    }
    buf_put_u8(out, ',');
    put_csv_text(out, row->source);
    put(out, row->retract ? "true\n" : "\n");
}

/* ---- JSON Lines ---- */

static void put_json_text(struct buf *out, const char *name, const char *text)
{
    if (text && *text) {
        put(out, name);
        json_put_text(out, text);
    }
}

void row_put_json(struct buf *out, const poise_measurement *row)
{
    if (row->retract) {
        put(out, "{\"retract\":true");
    } else {
        put(out, "{\"time\":\"");
        put_time(out, row->time_ms);
        buf_put_u8(out, '"');
    }
    put_json_text(out, ",\"measure\":", row->measure);
    put_json_text(out, ",\"org\":", row->org);
    if (!row->retract) {
        put(out, ",\"value\":");
        put_number(out, row->value, "-0.0");
    }
    if (!row->retract && row->of != 1) {
        put(out, ",\"of\":");
        put_number(out, row->of, "-0.0");
    }
    put_json_text(out, ",\"key\":", row->key);
    if (row->seq) {
        buf_printf(out, ",\"seq\":%" PRIu64, row->seq);
    }
    put_json_text(out, ",\"source\":", row->source);
    put(out, "}\n");
}
