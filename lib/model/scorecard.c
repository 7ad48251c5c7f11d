#include <base/arena.h>
#include <model/org.h>
#include <model/scorecard.h>
#include <stdlib.h>

void scorecard_free(struct scorecard *card)
{
    if (!card)
        return;
    zone_close(card->zone);
    struct arena *arena = card->arena; /* holds the card too */
    arena_free(arena);
    free(arena);
}

struct calendar scorecard_calendar(const struct scorecard *card, enum period_unit unit)
{
    return (struct calendar){.zone = card->zone, .unit = unit, .fiscal_year_start = card->fiscal_year_start};
}

int64_t scorecard_tick(const struct scorecard *card, int64_t as_of_ms)
{
    int64_t past_ms = as_of_ms % card->tick_ms; /* below 0 before 1970 */
    return as_of_ms - past_ms - (past_ms < 0 ? card->tick_ms : 0);
}

bool globs_match(const struct globs *globs, const char *org)
{
    for (size_t i = 0; i < globs->count; i++)
        if (org_matches(globs->items[i], org))
            return true;
    return globs->count == 0;
}

const struct form *measure_form(const struct measure *measure, const char *org, int64_t before_ms)
{
    for (size_t i = 0; i < measure->form_count; i++) {
        const struct form *form = &measure->forms[i];
        if (form->from_ms < before_ms && globs_match(&form->orgs, org))
            return form;
    }
    return NULL;
}

static void warn_share(const struct node *node, double share, FILE *out)
{
    double percent = share * 100;
    if (node->kind == POISE_PERSPECTIVE && share > 0.5)
        fprintf(out, "%s has %.0f %% of the weight, more than half: it drowns the other perspectives\n",
                node->path, percent);
    if (node->kind == POISE_PERSPECTIVE && share < 0.1)
        fprintf(out, "%s has %.1f %% of the weight, less than a tenth: it hardly counts\n", node->path,
                percent);
    if (node->kind == POISE_MEASURE && share > 0.25)
        fprintf(out, "%s has %.0f %% of the whole weight, more than a quarter: much hangs on one number\n",
                node->path, percent);
}

static void warn_below(const struct scorecard *card, uint32_t at, double share, FILE *out)
{
    const struct node *node = &card->nodes[at];
    double whole = 0;
    for (uint32_t i = node->first_child; i != NODE_NONE; i = card->nodes[i].next_sibling)
        whole += card->nodes[i].weight;
    if (node->kind == POISE_PERSPECTIVE && whole == 0)
        fprintf(out, "%s is empty: all its objectives have weight 0\n", node->path);
    for (uint32_t i = node->first_child; i != NODE_NONE; i = card->nodes[i].next_sibling) {
        double part = whole > 0 ? share * card->nodes[i].weight / whole : 0;
        warn_share(&card->nodes[i], part, out);
        warn_below(card, i, part, out);
    }
}

void scorecard_warnings(const struct scorecard *card, FILE *out)
{
    warn_below(card, 0, 1, out);
}
