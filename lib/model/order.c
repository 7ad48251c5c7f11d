/* The order of computation: each node behind all that it reads. */
#include <base/heap.h>
#include <model/read.h>

/* The formulas among themselves. */
struct sorting {
    struct scorecard *card;
    struct links *links; /* by node: the measures that a formula reads, each once */
    uint32_t *waiting;   /* by node: for so many formulas */
    struct heap ready;   /* formulas, the first of the file first */
    uint32_t placed;
    bool failed;
};

static bool is_formula(const struct node *node)
{
    return node->measure && node->measure->formula;
}

/* Which measures each formula reads; false: out of memory. */
static bool find_links(struct card_reader *in, struct links *links)
{
    uint32_t count = in->card->node_count;
    uint32_t *seen = take(in, &in->scratch, count, sizeof *seen); /* by node: the last formula, plus 1 */
    for (uint32_t i = 0; seen && i < count; i++) {
        if (!is_formula(&in->card->nodes[i]))
            continue;
        const struct formula *formula = in->card->nodes[i].measure->formula;
        links[i].targets = take(in, &in->scratch, formula->count, sizeof *links[i].targets);
        if (!links[i].targets)
            return false;
        for (size_t step = 0; step < formula->count; step++) {
            uint32_t leaf = formula->steps[step].node;
            if (formula->steps[step].op != FORMULA_LEAF || leaf == NODE_NONE || seen[leaf] == i + 1)
                continue;
            seen[leaf] = i + 1;
            links[i].targets[links[i].count++] = leaf;
        }
    }
    return seen;
}

/* The links the other way round. */
static bool find_readers(struct card_reader *in, const struct links *links)
{
    struct node *nodes = in->card->nodes;
    uint32_t count = in->card->node_count;
    size_t total = 0;
    for (uint32_t i = 0; i < count; i++)
        total += links[i].count;
    uint32_t *readers = take(in, in->reader.arena, total, sizeof *readers);
    size_t *next = take(in, &in->scratch, (size_t)count + 1, sizeof *next);
    if (!readers || !next)
        return false;
    for (uint32_t i = 0; i < count; i++)
        for (size_t link = 0; link < links[i].count; link++)
            nodes[links[i].targets[link]].reader_count++;
    for (uint32_t i = 0; i < count; i++) {
        nodes[i].readers = nodes[i].reader_count > 0 ? readers + next[i] : NULL;
        next[i + 1] = next[i] + nodes[i].reader_count;
    }
    for (uint32_t i = 0; i < count; i++)
        for (size_t link = 0; link < links[i].count; link++)
            readers[next[links[i].targets[link]]++] = i;
    return true;
}

static void place(struct sorting *sorting, uint32_t node)
{
    sorting->card->rank[node] = sorting->placed;
    sorting->card->order[sorting->placed++] = node;
}

static void place_formulas(struct sorting *sorting)
{
    const struct node *nodes = sorting->card->nodes;
    for (uint32_t i = 0; i < sorting->card->node_count; i++) {
        for (size_t link = 0; link < sorting->links[i].count; link++)
            sorting->waiting[i] += is_formula(&nodes[sorting->links[i].targets[link]]);
        if (is_formula(&nodes[i]) && sorting->waiting[i] == 0)
            sorting->failed |= !heap_push(&sorting->ready, i, NULL);
    }
    struct heap_item item;
    while (heap_pop(&sorting->ready, &item)) {
        const struct node *node = &nodes[item.key];
        place(sorting, (uint32_t)item.key);
        for (uint32_t i = 0; i < node->reader_count; i++)
            if (--sorting->waiting[node->readers[i]] == 0)
                sorting->failed |= !heap_push(&sorting->ready, node->readers[i], NULL);
    }
    heap_free(&sorting->ready);
}

static void place_all(struct sorting *sorting)
{
    const struct node *nodes = sorting->card->nodes;
    for (uint32_t i = 0; i < sorting->card->node_count; i++)
        if (nodes[i].kind == POISE_MEASURE && !is_formula(&nodes[i]))
            place(sorting, i);
    place_formulas(sorting);
    for (uint32_t i = sorting->card->node_count; i-- > 0;) /* parents stand before their children */
        if (nodes[i].kind != POISE_MEASURE)
            place(sorting, i);
}

static void report_cycle(struct card_reader *in, uint32_t node, size_t link, const char *text)
{
    (void)link;
    reader_problem(&in->reader, in->others[node].formula_node,
                   "a formula needs its own value: %s; take one of these out", text);
}

static void check_cycles(struct card_reader *in, const struct links *links)
{
    const char **ids = take(in, &in->scratch, in->card->node_count, sizeof *ids);
    for (uint32_t i = 0; ids && i < in->card->node_count; i++)
        ids[i] = in->card->nodes[i].id;
    if (ids)
        cycles_check(in, links, ids, report_cycle);
}

void order_make(struct card_reader *in)
{
    struct scorecard *card = in->card;
    size_t count = card->node_count;
    struct sorting sorting = {
        .card = card,
        .links = take(in, &in->scratch, count, sizeof *sorting.links),
        .waiting = take(in, &in->scratch, count, sizeof *sorting.waiting),
    };
    card->order = take(in, in->reader.arena, count, sizeof *card->order);
    card->rank = take(in, in->reader.arena, count, sizeof *card->rank);
    if (!sorting.links || !sorting.waiting || !card->order || !card->rank)
        return;
    if (!find_links(in, sorting.links) || !find_readers(in, sorting.links))
        return;
    place_all(&sorting);
    if (sorting.failed)
        out_of_memory(in);
    else if (sorting.placed < count)
        check_cycles(in, sorting.links);
}
