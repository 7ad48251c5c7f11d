#include <base/text.h>
#include <model/calendar.h>
#include <model/measurement.h>
#include <model/org.h>
#include <string.h>

#define SEQ_MAX (UINT64_C(1) << 62)

/* As they stand in dead letters and in answers. */
static const char *const refusal_names[] = {
    [POISE_REFUSAL_NONE] = "none",
    [POISE_REFUSAL_UNKNOWN_MEASURE] = "unknown_measure",
    [POISE_REFUSAL_MEASURE_NAME] = "measure_name",
    [POISE_REFUSAL_ORG] = "org",
    [POISE_REFUSAL_SOURCE] = "source",
    [POISE_REFUSAL_KEY] = "key",
    [POISE_REFUSAL_TIME_RANGE] = "time_range",
    [POISE_REFUSAL_TIME_AHEAD] = "time_ahead",
    [POISE_REFUSAL_VALUE] = "value",
    [POISE_REFUSAL_OF] = "of",
    [POISE_REFUSAL_RETRACT_KEY] = "retract_key",
    [POISE_REFUSAL_SEQ_CONFLICT] = "seq_conflict",
    [POISE_REFUSAL_SEQ_RANGE] = "seq_range",
    [POISE_REFUSAL_LEVEL] = "level",
    [POISE_REFUSAL_TOO_MANY_ORGS] = "too_many_orgs",
    [POISE_REFUSAL_TOO_MANY_SERIES] = "too_many_series",
    [POISE_REFUSAL_MALFORMED] = "malformed",
    [POISE_REFUSAL_LOCKED] = "locked",
    [POISE_REFUSAL_NOT_ALLOWED] = "not_allowed",
    [POISE_REFUSAL_FROZEN] = "frozen",
    [POISE_REFUSAL_IN_DOUBT] = "in_doubt",
};
_Static_assert(sizeof refusal_names / sizeof *refusal_names == POISE_REFUSAL_COUNT,
               "every refusal has a name");

static const char *const refusal_texts[] = {
#define REFUSAL_TEXT(name, number, text) [number] = text,
    POISE_REFUSALS(REFUSAL_TEXT)
#undef REFUSAL_TEXT
};

const char *poise_refusal_name(poise_refusal refusal)
{
    return (unsigned)refusal < POISE_REFUSAL_COUNT ? refusal_names[refusal] : "unknown";
}

const char *poise_refusal_text(poise_refusal refusal)
{
    return (unsigned)refusal < POISE_REFUSAL_COUNT ? refusal_texts[refusal]
                                                   : "a reason that this version does not know";
}

const char *poise_kind_name(poise_kind kind)
{
    static const char *const names[] = {"scorecard", "perspective", "objective", "measure"};
    return (unsigned)kind <= POISE_MEASURE ? names[kind] : "unknown";
}

const char *poise_status_name(poise_status status)
{
    static const char *const names[] = {"no_data", "red", "amber", "green"};
    return (unsigned)status <= POISE_GREEN ? names[status] : "unknown";
}

static bool text_valid(const char *text, size_t max)
{
    size_t length = strnlen(text, max + 1);
    return length <= max && utf8_printable(text, length);
}

poise_refusal measurement_check_names(const char *measure, const char *org, const char *source)
{
    if (!measure || !id_valid(measure, strnlen(measure, POISE_ID_MAX + 1)))
        return POISE_REFUSAL_MEASURE_NAME;
    if (org && !org_valid(org, strnlen(org, POISE_ORG_MAX + 1)))
        return POISE_REFUSAL_ORG;
    if (source && !text_valid(source, POISE_SOURCE_MAX))
        return POISE_REFUSAL_SOURCE;
    return POISE_REFUSAL_NONE;
}

poise_refusal measurement_check_row(int64_t time_ms, double value, double of, const char *key,
                                    size_t key_length, uint64_t seq, bool retract)
{
    if (key && (key_length == 0 || key_length > POISE_KEY_MAX || !utf8_printable(key, key_length)))
        return POISE_REFUSAL_KEY;
    if (seq > SEQ_MAX)
        return POISE_REFUSAL_SEQ_RANGE;
    if (retract)
        return key ? POISE_REFUSAL_NONE : POISE_REFUSAL_RETRACT_KEY;
    if (time_ms < TIME_MIN_MS || time_ms > TIME_MAX_MS)
        return POISE_REFUSAL_TIME_RANGE;
    if (!number_valid(value))
        return POISE_REFUSAL_VALUE;
    return number_valid(of) ? POISE_REFUSAL_NONE : POISE_REFUSAL_OF;
}

poise_refusal measurement_check(const poise_measurement *measurement)
{
    poise_refusal refusal =
        measurement_check_names(measurement->measure, measurement->org, measurement->source);
    if (refusal != POISE_REFUSAL_NONE)
        return refusal;
    const char *key = measurement->key;
    return measurement_check_row(measurement->time_ms, measurement->value, measurement->of, key,
                                 key ? strnlen(key, POISE_KEY_MAX + 1) : 0, measurement->seq,
                                 measurement->retract);
}

const char *poise_loss_text(poise_loss_reason reason)
{
    static const char *const texts[] = {[POISE_LOSS_UNKNOWN] = "unknown",
                                        [POISE_LOSS_OLDEST] = "oldest",
                                        [POISE_LOSS_NEWEST] = "newest",
                                        [POISE_LOSS_DAMAGED] = "damaged",
                                        [POISE_LOSS_FORKED] = "forked"};
    bool known = (int)reason >= 0 && (size_t)reason < sizeof texts / sizeof texts[0];
    return texts[known ? reason : POISE_LOSS_UNKNOWN];
}
