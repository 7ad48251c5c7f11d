#include <base/clock.h>
#include <base/text.h>
#include <collector/collector.h>
#include <collector/command.h>
#include <collector/dry_run.h>
#include <errno.h>
#include <getopt.h>
#include <poise/client.h>
#include <poise/version.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

static const char usage[] =
    "Reads sources, makes measurements of their rows and sends them to an aggregator.\n"
    "\n"
    "usage: poise-collector --config FILE [options]\n"
    "\n"
    "  --config FILE          the configuration (docs/collector.md)\n"
    "  --check-config         only says what is wrong with it\n"
    "  --once                 ends at the present end of the sources, when all is acknowledged\n"
    "  --dry-run              only prints the measurements of the files, as CSV for poise eval\n"
    "  --replay               sends the dead letters again, then ends\n"
    "  --from-start           reads files from their beginning, not from where an earlier run ended\n"
    "  --backfill             with --once: much of the past; closed periods are revised once, at the end\n"
    "  --timeout DURATION     gives up waiting for acknowledgements (30s, 5m)\n"
    "  --input FILE           reads this instead of the path of the only source; - is standard input\n"
    "  --aggregator ENDPOINT  instead of that of the configuration\n"
    "  --spool DIR            likewise\n"
    "  --dead-letters FILE    likewise\n"
    "  --help, --version\n"
    "\n"
    "It ends with 0, with 1 if rows or measurements were refused or lost, with 2 if it could not do its "
    "work.\n"
    "\n"
    "examples:\n"
    "  poise-collector --config production.yaml                    follows its files until SIGTERM\n"
    "  poise-collector --config production.yaml --once --timeout 1m\n"
    "  git-rows | poise-collector --config git.yaml --input - --once\n"
    "  poise-collector --config production.yaml --dry-run | head   what becomes of the rows\n"
    "  poise-collector --config production.yaml --replay           after the cause of refusals is gone\n";

struct arguments {
    const char *config, *input, *aggregator, *spool, *dead_letters;
    int64_t timeout_ms;
    bool check, dry, once, replay, from_start, backfill;
};

enum option_letter {
    OPTION_CONFIG = 'c',
    OPTION_HELP = 'h',
    OPTION_CHECK = 256,
    OPTION_DRY,
    OPTION_ONCE,
    OPTION_REPLAY,
    OPTION_FROM_START,
    OPTION_BACKFILL,
    OPTION_TIMEOUT,
    OPTION_INPUT,
    OPTION_AGGREGATOR,
    OPTION_SPOOL,
    OPTION_DEAD_LETTERS,
    OPTION_VERSION
};
static const struct option options[] = {{"config", required_argument, NULL, OPTION_CONFIG},
                                        {"check-config", no_argument, NULL, OPTION_CHECK},
                                        {"dry-run", no_argument, NULL, OPTION_DRY},
                                        {"once", no_argument, NULL, OPTION_ONCE},
                                        {"replay", no_argument, NULL, OPTION_REPLAY},
                                        {"from-start", no_argument, NULL, OPTION_FROM_START},
                                        {"backfill", no_argument, NULL, OPTION_BACKFILL},
                                        {"timeout", required_argument, NULL, OPTION_TIMEOUT},
                                        {"input", required_argument, NULL, OPTION_INPUT},
                                        {"aggregator", required_argument, NULL, OPTION_AGGREGATOR},
                                        {"spool", required_argument, NULL, OPTION_SPOOL},
                                        {"dead-letters", required_argument, NULL, OPTION_DEAD_LETTERS},
                                        {"help", no_argument, NULL, OPTION_HELP},
                                        {"version", no_argument, NULL, OPTION_VERSION},
                                        {0}};

enum { GO_ON = -1 };

static int wrong_usage(const char *option, const char *text)
{
    fprintf(stderr, "poise-collector: %s %s; poise-collector --help tells how it is used\n", option, text);
    return EXIT_FAILED;
}

/* GO_ON, or the exit code. */
static int take_option(int option, struct arguments *arguments)
{
    switch (option) {
    case OPTION_CONFIG:
        arguments->config = optarg;
        return GO_ON;
    case OPTION_CHECK:
        arguments->check = true;
        return GO_ON;
    case OPTION_DRY:
        arguments->dry = true;
        return GO_ON;
    case OPTION_ONCE:
        arguments->once = true;
        return GO_ON;
    case OPTION_REPLAY:
        arguments->replay = true;
        return GO_ON;
    case OPTION_FROM_START:
        arguments->from_start = true;
        return GO_ON;
    case OPTION_BACKFILL:
        arguments->backfill = true;
        return GO_ON;
    case OPTION_INPUT:
        arguments->input = optarg;
        return GO_ON;
    case OPTION_AGGREGATOR:
        arguments->aggregator = optarg;
        return GO_ON;
    case OPTION_SPOOL:
        arguments->spool = optarg;
        return GO_ON;
    case OPTION_DEAD_LETTERS:
        arguments->dead_letters = optarg;
        return GO_ON;
    case OPTION_TIMEOUT:
        return parse_duration_ms(optarg, strlen(optarg), &arguments->timeout_ms) && arguments->timeout_ms > 0
                   ? GO_ON
                   : wrong_usage("--timeout", "takes a duration such as 30s or 5m");
    case OPTION_HELP:
        fputs(usage, stdout);
        return EXIT_FINE;
    case OPTION_VERSION:
        puts("poise-collector " POISE_VERSION_TEXT);
        return EXIT_FINE;
    default:
        return EXIT_FAILED; /* getopt has said why */
    }
}

static int parse(int argc, char **argv, struct arguments *arguments)
{
    int option;
    while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
        int exit_code = take_option(option, arguments);
        if (exit_code != GO_ON) {
            return exit_code;
        }
    }
    if (optind < argc) {
        return wrong_usage(argv[optind], "is no option");
    }
    if (!arguments->config) {
        return wrong_usage("--config FILE", "is missing");
    }
    if (arguments->replay && arguments->from_start) {
        return wrong_usage("--replay and --from-start", "do not go together");
    }
    if (arguments->backfill && !arguments->once) {
        return wrong_usage("--backfill", "goes with --once: it has an end");
    }
    return GO_ON;
}

static const char *either(const char *own, const char *configured)
{
    return own ? own : configured;
}

static int load(const struct arguments *arguments, struct collector_config **ret_config)
{
    struct problems problems = {0};
    struct collector_config *config = NULL;
    poise_code code = config_read_file(arguments->config, &config, &problems);
    problems_print(&problems, stderr);
    if (code != POISE_OK && problems.count == 0) {
        fprintf(stderr, "poise-collector: %s: %s\n", arguments->config, poise_code_text(code));
    }
    problems_free(&problems);
    if (code != POISE_OK) {
        return EXIT_FAILED;
    }
    if (arguments->input && config->source_count != 1) {
        config_free(config);
        return wrong_usage("--input", "needs a configuration with one source");
    }
    config->sources[0].path = either(arguments->input, config->sources[0].path);
    config->aggregator = either(arguments->aggregator, config->aggregator);
    config->spool = either(arguments->spool, config->spool);
    config->dead_letters = either(arguments->dead_letters, config->dead_letters);
    *ret_config = config;
    return GO_ON;
}

/* A descriptor that is readable once SIGTERM, SIGINT or SIGHUP came; -1: none. */
static int open_signals(void)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    if (sigprocmask(SIG_BLOCK, &signals, NULL) != 0) {
        return -1;
    }
    return signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void print_summary(const struct collector_summary *summary)
{
    const struct {
        const char *name;
        uint64_t count;
    } lines[] = {{"rows read", summary->rows},
                 {"rows skipped", summary->rows_skipped},
                 {"rows refused", summary->rows_refused},
                 {"measurements sent", summary->sent},
                 {"measurements acknowledged", summary->acknowledged},
                 {"measurements refused", summary->refused},
                 {"measurements lost", summary->lost},
                 {"dead letters", summary->letters}};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        printf("%-26s %10llu\n", lines[i].name, (unsigned long long)lines[i].count);
    }
    printf("%-26s %10.2f\n", "seconds", summary->seconds);
}

static int run_dry(const struct collector_config *config)
{
    const struct log log = {.out = stderr, .level = config->log_level, .clock = &clock_system};
    uint64_t refused;
    poise_error err;
    if (dry_run(config, &log, stdout, &refused, &err) != POISE_OK) {
        fprintf(stderr, "poise-collector: %s\n", err.text);
        return EXIT_FAILED;
    }
    return refused > 0 ? EXIT_REFUSED : EXIT_FINE;
}

static int run(const struct arguments *arguments, const struct collector_config *config)
{
    const struct log log = {.out = stderr, .level = config->log_level, .clock = &clock_system};
    const bool ends = arguments->once || arguments->replay;
    const struct collector_options how = {.config = config,
                                          .clock = &clock_system,
                                          .log = &log,
                                          .once = ends,
                                          .replay = arguments->replay,
                                          .from_start = arguments->from_start,
                                          .backfill = arguments->backfill,
                                          .timeout_ms = arguments->timeout_ms,
                                          .stop_fd = open_signals(),
                                          .progress = ends && isatty(STDERR_FILENO) ? stderr : NULL};
    if (how.stop_fd < 0) {
        fprintf(stderr, "poise-collector: cannot wait for signals: %s\n", strerror(errno));
        return EXIT_FAILED;
    }
    struct collector_summary summary;
    poise_error err;
    poise_code code = collector_run(&how, &summary, &err);
    close(how.stop_fd);
    if (code == POISE_OK || summary.rows > 0) {
        print_summary(&summary);
    }
    if (code != POISE_OK) {
        fprintf(stderr, "poise-collector: %s\n", err.text);
        return EXIT_FAILED;
    }
    if (ends && summary.stopped) {
        fprintf(stderr, "poise-collector: interrupted; the next run goes on; batches that wait in %s: %llu\n",
                config->spool, (unsigned long long)summary.batches_left);
        return EXIT_FAILED;
    }
    /* A service that was told to end did what it should; what it refused is in its log. */
    bool refused =
        !summary.stopped && (summary.rows_refused > 0 || summary.refused > 0 || summary.losses > 0);
    return refused ? EXIT_REFUSED : EXIT_FINE;
}

/* Key files are read by who connects; of a configuration that is only checked they are looked at here. */
static int check(const struct arguments *arguments, const struct collector_config *config)
{
    poise_error err;
    if (config->key && poise_check_keys(config->key, config->server_key, &err) != POISE_OK) {
        fprintf(stderr, "poise-collector: %s\n", err.text);
        return EXIT_FAILED;
    }
    printf("%s: fine\n", arguments->config);
    return EXIT_FINE;
}

int command_run(int argc, char **argv)
{
    struct arguments arguments = {0};
    struct collector_config *config = NULL;
    int exit_code = parse(argc, argv, &arguments);
    if (exit_code == GO_ON) {
        exit_code = load(&arguments, &config);
    }
    if (exit_code != GO_ON) {
        return exit_code;
    }
    if (arguments.check) {
        exit_code = check(&arguments, config);
    } else {
        exit_code = arguments.dry ? run_dry(config) : run(&arguments, config);
    }
    config_free(config);
    return exit_code;
}
