/* What is particular to the MongoDB store of products: how many round trips each verb takes, how many of them a hot
 * product takes, several handles at once, and that what the order saga asks is found by an index. */
#include "tests/contract/contract_product.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "product-svc/store_mongo.h"

/* ---- round trips ---- */

struct counted {
    struct shop *shop;
    struct metrics *metrics;
};

static int counted_open(void **state)
{
    struct counted *counted = calloc(1, sizeof *counted);
    void *shop = *state;
    struct fault fault;
    shop_open(&shop);
    counted->shop = shop;
    counted->metrics = metrics_new();
    product_store_destroy(&counted->shop->store);
    fault_init(&fault, NULL);
    const struct product_access access = {.metrics = counted->metrics};
    assert_int_equal(product_store_open(&counted->shop->config, &access, &fault, &counted->shop->store), ERR_NONE);
    *state = counted;
    return 0;
}

static int counted_close(void **state)
{
    struct counted *counted = *state;
    void *shop = counted->shop;
    shop_close(&shop);
    metrics_destroy(&counted->metrics);
    free(counted);
    return 0;
}

static void sum_add(struct metric *metric, void *user)
{
    int64_t *sum = user;
    if (strcmp(metric->name, "zmart_store_commands_total") == 0) {
        *sum += metric_value(metric);
    }
}

static int64_t commands_sent(const struct counted *counted)
{
    int64_t sum = 0;
    metrics_each(counted->metrics, sum_add, &sum);
    return sum;
}

/* The verb, which must succeed and take so many commands. */
#define ASSERT_COMMANDS(counted, count, verb)                      \
    do {                                                           \
        int64_t before = commands_sent(counted);                   \
        assert_int_equal(verb, ERR_NONE);                          \
        assert_int_equal(commands_sent(counted) - before, count);  \
    } while (0)

/* A reserve of one piece each of the first products. */
static struct product_reserve reserve_of(struct shop *shop, const char *order_id, int products)
{
    struct product_reserve in = {.fingerprint = TEXT("f")};
    char *id = arena_copy(&shop->arena, order_id, strlen(order_id));
    in.order_id = text_of(id);
    in.lines.items = arena_alloc(&shop->arena, (size_t)products * sizeof *in.lines.items);
    in.lines.count = (uint32_t)products;
    for (int i = 0; i < products; i++) {
        in.lines.items[i] = (struct reserve_line){.product_id = shop_product(shop, i).id, .quantity = 1};
    }
    return in;
}

static void every_verb_has_its_round_trips(void **state)
{
    struct counted *counted = *state;
    struct shop *shop = counted->shop;
    struct product out, product = shop_product(shop, 0), other = shop_product(shop, 1);
    struct product_list list;
    struct product_reserved reserved;
    struct product_query query = {.q = TEXT("thing")};
    struct product_edit edit = {.id = product.id, .stock_delta = 1};
    struct request made = shop_request(shop, true), edited = shop_request(shop, false),
                   retired = shop_request(shop, false);
    bool more;
    set_has(product_edit, &edit, stock_delta);
    ASSERT_COMMANDS(counted, 1, shop_insert(shop, &made, &product, &out));
    ASSERT_COMMANDS(counted, 2, shop_insert(shop, &made, &product, &out));
    shop_add(shop, &other);
    ASSERT_COMMANDS(counted, 4, shop_edit(shop, &edited, &edit, NULL, &out));
    ASSERT_COMMANDS(counted, 2, shop_edit(shop, &edited, &edit, NULL, &out));
    ASSERT_COMMANDS(counted, 1, shop_get(shop, product.id, false, &out));
    ASSERT_COMMANDS(counted, 1, shop_page(shop, &query, false, &list));
    set_has(product_query, &query, q);
    ASSERT_COMMANDS(counted, 2, shop_page(shop, &query, false, &list));
    struct product_reserve first = reserve_of(shop, "ord_1", 2), second = reserve_of(shop, "ord_2", 2);
    ASSERT_COMMANDS(counted, 4, shop_reserve(shop, &first, &reserved));
    ASSERT_COMMANDS(counted, 2, shop_reserve(shop, &first, &reserved));
    ASSERT_COMMANDS(counted, 4, shop_reserve(shop, &second, &reserved));
    ASSERT_COMMANDS(counted, 3, shop_settle(shop, first.order_id, HOLD_CONFIRM, "f"));
    ASSERT_COMMANDS(counted, 6, shop_settle(shop, second.order_id, HOLD_RELEASE, "f"));
    ASSERT_COMMANDS(counted, 2, shop_tell(shop, &more));
    ASSERT_COMMANDS(counted, 2, shop_retire(shop, &retired, product.id, NULL));
}

/* ---- a hot product ---- */

enum { GROUP = 64 };

static void a_group_is_one_change_of_its_product(void **state)
{
    struct counted *counted = *state;
    struct shop *shop = counted->shop;
    struct product product = shop_product(shop, 0);
    struct reserve_item items[GROUP];
    struct product_act acts[GROUP];
    struct fault faults[GROUP];
    struct product_reserve ins[GROUP];
    struct product_reserved outs[GROUP];
    product.stock = GROUP - 4;
    shop_add(shop, &product);
    for (int i = 0; i < GROUP; i++) {
        char order[24];
        snprintf(order, sizeof order, "ord_%d", i);
        ins[i] = reserve_of(shop, order, 1);
        fault_init(&faults[i], &shop->arena);
        acts[i] = (struct product_act){.arena = &shop->arena, .fault = &faults[i], .now_ms = shop->now_ms};
        items[i] = (struct reserve_item){.act = &acts[i], .in = &ins[i], .out = &outs[i]};
    }
    for (int round = 0; round < 2; round++) { /* sent again, they take nothing */
        int64_t before = commands_sent(counted);
        shop->store->ops->reserve_all(shop->store, items, GROUP);
        assert_true(commands_sent(counted) - before <= 4);
        for (int i = 0; i < GROUP; i++) {
            assert_int_equal(items[i].status, i < GROUP - 4 ? ERR_NONE : ERR_OUT_OF_STOCK);
        }
        assert_int_equal(shop_stock(shop, product.id), 0);
    }
    assert_int_equal(shop_stale(shop, shop->now_ms).count, GROUP - 4);
}

static void products_asked_for_together_are_one_look(void **state)
{
    struct counted *counted = *state;
    struct shop *shop = counted->shop;
    struct product products[3], outs[5] = {0};
    struct product_act acts[5];
    struct fault faults[5];
    struct get_item items[5];
    for (int i = 0; i < 3; i++) {
        products[i] = shop_product(shop, i);
        products[i].active = i != 1;
        shop_add(shop, &products[i]);
    }
    const struct text ids[] = {products[2].id, products[1].id, TEXT("prd_nobody"), products[1].id, products[2].id};
    static const enum err wanted[] = {ERR_NONE, ERR_NOT_FOUND, ERR_NOT_FOUND, ERR_NONE, ERR_NONE};
    for (int i = 0; i < 5; i++) {
        fault_init(&faults[i], &shop->arena);
        acts[i] = (struct product_act){.arena = &shop->arena, .fault = &faults[i], .now_ms = shop->now_ms};
        items[i] = (struct get_item){.act = &acts[i], .id = ids[i], .inactive_too = i == 3, .out = &outs[i]};
    }
    int64_t before = commands_sent(counted);
    shop->store->ops->get_all(shop->store, items, 5);
    assert_int_equal(commands_sent(counted) - before, 1);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(items[i].status, wanted[i]);
        assert_int_equal(faults[i].code, wanted[i]);
        assert_true(wanted[i] != ERR_NONE || (text_equal(outs[i].id, ids[i]) && outs[i].stock == products[0].stock));
    }
}

/* ---- many writers ---- */

enum { WRITERS = 4, ORDERS_EACH = 12, GOODS = 2, STOCK = 30 };

struct writer {
    const struct shop *shop;
    int number;
    int got;
    pthread_t thread;
};

/* Buys both products, and gives every third order back, through a handle of its own. Every call is made twice. */
static void *writer_main(void *argument)
{
    struct writer *writer = argument;
    struct shop own = {.config = writer->shop->config, .now_ms = writer->shop->now_ms};
    fault_init(&own.fault, &own.arena);
    bool well =
        product_store_open(&own.config, &(struct product_access){.writer = true}, &own.fault, &own.store) == ERR_NONE;
    for (int i = 0; well && i < ORDERS_EACH; i++) {
        char order[24];
        struct product_reserved out;
        enum err e = ERR_NONE;
        snprintf(order, sizeof order, "ord_%d_%d", writer->number, i);
        struct product_reserve in = reserve_of(&own, order, GOODS);
        for (int again = 0; again < 2; again++) {
            e = shop_reserve(&own, &in, &out);
            well = well && (e == ERR_NONE || e == ERR_OUT_OF_STOCK);
        }
        if (e == ERR_NONE && i % 3 > 0) {
            writer->got++;
            well = well && shop_settle(&own, in.order_id, HOLD_CONFIRM, "f") == ERR_NONE;
            continue;
        }
        well = well && shop_settle(&own, in.order_id, HOLD_RELEASE, "f") == ERR_NONE;
        well = well && shop_settle(&own, in.order_id, HOLD_RELEASE, "f") == ERR_NONE;
    }
    product_store_destroy(&own.store);
    arena_release(&own.arena);
    return well ? writer : NULL;
}

static void many_writers_sell_what_there_is(void **state)
{
    struct shop *shop = *state;
    struct writer writers[WRITERS];
    struct text ids[GOODS];
    int got = 0;
    for (int i = 0; i < GOODS; i++) {
        struct product product = shop_product(shop, i);
        product.stock = STOCK;
        shop_add(shop, &product);
        ids[i] = product.id;
    }
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.shop = shop, .number = i};
        assert_int_equal(pthread_create(&writers[i].thread, NULL, writer_main, &writers[i]), 0);
    }
    for (int i = 0; i < WRITERS; i++) {
        void *well;
        pthread_join(writers[i].thread, &well);
        assert_non_null(well);
        got += writers[i].got;
    }
    assert_true(got > 0 && got <= STOCK);
    for (int i = 0; i < GOODS; i++) {
        assert_int_equal(shop_stock(shop, ids[i]), STOCK - got);
    }
    assert_int_equal(shop_stale(shop, INT64_MAX).count, 0);
}

/* ---- plans ---- */

static bool plan_scans(const bson_t *plan)
{
    bson_iter_t iter, at;
    return bson_iter_init(&iter, plan) && bson_iter_find_descendant(&iter, "queryPlanner.winningPlan.stage", &at) &&
           BSON_ITER_HOLDS_UTF8(&at) && strcmp(bson_iter_utf8(&at, NULL), "COLLSCAN") == 0;
}

/* The server's plan for such a filter, as far as it tells one, reads no whole collection. */
static void assert_indexed(mongoc_database_t *database, const char *collection, bson_t *filter)
{
    bson_t reply;
    bson_error_t error;
    bson_t *command = BCON_NEW("explain", "{", "find", BCON_UTF8(collection), "filter", BCON_DOCUMENT(filter), "}",
                               "verbosity", "queryPlanner");
    if (mongoc_database_command_simple(database, command, NULL, &reply, &error) && plan_scans(&reply)) {
        char *text = bson_as_canonical_extended_json(filter, NULL);
        fail_msg("%s: %s reads the whole collection", collection, text);
    }
    bson_destroy(&reply);
    bson_destroy(command);
    bson_destroy(filter);
}

static void what_sagas_ask_has_an_index(void **state)
{
    struct shop *shop = *state;
    mongoc_client_t *client = mongoc_client_new(shop->url);
    mongoc_uri_t *uri = mongoc_uri_new(shop->url);
    mongoc_database_t *database = mongoc_client_get_database(client, mongoc_uri_get_database(uri));
    for (int i = 0; i < 50; i++) {
        struct product product = shop_product(shop, i);
        struct product_reserved out;
        shop_add(shop, &product);
        char order[24];
        snprintf(order, sizeof order, "ord_%d", i);
        struct product_reserve in = reserve_of(shop, order, 1);
        in.lines.items[0].product_id = product.id;
        assert_int_equal(shop_reserve(shop, &in, &out), ERR_NONE);
    }
    assert_indexed(database, "products", BCON_NEW("_id", "{", "$in", "[", "prd_00000001", "prd_00000002", "]", "}"));
    assert_indexed(database, "products", BCON_NEW("pending.order", "{", "$in", "[", "ord_1", "]", "}"));
    assert_indexed(database, "products", BCON_NEW("pending_since", "{", "$lte", BCON_INT64(1), "}"));
    assert_indexed(database, "products", BCON_NEW("news", BCON_BOOL(true)));
    assert_indexed(database, "holds", BCON_NEW("_id", "{", "$in", "[", "ord_1/prd_00000001", "]", "}"));
    assert_indexed(database, "holds", BCON_NEW("order", "{", "$in", "[", "ord_1", "]", "}"));
    assert_indexed(database, "holds", BCON_NEW("open_at", "{", "$lte", BCON_INT64(1), "}"));
    assert_indexed(database, "answers", BCON_NEW("_id", "x"));
    mongoc_database_destroy(database);
    mongoc_uri_destroy(uri);
    mongoc_client_destroy(client);
}

/* ---- vers ---- */

/* A number somewhere in the document with this id; -1: it is not there. */
static int64_t number_at(mongoc_database_t *database, const char *collection, struct text id, const char *path)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    mongoc_collection_t *all = mongoc_database_get_collection(database, collection);
    const bson_t *document;
    bson_iter_t iter, at;
    bson_put_text(&filter, "_id", id);
    mongoc_cursor_t *found = mongoc_collection_find_with_opts(all, &filter, NULL, NULL);
    bool there = mongoc_cursor_next(found, &document) && bson_iter_init(&iter, document) &&
                 bson_iter_find_descendant(&iter, path, &at);
    int64_t number = there ? bson_iter_as_int64(&at) : -1;
    mongoc_cursor_destroy(found);
    mongoc_collection_destroy(all);
    return number;
}

/* A backup takes them as they stood when their product was read. */
static void holds_say_at_which_ver(void **state)
{
    struct shop *shop = *state;
    mongoc_client_t *client = mongoc_client_new(shop->url);
    mongoc_uri_t *uri = mongoc_uri_new(shop->url);
    mongoc_database_t *database = mongoc_client_get_database(client, mongoc_uri_get_database(uri));
    struct product product = shop_product(shop, 0);
    struct product_reserved out;
    shop_add(shop, &product);
    struct product_reserve in = reserve_of(shop, "ord_1", 1);
    struct text first = hold_id(in.order_id, product.id, &shop->arena);
    assert_int_equal(shop_reserve(shop, &in, &out), ERR_NONE);
    in = reserve_of(shop, "ord_2", 1);
    struct text second = hold_id(in.order_id, product.id, &shop->arena);
    assert_int_equal(shop_reserve(shop, &in, &out), ERR_NONE);
    assert_int_equal(number_at(database, "holds", first, "taken"), 2);
    assert_int_equal(number_at(database, "holds", second, "taken"), 3);
    assert_int_equal(number_at(database, "products", product.id, "ver"), 3);
    assert_int_equal(number_at(database, "products", product.id, "pending.0.taken"), 3); /* that of ord_1 is gone */
    assert_int_equal(shop_settle(shop, text_of("ord_1"), HOLD_RELEASE, "f"), ERR_NONE);
    assert_int_equal(number_at(database, "products", product.id, "pending.0.taken"), 2);
    assert_int_equal(number_at(database, "products", product.id, "pending.0.released"), 4);
    assert_int_equal(number_at(database, "holds", first, "taken"), 2);
    assert_int_equal(number_at(database, "holds", first, "released"), 4);
    assert_int_equal(number_at(database, "holds", second, "released"), -1);
    mongoc_database_destroy(database);
    mongoc_uri_destroy(uri);
    mongoc_client_destroy(client);
}

/* ---- edits ---- */

/* What a product keeps of its edits goes with their answers, however seldom it is edited. */
static void old_edits_are_forgotten(void **state)
{
    struct shop *shop = *state;
    mongoc_client_t *client = mongoc_client_new(shop->url);
    mongoc_uri_t *uri = mongoc_uri_new(shop->url);
    mongoc_database_t *database = mongoc_client_get_database(client, mongoc_uri_get_database(uri));
    struct product out, product = shop_product(shop, 0);
    struct product_edit edit = {.id = product.id, .stock_delta = 1};
    struct request last;
    set_has(product_edit, &edit, stock_delta);
    shop_add(shop, &product);
    for (int i = 0; i < 4; i++) {
        shop->now_ms += PRODUCT_KEEP_MS + 1;
        assert_true(shop_purge(shop, shop->now_ms - PRODUCT_KEEP_MS) > 0 || i == 0); /* the last edit's answer */
        last = shop_request(shop, true);
        assert_int_equal(shop_edit(shop, &last, &edit, NULL, &out), ERR_NONE);
    }
    assert_int_not_equal(number_at(database, "products", product.id, "edits.1"), -1);
    assert_int_equal(number_at(database, "products", product.id, "edits.2"), -1);
    assert_int_equal(shop_edit(shop, &last, &edit, NULL, &out), ERR_NONE);
    assert_true(shop->repeated && out.stock == product.stock + 4);
    mongoc_database_destroy(database);
    mongoc_uri_destroy(uri);
    mongoc_client_destroy(client);
}

int main(void)
{
    const struct contract_place *place = &product_mongo_place;
    void *start = (void *)(uintptr_t)place;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate_setup_teardown(every_verb_has_its_round_trips, counted_open, counted_close, start),
        cmocka_unit_test_prestate_setup_teardown(a_group_is_one_change_of_its_product, counted_open, counted_close,
                                                 start),
        cmocka_unit_test_prestate_setup_teardown(products_asked_for_together_are_one_look, counted_open, counted_close,
                                                 start),
        SHOP_TEST(many_writers_sell_what_there_is),
        SHOP_TEST(what_sagas_ask_has_an_index),
        SHOP_TEST(holds_say_at_which_ver),
        SHOP_TEST(old_edits_are_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
