#include "state_text.h"
#include <base/csv.h>
#include <base/text.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

static const struct flag_name {
    uint32_t flag;
    const char *name;
} flag_names[] = {{POISE_FLAG_CAPPED, "capped"},
                  {POISE_FLAG_CARRIED, "carried"},
                  {POISE_FLAG_IMPUTED, "imputed"},
                  {POISE_FLAG_OVERFLOW, "overflow"},
                  {POISE_FLAG_STALE, "stale"}};

static void put(struct buf *out, const char *text)
{
    buf_put(out, text, strlen(text));
}

void state_put_flags(struct buf *out, uint32_t flags, const char *before, const char *after,
                     const char *apart)
{
    const char *between = "";
    for (size_t i = 0; i < sizeof flag_names / sizeof flag_names[0]; i++) {
        if (flags & flag_names[i].flag) {
            put(out, between);
            put(out, before);
            put(out, flag_names[i].name);
            put(out, after);
            between = apart;
        }
    }
}

static void put_number(struct buf *out, double number, const char *missing)
{
    char text[NUMBER_TEXT_MAX];
    if (isnan(number)) {
        put(out, missing);
    } else {
        buf_put(out, text, format_double(number, text));
    }
}

static void put_whole(struct buf *out, int64_t number, bool missing, const char *missing_text)
{
    if (missing) {
        put(out, missing_text);
    } else {
        buf_printf(out, "%" PRId64, number);
    }
}

static void put_time(struct buf *out, int64_t time_ms)
{
    char text[TIME_TEXT_MAX];
    buf_put(out, text, format_time_ms(time_ms, text));
}

void json_put_text(struct buf *out, const char *text)
{
    buf_put_u8(out, '"');
    for (; *text; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte < 0x20) {
            buf_printf(out, "\\u%04x", byte);
            continue;
        }
        if (byte == '"' || byte == '\\') {
            buf_put_u8(out, '\\');
        }
        buf_put_u8(out, byte);
    }
    buf_put_u8(out, '"');
}

static void put_json_number(struct buf *out, const char *key, double number)
{
    put(out, key);
    put_number(out, number, "null");
}

static void put_json_period(struct buf *out, const poise_score *numbers)
{
    if (numbers->period_start_ms == INT64_MIN) {
        put(out, "null");
        return;
    }
    put(out, "[\"");
    put_time(out, numbers->period_start_ms);
    put(out, "\",\"");
    put_time(out, numbers->period_end_ms);
    put(out, "\"]");
}

static void put_json_head(struct buf *out, const poise_state *state)
{
    put(out, "\"org\":");
    json_put_text(out, state->org);
    put(out, ",\"node\":");
    json_put_text(out, state->node);
    put(out, ",\"kind\":");
    json_put_text(out, poise_kind_name(state->kind));
    put(out, ",\"name\":");
    json_put_text(out, state->name);
    put(out, ",\"period\":");
    put_json_period(out, &state->numbers);
}

void state_put_json_members(struct buf *out, const poise_state *state)
{
    const poise_score *numbers = &state->numbers;
    put_json_head(out, state);
    put_json_number(out, ",\"value\":", numbers->value);
    put_json_number(out, ",\"attainment\":", numbers->attainment);
    put_json_number(out, ",\"score\":", numbers->score);
    put_json_number(out, ",\"lo\":", numbers->lo);
    put_json_number(out, ",\"hi\":", numbers->hi);
    put_json_number(out, ",\"coverage\":", numbers->coverage);
    put_json_number(out, ",\"filled\":", numbers->filled);
    put(out, ",\"status\":");
    json_put_text(out, poise_status_name(numbers->status));
    put(out, numbers->uncertain ? ",\"uncertain\":true" : ",\"uncertain\":false");
    put(out, ",\"count\":");
    put_whole(out, numbers->count, numbers->count < 0, "null");
    put_json_number(out, ",\"weight\":", state->weight);
    put_json_number(out, ",\"trend\":", numbers->trend);
    put(out, ",\"flags\":[");
    state_put_flags(out, numbers->flags, "\"", "\"", ",");
    put(out, "],\"as_of\":\"");
    put_time(out, state->as_of_ms);
    put(out, "\",\"definition\":");
    put_whole(out, (int64_t)state->definition, state->definition == 0, "null");
    put(out, ",\"revision\":");
    put_whole(out, (int64_t)state->revision, state->revision == 0, "null");
    if (state->cause > 0) { /* a revision as it happens */
        put_json_number(out, ",\"replaced\":", state->replaced);
        put(out, ",\"cause\":");
        put_whole(out, (int64_t)state->cause, false, "");
    }
}

void state_put_json(struct buf *out, const poise_state *state)
{
    put(out, "{");
    state_put_json_members(out, state);
    put(out, "}");
}

#define COLUMNS                                                                                              \
    "org,node,kind,name,period,value,attainment,score,lo,hi,coverage,filled,status,uncertain,count,weight,"  \
    "trend,flags,as_of,definition,revision"

void state_put_csv_header(struct buf *out)
{
    put(out, COLUMNS "\n");
}

void state_put_csv_change_header(struct buf *out)
{
    put(out, COLUMNS ",replaced,cause\n");
}

static void put_csv_text(struct buf *out, const char *text)
{
    csv_put(out, text, strlen(text), ',');
    put(out, ",");
}

static void put_csv_number(struct buf *out, double number)
{
    put_number(out, number, "");
    put(out, ",");
}

static void put_csv(struct buf *out, const poise_state *state)
{
    const poise_score *numbers = &state->numbers;
    put_csv_text(out, state->org);
    put_csv_text(out, state->node);
    put_csv_text(out, poise_kind_name(state->kind));
    put_csv_text(out, state->name);
    if (numbers->period_start_ms != INT64_MIN) {
        put_time(out, numbers->period_start_ms);
        put(out, "/");
        put_time(out, numbers->period_end_ms);
    }
    put(out, ",");
    put_csv_number(out, numbers->value);
    put_csv_number(out, numbers->attainment);
    put_csv_number(out, numbers->score);
    put_csv_number(out, numbers->lo);
    put_csv_number(out, numbers->hi);
    put_csv_number(out, numbers->coverage);
    put_csv_number(out, numbers->filled);
    put_csv_text(out, poise_status_name(numbers->status));
    put(out, numbers->uncertain ? "true," : "false,");
    put_whole(out, numbers->count, numbers->count < 0, "");
    put(out, ",");
    put_csv_number(out, state->weight);
    put_csv_number(out, numbers->trend);
    state_put_flags(out, numbers->flags, "", "", " ");
    put(out, ",");
    put_time(out, state->as_of_ms);
    put(out, ",");
    put_whole(out, (int64_t)state->definition, state->definition == 0, "");
    put(out, ",");
    put_whole(out, (int64_t)state->revision, state->revision == 0, "");
}

void state_put_csv(struct buf *out, const poise_state *state)
{
    put_csv(out, state);
    put(out, "\n");
}

void state_put_csv_change(struct buf *out, const poise_state *state)
{
    put_csv(out, state);
    put(out, ",");
    put_number(out, state->cause > 0 ? state->replaced : NAN, "");
    put(out, ",");
    put_whole(out, (int64_t)state->cause, state->cause == 0, "");
    put(out, "\n");
}
