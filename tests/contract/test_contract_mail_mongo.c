/* The store of mails on MongoDB. */
#include "tests/contract/contract_mail.h"

#define DESK_SCHEMA &mail_mongo_schema
#define DESK_COLLECTIONS "mails", "log_readers"
#define DESK_DESTROY mail_store_destroy
#include "tests/contract/subscriber_mongo.h"

static enum err store_make(struct mongo_pool *pool, int64_t now_ms, struct fault *fault, struct mail_store **out)
{
    return mail_store_mongo_new(pool, now_ms, fault, out);
}

static void test_any_command_may_be_spoilt(void **state)
{
    (void)state;
    spoil_all(20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {CONTRACT_TESTS, cmocka_unit_test(test_any_command_may_be_spoilt)};
    contract_host = &mongo_host;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
