#include "options.h"
#include <base/text.h>
#include <model/calendar.h>
#include <model/org.h>
#include <stdlib.h>
#include <string.h>

int64_t option_time(struct argp_state *state, const char *option, const char *text)
{
    int64_t time_ms = 0;
    if (!parse_time_ms(text, strlen(text), &time_ms)) {
        argp_error(state, "--%s '%s' is no time; RFC 3339 is wanted, such as 2026-03-31T23:59:59Z", option,
                   text);
    }
    return time_ms;
}

int64_t option_duration(struct argp_state *state, const char *option, const char *text)
{
    int64_t duration_ms = 0;
    if (!parse_duration_ms(text, strlen(text), &duration_ms)) {
        argp_error(state, "--%s '%s' is no duration; 500ms, 30s, 5m or the like is wanted", option, text);
    }
    return duration_ms;
}

const char *option_org(struct argp_state *state, const char *option, const char *text)
{
    if (!org_valid(text, strlen(text))) {
        argp_error(state, "--%s '%s' is no org; a path such as plant-1/line-3 is wanted, or '' for the root",
                   option, text);
    }
    return text;
}

const char *option_org_glob(struct argp_state *state, const char *option, const char *text)
{
    if (!glob_valid(text)) {
        argp_error(state,
                   "--%s '%s' is no org and no glob of orgs; plant-1, plant-1/** or the like is wanted",
                   option, text);
    }
    return text;
}

const char *environment_or(const char *name, const char *otherwise)
{
    const char *value = getenv(name);
    return value && *value ? value : otherwise;
}

enum rows_format option_rows_format(struct argp_state *state, const char *text)
{
    if (strcmp(text, "csv") != 0 && strcmp(text, "jsonl") != 0) {
        argp_error(state, "--format '%s' is not known; csv or jsonl is wanted", text);
    }
    return *text == 'c' ? ROWS_CSV : ROWS_JSON;
}

uint32_t option_kind(struct argp_state *state, const char *text)
{
    for (int kind = POISE_SCORECARD; kind <= POISE_MEASURE; kind++) {
        if (strcmp(text, poise_kind_name((poise_kind)kind)) == 0) {
            return UINT32_C(1) << kind;
        }
    }
    argp_error(state, "--kind '%s' is not known; scorecard, perspective, objective or measure is wanted",
               text);
    return 0;
}

uint32_t option_changes(struct argp_state *state, const char *text)
{
    static const struct {
        const char *name;
        uint32_t changes;
    } known[] = {{"numbers", POISE_CHANGES_NUMBERS},
                 {"status", POISE_CHANGES_STATUS},
                 {"revisions", POISE_CHANGES_REVISIONS}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(text, known[i].name) == 0) {
            return known[i].changes;
        }
    }
    argp_error(state, "--changes '%s' is not known; numbers, status or revisions is wanted", text);
    return 0;
}

static error_t parse_format(int key, char *argument, struct argp_state *state)
{
    static const char *const names[] = {
        [OUTPUT_TABLE] = "table", [OUTPUT_JSON] = "json", [OUTPUT_CSV] = "csv"};
    enum output_format *format = state->input;
    if (key != 'f') {
        return ARGP_ERR_UNKNOWN;
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(argument, names[i]) == 0) {
            *format = (enum output_format)i;
            return 0;
        }
    }
    argp_error(state, "--format '%s' is not known; table, json or csv is wanted", argument);
    return 0;
}

const struct argp format_options = {
    .options =
        (const struct argp_option[]){{"format", 'f', "FORMAT", 0, "table (default), json or csv", 0}, {0}},
    .parser = parse_format,
};

static const char *default_query(void)
{
    return environment_or("POISE_QUERY", "tcp://127.0.0.1:5571");
}

void key_defaults(struct key_options *options)
{
    *options = (struct key_options){.file = environment_or("POISE_KEY_FILE", NULL),
                                    .server = environment_or("POISE_SERVER_KEY", NULL)};
}

enum { KEY_KEY_FILE = 2048, KEY_SERVER_KEY };

static error_t parse_key(int key, char *argument, struct argp_state *state)
{
    struct key_options *options = state->input;
    switch (key) {
    case KEY_KEY_FILE:
        options->file = argument;
        return 0;
    case KEY_SERVER_KEY:
        options->server = argument;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp key_argp = {
    .options =
        (const struct argp_option[]){
            {"key-file", KEY_KEY_FILE, "FILE", 0,
             "our own key, as `poise keygen` made it; default: $POISE_KEY_FILE, else none: plain", 0},
            {"server-key", KEY_SERVER_KEY, "KEY", 0,
             "the aggregator's public key, or a file that holds it; default: $POISE_SERVER_KEY", 0},
            {0}},
    .parser = parse_key,
};

static const struct argp_child key_children[] = {{&key_argp, 0, NULL, 0}, {0}};

void live_defaults(struct live_options *options)
{
    *options = (struct live_options){.endpoint = default_query()};
    key_defaults(&options->keys);
}

enum { KEY_INSECURE = 1024 };

static error_t parse_live(int key, char *argument, struct argp_state *state)
{
    struct live_options *options = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->keys;
        return 0;
    case 'F':
        options->endpoint = argument;
        return 0;
    case KEY_INSECURE:
        options->insecure = true;
        return 0;
    case 'o':
        options->org = option_org(state, "org", argument);
        return 0;
    case 'a':
        options->all_orgs = true;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0) {
            argp_error(state, "one scorecard at most; '%s' is another", argument);
        }
        options->scorecard = argument;
        return 0;
    case ARGP_KEY_END:
        if (options->org && options->all_orgs) {
            argp_error(state, "--org and --all-orgs exclude each other");
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp live_argp = {
    .options =
        (const struct argp_option[]){
            {"from", 'F', "ENDPOINT", 0,
             "the aggregator's query endpoint; default: $POISE_QUERY, else tcp://127.0.0.1:5571", 0},
            {"insecure", KEY_INSECURE, NULL, 0, "allow plain TCP to other machines", 0},
            {"org", 'o', "ORG", 0, "the org to show; default: the root, which is the whole organisation", 0},
            {"all-orgs", 'a', NULL, 0, "show every org", 0},
            {0}},
    .parser = parse_live,
    .children = key_children,
    .args_doc = "[SCORECARD]",
};

poise_code live_open(const struct live_options *options, poise_client **ret_client, poise_error *err)
{
    const poise_client_options client_options = {.endpoint = options->endpoint,
                                                 .insecure = options->insecure,
                                                 .key_file = options->keys.file,
                                                 .server_key = options->keys.server};
    return poise_client_open(&client_options, ret_client, err);
}

const poise_filter *live_filter_of(const struct live_options *options, struct live_filter *ret_filter)
{
    *ret_filter =
        (struct live_filter){.scorecard = options->scorecard, .org = options->org ? options->org : ""};
    if (options->scorecard) {
        ret_filter->filter.scorecards = &ret_filter->scorecard;
        ret_filter->filter.scorecard_count = 1;
    }
    if (!options->all_orgs) {
        ret_filter->filter.orgs = &ret_filter->org;
        ret_filter->filter.org_count = 1;
    }
    return &ret_filter->filter;
}

void asking_defaults(struct asking_options *options, const char *timeout)
{
    *options = (struct asking_options){.endpoint = default_query(), .timeout = timeout};
    key_defaults(&options->keys);
    (void)parse_duration_ms(timeout, strlen(timeout), &options->timeout_ms);
}

enum { KEY_ASK_TIMEOUT = 1792, KEY_ASK_INSECURE };

static error_t parse_asking(int key, char *argument, struct argp_state *state)
{
    struct asking_options *options = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->keys;
        return 0;
    case 'F':
        options->endpoint = argument;
        return 0;
    case KEY_ASK_INSECURE:
        options->insecure = true;
        return 0;
    case KEY_ASK_TIMEOUT:
        options->timeout_ms = option_duration(state, "timeout", argument);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static char *help_asking(int key, const char *text, void *input)
{
    const struct asking_options *options = input;
    char *with_default = NULL;
    if (key != KEY_ASK_TIMEOUT || !options || asprintf(&with_default, "%s%s", text, options->timeout) < 0) {
        return (char *)(uintptr_t)text; /* as argp wants it */
    }
    return with_default;
}

#define ASKING_ARGP(from)                                                                                    \
    {                                                                                                        \
        .options =                                                                                           \
            (const struct argp_option[]){                                                                    \
                {from, 'F', "ENDPOINT", 0,                                                                   \
                 "the aggregator's query endpoint; default: $POISE_QUERY, else tcp://127.0.0.1:5571", 0},    \
                {"insecure", KEY_ASK_INSECURE, NULL, 0, "allow plain TCP to other machines", 0},             \
                {"timeout", KEY_ASK_TIMEOUT, "DURATION", 0,                                                  \
                 "give up when there is no answer for so long; default: ", 0},                               \
                {0}},                                                                                        \
        .parser = parse_asking, .children = key_children, .help_filter = help_asking,                        \
    }
const struct argp asking_argp = ASKING_ARGP("from");
const struct argp asking_at_argp = ASKING_ARGP("at");

poise_code asking_ask(const struct asking_options *options,
                      poise_code (*ask)(poise_client *client, void *context, poise_error *err), void *context,
                      poise_error *err)
{
    const poise_client_options client_options = {.endpoint = options->endpoint,
                                                 .insecure = options->insecure,
                                                 .key_file = options->keys.file,
                                                 .server_key = options->keys.server};
    poise_client *client = NULL;
    poise_code code = poise_client_open(&client_options, &client, err);
    if (code == POISE_OK) {
        code = ask(client, context, err);
    }
    poise_client_close(client);
    return code;
}

void naming_defaults(struct naming_options *options)
{
    *options = (struct naming_options){.from_ms = TIME_MIN_MS, .to_ms = TIME_MAX_MS + 1};
}

enum { KEY_SINCE = 2304, KEY_UNTIL, KEY_REASON };

static error_t parse_naming(int key, char *argument, struct argp_state *state)
{
    struct naming_options *options = state->input;
    switch (key) {
    case 'o':
        options->org = option_org_glob(state, "org", argument);
        return 0;
    case KEY_SINCE:
        options->from_ms = option_time(state, "since", argument);
        return 0;
    case KEY_UNTIL:
        options->to_ms = option_time(state, "until", argument);
        return 0;
    case KEY_REASON:
        options->reason = argument;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0) {
            argp_error(state, "one measure at most; '%s' is another", argument);
        }
        options->measure = argument;
        return 0;
    case ARGP_KEY_END:
        if (!options->reason || !*options->reason) {
            argp_error(state, "--reason is missing: the journal keeps why measurements were changed");
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp naming_argp = {
    .options =
        (const struct argp_option[]){
            {"org", 'o', "GLOB", 0, "of these orgs, such as plant-1/**; default: of all", 0},
            {"since", KEY_SINCE, "TIME", 0, "measured at this time (RFC 3339) or later", 0},
            {"until", KEY_UNTIL, "TIME", 0, "measured before this time", 0},
            {"reason", KEY_REASON, "TEXT", 0,
             "why, for the journal and the log, which keep it; must be given", 0},
            {0}},
    .parser = parse_naming,
};

void sending_defaults(struct sending_options *options, const char *verb)
{
    *options = (struct sending_options){.verb = verb,
                                        .endpoint = environment_or("POISE_INGEST", "tcp://127.0.0.1:5570"),
                                        .timeout_ms = 30000};
    key_defaults(&options->keys);
}

enum { KEY_SPOOL = 1536, KEY_PRODUCER, KEY_TIMEOUT, KEY_SEND_INSECURE };

static error_t parse_sending(int key, char *argument, struct argp_state *state)
{
    struct sending_options *options = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->keys;
        return 0;
    case 'T':
        if (options->given_count == ROUTES_MAX) {
            argp_error(state, "--to was given more than %d times", ROUTES_MAX);
        }
        options->given[options->given_count++] = argument;
        options->endpoint = options->given[0];
        return 0;
    case KEY_SPOOL:
        options->spool = argument;
        return 0;
    case KEY_PRODUCER:
        options->producer = argument;
        return 0;
    case KEY_TIMEOUT:
        options->timeout_ms = option_duration(state, "timeout", argument);
        return 0;
    case KEY_SEND_INSECURE:
        options->insecure = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp sending_argp = {
    .options =
        (const struct argp_option[]){
            {"to", 'T', "ENDPOINT", 0,
             "the aggregator's ingest endpoint; given again: another address of the same store, which is "
             "tried when the one before does not answer; default: $POISE_INGEST, else tcp://127.0.0.1:5570",
             0},
            {"spool", KEY_SPOOL, "DIR", 0,
             "where measurements are safe until they are acknowledged; default: "
             "$XDG_STATE_HOME/poise/spool/ENDPOINT, in ~/.local/state without XDG_STATE_HOME",
             0},
            {"producer", KEY_PRODUCER, "NAME", 0,
             "the name of this producer; default: cli- and the host's name", 0},
            {"timeout", KEY_TIMEOUT, "DURATION", 0,
             "give up when nothing was acknowledged for so long; default: 30s", 0},
            {"insecure", KEY_SEND_INSECURE, NULL, 0, "allow plain TCP to other machines", 0},
            {0}},
    .parser = parse_sending,
    .children = key_children,
};
