/* The store of orders on SQLite. */
#include "tests/contract/contract_order_failing.h"

#include "lib/store/sqlite.h"

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

int main(void)
{
    static const struct contract_host host = {sqlite_open, sqlite_close};
    const struct CMUnitTest tests[] = {CONTRACT_TESTS, cmocka_unit_test(test_every_call_fails_once)};
    contract_host = &host;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
