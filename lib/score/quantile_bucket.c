#include <math.h>
#include <score/quantile.h>
#include <string.h>

/* An unrounded sum of two doubles, good for 100 bits. */
struct pair {
    double high, low;
};

static const struct pair gamma_up = {0x1.052bf5a814afdp+0, 0x1.a814afd6a052cp-54};   /* 1.01 / 0.99 */
static const struct pair gamma_down = {0x1.f5dc83cd4e930p-1, 0x1.446f86562d9fbp-56}; /* 0.99 / 1.01 */
static const struct pair middle = {0x1.fae147ae147aep-1, 0x1.47ae147ae147bp-57};     /* 2 / (gamma + 1) */

static struct pair product(struct pair a, struct pair b)
{
    double high = a.high * b.high;
    double low = fma(a.high, b.high, -high) + (a.high * b.low + a.low * b.high);
    double sum = high + low;
    return (struct pair){.high = sum, .low = low - (sum - high)};
}

/* gamma^i with an error below 2^-86. No double is that close to one of them, 1 = gamma^0 apart: the nearest
 * is 2^-70 away, for every i that valid numbers can have. */
static struct pair power(int i)
{
    struct pair result = {.high = 1}, square = i < 0 ? gamma_down : gamma_up;
    for (int left = i < 0 ? -i : i; left > 0; left >>= 1) {
        if (left & 1) {
            result = product(result, square);
        }
        square = product(square, square);
    }
    return result;
}

/* i or i + 1, whichever it is, for a size near gamma^i. */
static int bucket_near(double size, int i)
{
    struct pair bound = power(i);
    return size < bound.high || (size == bound.high && bound.low >= 0) ? i : i + 1;
}

/* log_gamma(size) with an error of at most 1e-7. With size = m 2^e, m from sqrt(1/2) to sqrt(2), and
 * s = (m - 1) / (m + 1), ln(m) is 2 (s + s^3/3 + s^5/5 + ...). */
static double rough_logarithm(double size)
{
    const double per_e = 34.65620375187709, per_2s = 99.99666657777317; /* ln(2), 2 by ln(gamma) */
    const uint64_t root = UINT64_C(0x6a09e667f3bcd);                    /* mantissa of sqrt(2) */
    uint64_t bits;
    memcpy(&bits, &size, sizeof bits);
    uint64_t mantissa = bits & ((UINT64_C(1) << 52) - 1), above = mantissa >= root;
    double e = (double)((int)(bits >> 52) - 1023 + (int)above);
    bits = mantissa | (1023 - above) << 52;
    double m;
    memcpy(&m, &bits, sizeof m);
    double s = (m - 1) / (m + 1), t = s * s;
    return e * per_e + s * per_2s * (1 + t * (1.0 / 3 + t * (1.0 / 5 + t * (1.0 / 7 + t * (1.0 / 9)))));
}

int quantile_bucket(double size)
{
    const double lowest = 16384, near = 1e-6;
    double at = rough_logarithm(size) + lowest; /* not negative */
    int whole = (int)at;
    double part = at - whole;
    int floor = whole - (int)lowest;
    if (part < near) {
        return bucket_near(size, floor);
    }
    return part > 1 - near ? bucket_near(size, floor + 1) : floor + 1;
}

double quantile_estimate(int bucket)
{
    return product(middle, power(bucket)).high;
}
