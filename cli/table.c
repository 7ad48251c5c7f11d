#include "table.h"
#include "state_text.h"
#include <base/text.h>
#include <langinfo.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum {
    VALUE = 9,
    SCORE = 5,
    TREND = 1,
    STATUS = 7,
    COVER = 4,
    NAME_MIN = 12,
    CELL_MAX = 64 /* bytes of a made-up cell */
};

struct layout {
    size_t name, bar, note; /* widths; 0: the column is left out */
};

#define BOLD    "\033[1m"
#define DIM     "\033[2m"
#define REVERSE "\033[7m"
#define RED     "\033[31m"
#define GREEN   "\033[32m"
#define AMBER   "\033[33m"
#define PLAIN   "\033[0m"

struct table_style table_style_of(FILE *out)
{
    struct table_style style = {.columns = 80, .utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0};
    int fd = fileno(out);
    struct winsize size;
    if (isatty(fd)) {
        const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
        style.colour = !(no_color && *no_color) && term && strcmp(term, "dumb") != 0;
        if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
            style.columns = size.ws_col;
        }
    }
    return style;
}

static void put(struct buf *out, const char *text)
{
    buf_put(out, text, strlen(text));
}

static void put_blanks(struct buf *out, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        buf_put_u8(out, ' ');
    }
}

static void paint(struct buf *out, const struct table_style *style, const char *how)
{
    if (style->colour) {
        put(out, how);
    }
}

/* Text in exactly `width` columns, cut with a mark where it is longer. */
static void put_cell(struct buf *out, const struct table_style *style, const char *text, size_t width,
                     bool right)
{
    size_t columns = utf8_columns(text);
    if (columns > width) {
        buf_put(out, text, utf8_prefix(text, width - 1));
        put(out, style->utf8 ? "…" : "~");
        return;
    }
    put_blanks(out, right ? width - columns : 0);
    put(out, text);
    put_blanks(out, right ? 0 : width - columns);
}

/* Five significant digits, at most six decimals, trailing zeros dropped; with an exponent where that does not
 * fit. */
static void value_text(double value, char text[CELL_MAX])
{
    double size = fabs(value);
    int decimals = size >= 1 ? 4 - (int)floor(log10(size)) : size >= 0.1 ? 5 : 6;
    int length = 0;
    text[0] = '\0';
    if (isnan(value)) {
        return;
    }
    if (size < 1e9 && (size >= 1e-4 || size == 0)) {
        length = snprintf(text, CELL_MAX, "%.*f", decimals > 0 ? decimals : 0, value);
    }
    for (int digits = 2; (length == 0 || length > VALUE) && digits >= 0; digits--) {
        length = snprintf(text, CELL_MAX, "%.*e", digits, value);
    }
    char *point = strchr(text, '.');
    if (point && !strchr(text, 'e')) {
        char *last = text + strlen(text) - 1;
        while (*last == '0') {
            *last-- = '\0';
        }
        if (last == point) {
            *point = '\0';
        }
    }
}

static void score_text(double score, char text[CELL_MAX])
{
    text[0] = '\0';
    if (!isnan(score)) {
        snprintf(text, CELL_MAX, "%.1f", score);
    }
}

static const char *trend_mark(const struct table_style *style, double trend)
{
    if (isnan(trend)) {
        return " ";
    }
    if (fabs(trend) <= 1.0) {
        return style->utf8 ? "→" : "=";
    }
    if (trend > 0) {
        return style->utf8 ? "↑" : "^";
    }
    return style->utf8 ? "↓" : "v";
}

/* Full up to the score, in eighths of a column; shaded up to hi. */
static void put_bar(struct buf *out, const struct table_style *style, const poise_score *numbers,
                    size_t width)
{
    static const char *const eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"};
    size_t unit = style->utf8 ? 8 : 1;
    double columns = (double)(width * unit) / 100;
    size_t full = isnan(numbers->score) ? 0 : (size_t)lround(numbers->score * columns);
    size_t high = isnan(numbers->hi) ? 0 : (size_t)lround(numbers->hi * columns);
    for (size_t at = 0; at < width; at++) {
        size_t left = full > at * unit ? full - at * unit : 0;
        bool shaded = high > at * unit + unit / 2;
        if (left > 0) {
            put(out, style->utf8 ? eighths[left < 8 ? left : 8] : "#");
        } else if (shaded) {
            put(out, style->utf8 ? "░" : ".");
        } else {
            buf_put_u8(out, ' ');
        }
    }
}

static const char *status_colour(poise_status status)
{
    switch (status) {
    case POISE_RED:
        return RED;
    case POISE_AMBER:
        return AMBER;
    case POISE_GREEN:
        return GREEN;
    case POISE_NO_DATA:
        break;
    }
    return DIM;
}

static void status_text(const poise_score *numbers, char text[CELL_MAX])
{
    if (numbers->status == POISE_NO_DATA) {
        snprintf(text, CELL_MAX, "no data");
    } else {
        snprintf(text, CELL_MAX, "%s%s", poise_status_name(numbers->status), numbers->uncertain ? "?" : "");
    }
}

/* The local date on which a period starts, as days since 1970, told without the zone: offsets from UTC lie
 * between -10 and +13 hours, but for a few islands. */
static int64_t first_day(int64_t start_ms)
{
    const int64_t hour = 3600000;
    int64_t shifted = start_ms + 13 * hour;
    int64_t day = shifted / (24 * hour);
    return shifted % (24 * hour) < 0 ? day - 1 : day;
}

/* "2026-03", "2026-Q1", "2026-W12" and the like. A year or quarter that starts elsewhere is "2026-04+": from
 * April. */
static void period_text(const poise_score *numbers, char text[CELL_MAX])
{
    int64_t start = numbers->period_start_ms, hours = (numbers->period_end_ms - start) / 3600000, year;
    int64_t first = first_day(start);
    int month, day;
    if (hours < 20) {
        char time[TIME_TEXT_MAX];
        format_time_ms(start, time);
        snprintf(text, CELL_MAX, "%.5sZ", time + strlen("2026-03-01T"));
        return;
    }
    bool week = hours > 6 * 24 && hours < 8 * 24;
    civil_from_days(week ? first + 3 : first, &year, &month,
                    &day); /* its Thursday gives an ISO week its year */
    int months = (int)((hours + 15 * 24) / (30 * 24));
    if (week) {
        int64_t nth = (first + 3 - days_from_civil(year, 1, 1)) / 7 + 1;
        snprintf(text, CELL_MAX, "%04d-W%02d", (int)year, (int)nth);
    } else if (months == 0) {
        snprintf(text, CELL_MAX, "%04d-%02d-%02d", (int)year, month, day);
    } else if (months == 1) {
        snprintf(text, CELL_MAX, "%04d-%02d", (int)year, month);
    } else if (months > 6 && month == 1) {
        snprintf(text, CELL_MAX, "%04d", (int)year);
    } else if (months > 6 || (month - 1) % months != 0) {
        snprintf(text, CELL_MAX, "%04d-%02d+", (int)year, month);
    } else {
        snprintf(text, CELL_MAX, "%04d-%c%d", (int)year, months == 3 ? 'Q' : 'H', (month - 1) / months + 1);
    }
}

/* Flags, which are exceptions, and the period where there is room for it. */
static void put_note(struct buf *out, const struct table_style *style, const poise_score *numbers,
                     size_t width)
{
    struct buf note = {0};
    char period[CELL_MAX] = "";
    state_put_flags(&note, numbers->flags, "", "", " ");
    if (numbers->period_start_ms != INT64_MIN) {
        period_text(numbers, period);
    }
    if (*period && (note.length == 0 || note.length + 1 + strlen(period) <= width)) {
        put(&note, note.length > 0 ? " " : "");
        put(&note, period);
    }
    buf_put_u8(&note, 0);
    if (!note.failed && note.length > 1) {
        char *text = (char *)note.data;
        bool cut = strlen(text) > width;
        for (size_t at = strlen(text); cut && at > width - 1; at = strlen(text)) {
            char *blank = strrchr(text, ' ');
            *(blank ? blank : text) = '\0'; /* whole words only */
        }
        buf_put_u8(out, ' ');
        put(out, text);
        put(out, !cut ? "" : style->utf8 ? "…" : "~");
    }
    buf_free(&note);
}

static size_t indent_of(const poise_state *state)
{
    return state->kind > POISE_PERSPECTIVE ? 2 * (size_t)(state->kind - POISE_PERSPECTIVE) : 0;
}

/* Columns that do not fit are left out; what is left over is the name's, as far as a name needs it. */
static struct layout layout_of(const struct table_style *style, const struct table_row *rows, size_t count)
{
    enum { NUMBERS = 1 + VALUE + 1 + SCORE + 1 + TREND + 1 + STATUS + 1 + COVER };
    size_t columns = style->columns;
    struct layout layout = {.bar = columns >= 100  ? 10
                                   : columns >= 64 ? 5
                                                   : 0,
                            .note = columns >= 100  ? 24
                                    : columns >= 76 ? 11
                                                    : 0};
    size_t taken = NUMBERS + (layout.bar ? layout.bar + 1 : 0) + (layout.note ? layout.note + 1 : 0);
    size_t room = columns > taken + NAME_MIN ? columns - taken : NAME_MIN;
    size_t longest = NAME_MIN;
    for (size_t i = 0; i < count; i++) {
        size_t wanted = indent_of(rows[i].state) + utf8_columns(rows[i].state->name);
        longest = wanted > longest ? wanted : longest;
    }
    layout.name = longest < room ? longest : room;
    return layout;
}

static size_t width_of(const struct layout *layout)
{
    return layout->name + 1 + VALUE + 1 + SCORE + 1 + TREND + 1 + (layout->bar ? layout->bar + 1 : 0) +
           STATUS + 1 + COVER + (layout->note ? layout->note + 1 : 0);
}

/* Which org, and as of when. */
static void put_title(struct buf *out, const struct table_style *style, const struct layout *layout,
                      const char *org, int64_t as_of_ms)
{
    char time[TIME_TEXT_MAX], when[CELL_MAX];
    format_time_ms(as_of_ms, time);
    snprintf(when, sizeof when, "as of %.10s %.8sZ", time, time + strlen("2026-03-01T"));
    size_t width = width_of(layout) - utf8_columns(when) - 1;
    paint(out, style, BOLD);
    put_cell(out, style, *org ? org : "the whole organisation", width, false);
    paint(out, style, PLAIN);
    buf_put_u8(out, ' ');
    put(out, when);
    buf_put_u8(out, '\n');
}

static void put_header(struct buf *out, const struct table_style *style, const struct layout *layout)
{
    paint(out, style, DIM);
    put_blanks(out, layout->name + 1);
    put_cell(out, style, "value", VALUE, true);
    buf_put_u8(out, ' ');
    put_cell(out, style, "score", SCORE, true);
    put_blanks(out, 1 + TREND + 1 + (layout->bar ? layout->bar + 1 : 0));
    put_cell(out, style, "status", STATUS, false);
    buf_put_u8(out, ' ');
    put(out, "data");
    put(out, layout->note ? " period" : "");
    paint(out, style, PLAIN);
    buf_put_u8(out, '\n');
}

static void put_name(struct buf *out, const struct table_style *style, size_t width, const poise_state *state)
{
    size_t indent = indent_of(state);
    if (state->kind <= POISE_PERSPECTIVE) {
        paint(out, style, BOLD);
    }
    put_blanks(out, indent);
    put_cell(out, style, state->name, width - indent, false);
    paint(out, style, PLAIN);
}

static void put_row(struct buf *out, const struct table_style *style, const struct layout *layout,
                    const struct table_row *row)
{
    const poise_score *numbers = &row->state->numbers;
    char text[CELL_MAX];
    put_name(out, style, layout->name, row->state);
    buf_put_u8(out, ' ');
    value_text(numbers->value, text);
    put_cell(out, style, text, VALUE, true);
    buf_put_u8(out, ' ');
    paint(out, style, status_colour(numbers->status));
    paint(out, style, row->fresh ? REVERSE : "");
    score_text(numbers->score, text);
    put_cell(out, style, text, SCORE, true);
    paint(out, style, row->fresh ? PLAIN : "");
    paint(out, style, row->fresh ? status_colour(numbers->status) : "");
    buf_put_u8(out, ' ');
    put(out, trend_mark(style, numbers->trend));
    buf_put_u8(out, ' ');
    if (layout->bar) {
        put_bar(out, style, numbers, layout->bar);
        buf_put_u8(out, ' ');
    }
    status_text(numbers, text);
    put_cell(out, style, text, STATUS, false);
    paint(out, style, PLAIN);
    snprintf(text, sizeof text, " %3.0f%%", 100 * numbers->coverage);
    put(out, text);
    if (layout->note) {
        put_note(out, style, numbers, layout->note);
    }
    buf_put_u8(out, '\n');
}

/* How evenly the perspectives do: 100 times their geometric mean over their arithmetic one, by weight, scores
 * below 1 as
 * 1. NaN for fewer than two that have a score. */
static double balance_of(const struct table_row *rows, size_t count)
{
    double weight = 0, sum = 0, logs = 0;
    size_t scored = 0;
    for (size_t i = 0; i < count; i++) {
        const poise_state *state = rows[i].state;
        if (state->kind != POISE_PERSPECTIVE || isnan(state->numbers.score) || !(state->weight > 0)) {
            continue;
        }
        double score = fmax(state->numbers.score, 1);
        scored++;
        weight += state->weight;
        sum += state->weight * score;
        logs += state->weight * log(score);
    }
    return scored < 2 ? NAN : 100 * exp(logs / weight) / (sum / weight);
}

static void put_balance(struct buf *out, const struct table_style *style, const struct table_row *rows,
                        size_t count)
{
    double balance = balance_of(rows, count);
    if (isnan(balance)) {
        return;
    }
    paint(out, style, DIM);
    buf_printf(out, "Balance of the perspectives: %.0f of 100", balance);
    paint(out, style, PLAIN);
    buf_put_u8(out, '\n');
}

void table_put(struct buf *out, const struct table_style *style, int64_t as_of_ms,
               const struct table_row *rows, size_t count)
{
    if (count == 0) {
        return;
    }
    struct layout layout = layout_of(style, rows, count);
    put_title(out, style, &layout, rows[0].state->org, as_of_ms);
    put_header(out, style, &layout);
    for (size_t i = 0; i < count; i++) {
        put_row(out, style, &layout, &rows[i]);
    }
    put_balance(out, style, rows, count);
}
