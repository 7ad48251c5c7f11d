#include "screen.h"
#include <base/text.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define CLEAR       "\033[H\033[2J"
#define HOME        "\033[H"
#define END_OF_LINE "\033[K"
#define REST        "\033[J"
#define HIDE_CURSOR "\033[?25l"
#define SHOW_CURSOR "\033[?25h"

bool screen_possible(FILE *out)
{
    const char *term = getenv("TERM");
    return isatty(fileno(out)) && term && *term && strcmp(term, "dumb") != 0;
}

void screen_begin(FILE *out)
{
    fputs(HIDE_CURSOR CLEAR, out);
    fflush(out);
}

void screen_end(FILE *out)
{
    fputs("\r" END_OF_LINE SHOW_CURSOR, out);
    fflush(out);
}

/* A full line would leave the cursor behind its last column, where some terminals clear too much. */
struct table_style screen_style(FILE *out)
{
    struct table_style style = table_style_of(out);
    style.columns--;
    return style;
}

static size_t height_of(FILE *out)
{
    struct winsize size;
    bool known = ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_row > 2;
    return known ? size.ws_row : 24;
}

void screen_paint(FILE *out, const struct buf *text, const char *status)
{
    size_t room = height_of(out) - 1, lines = 0, hidden = 0;
    const char *at = text->length > 0 ? (const char *)text->data : "", *end = at + text->length;
    fputs(HOME, out);
    for (const char *newline; at < end && (newline = memchr(at, '\n', (size_t)(end - at)));
         at = newline + 1) {
        if (lines < room) {
            fwrite(at, 1, (size_t)(newline - at), out);
            fputs(END_OF_LINE "\n", out);
            lines++;
        } else {
            hidden++;
        }
    }
    size_t columns = screen_style(out).columns;
    char line[512];
    if (hidden > 0) {
        snprintf(line, sizeof line, "%zu more lines: enlarge the terminal; %s", hidden, status);
    } else {
        snprintf(line, sizeof line, "%s", status);
    }
    fprintf(out, "%.*s" END_OF_LINE REST, (int)utf8_prefix(line, columns), line);
    fflush(out);
}
