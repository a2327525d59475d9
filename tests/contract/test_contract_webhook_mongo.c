/* The store of webhooks on MongoDB. */
#include "tests/contract/contract_webhook.h"

#include <unistd.h>

#include "lib/store/mongo.h"
#include "tests/mongo/database.h"

struct place {
    char url[TEST_URL_SIZE];
    struct mongo_pool *pool;
};

static void mongo_open(struct desk *desk)
{
    struct place *place = calloc(1, sizeof *place);
    struct fault fault;
    test_database_new(place->url);
    struct store_config config = {
        .store = place->url, .store_connect_ms = 2000, .store_select_ms = 5000, .store_answer_ms = 20000};
    fault_init(&fault, NULL);
    if (mongo_pool_open(&config, &webhook_mongo_schema, NULL, &fault, &place->pool) != ERR_NONE) {
        fail_msg("open: %s (%s)", fault.detail, fault.cause);
    }
    desk->store = webhook_store_mongo_new(place->pool);
    desk->host = place;
}

static void mongo_close(struct desk *desk)
{
    struct place *place = desk->host;
    webhook_store_destroy(&desk->store);
    mongo_pool_destroy(&place->pool);
    test_database_drop(place->url);
    free(place);
}

int main(void)
{
    static const struct contract_host host = {mongo_open, mongo_close};
    const struct CMUnitTest tests[] = {CONTRACT_TESTS};
    contract_host = &host;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
