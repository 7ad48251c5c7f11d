/* Cycles among links from node to node. */
#include <model/read.h>
#include <stdio.h>

/* More problems than that are not shown anyway. */
enum { CYCLES_MAX = 200, LABEL_MAX = 2 * POISE_ID_MAX + 2, CYCLE_TEXT_MAX = 512 };

struct search {
    const struct links *links;
    const char *const *labels;
    cycle_report *report;
    struct visit {
        uint32_t node;
        size_t next;
    } * stack;
    size_t depth;
    size_t *places; /* by node: 0 unseen, DONE, or its place on the stack, from 1 */
    size_t found;
};
#define DONE SIZE_MAX

static void report_cycle(struct card_reader *in, struct search *search, uint32_t first)
{
    char text[CYCLE_TEXT_MAX];
    int length = snprintf(text, sizeof text, "%s", search->labels[first]);
    size_t at = search->places[first];
    for (; at < search->depth && (size_t)length < sizeof text - 2 * LABEL_MAX - 16; at++)
        length += snprintf(text + length, sizeof text - (size_t)length, " -> %s",
                           search->labels[search->stack[at].node]);
    snprintf(text + length, sizeof text - (size_t)length, "%s -> %s", at < search->depth ? " -> ..." : "",
             search->labels[first]);
    const struct visit *top = &search->stack[search->depth - 1];
    search->report(in, top->node, top->next - 1, text);
    search->found++;
}

static void push(struct search *search, uint32_t node)
{
    search->stack[search->depth++] = (struct visit){.node = node};
    search->places[node] = search->depth;
}

/* Depth first; a link to what is still on the stack closes a cycle. */
static void search_from(struct card_reader *in, struct search *search, uint32_t start)
{
    if (search->places[start] == 0)
        push(search, start);
    while (search->depth > 0 && search->found < CYCLES_MAX) {
        struct visit *top = &search->stack[search->depth - 1];
        const struct links *links = &search->links[top->node];
        if (top->next == links->count) {
            search->places[top->node] = DONE;
            search->depth--;
            continue;
        }
        uint32_t target = links->targets[top->next++];
        if (target == NODE_NONE || search->places[target] == DONE)
            continue;
        if (search->places[target] > 0)
            report_cycle(in, search, target);
        else
            push(search, target);
    }
}

void cycles_check(struct card_reader *in, const struct links *links, const char *const *labels,
                  cycle_report *report)
{
    size_t count = in->card->node_count;
    struct search search = {
        .links = links,
        .labels = labels,
        .report = report,
        .stack = take(in, &in->scratch, count, sizeof *search.stack),
        .places = take(in, &in->scratch, count, sizeof *search.places),
    };
    for (uint32_t i = 0; search.stack && search.places && i < count && search.found < CYCLES_MAX; i++)
        search_from(in, &search, i);
}
