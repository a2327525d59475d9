/* The file itself: its lock, its readers, and queries that find their index. What the verbs promise is in
 * tests/contract. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/mem.h"
#include "user-svc/store.h"

struct place {
    char url[80];
    struct store_config config;
    struct fault fault;
};

static int place_open(void **state)
{
    struct place *place = mem_alloc(sizeof *place);
    char folder[] = "/tmp/zmart-test-XXXXXX";
    assert_non_null(mkdtemp(folder));
    snprintf(place->url, sizeof place->url, "sqlite:%s", folder);
    place->config = (struct store_config){.store = place->url, .store_busy_ms = 1000};
    fault_init(&place->fault, NULL);
    *state = place;
    return 0;
}

static int place_close(void **state)
{
    struct place *place = *state;
    char command[128];
    snprintf(command, sizeof command, "rm -r '%s'", place->url + sizeof "sqlite:" - 1);
    int status = system(command);
    mem_free(place);
    return status;
}

static void one_writes_and_others_read(void **state)
{
    struct place *place = *state;
    struct user_store *writer = NULL, *second = NULL, *reader = NULL;
    bool founded = true;
    assert_int_equal(user_store_open_sqlite(&place->config, false, NULL, &place->fault, &reader),
                     ERR_SERVICE_UNAVAILABLE);
    assert_int_equal(user_store_open_sqlite(&place->config, true, NULL, &place->fault, &writer), ERR_NONE);
    assert_int_equal(user_store_open_sqlite(&place->config, true, NULL, &place->fault, &second),
                     ERR_SERVICE_UNAVAILABLE);
    assert_null(second);
    assert_int_equal(user_store_open_sqlite(&place->config, false, NULL, &place->fault, &reader), ERR_NONE);
    assert_int_equal(user_store_shop_is_founded(reader, &place->fault, &founded), ERR_NONE);
    assert_false(founded);
    user_store_destroy(&reader);
    user_store_destroy(&writer);
    assert_null(writer);
}

static void other_stores_are_refused_in_words(void **state)
{
    struct place *place = *state;
    struct user_store *store = NULL;
    place->config.store = "paper:notebook";
    assert_int_equal(user_store_open_sqlite(&place->config, true, NULL, &place->fault, &store),
                     ERR_SERVICE_UNAVAILABLE);
    assert_non_null(strstr(place->fault.detail, "--store"));
    place->config.store = place->url; /* for the teardown */
}

static void queries_use_their_indexes(void **state)
{
    static const char *const queries[] = {
        "EXPLAIN QUERY PLAN SELECT * FROM users WHERE email_folded = 'a'",
        "EXPLAIN QUERY PLAN SELECT * FROM users ORDER BY created_at DESC, id DESC LIMIT 5",
        "EXPLAIN QUERY PLAN SELECT * FROM users WHERE role = 'admin' ORDER BY created_at DESC, id DESC LIMIT 5",
        "EXPLAIN QUERY PLAN SELECT id FROM users WHERE denial_ends > 1 AND denial_ends > 0 ORDER BY denial_ends DESC "
        "LIMIT 5",
        "EXPLAIN QUERY PLAN SELECT id FROM sessions WHERE denial_ends > 1 AND denial_ends > 0 ORDER BY denial_ends "
        "DESC LIMIT 5",
        "EXPLAIN QUERY PLAN SELECT s.id FROM sessions s LEFT JOIN users u ON u.id = s.user_id WHERE s.id = 'a'",
        "EXPLAIN QUERY PLAN SELECT hash FROM tickets WHERE expires_at <= 1 LIMIT 5",
        "EXPLAIN QUERY PLAN SELECT id FROM sessions WHERE used_at < 1 LIMIT 5",
        "EXPLAIN QUERY PLAN SELECT id FROM sessions WHERE ended_at < 1 LIMIT 5"};
    struct place *place = *state;
    struct user_store *store = NULL;
    char path[120];
    sqlite3 *handle;
    assert_int_equal(user_store_open_sqlite(&place->config, true, NULL, &place->fault, &store), ERR_NONE);
    user_store_destroy(&store);
    snprintf(path, sizeof path, "%s/user.db", place->url + sizeof "sqlite:" - 1);
    assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
    for (size_t i = 0; i < ARRAY_COUNT(queries); i++) {
        sqlite3_stmt *statement;
        assert_int_equal(sqlite3_prepare_v2(handle, queries[i], -1, &statement, NULL), SQLITE_OK);
        while (sqlite3_step(statement) == SQLITE_ROW) {
            const char *plan = (const char *)sqlite3_column_text(statement, 3);
            if (!strstr(plan, "INDEX") || strstr(plan, "TEMP B-TREE")) {
                fail_msg("%s: %s", queries[i], plan);
            }
        }
        sqlite3_finalize(statement);
    }
    sqlite3_close(handle);
}

/* What the first version had denied stays denied, and nobody's session ends. */
static void files_of_the_first_version_are_taken_over(void **state)
{
    static const char before[] =
        "CREATE TABLE users(id TEXT PRIMARY KEY NOT NULL, email TEXT NOT NULL, email_folded TEXT NOT NULL UNIQUE,"
        " name TEXT NOT NULL, role TEXT NOT NULL, addresses BLOB NOT NULL, password_hash TEXT NOT NULL,"
        " founder INTEGER UNIQUE, denied_until INTEGER NOT NULL, changed_by BLOB NOT NULL, created_at INTEGER NOT NULL,"
        " updated_at INTEGER NOT NULL, version INTEGER NOT NULL) STRICT;"
        "CREATE TABLE sessions(id TEXT PRIMARY KEY NOT NULL, user_id TEXT NOT NULL, refresh_hash BLOB NOT NULL,"
        " created_at INTEGER NOT NULL, used_at INTEGER NOT NULL, ended_at INTEGER) STRICT;"
        "CREATE TABLE denials(position INTEGER PRIMARY KEY AUTOINCREMENT, session_id TEXT, user_id TEXT,"
        " except_session_id TEXT, \"before\" INTEGER NOT NULL, expires_at INTEGER NOT NULL) STRICT;"
        "INSERT INTO users VALUES('usr_1', 'a@b', 'a@b', 'N', 'admin', x'90', 'hash', 1, 50, x'', 1, 1, 1);"
        "INSERT INTO sessions VALUES('ses_1', 'usr_1', x'00', 1, 1, NULL), ('ses_2', 'usr_1', x'00', 1, 1, 40);"
        "INSERT INTO denials(session_id, user_id, \"before\", expires_at) VALUES('ses_2', NULL, 40, 90), (NULL, "
        "'usr_1', 50, 100);"
        "PRAGMA user_version = 1";
    struct place *place = *state;
    struct user_store *store = NULL;
    struct arena arena = {0};
    struct denial_list list;
    char path[120];
    sqlite3 *handle;
    snprintf(path, sizeof path, "%s/user.db", place->url + sizeof "sqlite:" - 1);
    assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
    assert_int_equal(sqlite3_exec(handle, before, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(handle);
    assert_int_equal(user_store_open_sqlite(&place->config, true, NULL, &place->fault, &store), ERR_NONE);
    assert_int_equal(user_store_denial_list(store, 60, &arena, &place->fault, &list), ERR_NONE);
    assert_int_equal(list.denials.count, 2);
    assert_int_equal(list.denials.items[0].before, 50);
    assert_int_equal(list.denials.items[1].before, 40);
    for (int64_t at = 50; at <= 51; at++) {
        struct token_check check = {.session_id = TEXT("ses_1"), .user_id = TEXT("usr_1"), .issued_at = at};
        bool good;
        assert_int_equal(user_store_token_good(store, &check, &place->fault, &good), ERR_NONE);
        assert_int_equal(good, at == 51);
    }
    user_store_destroy(&store);
    arena_release(&arena);
}

#define IN_PLACE(name) cmocka_unit_test_setup_teardown(name, place_open, place_close)

int main(void)
{
    const struct CMUnitTest tests[] = {IN_PLACE(one_writes_and_others_read),
                                       IN_PLACE(other_stores_are_refused_in_words), IN_PLACE(queries_use_their_indexes),
                                       IN_PLACE(files_of_the_first_version_are_taken_over)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
