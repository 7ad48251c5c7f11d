#include "backlog.h"

#include <stdlib.h>
#include <string.h>

enum { ALLOCATION = 16 }; /* what malloc adds */

struct lane {
    struct kept *first, *last;
    size_t next; /* whose turn is after this one's */
};

static const char *copy(char **end, const void *bytes, size_t length)
{
    char *start = *end;
    if (length > 0) {
        memcpy(start, bytes, length);
    }
    *end += length;
    return start;
}

static size_t lane_of(int fd)
{
    return (size_t)(fd + 1);
}

static bool has_lane(struct backlog *backlog, size_t at)
{
    if (at < backlog->capacity) {
        return true;
    }
    size_t capacity = (at + 64) * 2;
    struct lane *grown = realloc(backlog->lanes, capacity * sizeof *grown);
    if (!grown) {
        return false;
    }
    memset(grown + backlog->capacity, 0, (capacity - backlog->capacity) * sizeof *grown);
    backlog->lanes = grown;
    backlog->capacity = capacity;
    return true;
}

/* Behind all others. `any`: do others have messages? */
static void line_up(struct backlog *backlog, size_t at, bool any)
{
    if (any) {
        backlog->lanes[backlog->last].next = at;
    } else {
        backlog->first = at;
    }
    backlog->last = at;
}

static void append(struct backlog *backlog, struct kept *kept)
{
    struct lane *lane = &backlog->lanes[lane_of(kept->fd)];
    kept->next = NULL;
    if (lane->first) {
        lane->last->next = kept;
    } else {
        lane->first = kept;
        line_up(backlog, lane_of(kept->fd), backlog->count > 0);
    }
    lane->last = kept;
    backlog->count++;
    backlog->bytes += kept->size;
}

bool backlog_put(struct backlog *backlog, const struct net_message *message, size_t frames, int fd,
                 uint64_t number)
{
    size_t user = message->user ? strlen(message->user) + 1 : 0;
    size_t size = sizeof(struct kept) + message->head_length + message->body_length + user;
    struct kept *kept = has_lane(backlog, lane_of(fd)) ? malloc(size) : NULL;
    if (!kept) {
        return false;
    }
    *kept = (struct kept){
        .size = size + ALLOCATION, .fd = fd, .number = number, .frames = frames, .message = *message};
    char *end = kept->bytes;
    kept->message.head = copy(&end, message->head, message->head_length);
    kept->message.body = copy(&end, message->body, message->body_length);
    kept->message.user = user ? copy(&end, message->user, user) : NULL;
    append(backlog, kept);
    return true;
}

struct kept *backlog_take(struct backlog *backlog)
{
    if (backlog->count == 0) {
        return NULL;
    }
    size_t at = backlog->first;
    struct lane *lane = &backlog->lanes[at];
    struct kept *kept = lane->first;
    bool others = at != backlog->last;
    lane->first = kept->next;
    backlog->first = lane->next;
    if (lane->first) {
        line_up(backlog, at, others);
    }
    backlog->count--;
    backlog->bytes -= kept->size;
    return kept;
}

void backlog_sift(struct backlog *backlog, backlog_wants *wants, void *context)
{
    struct backlog sifted = {.lanes = backlog->lanes, .capacity = backlog->capacity};
    for (size_t at = 0; at < sifted.capacity; at++) {
        struct kept *next, *kept = sifted.lanes[at].first;
        for (sifted.lanes[at] = (struct lane){0}; kept; kept = next) {
            next = kept->next;
            if (wants(context, kept)) {
                append(&sifted, kept);
            } else {
                free(kept);
            }
        }
    }
    *backlog = sifted;
}

void backlog_free(struct backlog *backlog)
{
    for (struct kept *kept; (kept = backlog_take(backlog));) {
        free(kept);
    }
    free(backlog->lanes);
}
