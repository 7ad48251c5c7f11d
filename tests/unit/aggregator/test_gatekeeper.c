/* What a reload of the authorisation file notes in the audit log, and when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <aggregator/actions.h>
#include <aggregator/gatekeeper.h>
#include <base/error.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEY_A "a000000000000000000000000000000000000000000000000000000000000001"
#define KEY_B "b000000000000000000000000000000000000000000000000000000000000002"

static struct fixture {
    char directory[48], path[64], about[256], result[256];
    struct net *net;
    struct access_holder holder;
    struct stats stats;
    struct log log;
    char *text;
    size_t length;
    struct gatekeeper *gatekeeper;
    bool full;            /* the disk: nothing can be noted */
    size_t noted;         /* how often something was, or should have been */
    size_t keys_in_force; /* when it was noted last */
    size_t abouts;
} fixture;

poise_code __wrap_actions_note(const char *store, const struct clock *clock, const struct action *action,
                               poise_error *err);

poise_code __wrap_actions_note(const char *store, const struct clock *clock, const struct action *action,
                               poise_error *err)
{
    struct fixture *f = &fixture;
    (void)clock;
    assert_string_equal(store, f->directory);
    snprintf(f->about, sizeof f->about, "%s", action->about ? action->about : "");
    snprintf(f->result, sizeof f->result, "%s", action->result);
    f->abouts = action->abouts;
    f->noted++;
    f->keys_in_force = f->holder.current ? access_keys(f->holder.current) : 0;
    return f->full ? error_set(err, POISE_EFULL, "the disk is full") : POISE_OK;
}

static void write_file(const char *text)
{
    FILE *file = fopen(fixture.path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static const char both[] =
    "peers: [{name: a, key: " KEY_A ", send: all}, {name: b, key: " KEY_B ", read: all}]\n",
                  one[] = "peers: [{name: a, key: " KEY_A ", send: all}]\n";

static int setup(void **state)
{
    struct fixture *f = &fixture;
    (void)state;
    *f = (struct fixture){.directory = "/tmp/poise-gatekeeper-XXXXXX"};
    if (!mkdtemp(f->directory))
        return -1;
    snprintf(f->path, sizeof f->path, "%.48s/access.yaml", f->directory);
    write_file(both);
    f->log =
        (struct log){.out = open_memstream(&f->text, &f->length), .level = LOG_INFO, .clock = &clock_system};
    if (!f->log.out || !access_holder_init(&f->holder) || net_open(1, &f->net, NULL))
        return -1;
    const struct gatekeeper_options options = {.net = f->net,
                                               .path = f->path,
                                               .holder = &f->holder,
                                               .store = f->directory,
                                               .stats = &f->stats,
                                               .log = &f->log,
                                               .clock = &clock_system};
    return gatekeeper_open(&options, &f->gatekeeper, NULL) ? -1 : 0;
}

static int teardown(void **state)
{
    struct fixture *f = &fixture;
    (void)state;
    gatekeeper_close(f->gatekeeper);
    access_holder_free(&f->holder);
    net_close(f->net);
    fclose(f->log.out);
    free(f->text);
    unlink(f->path);
    return rmdir(f->directory);
}

static bool is_logged(const char *what)
{
    fflush(fixture.log.out);
    return strstr(fixture.text, what) != NULL;
}

static void it_is_noted_before_it_is_in_force(void **state)
{
    struct fixture *f = &fixture;
    (void)state;
    assert_int_equal(f->noted, 1); /* the start, */
    assert_int_equal(f->keys_in_force, 0);
    assert_non_null(strstr(f->about, "added b b0000000"));
    write_file(one);
    assert_true(gatekeeper_reload(f->gatekeeper));
    assert_int_equal(f->noted, 2);
    assert_int_equal(f->keys_in_force, 2);
    assert_string_equal(f->about, "removed b b0000000");
    assert_int_equal(f->abouts, 1);
    assert_string_equal(f->result, "done");
    assert_null(access_find(f->holder.current, KEY_B));
    assert_false(is_logged("not_audited"));
}

static void who_is_revoked_is_out_though_the_disk_is_full(void **state)
{
    struct fixture *f = &fixture;
    (void)state;
    f->full = true;
    write_file(one);
    assert_true(gatekeeper_reload(f->gatekeeper));
    assert_null(access_find(f->holder.current, KEY_B));
    assert_int_equal(stats_get(&f->stats, STAT_access_keys), 1);
    assert_true(is_logged("not_audited action=reload result=done reason=\"the disk is full\""));
    assert_true(is_logged("access_reloaded"));
}

static void a_broken_file_is_noted_and_not_in_force(void **state)
{
    struct fixture *f = &fixture;
    (void)state;
    write_file("peers: [{name: a}]\n");
    assert_false(gatekeeper_reload(f->gatekeeper));
    assert_int_equal(f->noted, 2);
    assert_string_equal(f->about, "");
    assert_non_null(strstr(f->result, "problem"));
    assert_int_equal(access_keys(f->holder.current), 2);
    assert_true(is_logged("access_not_reloaded"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(it_is_noted_before_it_is_in_force),
        TEST(who_is_revoked_is_out_though_the_disk_is_full),
        TEST(a_broken_file_is_noted_and_not_in_force),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
