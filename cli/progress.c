#include "progress.h"
#include "screen.h"
#include <base/clock.h>
#include <base/text.h>
#include <inttypes.h>
#include <string.h>

enum { PAINT_US = 100000, BAR = 16, GROUPED_MAX = 32 };
#define END_OF_LINE "\033[K"

void progress_begin(struct progress *progress, FILE *out)
{
    progress->out = out && screen_possible(out) ? out : NULL;
    progress->begun_us = clock_monotonic_us(&clock_system);
    progress->shown_us = progress->begun_us;
}

/* Thousands apart. */
static const char *grouped(uint64_t number, char text[GROUPED_MAX])
{
    char digits[GROUPED_MAX];
    int length = snprintf(digits, sizeof digits, "%" PRIu64, number);
    size_t at = 0;
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0) {
            text[at++] = ',';
        }
        text[at++] = digits[i];
    }
    text[at] = '\0';
    return text;
}

static void put_bar(uint64_t done, uint64_t total, bool utf8, struct buf *out)
{
    double share = done < total ? (double)done / (double)total : 1;
    int full = (int)(share * BAR);
    for (int i = 0; i < BAR; i++) {
        buf_printf(out, "%s", i < full ? (utf8 ? "█" : "#") : (utf8 ? "░" : "-"));
    }
    buf_printf(out, " %3d %%  ", (int)(share * 100));
}

void progress_put(const struct progress *progress, const struct table_style *style, int64_t elapsed_us,
                  struct buf *out)
{
    char text[GROUPED_MAX];
    struct buf line = {0};
    double seconds = elapsed_us > 0 ? (double)elapsed_us / 1e6 : 1;
    if (progress->total > 0) {
        put_bar(progress->done, progress->total, style->utf8, &line);
    }
    buf_printf(&line, "%s rows", grouped(progress->rows, text));
    buf_printf(&line, ", %s rows/s", grouped((uint64_t)((double)progress->rows / seconds), text));
    if (progress->acknowledges) {
        buf_printf(&line, ", %s acknowledged", grouped(progress->acknowledged, text));
    }
    buf_put_u8(&line, '\0');
    if (!line.failed) {
        buf_put(out, line.data, utf8_prefix((const char *)line.data, style->columns));
    }
    buf_free(&line);
}

void progress_look(struct progress *progress)
{
    int64_t now_us = progress->out ? clock_monotonic_us(&clock_system) : 0;
    if (!progress->out || now_us - progress->shown_us < PAINT_US) {
        return;
    }
    struct buf line = {0};
    const struct table_style style = screen_style(progress->out);
    progress_put(progress, &style, now_us - progress->begun_us, &line);
    if (!line.failed) {
        fprintf(progress->out, "\r%.*s" END_OF_LINE, (int)line.length, (const char *)line.data);
        fflush(progress->out);
    }
    buf_free(&line);
    progress->shown_us = now_us;
    progress->shown = true;
}

void progress_hide(struct progress *progress)
{
    if (progress->shown) {
        fputs("\r" END_OF_LINE, progress->out);
        fflush(progress->out);
        progress->shown = false;
        progress->shown_us = 0; /* the next look shows it again */
    }
}
