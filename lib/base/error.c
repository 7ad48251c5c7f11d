#include <base/error.h>
#include <base/text.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *poise_code_name(poise_code code)
{
    switch (code) {
#define NAME_CASE(name, number, text)                                                                        \
    case POISE_##name:                                                                                       \
        return #name;
        POISE_ERRORS(NAME_CASE)
#undef NAME_CASE
    }
    return "EUNKNOWN";
}

const char *poise_code_text(poise_code code)
{
    switch (code) {
#define TEXT_CASE(name, number, text)                                                                        \
    case POISE_##name:                                                                                       \
        return text;
        POISE_ERRORS(TEXT_CASE)
#undef TEXT_CASE
    }
    return "an error code that this version does not know";
}

/* vsnprintf that, when it has to cut, does not leave half a UTF-8 sequence. Returns the length. */
__attribute__((format(printf, 3, 0))) static size_t print_cut(char *out, size_t size, const char *format,
                                                              va_list arguments)
{
    int wanted = vsnprintf(out, size, format, arguments);
    if (wanted < 0) {
        out[0] = '\0';
        return 0;
    }
    if ((size_t)wanted < size) {
        return (size_t)wanted;
    }
    size_t lead = size - 1;
    while (lead > 0 && size - lead <= 4 && ((unsigned char)out[lead - 1] & 0xc0) == 0x80) {
        lead--;
    }
    unsigned char first = lead > 0 ? (unsigned char)out[lead - 1] : 0;
    size_t needs = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1;
    size_t length = size - lead < needs ? lead - 1 : size - 1;
    out[length] = '\0';
    return length;
}

/* The text is built aside, since an argument may be the old text. */
__attribute__((format(printf, 3, 0))) static void set_text(poise_error *err, poise_code code,
                                                           const char *format, va_list arguments)
{
    char text[POISE_ERROR_TEXT_MAX];
    size_t length = print_cut(text, sizeof text, format, arguments);
    utf8_disarm(text); /* it may quote what others sent or wrote, cut anywhere */
    memcpy(err->text, text, length + 1);
    err->code = code;
}

/* Adds to the text, cut to fit. */
__attribute__((format(printf, 2, 3))) static void append_text(poise_error *err, const char *format, ...)
{
    size_t length = strlen(err->text);
    va_list arguments;
    va_start(arguments, format);
    print_cut(err->text + length, sizeof err->text - length, format, arguments);
    utf8_disarm(err->text + length);
    va_end(arguments);
}

poise_code error_set(poise_error *err, poise_code code, const char *format, ...)
{
    if (err) {
        va_list arguments;
        va_start(arguments, format);
        set_text(err, code, format, arguments);
        va_end(arguments);
    }
    return code;
}

poise_code error_errno(poise_error *err, poise_code code, const char *format, ...)
{
    int number = errno;
    if (err) {
        va_list arguments;
        va_start(arguments, format);
        set_text(err, code, format, arguments);
        va_end(arguments);
        char reason[128];
        append_text(err, ": %s", strerror_r(number, reason, sizeof reason));
    }
    return code;
}

poise_code error_wrap(poise_error *err, const char *format, ...)
{
    if (!err) {
        return POISE_EINVAL;
    }
    char inner[POISE_ERROR_TEXT_MAX];
    memcpy(inner, err->text, sizeof inner);
    va_list arguments;
    va_start(arguments, format);
    set_text(err, err->code, format, arguments);
    va_end(arguments);
    append_text(err, ": %s", inner);
    return err->code;
}

poise_code error_nomem(poise_error *err, const char *what)
{
    return error_set(err, POISE_ENOMEM, "out of memory for %s", what);
}
