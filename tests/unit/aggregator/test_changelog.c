/* The log of changes from a journal: each change of each whole settle once, page by page; cursors that are no
 * such; and what a board makes of it. */
#include "aggregator_test.h"
#include <aggregator/changelog.h>
#include <aggregator/settles.h>
#include <aggregator/subscription.h>
#include <base/hash.h>
#include <ftw.h>
#include <stdio.h>

enum { CHANGES_MAX = 60000 };

/* A change that is in the log. */
struct written {
    uint64_t lsn;
    uint32_t number;
    double value;
};

struct fixture {
    char path[64];
    struct scorecard *card;
    const struct scorecard *cards[1];
    struct store *store;
    struct written written[CHANGES_MAX];
    size_t count, got;
    double version;
    size_t pages;
    bool whole;
    struct arena arena;
    _Atomic bool stop;
    poise_error err;
};

static uint64_t trimmed; /* records up to it are as if they were gone */

uint64_t __real_store_reader_first_lsn(const struct store_reader *reader);
uint64_t __wrap_store_reader_first_lsn(const struct store_reader *reader);

uint64_t __wrap_store_reader_first_lsn(const struct store_reader *reader)
{
    uint64_t first = __real_store_reader_first_lsn(reader);
    return first > trimmed ? first : trimmed + 1;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

static struct store *open_at(const char *path, uint64_t incarnation)
{
    struct store *store = NULL;
    const struct store_options options = {
        .path = path, .map_bytes = 64 << 20, .free_bytes = 1, .new_incarnation = incarnation};
    assert_int_equal(store_open(&options, &store, NULL), POISE_OK);
    return store;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    memcpy(f->path, "/tmp/poise-log-XXXXXX", sizeof "/tmp/poise-log-XXXXXX");
    assert_non_null(mkdtemp(f->path));
    f->store = open_at(f->path, 1);
    f->card = card_make("c", 30);
    f->cards[0] = f->card;
    trimmed = 0;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    store_close(f->store);
    scorecard_free(f->card);
    arena_free(&f->arena);
    int code = nftw(f->path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(f);
    return code;
}

/* ---- a journal ---- */

enum { BEGINS = 1, MORE = 2, LOST = 4 /* it will not be whole */, REVISES = 8, RED = 16 };

/* A record with so many changes; those of a settle that is whole are to come out, with its lsn. */
static uint64_t append(struct fixture *f, size_t changes, unsigned flags)
{
    static poise_state states[CHANGES_PART];
    struct buf bytes = {0};
    uint64_t lsn;
    bool part = !(flags & BEGINS);
    const struct written *before = f->count ? &f->written[f->count - 1] : NULL;
    for (size_t i = 0; i < changes; i++) {
        states[i] = state_make(f->card, (uint32_t)(i % f->card->node_count), "", ++f->version);
        states[i].numbers.status = flags & RED ? POISE_RED : POISE_GREEN;
        states[i].revision = flags & REVISES ? 1 : 0;
        if (!(flags & LOST)) {
            f->written[f->count++] =
                (struct written){.lsn = part ? before->lsn : store_last_lsn(f->store) + 1,
                                 .number = (uint32_t)(part ? before->number + i : i) + 1,
                                 .value = f->version};
        }
    }
    if (changes) {
        const struct wire_states update = {.states = states, .count = changes};
        assert_int_equal(wire_encode_states(WIRE_UPDATE, &update, &bytes), POISE_OK);
    }
    const struct journal_record record = {.as_of_ms = (int64_t)store_last_lsn(f->store) * 10,
                                          .settled = (flags & BEGINS) != 0,
                                          .more = (flags & MORE) != 0,
                                          .first_ordinal = 1,
                                          .min_time_ms = 1,
                                          .changes = bytes.data,
                                          .changes_length = bytes.length};
    assert_int_equal(store_append(f->store, &record, &lsn, NULL), POISE_OK);
    buf_free(&bytes);
    return lsn;
}

/* ---- reading ---- */

/* A page behind the cursor, whose changes are the next that were written. */
static poise_code read_page(struct fixture *f, struct wire_changes *asked, struct wire_changed *ret_page)
{
    struct changelog *changelog = NULL;
    struct buf body = {0};
    asked->id = 7;
    poise_code code = changelog_open(asked, &changelog, &f->err);
    if (!code)
        code = changelog_page(changelog, 7, f->store, &f->stop, &body, &f->err);
    changelog_free(changelog);
    if (!code) {
        assert_true(body.length <= WIRE_MESSAGE_MAX);
        arena_reset(&f->arena);
        assert_int_equal(wire_decode_changed(body.data, body.length, &f->arena, ret_page, NULL), POISE_OK);
        assert_int_equal(ret_page->id, 7);
    }
    buf_free(&body);
    return code;
}

static void check_page(struct fixture *f, const struct wire_changed *page)
{
    for (size_t i = 0; i < page->count; i++) {
        const struct written *wanted = &f->written[f->got++];
        assert_int_equal(page->lsns[i], wanted->lsn);
        assert_int_equal(page->numbers[i], wanted->number);
        assert_true(page->states[i].numbers.value == wanted->value);
        assert_int_equal(page->settled_ms[i], (wanted->lsn - 1) * 10);
        if (!page->states[i].revision)
            assert_int_equal(page->states[i].as_of_ms, page->settled_ms[i]);
    }
    bool ends = f->got == f->count || f->written[f->got].number == 1;
    assert_int_equal(page->whole, ends);
}

/* All pages behind `asked`, whose cursor then is that of the last. */
static void read_all(struct fixture *f, struct wire_changes *asked, uint8_t cursor[WIRE_CURSOR_MAX])
{
    struct wire_changed page = {0};
    f->pages = 0;
    for (; !page.last; f->pages++) {
        assert_int_equal(read_page(f, asked, &page), POISE_OK);
        check_page(f, &page);
        memcpy(cursor, page.cursor, page.cursor_length);
        asked->cursor = cursor;
        asked->cursor_length = page.cursor_length;
    }
}

/* ---- tests ---- */

static void each_change_comes_once(void **state)
{
    struct fixture *f = *state;
    uint8_t cursor[WIRE_CURSOR_MAX];
    struct wire_changes asked = {0};
    read_all(f, &asked, cursor); /* there are none yet */
    assert_int_equal(f->pages, 1);
    for (int round = 0; round < 3; round++) {
        append(f, 5, BEGINS);
        append(f, 0, 0); /* only applied */
        append(f, 0, BEGINS);
        append(f, 3, BEGINS | REVISES);
        append(f, CHANGES_PART, BEGINS | MORE);
        append(f, CHANGES_PART, MORE);
        append(f, 7, 0);
        append(f, 1, BEGINS);
        read_all(f, &asked, cursor);
        assert_int_equal(f->got, f->count);
        assert_true(f->pages > 3); /* a page has a bound */
    }
    f->got = 0; /* and all of them anew */
    asked = (struct wire_changes){0};
    read_all(f, &asked, cursor);
    assert_int_equal(f->got, f->count);
}

static void what_a_crash_has_cut_short_is_not_told(void **state)
{
    struct fixture *f = *state;
    uint8_t cursor[WIRE_CURSOR_MAX];
    struct wire_changes asked = {0};
    append(f, 2, BEGINS);
    append(f, 4, BEGINS | MORE | LOST);
    append(f, 4, MORE | LOST);
    read_all(f, &asked, cursor); /* it may still end */
    assert_int_equal(f->got, 2);
    append(f, 9, BEGINS | MORE | LOST); /* a start tells it again, and dies, too */
    read_all(f, &asked, cursor);
    append(f, 10, BEGINS | MORE);
    append(f, 0, 0);
    append(f, 1, 0);
    append(f, 1, BEGINS);
    read_all(f, &asked, cursor);
    assert_int_equal(f->got, f->count);
}

static void only_what_is_asked_for(void **state)
{
    struct fixture *f = *state;
    struct wire_changed page;
    const char *nodes[] = {f->card->nodes[3].path}, *orgs[] = {"a"};
    uint64_t lsn = append(f, f->card->node_count, BEGINS);
    append(f, f->card->node_count, BEGINS | REVISES);
    struct wire_changes asked = {.filter = {.nodes = nodes, .node_count = 1}};
    assert_int_equal(read_page(f, &asked, &page), POISE_OK);
    assert_int_equal(page.count, 2);
    assert_true(page.lsns[0] == lsn && page.lsns[1] == lsn + 1 && page.numbers[0] == 4);
    asked.filter.changes = POISE_CHANGES_REVISIONS;
    assert_int_equal(read_page(f, &asked, &page), POISE_OK);
    assert_int_equal(page.count, 1);
    asked.filter = (struct wire_filter){.orgs = orgs, .org_count = 1};
    assert_int_equal(read_page(f, &asked, &page), POISE_OK);
    assert_int_equal(page.count, 0);
    asked.filter = (struct wire_filter){.kinds = 1u << POISE_SCORECARD};
    assert_int_equal(read_page(f, &asked, &page), POISE_OK);
    assert_int_equal(page.count, 2);
    asked.filter = (struct wire_filter){.changes = POISE_CHANGES_STATUS};
    assert_int_equal(read_page(f, &asked, &page), POISE_EUNSUPPORTED);
    asked = (struct wire_changes){.after_lsn = lsn};
    assert_int_equal(read_page(f, &asked, &page), POISE_OK);
    assert_int_equal(page.count, f->card->node_count);
    assert_int_equal(page.lsns[0], lsn + 1);
}

static void cursors_that_are_none(void **state)
{
    struct fixture *f = *state;
    uint8_t cursor[WIRE_CURSOR_MAX], bad[WIRE_CURSOR_MAX];
    struct wire_changes asked = {0};
    struct wire_changed page;
    append(f, 2, BEGINS);
    read_all(f, &asked, cursor);
    for (size_t i = 0; i < asked.cursor_length; i++) {
        memcpy(bad, cursor, sizeof bad);
        bad[i] ^= 1;
        struct wire_changes wrong = {.cursor = bad, .cursor_length = asked.cursor_length};
        assert_int_equal(read_page(f, &wrong, &page), POISE_EPROTO);
    }
    struct wire_changes shorter = {.cursor = cursor, .cursor_length = asked.cursor_length - 1};
    assert_int_equal(read_page(f, &shorter, &page), POISE_EPROTO);
    struct wire_changes ahead = {.after_lsn = 2};
    assert_int_equal(read_page(f, &ahead, &page), POISE_ESTORE);
    char path[80];
    snprintf(path, sizeof path, "%s/other", f->path);
    store_close(f->store);
    f->store = open_at(path, 2); /* as restored from a backup */
    append(f, 2, BEGINS);
    assert_int_equal(read_page(f, &asked, &page), POISE_ESTORE);
}

/* As anybody can make one: behind a settle, where no more of it comes. */
static void a_forged_cursor_ends_too(void **state)
{
    enum { LSN = 9, SETTLE = 21, CRC = 41 }; /* where they are in it */
    struct fixture *f = *state;
    struct wire_changes asked = {0};
    struct wire_changed page;
    uint8_t cursor[WIRE_CURSOR_MAX];
    append(f, 3, BEGINS);
    append(f, 0, 0);
    read_all(f, &asked, cursor);
    for (uint8_t lsn = 2; lsn <= 3; lsn++) {
        struct buf crc = {0};
        cursor[LSN] = lsn;
        cursor[SETTLE] = 1;
        buf_put_u32(&crc, crc32c(cursor, CRC));
        memcpy(cursor + CRC, crc.data, crc.length);
        buf_free(&crc);
        assert_int_equal(read_page(f, &asked, &page), POISE_EPROTO);
    }
}

static void what_was_trimmed_is_said(void **state)
{
    struct fixture *f = *state;
    uint8_t cursor[WIRE_CURSOR_MAX];
    struct wire_changes asked = {0};
    struct wire_changed page;
    append(f, 2, BEGINS);
    read_all(f, &asked, cursor);
    append(f, 2, BEGINS);
    append(f, 2, BEGINS);
    trimmed = 1;
    read_all(f, &asked, cursor); /* it goes on with the first that is left */
    f->got = 2;
    struct wire_changes anew = {0};
    read_all(f, &anew, cursor);
    assert_int_equal(f->got, 6);
    struct wire_changes old = {.after_lsn = 1};
    assert_int_equal(read_page(f, &old, &page), POISE_OK);
    trimmed = 2;
    assert_int_equal(read_page(f, &old, &page), POISE_EGAP);
    assert_non_null(strstr(f->err.text, "take the present states"));
}

static void a_start_ends_it(void **state)
{
    struct fixture *f = *state;
    struct wire_changes asked = {0};
    struct wire_changed page;
    append(f, 2, BEGINS);
    f->stop = true;
    assert_int_equal(read_page(f, &asked, &page), POISE_EBUSY);
}

/* ---- a board that was not there ---- */

static void open_board_at(struct fixture *f, struct board *board, uint64_t lsn)
{
    assert_int_equal(board_init(board, f->cards, 1, NULL), POISE_OK);
    struct changes *all = changes_make(lsn, 1000, f->card->node_count);
    for (uint32_t i = 0; i < f->card->node_count; i++)
        all->states[all->count++] = state_make(f->card, i, "", 1000 + i);
    assert_int_equal(board_apply(board, all, NULL), POISE_OK);
    free(all);
    assert_int_equal(board_recall(board, f->store, NULL), POISE_OK);
}

static void open_board(struct fixture *f, struct board *board)
{
    open_board_at(f, board, store_last_lsn(f->store));
}

/* How many states a subscriber gets that goes on from there; -1: a snapshot. */
static int resumed(struct board *board, uint64_t lsn, uint32_t changes, size_t *ret_revisions)
{
    static poise_state scratch[4096];
    struct wire_subscribe wanted = {.id = 1, .from_lsn = lsn, .filter = {.changes = changes}};
    struct net_peer peer = {.length = 1};
    struct subscription *s = NULL;
    struct subscription_message message = {0};
    int count = -1;
    size_t revisions = 0;
    assert_int_equal(subscription_open(&wanted, &peer, &filter_everybody, board, &s, NULL), POISE_OK);
    if (s->resumed) {
        subscription_next(s, board, 0, scratch, 4096, &message);
        for (size_t i = 0; i < message.states.count; i++)
            revisions += scratch[i].revision > 0;
        count = (int)(message.states.count - revisions);
    }
    if (ret_revisions)
        *ret_revisions = revisions;
    subscription_close(s);
    return count;
}

static void a_board_recalls_what_was_before(void **state)
{
    struct fixture *f = *state;
    struct board board;
    size_t revisions;
    append(f, 2, BEGINS);           /* 1 */
    append(f, 5, BEGINS);           /* 2 */
    append(f, 5, BEGINS | MORE);    /* 3 */
    append(f, 1, 0);                /* 4 */
    append(f, 2, BEGINS | RED);     /* 5 */
    append(f, 4, BEGINS | REVISES); /* 6 */
    append(f, 9, BEGINS | MORE);    /* 7: cut short, and not told yet */
    open_board(f, &board);
    assert_int_equal(resumed(&board, 7, 0, NULL), 0);
    assert_int_equal(resumed(&board, 6, 0, NULL), 0);
    assert_int_equal(resumed(&board, 5, 0, &revisions), 0);
    assert_int_equal(revisions, 4);
    assert_int_equal(resumed(&board, 3, 0, NULL), 2);
    assert_int_equal(resumed(&board, 2, 0, &revisions), 5);
    assert_int_equal(revisions, 4);
    assert_int_equal(resumed(&board, 2, POISE_CHANGES_STATUS, NULL), 2);
    assert_int_equal(resumed(&board, 1, 0, NULL), 5);
    assert_int_equal(resumed(&board, 8, 0, NULL), -1);
    board_free(&board);
    trimmed = 2; /* the rest of a settle that began before is none */
    open_board(f, &board);
    assert_int_equal(resumed(&board, 1, 0, NULL), -1);
    assert_int_equal(resumed(&board, 2, 0, NULL), 5);
    board_free(&board);
    trimmed = 3;
    open_board(f, &board);
    assert_int_equal(resumed(&board, 2, 0, NULL), -1);
    assert_int_equal(resumed(&board, 3, 0, NULL), 2);
    board_free(&board);
}

/* A start shows what was settled last, though more was journaled: the lsn is that of the first part. */
static void a_board_recalls_all_of_its_settle(void **state)
{
    struct fixture *f = *state;
    struct board board;
    append(f, 2, BEGINS);        /* 1 */
    append(f, 5, BEGINS | MORE); /* 2 */
    append(f, 7, 0);             /* 3 */
    append(f, 0, 0);             /* 4: rows */
    append(f, 9, BEGINS);        /* 5: will be told yet */
    open_board_at(f, &board, 2);
    assert_int_equal(resumed(&board, 1, 0, NULL), 7);
    assert_int_equal(resumed(&board, 2, 0, NULL), 0);
    assert_int_equal(resumed(&board, 3, 0, NULL), -1);
    board_free(&board);
}

/* The board has had it since the start, and so nothing to compare with. */
static void what_a_start_owes_is_told_to_who_wants_another_status(void **state)
{
    struct fixture *f = *state;
    struct board board;
    append(f, 5, BEGINS | RED);               /* 1 */
    append(f, 2, BEGINS | MORE | RED | LOST); /* 2 */
    open_board(f, &board);
    struct changes *changes = changes_make(3, 1000, 2);
    for (; changes->count < 2; changes->count++)
        changes->states[changes->count] =
            state_make(f->card, (uint32_t)changes->count, "", 1000 + (double)changes->count);
    changes->again = true;
    assert_int_equal(board_apply(&board, changes, NULL), POISE_OK);
    free(changes);
    assert_int_equal(resumed(&board, 1, POISE_CHANGES_STATUS, NULL), 2);
    assert_int_equal(resumed(&board, 3, POISE_CHANGES_STATUS, NULL), 0);
    board_free(&board);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(each_change_comes_once),
        TEST(what_a_crash_has_cut_short_is_not_told),
        TEST(only_what_is_asked_for),
        TEST(cursors_that_are_none),
        TEST(a_forged_cursor_ends_too),
        TEST(what_was_trimmed_is_said),
        TEST(a_start_ends_it),
        TEST(a_board_recalls_what_was_before),
        TEST(a_board_recalls_all_of_its_settle),
        TEST(what_a_start_owes_is_told_to_who_wants_another_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
