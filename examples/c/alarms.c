/* Says which scorecards, perspectives and objectives turn red, and when they are better again. It ends with
 * its input. It goes on across restarts of the aggregator and misses nothing: where what changed meanwhile is
 * not known any more, all comes anew (RESET), and what it remembers says what is different.
 *
 *   cc alarms.c $(pkg-config --cflags --libs poise) -o alarms
 *   ./alarms tcp://127.0.0.1:5571 */
#include <poise/client.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct known { /* a node at an org */
    char *node, *org;
    poise_status status;
    bool told; /* since the last RESET */
};
struct alarms {
    struct known *known;
    size_t count;
};

static struct known *find(struct alarms *alarms, const poise_state *state)
{
    for (size_t i = 0; i < alarms->count; i++) {
        if (strcmp(alarms->known[i].node, state->node) == 0 &&
            strcmp(alarms->known[i].org, state->org) == 0) {
            return &alarms->known[i];
        }
    }
    struct known *grown = realloc(alarms->known, (alarms->count + 1) * sizeof *grown);
    struct known added = {.node = strdup(state->node), .org = strdup(state->org), .status = POISE_NO_DATA};
    if (!grown || !added.node || !added.org) {
        exit(1);
    }
    alarms->known = grown;
    alarms->known[alarms->count] = added;
    return &alarms->known[alarms->count++];
}

static void take(struct known *known, poise_status status)
{
    if (status != known->status && (status == POISE_RED || known->status == POISE_RED)) {
        printf("%s %s: %s\n", known->node, *known->org ? known->org : "(root)", poise_status_name(status));
        fflush(stdout);
    }
    known->status = status;
    known->told = true;
}

static bool on_event(void *context, const poise_event *event)
{
    struct alarms *alarms = context;
    switch (event->kind) {
    case POISE_EVENT_RESET: /* all nodes come again, up to READY */
        for (size_t i = 0; i < alarms->count; i++) {
            alarms->known[i].told = false;
        }
        return true;
    case POISE_EVENT_STATE:
        take(find(alarms, event->state), event->state->numbers.status);
        return true;
    case POISE_EVENT_READY: /* who did not come is no more */
        for (size_t i = 0; i < alarms->count; i++) {
            if (!alarms->known[i].told) {
                take(&alarms->known[i], POISE_NO_DATA);
            }
        }
        return true;
    default:
        return true;
    }
}

static bool input_ended(void)
{
    char byte;
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    return poll(&input, 1, 0) > 0 && read(STDIN_FILENO, &byte, 1) <= 0;
}

int main(int argc, char **argv)
{
    const poise_client_options options = {.endpoint = argc > 1 ? argv[1] : "tcp://127.0.0.1:5571"};
    const poise_filter filter = {.kinds =
                                     1u << POISE_SCORECARD | 1u << POISE_PERSPECTIVE | 1u << POISE_OBJECTIVE,
                                 .changes = POISE_CHANGES_STATUS};
    struct alarms alarms = {0};
    poise_client *client = NULL;
    poise_error err = {0};
    poise_code code = poise_client_open(&options, &client, &err);
    if (code == POISE_OK) {
        code = poise_subscribe(client, &filter, 0, &err);
    }
    while (code == POISE_OK && !input_ended()) {
        code = poise_client_step(client, 200, on_event, &alarms, &err);
    }
    if (code != POISE_OK) {
        fprintf(stderr, "%s: %s\n", argv[0], err.text);
    }
    poise_client_close(client);
    for (size_t i = 0; i < alarms.count; i++) {
        free(alarms.known[i].node);
        free(alarms.known[i].org);
    }
    free(alarms.known);
    return code == POISE_OK ? 0 : 1;
}
