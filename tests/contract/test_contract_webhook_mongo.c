/* The store of webhooks on MongoDB. */
#include "tests/contract/contract_webhook.h"

#define DESK_SCHEMA &webhook_mongo_schema
#define DESK_COLLECTIONS "webhooks", "deliveries", "webhook_answers", "log_readers"
#define DESK_DESTROY webhook_store_destroy
#include "tests/contract/subscriber_mongo.h"

static enum err store_make(struct mongo_pool *pool, int64_t now_ms, struct fault *fault, struct webhook_store **out)
{
    (void)now_ms;
    (void)fault;
    *out = webhook_store_mongo_new(pool);
    return ERR_NONE;
}

static void test_any_command_may_be_spoilt(void **state)
{
    (void)state;
    spoil_all(25);
}

int main(void)
{
    const struct CMUnitTest tests[] = {CONTRACT_TESTS, cmocka_unit_test(test_any_command_may_be_spoilt)};
    contract_host = &mongo_host;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
