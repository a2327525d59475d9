/* The store of webhooks on SQLite. */
#include "tests/contract/contract_webhook.h"

static void sqlite_open(struct desk *desk)
{
    char url[96];
    struct fault fault;
    char *folder = strdup("/tmp/zmart-test-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(url, sizeof url, "sqlite:%s", folder);
    struct store_config config = {.store = url, .store_busy_ms = 50};
    fault_init(&fault, NULL);
    if (webhook_store_sqlite_open(&config, true, NULL, &fault, &desk->store) != ERR_NONE) {
        fail_msg("open: %s (%s)", fault.detail, fault.cause);
    }
    desk->host = folder;
}

static void sqlite_close(struct desk *desk)
{
    char command[96];
    webhook_store_destroy(&desk->store);
    snprintf(command, sizeof command, "rm -r '%s'", (const char *)desk->host);
    assert_int_equal(system(command), 0);
    free(desk->host);
}

int main(void)
{
    static const struct contract_host host = {sqlite_open, sqlite_close};
    const struct CMUnitTest tests[] = {CONTRACT_TESTS};
    contract_host = &host;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
