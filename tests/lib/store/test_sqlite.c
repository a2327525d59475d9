/* The SQLite handle: opening, the lock, migrations, the unit of work, errors made ours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/store/sqlite.h"

static const char *const migrations[] = {
    "CREATE TABLE thing(id TEXT PRIMARY KEY, amount INTEGER NOT NULL CHECK(amount >= 0)) STRICT;",
    "ALTER TABLE thing ADD COLUMN note TEXT;",
};
static const struct sqlite_schema schema_old = {"thing.db", migrations, 1};
static const struct sqlite_schema schema_new = {"thing.db", migrations, 2};

struct place {
    char folder[64];
    char url[160];
    struct store_config config;
    struct metrics *metrics;
};

static int place_make(void **state)
{
    struct place *place = calloc(1, sizeof *place);
    snprintf(place->folder, sizeof place->folder, "/tmp/zmart-test-XXXXXX");
    assert_non_null(mkdtemp(place->folder));
    snprintf(place->url, sizeof place->url, "sqlite:%s/deep/down", place->folder);
    place->config = (struct store_config){.store = place->url, .store_busy_ms = 50};
    place->metrics = metrics_new();
    *state = place;
    return 0;
}

static int place_drop(void **state)
{
    struct place *place = *state;
    char command[128];
    snprintf(command, sizeof command, "rm -r '%s'", place->folder);
    int status = system(command);
    metrics_destroy(&place->metrics);
    free(place);
    return status;
}

static struct sqlite_db *opened(struct place *place, const struct sqlite_schema *schema, bool writer)
{
    struct fault fault;
    struct sqlite_db *db = NULL;
    fault_init(&fault, NULL);
    enum err e = sqlite_db_open(&place->config, schema, writer, place->metrics, &fault, &db);
    if (e != ERR_NONE) {
        fail_msg("open: %s (%s)", fault.detail, fault.cause);
    }
    return db;
}

static enum err thing_insert(struct sqlite_db *db, const char *id, int64_t amount)
{
    sqlite3_stmt *insert = sqlite_prepare(db, "INSERT INTO thing(id, amount) VALUES(?1, ?2)", NULL);
    assert_non_null(insert);
    sqlite_bind_text_at(insert, 1, text_of(id));
    sqlite_bind_int_at(insert, 2, amount);
    return sqlite_run(db, insert, NULL);
}

static int64_t thing_count(struct sqlite_db *db)
{
    sqlite3_stmt *count = sqlite_prepare(db, "SELECT count(*) FROM thing", NULL);
    assert_non_null(count);
    assert_int_equal(sqlite_step(db, count, NULL), SQLITE_STEP_ROW);
    int64_t result = sqlite_int_at(count, 0);
    (void)sqlite3_reset(count);
    return result;
}

static void test_opens_and_migrates(void **state)
{
    struct place *place = *state;
    struct sqlite_db *db = opened(place, &schema_old, true);
    assert_int_equal(thing_insert(db, "a", 1), ERR_NONE);
    sqlite_db_destroy(&db);
    assert_null(db);
    db = opened(place, &schema_new, true);
    sqlite3_stmt *update = sqlite_prepare(db, "UPDATE thing SET note = 'x'", NULL);
    assert_non_null(update);
    assert_int_equal(sqlite_run(db, update, NULL), ERR_NONE);
    assert_int_equal(sqlite_changes_of(db), 1);
    sqlite_db_destroy(&db);

    struct stat info;
    char path[256];
    snprintf(path, sizeof path, "%s/deep/down/thing.db", place->folder);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    snprintf(path, sizeof path, "%s/deep", place->folder);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
}

static void test_refuses_a_newer_file(void **state)
{
    struct place *place = *state;
    struct sqlite_db *db = opened(place, &schema_new, true);
    sqlite_db_destroy(&db);
    struct fault fault;
    fault_init(&fault, NULL);
    assert_int_equal(sqlite_db_open(&place->config, &schema_old, true, NULL, &fault, &db), ERR_SERVICE_UNAVAILABLE);
    assert_null(db);
    assert_non_null(strstr(fault.detail, "newer"));
}

static void test_leaves_a_foreign_file_alone(void **state)
{
    struct place *place = *state;
    struct sqlite_db *db = opened(place, &schema_old, true);
    sqlite_db_destroy(&db); /* for its folder */
    char path[256];
    struct stat before, after;
    sqlite3 *foreign = NULL;
    struct fault fault;
    fault_init(&fault, NULL);
    snprintf(path, sizeof path, "%s/deep/down/thing.db", place->folder);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(sqlite3_open(path, &foreign), SQLITE_OK);
    assert_int_equal(sqlite3_exec(foreign, "CREATE TABLE letters (a)", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(foreign), SQLITE_OK);
    assert_int_equal(stat(path, &before), 0);
    assert_int_equal(sqlite_db_open(&place->config, &schema_new, true, NULL, &fault, &db), ERR_SERVICE_UNAVAILABLE);
    assert_null(db);
    assert_non_null(strstr(fault.detail, "thing.db holds something that is not zmart's"));
    assert_int_equal(stat(path, &after), 0);
    assert_memory_equal(&before.st_mtim, &after.st_mtim, sizeof before.st_mtim); /* nothing was written */
    assert_int_equal(before.st_size, after.st_size);
}

static void test_refuses_a_second_writer(void **state)
{
    struct place *place = *state;
    struct sqlite_db *db = opened(place, &schema_new, true);
    struct sqlite_db *second = NULL;
    struct fault fault;
    fault_init(&fault, NULL);
    assert_int_equal(sqlite_db_open(&place->config, &schema_new, true, NULL, &fault, &second), ERR_SERVICE_UNAVAILABLE);
    assert_null(second);
    assert_non_null(strstr(fault.detail, "mongodb://"));
    struct sqlite_db *reader = opened(place, &schema_new, false);
    assert_int_equal(thing_count(reader), 0);
    assert_int_not_equal(thing_insert(reader, "a", 1), ERR_NONE);
    sqlite_db_destroy(&reader);
    sqlite_db_destroy(&db);
}

static void test_refuses_other_urls(void **state)
{
    struct place *place = *state;
    const char *urls[] = {"mongodb://localhost/shop", "sqlite:", "", "data"};
    for (size_t i = 0; i < ARRAY_COUNT(urls); i++) {
        struct store_config config = {.store = urls[i]};
        struct sqlite_db *db = NULL;
        struct fault fault;
        fault_init(&fault, NULL);
        assert_int_equal(sqlite_db_open(&config, &schema_new, true, NULL, &fault, &db), ERR_SERVICE_UNAVAILABLE);
        assert_null(db);
        assert_true(fault.detail[0] != '\0');
    }
    (void)place;
}

static void test_savepoints_undo_one(void **state)
{
    struct place *place = *state;
    struct sqlite_db *db = opened(place, &schema_new, true);
    struct sqlite_db *reader = opened(place, &schema_new, false);
    assert_int_equal(sqlite_unit.begin(db, true, NULL), ERR_NONE);
    for (int i = 0; i < 3; i++) {
        const char *ids[] = {"a", "b", "c"};
        assert_int_equal(sqlite_unit.savepoint(db, NULL), ERR_NONE);
        assert_int_equal(thing_insert(db, ids[i], i), ERR_NONE);
        if (i == 1) {
            sqlite_unit.undo(db);
        } else {
            assert_int_equal(sqlite_unit.release(db, NULL), ERR_NONE);
        }
    }
    assert_false(sqlite_unit.broken(db));
    assert_int_equal(sqlite_undone(db), 1);
    assert_int_equal(thing_count(reader), 0);
    assert_int_equal(sqlite_unit.commit(db, NULL), ERR_NONE);
    assert_int_equal(thing_count(reader), 2);
    assert_int_equal(sqlite_undone(db), 1);
    assert_int_equal(sqlite_unit.begin(db, true, NULL), ERR_NONE);
    assert_int_equal(thing_insert(db, "d", 4), ERR_NONE);
    sqlite_unit.rollback(db);
    assert_int_equal(sqlite_undone(db), 2);
    assert_int_equal(thing_count(reader), 2);
    assert_true(sqlite_unit.broken(db)); /* outside a unit there is no transaction */
    sqlite_db_destroy(&reader);
    sqlite_db_destroy(&db);
}

static void test_counts_commits_that_wrote(void **state)
{
    struct place *place = *state;
    struct sqlite_db *db = opened(place, &schema_new, true);
    struct metric *commits = metrics_get(place->metrics, METRIC_COUNTER, "zmart_store_commits_total", "", "");
    assert_int_equal(sqlite_unit.begin(db, true, NULL), ERR_NONE);
    assert_int_equal(sqlite_unit.commit(db, NULL), ERR_NONE);
    assert_int_equal(metric_value(commits), 0);
    assert_int_equal(sqlite_unit.begin(db, true, NULL), ERR_NONE);
    assert_int_equal(thing_insert(db, "a", 1), ERR_NONE);
    assert_int_equal(thing_insert(db, "b", 1), ERR_NONE);
    assert_int_equal(sqlite_unit.commit(db, NULL), ERR_NONE);
    assert_int_equal(metric_value(commits), 1);
    sqlite_db_destroy(&db);
}

static void test_constraints_are_conflicts(void **state)
{
    struct place *place = *state;
    struct sqlite_db *db = opened(place, &schema_new, true);
    assert_int_equal(thing_insert(db, "a", 1), ERR_NONE);
    assert_int_equal(thing_insert(db, "a", 1), ERR_CONFLICT);
    assert_int_equal(thing_insert(db, "b", -1), ERR_CONFLICT);
    assert_int_equal(thing_count(db), 1);
    sqlite_db_destroy(&db);
}

static void test_a_full_store_loses_nothing(void **state)
{
    struct place *place = *state;
    struct sqlite_db *db = opened(place, &schema_new, true);
    assert_int_equal(thing_insert(db, "kept", 1), ERR_NONE);
    sqlite3_stmt *limit = sqlite_prepare(db, "PRAGMA max_page_count = 3", NULL);
    assert_non_null(limit);
    assert_int_equal(sqlite_run(db, limit, NULL), ERR_NONE);
    struct fault fault;
    fault_init(&fault, NULL);
    enum err e = ERR_NONE;
    assert_int_equal(sqlite_unit.begin(db, true, &fault), ERR_NONE);
    for (int i = 0; i < 1000 && e == ERR_NONE; i++) {
        char id[200];
        snprintf(id, sizeof id, "%0150d", i);
        sqlite3_stmt *insert = sqlite_prepare(db, "INSERT INTO thing(id, amount) VALUES(?1, 1)", &fault);
        assert_non_null(insert);
        sqlite_bind_text_at(insert, 1, text_of(id));
        e = sqlite_run(db, insert, &fault);
    }
    assert_int_equal(e, ERR_SERVICE_UNAVAILABLE);
    assert_string_equal(fault.detail, "the store is full");
    sqlite_unit.rollback(db);
    assert_int_equal(thing_count(db), 1);
    sqlite_db_destroy(&db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_opens_and_migrates, place_make, place_drop),
        cmocka_unit_test_setup_teardown(test_refuses_a_newer_file, place_make, place_drop),
        cmocka_unit_test_setup_teardown(test_leaves_a_foreign_file_alone, place_make, place_drop),
        cmocka_unit_test_setup_teardown(test_refuses_a_second_writer, place_make, place_drop),
        cmocka_unit_test_setup_teardown(test_refuses_other_urls, place_make, place_drop),
        cmocka_unit_test_setup_teardown(test_savepoints_undo_one, place_make, place_drop),
        cmocka_unit_test_setup_teardown(test_counts_commits_that_wrote, place_make, place_drop),
        cmocka_unit_test_setup_teardown(test_constraints_are_conflicts, place_make, place_drop),
        cmocka_unit_test_setup_teardown(test_a_full_store_loses_nothing, place_make, place_drop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
