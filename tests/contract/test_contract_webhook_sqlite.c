/* The store of webhooks on SQLite. */
#include "tests/contract/contract_webhook.h"

#define DESK_DESTROY webhook_store_destroy
#include "tests/contract/subscriber_sqlite.h"

static enum err store_make(const struct store_config *config, int64_t now_ms, struct fault *fault,
                           struct webhook_store **out)
{
    (void)now_ms;
    return webhook_store_sqlite_open(config, true, NULL, fault, out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {CONTRACT_TESTS};
    contract_host = &sqlite_host;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
