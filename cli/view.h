/* The states that a watcher knows: the latest of every node, in the order of the tree. */
#ifndef CLI_VIEW_H
#define CLI_VIEW_H

#include <base/hash.h>
#include <poise/error.h>
#include <poise/types.h>

struct view_entry {
    poise_state state;  /* texts belong to the entry */
    int64_t changed_us; /* when its numbers last changed, by the caller's clock */
    bool seen;          /* since the last view_begin */
    char *name;
    char texts[];
};

struct view {
    struct hmap map;
    struct intern nodes;         /* paths, numbered as they came: the order of siblings */
    struct view_entry **entries; /* sorted by view_sort */
    size_t count, capacity;
    bool sorted;
};

void view_free(struct view *view); /* a zeroed view is fine */
/* A snapshot comes: what it does not have by view_finish is gone. */
void view_begin(struct view *view);
void view_finish(struct view *view);
struct view_change {
    bool known;   /* the node was there; `before` are its numbers */
    bool changed; /* its numbers differ from those, or it is new */
    poise_score before;
};
/* ENOMEM. */
poise_code view_put(struct view *view, const poise_state *state, int64_t now_us,
                    struct view_change *ret_change);
/* By scorecard, then org, then parents first and siblings as they first came. */
void view_sort(struct view *view);

#endif
