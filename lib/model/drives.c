/* `drives`: which objectives an objective furthers. The strategy map has no cycles. */
#include <model/read.h>
#include <stdio.h>
#include <string.h>

enum { LABEL_MAX = 2 * POISE_ID_MAX + 2 };

struct objective {
    char label[LABEL_MAX]; /* "perspective.objective" */
    uint32_t node;
};

/* The map as a graph, by node. */
struct graph {
    struct objective *objectives;
    const char **labels;
    struct links *links; /* a target of NODE_NONE: there is no such objective */
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
        graph->labels[i] = objective->label;
        const struct objective *other =
            hmap_get(index, hash_of(objective->label), has_label, objective->label);
        if (other && other->node != i && nodes[other->node].parent != nodes[i].parent)
            reader_problem(&in->reader, NULL,
                           "two objectives are called %s (%s and %s): change a dot in their ids",
                           objective->label, nodes[other->node].path, nodes[i].path);
        if (!other && !hmap_add(index, hash_of(objective->label), objective)) {
            out_of_memory(in);
            return false;
        }
    }
    return true;
}

/* The first item of a list in the file, or the one text that stands for a list. */
static const struct yaml_node *first_of(const struct yaml_node *list)
{
    return list->kind == YAML_SCALAR ? list : list->first;
}

static bool resolve(struct card_reader *in, const struct graph *graph, const struct hmap *index, uint32_t at)
{
    const struct node *node = &in->card->nodes[at];
    struct links *links = &graph->links[at];
    if (node->drives.count == 0)
        return true;
    links->targets = take(in, &in->scratch, node->drives.count, sizeof *links->targets);
    if (!links->targets)
        return false;
    const struct yaml_node *item = first_of(in->others[at].drives);
    for (; links->count < node->drives.count; links->count++, item = item->next) {
        const char *label = node->drives.items[links->count];
        const struct objective *target = hmap_get(index, hash_of(label), has_label, label);
        links->targets[links->count] = target ? target->node : NODE_NONE;
        if (!target)
            reader_problem(
                &in->reader, item,
                "there is no objective '%.130s': write perspective.objective, the ids of one of this file",
                label);
    }
    return true;
}

static void report_cycle(struct card_reader *in, uint32_t node, size_t link, const char *text)
{
    const struct yaml_node *item = first_of(in->others[node].drives);
    for (; link > 0; link--)
        item = item->next;
    reader_problem(&in->reader, item, "drives makes a cycle: %s; take one of its links out", text);
}

void drives_check(struct card_reader *in)
{
    size_t count = in->card->node_count;
    struct graph graph = {
        .objectives = take(in, &in->scratch, count, sizeof *graph.objectives),
        .labels = take(in, &in->scratch, count, sizeof *graph.labels),
        .links = take(in, &in->scratch, count, sizeof *graph.links),
    };
    if (!graph.objectives || !graph.labels || !graph.links)
        return;
    struct hmap index = {0};
    bool fine = index_objectives(in, &graph, &index);
    for (uint32_t i = 0; fine && i < count; i++)
        fine = resolve(in, &graph, &index, i);
    hmap_free(&index);
    if (fine)
        cycles_check(in, graph.links, graph.labels, report_cycle);
}
