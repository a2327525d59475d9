/* The store of orders on SQLite. */
#include <stdio.h>
#include <stdlib.h>

#include "lib/store/sqlite.h"
#include "tests/contract/contract_order.h"
#include "tests/contract/sqlite_work.h"

static void sqlite_open(struct contract_shop *shop)
{
    char url[96];
    struct fault fault;
    char *folder = strdup("/tmp/zmart-test-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(url, sizeof url, "sqlite:%s", folder);
    struct store_config config = {.store = url, .store_busy_ms = 50};
    struct sqlite_db *db = NULL;
    fault_init(&fault, NULL);
    if (sqlite_db_open(&config, &order_sqlite_schema, true, NULL, &fault, &db) != ERR_NONE) {
        fail_msg("open: %s (%s)", fault.detail, fault.cause);
    }
    shop->store = order_store_sqlite_new(db);
    shop->unit = &sqlite_unit;
    shop->handle = db;
    shop->host = folder;
}

static void sqlite_close(struct contract_shop *shop)
{
    char command[96];
    struct sqlite_db *db = shop->handle;
    order_store_destroy(&shop->store);
    sqlite_db_destroy(&db);
    snprintf(command, sizeof command, "rm -r '%s'", (const char *)shop->host);
    assert_int_equal(system(command), 0);
    free(shop->host);
}

/* What timers do when there is nothing to do costs no commit. */
static void test_idle_writes_nothing(void **state)
{
    struct contract_shop *shop = *state;
    struct order order = order_made(shop, 1, "usr_1", 1000);
    struct due_list list;
    int count;
    shop_begin(shop);
    assert_false(taken_by_order(shop, &order, "f-1"));
    assert_int_equal(order_store_due(shop->store, SETTLE_MAX, &shop->arena, &shop->fault, &list), ERR_NONE);
    assert_int_equal(order_store_settled(shop->store, &list, &shop->fault), ERR_NONE);
    shop_commit(shop);
    sqlite3_stmt *changes = sqlite_prepare(shop->handle, "SELECT total_changes()", &shop->fault);
    assert_int_equal(sqlite_step(shop->handle, changes, &shop->fault), SQLITE_STEP_ROW);
    int64_t before = sqlite_int_at(changes, 0);
    (void)sqlite3_reset(changes);
    shop_begin(shop);
    assert_int_equal(order_store_settled(shop->store, &list, &shop->fault), ERR_NONE);
    assert_int_equal(order_store_due(shop->store, SETTLE_MAX, &shop->arena, &shop->fault, &list), ERR_NONE);
    assert_int_equal(list.count, 0);
    assert_int_equal(order_store_purge(shop->store, INT64_MAX, 100, &shop->fault, &count), ERR_NONE);
    shop_commit(shop);
    assert_int_equal(sqlite_step(shop->handle, changes, &shop->fault), SQLITE_STEP_ROW);
    assert_int_equal(sqlite_int_at(changes, 0), before);
    (void)sqlite3_reset(changes);
}

/* Everything that an order and the timers ask for, until it is shipped. -> its work */
static int64_t order_run(struct contract_shop *shop, int n)
{
    struct order order = order_made(shop, n, "usr_1", 1000 + n);
    struct due_list list;
    int count;
    (void)work_done(shop->handle);
    shop_begin(shop);
    (void)entry_found(shop, order.id);
    assert_false(taken_by_order(shop, &order, "f-1"));
    assert_int_equal(order_store_due(shop->store, SETTLE_MAX, &shop->arena, &shop->fault, &list), ERR_NONE);
    assert_int_equal(order_store_settled(shop->store, &list, &shop->fault), ERR_NONE);
    struct order moved = order_moved(&order, ORDER_CONFIRMED);
    assert_int_equal(order_store_change(shop->store, &moved, HOLDS_NOTHING_DUE, NULL, &shop->fault), ERR_NONE);
    struct order_page_query query = {
        .user_id = TEXT("usr_1"), .status = -1, .before_at = INT64_MAX, .before_id = TEXT(""), .limit = 1};
    struct order_row_list page;
    assert_int_equal(order_store_page(shop->store, &query, &shop->arena, &shop->fault, &page), ERR_NONE);
    assert_int_equal(order_store_purge(shop->store, 0, 100, &shop->fault, &count), ERR_NONE);
    shop_commit(shop);
    return work_done(shop->handle);
}

/* What an order costs does not grow with the orders that there are. */
static void test_work_does_not_grow(void **state)
{
    struct contract_shop *shop = *state;
    (void)order_run(shop, 1); /* prepares */
    (void)order_run(shop, 2);
    int64_t before = order_run(shop, 3);
    work_execute(shop->handle, WORK_NUMBERS "INSERT INTO orders SELECT printf('ord_more_%d', n), kind, user_id, "
                                            "status, version, created_at, fingerprint, due,"
                                            " document FROM many, orders WHERE id = 'ord_00001'");
    assert_int_equal(order_run(shop, 4), before);
}

int main(void)
{
    static const struct contract_host host = {sqlite_open, sqlite_close, NULL};
    const struct CMUnitTest tests[] = {ORDER_TEST(test_idle_writes_nothing, &host),
                                       ORDER_TEST(test_work_does_not_grow, &host)};
    return contract_order_run(&host) + contract_order_units_run(&host) + contract_order_failing_run(&host) +
           cmocka_run_group_tests(tests, NULL, NULL);
}
