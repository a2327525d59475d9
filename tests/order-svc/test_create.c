/* order.create through the real services: placed once, refused once, answered alike ever after. */
#include "tests/order-svc/shop.h"

#include <stdio.h>
#include <stdlib.h>

enum { CALLERS = 12, ROUNDS = 6 };

static void some_id(uint8_t out[ID_SIZE])
{
    id_new(out);
}

static struct order_new basket(struct shop *shop, const struct order_item *items, uint32_t count)
{
    struct order_new in = {.items = {arena_alloc(&shop->arena, count * sizeof *items), count}};
    memcpy(in.items.items, items, count * sizeof *items);
    return in;
}

static enum err ask_for(struct shop *shop, const uint8_t *request_id, const struct order_new *in, struct order *out)
{
    struct ask ask = {.op = OP_order_create, .request_id = request_id, .meta = by_user("usr_1"), .in = in};
    return shop_ask(shop, &ask, out);
}

static void test_placed(void **state)
{
    struct shop *shop = *state;
    struct text tea = product_made(shop, "EUR", 299900, 10), cup = product_made(shop, "EUR", 50000, 3);
    struct order_item items[] = {
        {.product_id = tea, .quantity = 1}, {.product_id = cup, .quantity = 2}, {.product_id = tea, .quantity = 3}};
    struct order_new in = basket(shop, items, ARRAY_COUNT(items));
    struct address address = {.name = TEXT("A"),
                              .line1 = TEXT("Way 1"),
                              .city = TEXT("Town"),
                              .postal_code = TEXT("1"),
                              .country = TEXT("DE")};
    struct order order;
    in.shipping_address = &address;
    set_has(order_new, &in, shipping_address);
    in.note = TEXT("ring");
    set_has(order_new, &in, note);
    assert_int_equal(ask_for(shop, NULL, &in, &order), ERR_NONE);
    assert_true(ident_is(order.id, "ord"));
    assert_int_equal(order.number.size, ORDER_NUMBER_SIZE - 1);
    assert_true(text_is(order.user_id, "usr_1"));
    assert_int_equal(order.status, ORDER_PENDING);
    assert_int_equal(order.fulfillment_status, FULFILLMENT_UNFULFILLED);
    assert_int_equal(order.lines.count, 2);
    assert_true(text_equal(order.lines.items[0].product_id, tea));
    assert_int_equal(order.lines.items[0].quantity, 4);
    assert_int_equal(order.lines.items[0].price, 2999);
    assert_int_equal(order.lines.items[0].total, 4 * 2999);
    assert_true(text_is(order.lines.items[0].name, "Thing"));
    assert_int_equal(order.total, 4 * 2999 + 2 * 500);
    assert_int_equal(order.subtotal, order.total);
    assert_true(text_is(order.currency, "EUR"));
    assert_true(has(order, &order, shipping_address) && text_is(order.shipping_address->country, "DE"));
    assert_true(text_is(order.note, "ring"));
    assert_int_equal(order.version, 1);
    assert_int_equal(order.history.count, 1);
    assert_int_equal(order.created_at, order.updated_at);
    assert_int_equal(product_stock(shop, tea), 6);
    assert_int_equal(product_stock(shop, cup), 1);
}

/* The first answer again, whatever has become of the order since; another body is told so. */
static void test_created_is_replayed(void **state)
{
    struct shop *shop = *state;
    struct text tea = product_made(shop, "EUR", 10000, 10);
    uint8_t id[ID_SIZE];
    struct order first, again;
    some_id(id);
    assert_int_equal(order_ask(shop, id, "usr_1", tea, 4, &first), ERR_NONE);
    assert_false(shop->replayed);
    assert_int_equal(move_ask(shop, by_admin(), first.id, ORDER_CONFIRMED, &again), ERR_NONE);
    assert_int_equal(again.version, 2);
    assert_int_equal(order_ask(shop, id, "usr_1", tea, 4, &again), ERR_NONE);
    assert_true(shop->replayed);
    assert_true(text_equal(record_pack_in(&order_record, &first, &shop->arena),
                           record_pack_in(&order_record, &again, &shop->arena)));
    assert_int_equal(order_ask(shop, id, "usr_1", tea, 5, &again), ERR_IDEMPOTENCY_KEY_REUSED);
    assert_int_equal(product_stock(shop, tea), 6);
    assert_int_equal(count_becomes(shop, "order.db", "SELECT count(*) FROM orders", 1), 1);
}

static void assert_refused(struct shop *shop, const char *pointer, int64_t available)
{
    assert_int_equal(shop->fault.item_count, 1);
    assert_true(text_starts_with(shop->fault.items[0].pointer, pointer));
    assert_true(has(problem_item, &shop->fault.items[0], available));
    assert_int_equal(shop->fault.items[0].available, available);
}

static void test_refusal_names_the_item_and_is_replayed(void **state)
{
    struct shop *shop = *state;
    struct text tea = product_made(shop, "EUR", 10000, 10), cup = product_made(shop, "EUR", 10000, 2);
    struct order_item items[] = {
        {.product_id = tea, .quantity = 1}, {.product_id = tea, .quantity = 1}, {.product_id = cup, .quantity = 3}};
    struct order_new in = basket(shop, items, ARRAY_COUNT(items));
    struct order order;
    uint8_t id[ID_SIZE];
    some_id(id);
    assert_int_equal(ask_for(shop, id, &in, &order), ERR_OUT_OF_STOCK);
    assert_refused(shop, "/items/2", 2); /* the second line, but the third item */
    assert_false(shop->replayed);
    char detail[sizeof shop->fault.detail];
    memcpy(detail, shop->fault.detail, sizeof detail);
    product_restock(shop, cup, 50);
    assert_int_equal(ask_for(shop, id, &in, &order), ERR_OUT_OF_STOCK);
    assert_refused(shop, "/items/2", 2);
    assert_string_equal(shop->fault.detail, detail);
    assert_true(shop->replayed);
    in.items.items[2].quantity = 1;
    assert_int_equal(ask_for(shop, id, &in, &order), ERR_IDEMPOTENCY_KEY_REUSED);
    some_id(id);
    assert_int_equal(ask_for(shop, id, &in, &order), ERR_NONE);
    assert_int_equal(product_stock(shop, tea), 8);
    assert_int_equal(product_stock(shop, cup), 51);
    assert_int_equal(count_becomes(shop, "order.db", "SELECT count(*) FROM orders WHERE due IS NOT NULL", 0), 0);
}

static void test_what_is_not_for_sale(void **state)
{
    struct shop *shop = *state;
    struct text tea = product_made(shop, "EUR", 10000, 10);
    /* texts that would be no key of a route, and forty of the widest characters */
    struct text strange[] = {
        TEXT("no#such.product"), TEXT("\xc3\xa4"),
        TEXT("\xf0\x9f\x8d\xb5\xf0\x9f\x8d\xb5\xf0\x9f\x8d\xb5\xf0\x9f\x8d\xb5\xf0\x9f\x8d\xb5\xf0\x9f\x8d\xb5\xf0\x9f"
             "\x8d"
             "\xb5\xf0\x9f\x8d\xb5\xf0\x9f\x8d\xb5\xf0\x9f\x8d\xb5\xf0\x9f\x8d\xb5\xf0\x9f\x8d\xb5\xf0\x9f\x8d\xb5\xf0"
             "\x9f"
             "\x8d\xb5\xf0\x9f\x8d\xb5\xf0\x9f\x8d\xb5\xf0\x9f\x8d\xb5\xf0\x9f\x8d\xb5\xf0\x9f\x8d\xb5\xf0\x9f\x8d\xb5"
             "\xf0\x9f\x8d\xb5\xf0\x9f\x8d\xb5\xf0\x9f\x8d\xb5\xf0\x9f\x8d\xb5\xf0\x9f\x8d\xb5\xf0\x9f\x8d\xb5\xf0\x9f"
             "\x8d"
             "\xb5\xf0\x9f\x8d\xb5\xf0\x9f\x8d\xb5\xf0\x9f\x8d\xb5\xf0\x9f\x8d\xb5\xf0\x9f\x8d\xb5")};
    for (size_t i = 0; i < ARRAY_COUNT(strange); i++) {
        struct order_item items[] = {{.product_id = strange[i], .quantity = 1}, {.product_id = tea, .quantity = 1}};
        struct order_new in = basket(shop, items, ARRAY_COUNT(items));
        struct order order;
        assert_int_equal(ask_for(shop, NULL, &in, &order), ERR_UNAVAILABLE);
        assert_int_equal(shop->fault.item_count, 1);
        assert_true(text_starts_with(shop->fault.items[0].pointer, "/items/0"));
    }
    assert_int_equal(product_stock(shop, tea), 10);
}

static void test_mixed_currency(void **state)
{
    struct shop *shop = *state;
    struct order_item items[] = {{.product_id = product_made(shop, "EUR", 10000, 10), .quantity = 1},
                                 {.product_id = product_made(shop, "USD", 10000, 10), .quantity = 1}};
    struct order_new in = basket(shop, items, ARRAY_COUNT(items));
    struct order order;
    assert_int_equal(ask_for(shop, NULL, &in, &order), ERR_MIXED_CURRENCY);
    assert_true(product_stock_becomes(shop, items[0].product_id, 10));
    assert_true(product_stock_becomes(shop, items[1].product_id, 10));
}

/* Found out after the pieces were reserved: they go back, and the refusal is remembered like any other. */
static void test_total_too_large(void **state)
{
    struct shop *shop = *state;
    struct text gold = product_made(shop, "EUR", DECIMAL_MAX, 10);
    struct order order;
    uint8_t id[ID_SIZE];
    some_id(id);
    assert_int_equal(order_ask(shop, id, "usr_1", gold, 2, &order), ERR_INVALID_BODY);
    assert_int_equal(shop->fault.item_count, 1);
    assert_true(text_is(shop->fault.items[0].pointer, "/items/0/quantity"));
    assert_true(product_stock_becomes(shop, gold, 10));
    assert_int_equal(order_ask(shop, id, "usr_1", gold, 2, &order), ERR_INVALID_BODY);
    assert_true(shop->replayed);
    assert_int_equal(order_ask(shop, NULL, "usr_1", gold, 1, &order), ERR_NONE);
    assert_int_equal(order.total, INT64_C(999999999999));
}

static void test_unknown_country(void **state)
{
    struct shop *shop = *state;
    struct order_item items[] = {{.product_id = product_made(shop, "EUR", 10000, 10), .quantity = 1}};
    struct order_new in = basket(shop, items, 1);
    struct address address = {.name = TEXT("A"),
                              .line1 = TEXT("Way 1"),
                              .city = TEXT("Town"),
                              .postal_code = TEXT("1"),
                              .country = TEXT("ZZ")};
    struct order order;
    in.shipping_address = &address;
    set_has(order_new, &in, shipping_address);
    assert_int_equal(ask_for(shop, NULL, &in, &order), ERR_INVALID_BODY);
    assert_true(text_is(shop->fault.items[0].pointer, "/shipping_address/country"));
    assert_int_equal(product_stock(shop, items[0].product_id), 10);
}

/* ---- tries that were given up ---- */

static enum order_outcome arbitrated(struct shop *shop, struct text order_id)
{
    struct order_arbitrate in = {.order_ids = {&order_id, 1}};
    struct order_arbitrated out;
    struct ask ask = {.op = OP_order_arbitrate, .meta = by_service(), .in = &in};
    assert_int_equal(shop_ask(shop, &ask, &out), ERR_NONE);
    assert_int_equal(out.verdicts.count, 1);
    return out.verdicts.items[0].outcome;
}

static void test_void_moves_on(void **state)
{
    struct shop *shop = *state;
    struct text tea = product_made(shop, "EUR", 10000, 10);
    char ids[3][IDENT_SIZE];
    uint8_t id[ID_SIZE];
    struct order order;
    some_id(id);
    for (uint32_t n = 0; n < 3; n++) {
        ident_make("ord", id, n, ids[n]);
    }
    assert_int_equal(arbitrated(shop, text_of(ids[0])), ORDER_OUTCOME_VOID);
    assert_int_equal(arbitrated(shop, text_of(ids[1])), ORDER_OUTCOME_VOID);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(order_ask(shop, id, "usr_1", tea, 1, &order), ERR_NONE);
        assert_true(text_is(order.id, ids[2]));
        assert_int_equal(shop->replayed, i > 0);
    }
    assert_int_equal(arbitrated(shop, text_of(ids[2])), ORDER_OUTCOME_PLACED);
    assert_int_equal(product_stock(shop, tea), 9);
}

/* ---- requests without a key, which do not look before they reserve ---- */

static enum err unkeyed_ask(struct shop *shop, const uint8_t *id, struct text product_id, struct order *out)
{
    struct order_item items[] = {{.product_id = product_id, .quantity = 1}};
    struct order_new in = basket(shop, items, 1);
    struct ask ask = {.op = OP_order_create, .request_id = id, .meta = by_user("usr_1"), .in = &in};
    ask.meta.keyed = false;
    return shop_ask(shop, &ask, out);
}

/* As an attempt that stood still between looking and reserving, while everything else happened. */
static void test_unkeyed_finds_what_is_there(void **state)
{
    struct shop *shop = *state;
    struct text tea = product_made(shop, "EUR", 10000, 10), cup = product_made(shop, "EUR", 10000, 0);
    char given_up[IDENT_SIZE];
    uint8_t placed[ID_SIZE], void_first[ID_SIZE], refused[ID_SIZE];
    struct order first, order;
    some_id(placed);
    assert_int_equal(unkeyed_ask(shop, placed, tea, &first), ERR_NONE);
    assert_int_equal(unkeyed_ask(shop, placed, tea, &order), ERR_NONE);
    assert_true(text_equal(order.id, first.id));
    assert_int_equal(unkeyed_ask(shop, placed, cup, &order), ERR_IDEMPOTENCY_KEY_REUSED);
    assert_int_equal(product_stock(shop, tea), 9);
    some_id(void_first);
    ident_make("ord", void_first, 0, given_up);
    assert_int_equal(arbitrated(shop, text_of(given_up)), ORDER_OUTCOME_VOID);
    assert_int_equal(unkeyed_ask(shop, void_first, tea, &order), ERR_NONE);
    assert_false(text_is(order.id, given_up));
    assert_true(product_stock_becomes(shop, tea, 8)); /* what was held for the void goes back */
    some_id(refused);
    assert_int_equal(unkeyed_ask(shop, refused, cup, &order), ERR_OUT_OF_STOCK);
    product_restock(shop, cup, 1);
    assert_int_equal(unkeyed_ask(shop, refused, cup, &order), ERR_OUT_OF_STOCK);
    assert_true(product_stock_becomes(shop, cup, 1));
    assert_int_equal(count_becomes(shop, "order.db", "SELECT count(*) FROM orders WHERE kind = 'placed'", 2), 2);
}

/* No answer from product-svc decides nothing: the same request may be sent again, and is placed then. */
static void test_nobody_answers(void **state)
{
    struct shop *shop = *state;
    struct text tea = product_made(shop, "EUR", 10000, 10);
    struct order_item items[] = {{.product_id = tea, .quantity = 1}};
    struct order_new in = basket(shop, items, 1);
    uint8_t id[ID_SIZE];
    struct order order;
    some_id(id);
    program_stop(&shop->products);
    struct ask ask = {.op = OP_order_create, .request_id = id, .meta = by_user("usr_1"), .in = &in, .budget_ms = 500};
    enum err e = shop_ask(shop, &ask, &order);
    assert_true(e == ERR_EXPIRED || e == ERR_SERVICE_UNAVAILABLE || e == ERR_OUTCOME_UNKNOWN);
    assert_int_equal(count_becomes(shop, "order.db", "SELECT count(*) FROM orders", 0), 0);
    shop_start_products(shop);
    ask.budget_ms = 0;
    assert_int_equal(shop_ask(shop, &ask, &order), ERR_NONE);
    assert_int_equal(product_stock(shop, tea), 9);
}

/* ---- many at once ---- */

struct caller {
    struct shop *shop;
    const uint8_t *request_id;
    struct text product_id;
    int64_t quantity;
    pthread_barrier_t *start;
    enum err status;
    char order_id[IDENT_SIZE];
    pthread_t thread;
};

static void *caller_main(void *argument)
{
    struct caller *caller = argument;
    AUTO(arena_release) struct arena arena = {0};
    struct fault fault;
    bool replayed;
    struct order order = {0};
    struct order_item item = {.product_id = caller->product_id, .quantity = caller->quantity};
    struct order_new in = {.items = {&item, 1}};
    struct ask ask = {.op = OP_order_create, .request_id = caller->request_id, .meta = by_user("usr_1"), .in = &in};
    pthread_barrier_wait(caller->start);
    caller->status = shop_ask_in(caller->shop, &ask, &arena, &fault, &replayed, &order);
    if (!text_to_string(order.id, caller->order_id, sizeof caller->order_id)) {
        caller->status = ERR_INTERNAL;
    }
    return NULL;
}

static void all_call(struct caller *callers, pthread_barrier_t *start)
{
    assert_int_equal(pthread_barrier_init(start, NULL, CALLERS), 0);
    for (int i = 0; i < CALLERS; i++) {
        assert_int_equal(pthread_create(&callers[i].thread, NULL, caller_main, &callers[i]), 0);
    }
    for (int i = 0; i < CALLERS; i++) {
        pthread_join(callers[i].thread, NULL);
    }
    pthread_barrier_destroy(start);
}

/* One key at once from many connections: one order, and all hear of it; likewise one refusal. */
static void test_one_key_many_callers(void **state)
{
    struct shop *shop = *state;
    struct text tea = product_made(shop, "EUR", 10000, ROUNDS / 2);
    pthread_barrier_t start;
    for (int round = 0; round < ROUNDS; round++) {
        struct caller callers[CALLERS];
        uint8_t id[ID_SIZE];
        some_id(id);
        for (int i = 0; i < CALLERS; i++) {
            callers[i] =
                (struct caller){.shop = shop, .request_id = id, .product_id = tea, .quantity = 1, .start = &start};
        }
        all_call(callers, &start);
        for (int i = 0; i < CALLERS; i++) {
            assert_int_equal(callers[i].status, round < ROUNDS / 2 ? ERR_NONE : ERR_OUT_OF_STOCK);
            assert_string_equal(callers[i].order_id, callers[0].order_id);
        }
    }
    assert_int_equal(product_stock(shop, tea), 0);
    assert_int_equal(count_becomes(shop, "order.db", "SELECT count(*) FROM orders", ROUNDS), ROUNDS);
}

/* One key with two bodies at once: one of them is answered, the other is told that the key was used. */
static void test_one_key_two_bodies(void **state)
{
    struct shop *shop = *state;
    struct text tea = product_made(shop, "EUR", 10000, 1000);
    pthread_barrier_t start;
    int64_t sold = 0;
    for (int round = 0; round < ROUNDS; round++) {
        struct caller callers[CALLERS];
        uint8_t id[ID_SIZE];
        int64_t winner = 0;
        some_id(id);
        for (int i = 0; i < CALLERS; i++) {
            callers[i] = (struct caller){
                .shop = shop, .request_id = id, .product_id = tea, .quantity = 1 + i % 2, .start = &start};
        }
        all_call(callers, &start);
        for (int i = 0; i < CALLERS; i++) {
            assert_true(callers[i].status == ERR_NONE || callers[i].status == ERR_IDEMPOTENCY_KEY_REUSED);
            if (callers[i].status == ERR_NONE) {
                assert_true(winner == 0 || winner == callers[i].quantity);
                winner = callers[i].quantity;
            }
        }
        assert_true(winner > 0);
        sold += winner;
    }
    assert_int_equal(product_stock(shop, tea), 1000 - sold);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, shop_make, shop_drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_placed),
        TEST(test_created_is_replayed),
        TEST(test_refusal_names_the_item_and_is_replayed),
        TEST(test_what_is_not_for_sale),
        TEST(test_mixed_currency),
        TEST(test_total_too_large),
        TEST(test_unknown_country),
        TEST(test_void_moves_on),
        TEST(test_unkeyed_finds_what_is_there),
        TEST(test_nobody_answers),
        TEST(test_one_key_many_callers),
        TEST(test_one_key_two_bodies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
