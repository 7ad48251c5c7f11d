/* poise-aggregator: arguments, signals, exit code. */
#include "aggregator.h"

#include "access.h"
#include "stats.h"
#include <argp.h>
#include <poise/version.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

const char *argp_program_version = "poise-aggregator " POISE_VERSION_TEXT;

enum { OPTION_CHECK = 256, OPTION_DOCUMENT, ENDPOINTS = 2, OTHER_DESCRIPTORS = 100 };

struct arguments {
    const char *config;
    const char *document;
    bool check;
};

static const struct argp_option options[] = {
    {"config", 'c', "FILE", 0, "The configuration (YAML; docs/configuration.md)", 0},
    {"check-config", OPTION_CHECK, NULL, 0, "Check the configuration and its scorecards, then end", 0},
    {"document", OPTION_DOCUMENT, "WHAT", 0,
     "Print the reference of `settings`, `access` or `stats` as Markdown, then end", 0},
    {0}};

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    switch (key) {
    case 'c':
        arguments->config = argument;
        return 0;
    case OPTION_CHECK:
        arguments->check = true;
        return 0;
    case OPTION_DOCUMENT:
        arguments->document = argument;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument '%s'", argument);
        return 0;
    case ARGP_KEY_END:
        if (!arguments->config && !arguments->document)
            argp_error(state, "--config FILE is needed");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int print_reference(const char *what)
{
    if (strcmp(what, "settings") == 0)
        config_document(stdout);
    else if (strcmp(what, "access") == 0)
        access_document(stdout);
    else if (strcmp(what, "stats") == 0)
        stats_document(stdout);
    else
        return fprintf(stderr,
                       "poise-aggregator: --document takes `settings`, `access` or `stats`, not '%s'\n",
                       what),
               2;
    return fflush(stdout) == 0 ? 0 : 1;
}

/* Signals as a file descriptor; blocked before any thread is made, so that none gets them. */
static int signals_as_fd(int first, int second)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, first);
    sigaddset(&signals, second);
    if (pthread_sigmask(SIG_BLOCK, &signals, NULL) != 0)
        return -1;
    return signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Every connection takes a descriptor; where there is none left libzmq's thread spins, or on ipc ends the
 * process. */
static void raise_descriptor_limit(const struct config *config, const struct log *log)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0 && getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    rlim_t wanted = (rlim_t)(ENDPOINTS * config->max_connections + OTHER_DESCRIPTORS);
    if (limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < wanted)
        log_event(log, LOG_WARN, "few_descriptors", log_int("limit", (int64_t)limit.rlim_cur),
                  log_int("wanted", (int64_t)wanted),
                  log_text("reason", "max_connections may use up what this process may open: raise its "
                                     "limit (LimitNOFILE= of systemd), or lower max_connections"));
}

static int fail(const struct log *log, const poise_error *error)
{
    log_event(log, LOG_ERROR, "failed", log_text("code", poise_code_name(error->code)),
              log_text("reason", error->text));
    return 1;
}

static int serve(const struct config *config)
{
    struct log log = {.out = stderr, .level = (enum log_level)config->log, .clock = &clock_system};
    struct aggregator *aggregator = NULL;
    poise_error error = {0};
    int stop_fd = signals_as_fd(SIGINT, SIGTERM);
    int reload_fd = signals_as_fd(SIGHUP, SIGHUP);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a limit of file size is a full disk */
    raise_descriptor_limit(config, &log);
    if (stop_fd < 0 || reload_fd < 0) {
        error = (poise_error){POISE_EIO, "signals cannot be set up"};
        return fail(&log, &error);
    }
    poise_code code = aggregator_open(config, &log, &clock_system, &aggregator, &error);
    if (!code) {
        log_event(&log, LOG_INFO, "listening", log_text("ingest", aggregator_ingest_endpoint(aggregator)),
                  log_text("query", aggregator_query_endpoint(aggregator)), log_text("store", config->store));
        code = aggregator_run(aggregator, stop_fd, reload_fd, &error);
    }
    aggregator_close(aggregator);
    close(stop_fd);
    close(reload_fd);
    if (code)
        return fail(&log, &error);
    log_event(&log, LOG_INFO, "stopped", log_text("store", config->store));
    return 0;
}

int main(int argc, char **argv)
{
    struct arguments arguments = {0};
    const struct argp argp = {.options = options,
                              .parser = parse,
                              .doc =
                                  "Takes measurements in, keeps them, scores them and streams the scores.\v"
                                  "Reads the authorisation file again on SIGHUP. Ends on SIGTERM or SIGINT; "
                                  "whatever was acknowledged is on disk, also after kill -9."};
    argp_parse(&argp, argc, argv, 0, NULL, &arguments);
    if (arguments.document)
        return print_reference(arguments.document);
    struct config config;
    struct problems problems = {0};
    poise_code code = config_read(arguments.config, &config, &problems);
    problems_print(&problems, stderr);
    problems_free(&problems);
    if (code)
        return 1;
    int status = 0;
    if (arguments.check)
        printf("%s: ok\n", arguments.config);
    else
        status = serve(&config);
    config_free(&config);
    return status;
}
