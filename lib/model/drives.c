/* `drives`: which objectives an objective furthers. The strategy map has no cycles. */
#include <model/read.h>
#include <stdio.h>
#include <string.h>

enum { LABEL_MAX = 2 * POISE_ID_MAX + 2, CYCLE_TEXT_MAX = 512 };

struct objective {
    char label[LABEL_MAX]; /* "perspective.objective" */
    uint32_t node;
};

/* The map as a graph, by node. */
struct graph {
    struct objective *objectives;
    uint32_t **targets; /* of each item of `drives`; NODE_NONE: none such */
    struct visit {
        uint32_t node;
        size_t next;
    } * stack;
    enum { UNSEEN, ON_STACK, DONE } * marks;
};

static bool has_label(const void *entry, const void *key)
{
    const struct objective *objective = entry;
    return strcmp(objective->label, key) == 0;
}

static uint64_t hash_of(const char *label)
{
    return hash64(label, strlen(label), 0);
}

static bool index_objectives(struct card_reader *in, struct graph *graph, struct hmap *index)
{
    const struct node *nodes = in->card->nodes;
    for (uint32_t i = 0; i < in->card->node_count; i++) {
        if (nodes[i].kind != POISE_OBJECTIVE)
            continue;
        struct objective *objective = &graph->objectives[i];
        objective->node = i;
        snprintf(objective->label, sizeof objective->label, "%s.%s", nodes[nodes[i].parent].id, nodes[i].id);
        const struct objective *other =
            hmap_get(index, hash_of(objective->label), has_label, objective->label);
        if (other && other->node != i && nodes[other->node].parent != nodes[i].parent)
            reader_problem(&in->reader, NULL,
                           "two objectives are called %s (%s and %s): change a dot in their ids",
                           objective->label, nodes[other->node].path, nodes[i].path);
        if (!other && !hmap_add(index, hash_of(objective->label), objective))
            return false;
    }
    return true;
}

/* The item of a list in the file, or the one text that stands for a list. */
static const struct yaml_node *item_of(const struct yaml_node *list, size_t at)
{
    const struct yaml_node *item = list->kind == YAML_SCALAR ? list : list->first;
    for (; at > 0; at--)
        item = item->next;
    return item;
}

static void resolve(struct card_reader *in, struct graph *graph, const struct hmap *index, uint32_t at)
{
    const struct node *node = &in->card->nodes[at];
    graph->targets[at] = take(in, &in->scratch, node->drives.count, sizeof **graph->targets);
    for (size_t i = 0; graph->targets[at] && i < node->drives.count; i++) {
        const char *label = node->drives.items[i];
        const struct objective *target = hmap_get(index, hash_of(label), has_label, label);
        graph->targets[at][i] = target ? target->node : NODE_NONE;
        if (!target)
            reader_problem(
                &in->reader, item_of(in->drives[at], i),
                "there is no objective '%.130s': write perspective.objective, the ids of one of this file",
                label);
    }
}

static void report_cycle(struct card_reader *in, const struct graph *graph, size_t depth, uint32_t first)
{
    char text[CYCLE_TEXT_MAX];
    size_t at = depth;
    while (graph->stack[at - 1].node != first)
        at--;
    int length = snprintf(text, sizeof text, "%s", graph->objectives[first].label);
    for (; at < depth && (size_t)length < sizeof text - LABEL_MAX - 16; at++)
        length += snprintf(text + length, sizeof text - (size_t)length, " -> %s",
                           graph->objectives[graph->stack[at].node].label);
    snprintf(text + length, sizeof text - (size_t)length, "%s -> %s", at < depth ? " -> ..." : "",
             graph->objectives[first].label);
    const struct visit *top = &graph->stack[depth - 1];
    reader_problem(&in->reader, item_of(in->drives[top->node], top->next - 1),
                   "drives makes a cycle: %s; take one of its links out", text);
}

/* Depth first; a link to what is still on the stack closes a cycle. */
static void find_cycles(struct card_reader *in, struct graph *graph, uint32_t start)
{
    size_t depth = 0;
    if (graph->marks[start] == UNSEEN)
        graph->stack[depth++] = (struct visit){.node = start};
    while (depth > 0) {
        struct visit *top = &graph->stack[depth - 1];
        graph->marks[top->node] = ON_STACK;
        if (top->next == in->card->nodes[top->node].drives.count) {
            graph->marks[top->node] = DONE;
            depth--;
            continue;
        }
        uint32_t target = graph->targets[top->node][top->next++];
        if (target == NODE_NONE || graph->marks[target] == DONE)
            continue;
        if (graph->marks[target] == ON_STACK)
            report_cycle(in, graph, depth, target);
        else
            graph->stack[depth++] = (struct visit){.node = target};
    }
}

void drives_check(struct card_reader *in)
{
    size_t count = in->card->node_count;
    struct graph graph = {
        .objectives = take(in, &in->scratch, count, sizeof *graph.objectives),
        .targets = take(in, &in->scratch, count, sizeof *graph.targets),
        .stack = take(in, &in->scratch, count, sizeof *graph.stack),
        .marks = take(in, &in->scratch, count, sizeof *graph.marks),
    };
    if (!graph.objectives || !graph.targets || !graph.stack || !graph.marks)
        return;
    struct hmap index = {0};
    bool fine = index_objectives(in, &graph, &index);
    for (uint32_t i = 0; fine && i < count; i++) {
        resolve(in, &graph, &index, i);
        fine = graph.targets[i] != NULL;
    }
    for (uint32_t i = 0; fine && i < count; i++)
        find_cycles(in, &graph, i);
    hmap_free(&index);
}
