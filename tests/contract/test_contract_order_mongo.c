/* The store of orders on MongoDB: the suite, and how many commands each verb takes. */
#include <unistd.h>

#include "lib/base/clock.h"
#include "tests/contract/contract_order.h"
#include "tests/mongo/patient.h"
#include "tests/mongo/proxy.h"

struct place {
    char url[TEST_URL_SIZE];
    struct metrics *metrics;
    struct mongo_pool *pool;
    struct mongo_db *db;
};

enum { ANSWER_MS = 20000, RECOVER_MS = 30000, PAUSE_US = 10000 };

static void place_open(struct contract_shop *shop, const char *url, int64_t answer_ms)
{
    struct place *place = shop->host;
    struct fault fault;
    struct store_config config = {
        .store = url, .store_connect_ms = 2000, .store_select_ms = 5000, .store_answer_ms = answer_ms};
    fault_init(&fault, NULL);
    place->metrics = metrics_new();
    if (patient_pool_open(&config, &order_mongo_schema, place->metrics, &fault, &place->pool) != ERR_NONE) {
        fail_msg("open: %s (%s)", fault.detail, fault.cause);
    }
    place->db = mongo_db_new(place->pool);
    shop->store = order_store_mongo_new(place->db);
}

static void mongo_open(struct contract_shop *shop)
{
    struct place *place = calloc(1, sizeof *place);
    test_database_new(place->url);
    shop->host = place;
    place_open(shop, place->url, ANSWER_MS);
}

static void place_close(struct contract_shop *shop)
{
    struct place *place = shop->host;
    order_store_destroy(&shop->store);
    mongo_db_destroy(&place->db);
    mongo_pool_destroy(&place->pool);
    metrics_destroy(&place->metrics);
}

static void mongo_close(struct contract_shop *shop)
{
    struct place *place = shop->host;
    place_close(shop);
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

/* ---- the N-th command goes wrong on the wire ---- */

/* After a failure the store is not asked for a moment, and a new connection is made. */
static void mongo_recover(struct contract_shop *shop)
{
    struct order_entry entry;
    int64_t end_ms = clock_now_ms() + RECOVER_MS;
    enum err e = ERR_NONE;
    do {
        usleep(e == ERR_NONE ? 0 : PAUSE_US);
        fault_init(&shop->fault, &shop->arena);
        e = order_store_find(shop->store, TEXT("ord_none"), &shop->arena, &shop->fault, &entry);
    } while (e != ERR_NONE && clock_now_ms() < end_ms);
    assert_int_equal(e, ERR_NONE);
}

static const struct contract_host host = {mongo_open, mongo_close, mongo_recover};

static void shop_empty(struct contract_shop *shop)
{
    AUTO(bson_destroy) bson_t all = BSON_INITIALIZER;
    struct place *place = shop->host;
    int64_t count;
    enum err e;
    order_store_destroy(&shop->store);
    shop->store = order_store_mongo_new(place->db);
    do {
        e = mongo_delete_all(place->db, "orders", &all, &shop->fault, &count);
    } while (asked_again(shop, e));
    assert_int_equal(e, ERR_NONE);
}

/* The write may have happened or not, or happens when nobody waits for it any more: it comes out right. */
static void spoil_from_first_to_last(enum spoil how)
{
    struct place place = {0};
    struct contract_shop shop = {.host = &place, .from = &host};
    char direct[TEST_URL_SIZE];
    bool spoilt = true;
    test_database_new(direct);
    struct mongo_proxy *proxy = mongo_proxy_start(direct, place.url);
    fault_init(&shop.fault, &shop.arena);
    place_open(&shop, place.url, spoil_answer_ms(how));
    for (int n = 0; spoilt; n++) {
        mongo_proxy_spoil(proxy, n, how);
        scenario_run(&shop, shop.store);
        spoilt = mongo_proxy_spoilt(proxy);
        mongo_proxy_spoil(proxy, -1, how);
        mongo_proxy_settle(proxy);
        scenario_check(&shop);
        assert_true(spoilt || n >= 10); /* every verb had its turn */
        shop_empty(&shop);
        mongo_proxy_settle(proxy);
    }
    place_close(&shop);
    arena_release(&shop.arena);
    mongo_proxy_stop(&proxy);
    test_database_drop(direct);
}

static void test_every_command_is_lost_once(void **state)
{
    (void)state;
    spoil_from_first_to_last(SPOIL_REQUEST);
}

static void test_every_answer_is_lost_once(void **state)
{
    (void)state;
    spoil_from_first_to_last(SPOIL_REPLY);
}

static void test_every_answer_never_comes_once(void **state)
{
    (void)state;
    spoil_from_first_to_last(SPOIL_SILENCE);
}

static void test_every_command_is_late_once(void **state)
{
    (void)state;
    spoil_from_first_to_last(SPOIL_LATE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {ORDER_TEST(test_round_trips, &host),
                                       cmocka_unit_test(test_every_command_is_lost_once),
                                       cmocka_unit_test(test_every_answer_is_lost_once),
                                       cmocka_unit_test(test_every_answer_never_comes_once),
                                       cmocka_unit_test(test_every_command_is_late_once)};
    return contract_order_run(&host) + contract_order_failing_run(&host) + cmocka_run_group_tests(tests, NULL, NULL);
}
