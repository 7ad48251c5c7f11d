#include <model/read.h>
#include <string.h>

/* Keys that the specification names and this version lacks; of choices there are none. */
static const char *const later[] = {"calendar"};

bool is_later(const char *key, const char *word)
{
    for (size_t i = 0; !key && i < COUNT(later); i++)
        if (strcmp(word, later[i]) == 0)
            return true;
    return false;
}
