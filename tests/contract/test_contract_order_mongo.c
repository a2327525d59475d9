/* The store of orders on MongoDB: the suite, and how many commands each verb takes. */
#include "tests/contract/contract_order_failing.h"

#include <unistd.h>

#include "lib/store/mongo.h"
#include "tests/mongo/database.h"

struct place {
    char url[TEST_URL_SIZE];
    struct metrics *metrics;
    struct mongo_pool *pool;
    struct mongo_db *db;
};

static void mongo_open(struct contract_shop *shop)
{
    struct place *place = calloc(1, sizeof *place);
    struct fault fault;
    test_database_new(place->url);
    struct store_config config = {
        .store = place->url, .store_connect_ms = 2000, .store_select_ms = 5000, .store_answer_ms = 20000};
    fault_init(&fault, NULL);
    place->metrics = metrics_new();
    if (mongo_pool_open(&config, &order_mongo_schema, place->metrics, &fault, &place->pool) != ERR_NONE) {
        fail_msg("open: %s (%s)", fault.detail, fault.cause);
    }
    place->db = mongo_db_new(place->pool);
    shop->store = order_store_mongo_new(place->db);
    shop->host = place;
}

static void mongo_close(struct contract_shop *shop)
{
    struct place *place = shop->host;
    order_store_destroy(&shop->store);
    mongo_db_destroy(&place->db);
    mongo_pool_destroy(&place->pool);
    metrics_destroy(&place->metrics);
    test_database_drop(place->url);
    free(place);
}

/* ---- round trips ---- */

struct sum {
    int64_t commands;
};

static void sum_add(struct metric *metric, void *user)
{
    struct sum *sum = user;
    if (strcmp(metric->name, "zmart_store_commands_total") == 0) {
        sum->commands += metric_value(metric);
    }
}

static int64_t commands_sent(const struct contract_shop *shop)
{
    struct sum sum = {0};
    metrics_each(((struct place *)shop->host)->metrics, sum_add, &sum);
    return sum.commands;
}

/* The verb, which must succeed and take so many commands. */
#define ASSERT_COMMANDS(shop, count, verb)                      \
    do {                                                        \
        int64_t before = commands_sent(shop);                   \
        assert_int_equal(verb, ERR_NONE);                       \
        assert_int_equal(commands_sent(shop) - before, count);  \
    } while (0)

/* What lib/store/README.md says. */
static void test_round_trips(void **state)
{
    struct contract_shop *shop = *state;
    struct order_store *store = shop->store;
    struct order order = order_made(shop, 1, "usr_1", 1000), moved = order_moved(&order, ORDER_CONFIRMED);
    struct event_new placed = event_made(&order, "evt_1"), changed = event_made(&order, "evt_2");
    struct order_entry entry, tombstone = {.kind = ORDER_VOID};
    struct order_page_query query = {.status = -1, .before_at = INT64_MAX, .limit = 101};
    struct order_row_list rows;
    struct due_list due;
    struct outbox_page page;
    bool taken;
    int count;
    ASSERT_COMMANDS(shop, 1, order_store_find(store, order.id, &shop->arena, &shop->fault, &entry));
    ASSERT_COMMANDS(shop, 1, order_store_place(store, &order, TEXT("f"), &placed, &shop->fault, &taken));
    ASSERT_COMMANDS(shop, 1, order_store_change(store, &moved, HOLDS_NOTHING_DUE, &changed, &shop->fault));
    ASSERT_COMMANDS(shop, 1, order_store_refuse(store, TEXT("ord_v"), &tombstone, 5, &shop->fault, &taken));
    ASSERT_COMMANDS(shop, 1, order_store_release(store, TEXT("ord_v"), &shop->fault));
    for (int i = 10; i < 200; i++) {
        order = order_made(shop, i, "usr_1", 1000);
        assert_false(taken_by_order(shop, &order, "f"));
    }
    ASSERT_COMMANDS(shop, 1, order_store_page(store, &query, &shop->arena, &shop->fault, &rows));
    assert_int_equal(rows.count, 101);
    ASSERT_COMMANDS(shop, 1, order_store_due(store, SETTLE_MAX, &shop->arena, &shop->fault, &due));
    assert_int_equal(due.count, 192);
    ASSERT_COMMANDS(shop, 1, order_store_settled(store, &due, &shop->fault));
    ASSERT_COMMANDS(shop, 2, order_store_purge(store, 100, 10, &shop->fault, &count));
    assert_int_equal(count, 1);
    ASSERT_COMMANDS(shop, 1, order_store_purge(store, 100, 10, &shop->fault, &count));
    ASSERT_COMMANDS(shop, 1, store->outbox->ops->look(store->outbox, &shop->arena, &shop->fault, &page));
    assert_int_equal(page.append.events.count, 2);
    ASSERT_COMMANDS(shop, 1, store->outbox->ops->clear(store->outbox, &page, &shop->fault));
}

int main(void)
{
    static const struct contract_host host = {mongo_open, mongo_close};
    const struct CMUnitTest tests[] = {CONTRACT_TESTS, CONTRACT_TEST(test_round_trips),
                                       cmocka_unit_test(test_every_call_fails_once)};
    contract_host = &host;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
