#include <base/text.h>
#include <locale.h>
#include <poise/types.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of the code point at text (of at most `length`), or 0 if it is not valid or a control character. */
static size_t printable_at(const unsigned char *text, size_t length)
{
    unsigned char first = text[0];
    if (first < 0x80) {
        return first >= 0x20 && first != 0x7f;
    }
    size_t width = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || width > length) {
        return 0;
    }
    uint32_t point = first & (0x7fu >> width);
    for (size_t i = 1; i < width; i++) {
        if ((text[i] & 0xc0) != 0x80) {
            return 0;
        }
        point = point << 6 | (text[i] & 0x3fu);
    }
    bool overlong = (width == 3 && point < 0x800) || (width == 4 && point < 0x10000);
    bool surrogate = point >= 0xd800 && point <= 0xdfff;
    return overlong || surrogate || point > 0x10ffff || point < 0xa0 ? 0 : width;
}

bool utf8_printable(const char *text, size_t length)
{
    const unsigned char *bytes = (const unsigned char *)text;
    for (size_t i = 0; i < length;) {
        size_t width = printable_at(bytes + i, length - i);
        if (width == 0) {
            return false;
        }
        i += width;
    }
    return true;
}

void utf8_disarm(char *text)
{
    for (size_t left = strlen(text), width; left > 0; text += width, left -= width) {
        width = printable_at((const unsigned char *)text, left);
        if (width == 0) {
            *text = '?';
            width = 1;
        }
    }
}

static bool starts_point(char byte)
{
    return ((unsigned char)byte & 0xc0) != 0x80;
}

size_t utf8_columns(const char *text)
{
    size_t columns = 0;
    for (; *text; text++) {
        columns += starts_point(*text);
    }
    return columns;
}

size_t utf8_prefix(const char *text, size_t columns)
{
    size_t length = 0;
    for (; text[length]; length++) {
        if (starts_point(text[length]) && columns-- == 0) {
            break;
        }
    }
    return length;
}

/* A decimal as it is read: digits * 10^exponent. */
struct decimal {
    uint64_t digits; /* the first 19 that count */
    int exponent;
    bool negative;
    bool cut; /* there were more digits than fit: the exponent is not told */
};

static bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

static const char *scan_sign(const char *at, const char *end, bool *ret_negative)
{
    *ret_negative = at < end && *at == '-';
    return at < end && (*at == '-' || *at == '+') ? at + 1 : at;
}

/* Digits from `at` on; returns where they end. Each moves the exponent by `step` (-1 after the point). */
static const char *scan_digits(const char *at, const char *end, int step, struct decimal *decimal)
{
    for (; at < end && is_digit(*at); at++) {
        if (decimal->digits < UINT64_MAX / 10 - 1) {
            decimal->digits = decimal->digits * 10 + (uint64_t)(*at - '0');
            decimal->exponent += step;
        } else {
            decimal->cut = true;
        }
    }
    return at;
}

/* "e+12" at `at`, or nothing; NULL if it is malformed. Exponents beyond 9999 all overflow alike. */
static const char *scan_exponent(const char *at, const char *end, struct decimal *decimal)
{
    if (at == end || (*at != 'e' && *at != 'E')) {
        return at;
    }
    bool negative;
    const char *digits = scan_sign(at + 1, end, &negative);
    int exponent = 0;
    for (at = digits; at < end && is_digit(*at); at++) {
        exponent = exponent < 10000 ? exponent * 10 + (*at - '0') : exponent;
    }
    decimal->exponent += negative ? -exponent : exponent;
    return at > digits ? at : NULL;
}

static bool scan_decimal(const char *text, const char *end, struct decimal *ret_decimal)
{
    struct decimal decimal = {0};
    const char *digits = scan_sign(text, end, &decimal.negative);
    const char *at = scan_digits(digits, end, 0, &decimal);
    size_t count = (size_t)(at - digits);
    if (at < end && *at == '.') {
        const char *fraction = at + 1;
        at = scan_digits(fraction, end, -1, &decimal);
        count += (size_t)(at - fraction);
    }
    at = count > 0 ? scan_exponent(at, end, &decimal) : NULL;
    if (at != end) {
        return false;
    }
    *ret_decimal = decimal;
    return true;
}

/* strtod reads the locale's decimal point, so it gets the C locale (a constant in glibc: nothing to free,
 * no cost, but freed for others). */
static bool slow_double(const char *text, size_t length, double *ret_value)
{
    char copy[NUMBER_DIGITS_MAX + 1];
    memcpy(copy, text, length);
    copy[length] = '\0';
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!c) {
        return false;
    }
    double value = strtod_l(copy, NULL, c);
    freelocale(c);
    if (value > 1.7976931348623157e308 || value < -1.7976931348623157e308) {
        return false;
    }
    *ret_value = value;
    return true;
}

bool parse_double(const char *text, size_t length, double *ret_value)
{
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    struct decimal decimal;
    if (length == 0 || length > NUMBER_DIGITS_MAX || !scan_decimal(text, text + length, &decimal)) {
        return false;
    }
    if (decimal.cut || decimal.digits > (1ULL << 53) || decimal.exponent < -22 || decimal.exponent > 22) {
        return slow_double(text, length, ret_value);
    }
    /* Both operands are exact, so the one rounding of the operation gives the nearest double. */
    double digits = (double)decimal.digits;
    double value =
        decimal.exponent < 0 ? digits / powers[-decimal.exponent] : digits * powers[decimal.exponent];
    *ret_value = decimal.negative ? -value : value;
    return true;
}

bool parse_int64(const char *text, size_t length, int64_t *ret_value)
{
    const char *end = text + length;
    bool negative;
    const char *at = scan_sign(text, end, &negative);
    int64_t value = 0;
    if (at == end) {
        return false;
    }
    for (; at < end; at++) {
        /* Counted down, since the least int64 has no positive twin. */
        if (!is_digit(*at) || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_sub_overflow(value, *at - '0', &value)) {
            return false;
        }
    }
    if (!negative && __builtin_sub_overflow(0, value, &value)) {
        return false;
    }
    *ret_value = value;
    return true;
}

static bool reads_back(const char *text, size_t length, double value)
{
    double again;
    return parse_double(text, length, &again) && again == value;
}

/* snprintf writes the locale's decimal point. */
static size_t print_digits(double value, int digits, char text[NUMBER_TEXT_MAX])
{
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    locale_t before = uselocale(c);
    int length = snprintf(text, NUMBER_TEXT_MAX, "%.*g", digits, value);
    uselocale(before);
    freelocale(c);
    return length > 0 ? (size_t)length : 0;
}

size_t format_double(double value, char text[NUMBER_TEXT_MAX])
{
    if (value == 0) {
        value = 0; /* not -0 */
    }
    size_t length = print_digits(value, 15, text);
    for (int digits = 16; digits <= 17 && !reads_back(text, length, value); digits++) {
        length = print_digits(value, digits, text);
    }
    return length;
}

bool id_valid(const char *id, size_t length)
{
    if (length == 0 || length > POISE_ID_MAX) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        char c = id[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool digit = c >= '0' && c <= '9';
        if (!letter && !digit && c != '_' && c != '.' && c != '-') {
            return false;
        }
    }
    return true;
}
