#include <ctype.h>
#include <model/read.h>
#include <string.h>

/* What the specification names and this version lacks: keys, and choices of a key; p# is p1 to p99. */
static const struct {
    const char *key, *word;
} later[] = {
    {NULL, "across_orgs"},   {NULL, "calendar"},  {NULL, "critical"}, {NULL, "formula"},
    {NULL, "grace"},         {NULL, "keep"},      {NULL, "levels"},   {NULL, "lock_after"},
    {NULL, "max_age"},       {NULL, "milestone"}, {NULL, "pace"},     {NULL, "pace_from"},
    {NULL, "rolling"},       {NULL, "stale"},     {NULL, "tick"},     {"aggregate", "p#"},
    {"aggregate", "stddev"},
};

static bool is_quantile(const char *word)
{
    if (word[0] != 'p' || word[1] < '1' || word[1] > '9')
        return false;
    return word[2] == '\0' || (isdigit((unsigned char)word[2]) && word[3] == '\0');
}

bool is_later(const char *key, const char *word)
{
    for (size_t i = 0; i < COUNT(later); i++) {
        bool same_key = key && later[i].key ? strcmp(key, later[i].key) == 0 : key == later[i].key;
        bool same_word =
            strcmp(later[i].word, "p#") == 0 ? is_quantile(word) : strcmp(word, later[i].word) == 0;
        if (same_key && same_word)
            return true;
    }
    return false;
}
