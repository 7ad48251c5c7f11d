#include "backlog.h"

#include <stdlib.h>
#include <string.h>

enum { ALLOCATION = 16 }; /* what malloc adds */

static const char *copy(char **end, const void *bytes, size_t length)
{
    char *start = *end;
    if (length > 0) {
        memcpy(start, bytes, length);
    }
    *end += length;
    return start;
}

static void append(struct backlog *backlog, struct kept *kept)
{
    kept->next = NULL;
    *(backlog->last ? &backlog->last->next : &backlog->first) = kept;
    backlog->last = kept;
    backlog->bytes += kept->size;
}

bool backlog_put(struct backlog *backlog, const struct net_message *message, size_t frames, int fd,
                 uint64_t number)
{
    size_t user = message->user ? strlen(message->user) + 1 : 0;
    size_t size = sizeof(struct kept) + message->head_length + message->body_length + user;
    struct kept *kept = malloc(size);
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
    struct kept *kept = backlog->first;
    if (kept) {
        backlog->first = kept->next;
        backlog->last = kept->next ? backlog->last : NULL;
        backlog->bytes -= kept->size;
    }
    return kept;
}

void backlog_sift(struct backlog *backlog, backlog_wants *wants, void *context)
{
    struct backlog all = *backlog;
    struct kept *kept;
    *backlog = (struct backlog){0};
    while ((kept = backlog_take(&all))) {
        if (wants(context, kept)) {
            append(backlog, kept);
        } else {
            free(kept);
        }
    }
}
