/* Sessions, tickets and sweeping on the file: what one handle commits another one sees, and no sweep takes too much. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/mem.h"
#include "user-svc/store.h"

enum { NOW = 1000 };

struct pair {
    char url[80];
    struct store_config config;
    struct fault fault;
    struct arena arena;
    struct user_store *writer, *reader;
};

static int pair_open(void **state)
{
    struct pair *pair = mem_alloc(sizeof *pair);
    char folder[] = "/tmp/zmart-test-XXXXXX";
    assert_non_null(mkdtemp(folder));
    snprintf(pair->url, sizeof pair->url, "sqlite:%s", folder);
    pair->config = (struct store_config){.store = pair->url, .store_busy_ms = 1000};
    fault_init(&pair->fault, &pair->arena);
    assert_int_equal(user_store_open_sqlite(&pair->config, true, NULL, &pair->fault, &pair->writer), ERR_NONE);
    assert_int_equal(user_store_open_sqlite(&pair->config, false, NULL, &pair->fault, &pair->reader), ERR_NONE);
    *state = pair;
    return 0;
}

static int pair_close(void **state)
{
    struct pair *pair = *state;
    char command[128];
    user_store_destroy(&pair->reader);
    user_store_destroy(&pair->writer);
    arena_release(&pair->arena);
    snprintf(command, sizeof command, "rm -r '%s'", pair->url + sizeof "sqlite:" - 1);
    int status = system(command);
    mem_free(pair);
    return status;
}

static void begin(struct pair *pair)
{
    assert_int_equal(pair->writer->unit->begin(pair->writer->unit_store, true, &pair->fault), ERR_NONE);
}

static void commit(struct pair *pair)
{
    assert_int_equal(pair->writer->unit->commit(pair->writer->unit_store, &pair->fault), ERR_NONE);
}

static void session_put(struct pair *pair, const char *id)
{
    struct session session = {.id = text_of(id), .user_id = TEXT("usr_1"), .refresh_hash = TEXT("hash"),
                              .created_ms = NOW, .used_ms = NOW};
    assert_int_equal(user_store_session_insert(pair->writer, &session, &pair->fault), ERR_NONE);
}

static bool reader_lets_in(struct pair *pair)
{
    struct token_check check = {.session_id = TEXT("ses_1"), .user_id = TEXT("usr_1"), .issued_at = NOW};
    bool good = false;
    assert_int_equal(user_store_token_good(pair->reader, &check, &pair->fault, &good), ERR_NONE);
    return good;
}

static void readers_see_what_is_committed(void **state)
{
    struct pair *pair = *state;
    bool went_on = false;
    begin(pair);
    session_put(pair, "ses_1");
    assert_false(reader_lets_in(pair));
    commit(pair);
    assert_true(reader_lets_in(pair));
    begin(pair);
    struct session_end end = {.id = TEXT("ses_1"), .now_ms = NOW};
    assert_int_equal(user_store_session_end(pair->writer, &end, &pair->arena, &pair->fault, &went_on), ERR_NONE);
    assert_true(reader_lets_in(pair));
    commit(pair);
    assert_false(reader_lets_in(pair));
}

static void readers_cannot_write(void **state)
{
    struct pair *pair = *state;
    struct session session = {.id = TEXT("ses_9"), .user_id = TEXT("usr_1"), .refresh_hash = TEXT("hash")};
    assert_int_not_equal(user_store_session_insert(pair->reader, &session, &pair->fault), ERR_NONE);
}

static void a_sweep_takes_no_more_than_it_may(void **state)
{
    enum { SESSIONS = 7, A_SWEEP = 3 };
    struct pair *pair = *state;
    struct session found;
    struct user_sweep bounds = {.now_ms = NOW, .sessions_before_ms = NOW + 1, .row_count = A_SWEEP};
    begin(pair);
    for (int i = 0; i < SESSIONS; i++) {
        char id[16];
        snprintf(id, sizeof id, "ses_%d", i);
        session_put(pair, id);
    }
    for (int left = SESSIONS; left > 0; left -= A_SWEEP) {
        int count = 0;
        for (int i = 0; i < SESSIONS; i++) {
            char id[16];
            snprintf(id, sizeof id, "ses_%d", i);
            count += user_store_session_get(pair->writer, text_of(id), &pair->arena, &pair->fault, &found) == ERR_NONE;
        }
        assert_int_equal(count, left);
        assert_int_equal(user_store_sweep(pair->writer, &bounds, &pair->fault), ERR_NONE);
    }
    commit(pair);
}

#define IN_PAIR(name) cmocka_unit_test_setup_teardown(name, pair_open, pair_close)

int main(void)
{
    const struct CMUnitTest tests[] = {IN_PAIR(readers_see_what_is_committed), IN_PAIR(readers_cannot_write),
                                       IN_PAIR(a_sweep_takes_no_more_than_it_may)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
