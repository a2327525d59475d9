/* The store of mails on SQLite. */
#include "tests/contract/contract_mail.h"

static void store_open(struct desk *desk, int64_t now_ms)
{
    char url[96];
    struct fault fault;
    snprintf(url, sizeof url, "sqlite:%s", (const char *)desk->host);
    struct store_config config = {.store = url, .store_busy_ms = 50};
    fault_init(&fault, NULL);
    if (mail_store_sqlite_open(&config, true, now_ms, NULL, &fault, &desk->store) != ERR_NONE) {
        fail_msg("open: %s (%s)", fault.detail, fault.cause);
    }
}

static void sqlite_open(struct desk *desk)
{
    desk->host = strdup("/tmp/zmart-test-XXXXXX");
    assert_non_null(mkdtemp(desk->host));
    store_open(desk, MADE_AT);
}

static void sqlite_reopen(struct desk *desk)
{
    mail_store_destroy(&desk->store);
    store_open(desk, MADE_AT + 1000);
}

static void sqlite_close(struct desk *desk)
{
    char command[96];
    mail_store_destroy(&desk->store);
    snprintf(command, sizeof command, "rm -r '%s'", (const char *)desk->host);
    assert_int_equal(system(command), 0);
    free(desk->host);
}

int main(void)
{
    static const struct contract_host host = {sqlite_open, sqlite_reopen, sqlite_close};
    const struct CMUnitTest tests[] = {CONTRACT_TESTS};
    contract_host = &host;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
