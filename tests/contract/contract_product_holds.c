/* Promises about what orders hold. */
#include <stdio.h>

#include "tests/contract/contract_product.h"

/* {product, pieces, product, pieces ...} as a reserve. */
static struct product_reserve reserve_of(struct shop *shop, const char *order_id, const char *fingerprint,
                                         const int *pairs, uint32_t count)
{
    struct product_reserve in = {.order_id = text_of(order_id), .fingerprint = text_of(fingerprint)};
    in.lines.items = arena_alloc(&shop->arena, count * sizeof *in.lines.items);
    in.lines.count = count;
    for (uint32_t i = 0; i < count; i++) {
        char *id = arena_alloc(&shop->arena, 16);
        snprintf(id, 16, "prd_%08d", pairs[2 * i]);
        in.lines.items[i] = (struct reserve_line){.product_id = text_of(id), .quantity = pairs[2 * i + 1]};
    }
    return in;
}
#define RESERVE(shop, order, fingerprint, ...)                                                                         \
    reserve_of(shop, order, fingerprint, (const int[]){__VA_ARGS__},                                                   \
               sizeof((const int[]){__VA_ARGS__}) / sizeof(int) / 2)

static void stock_things(struct shop *shop, int count)
{
    for (int i = 1; i <= count; i++) {
        struct product product = shop_product(shop, i);
        product.price = 100 * i;
        shop_add(shop, &product);
    }
}

static int64_t stock_of(struct shop *shop, int n)
{
    char id[16];
    snprintf(id, sizeof id, "prd_%08d", n);
    return shop_stock(shop, text_of(id));
}

static void reserving_takes_all_lines(void **state)
{
    struct shop *shop = *state;
    struct product_reserved out = {0};
    stock_things(shop, 3);
    struct product_reserve in = RESERVE(shop, "ord_1", "f1", 3, 4, 1, 10);
    assert_int_equal(shop_reserve(shop, &in, &out), ERR_NONE);
    assert_int_equal(out.lines.count, 2);
    assert_true(text_is(out.lines.items[0].product_id, "prd_00000003"));
    assert_true(text_is(out.lines.items[0].sku, "T-3") && text_is(out.lines.items[0].name, "Thing 3"));
    assert_true(text_is(out.lines.items[0].currency, "USD"));
    assert_int_equal(out.lines.items[0].price, 300);
    assert_int_equal(out.lines.items[1].price, 100);
    shop_reopen(shop);
    assert_int_equal(stock_of(shop, 1), 0);
    assert_int_equal(stock_of(shop, 2), 10);
    assert_int_equal(stock_of(shop, 3), 6);
}

static void reserving_again_takes_nothing(void **state)
{
    struct shop *shop = *state;
    struct product_reserved out = {0};
    stock_things(shop, 2);
    struct product_reserve in = RESERVE(shop, "ord_1", "f1", 1, 4, 2, 10);
    struct product_reserve other = RESERVE(shop, "ord_1", "f2", 1, 4);
    assert_int_equal(shop_reserve(shop, &in, &out), ERR_NONE);
    assert_int_equal(shop_reserve(shop, &in, &out), ERR_NONE);
    assert_int_equal(out.lines.count, 2);
    assert_int_equal(shop_reserve(shop, &other, &out), ERR_IDEMPOTENCY_KEY_REUSED);
    assert_int_equal(shop_settle(shop, in.order_id, HOLD_CONFIRM, "f1"), ERR_NONE);
    assert_int_equal(shop_reserve(shop, &in, &out), ERR_NONE);
    assert_int_equal(shop_settle(shop, in.order_id, HOLD_COMMIT, NULL), ERR_NONE);
    assert_int_equal(shop_reserve(shop, &in, &out), ERR_NONE);
    assert_int_equal(stock_of(shop, 1), 6);
    assert_int_equal(stock_of(shop, 2), 0);
}

static void a_refused_reserve_takes_nothing(void **state)
{
    struct shop *shop = *state;
    struct product_reserved out = {0};
    stock_things(shop, 5);
    struct request request = shop_request(shop, false), removal = shop_request(shop, false);
    struct product product;
    struct product_edit hide = {.id = TEXT("prd_00000003")};
    set_has(product_edit, &hide, active);
    assert_int_equal(shop_edit(shop, &request, &hide, NULL, &product), ERR_NONE);
    assert_int_equal(shop_retire(shop, &removal, TEXT("prd_00000004"), NULL), ERR_NONE);
    struct product_reserve in = RESERVE(shop, "ord_1", "f1", 1, 10, 2, 11, 3, 1, 4, 1, 77, 1, 5, 1);
    assert_int_equal(shop_reserve(shop, &in, &out), ERR_UNAVAILABLE);
    assert_int_equal(shop->fault.item_count, 4);
    static const struct {
        const char *pointer, *code;
        int64_t available;
    } expected[] = {{"/lines/1", "out_of_stock", 10},
                    {"/lines/2", "unavailable", 0},
                    {"/lines/3", "unavailable", 0},
                    {"/lines/4", "unavailable", 0}};
    for (size_t i = 0; i < ARRAY_COUNT(expected); i++) {
        assert_string_equal(shop->fault.items[i].pointer.data, expected[i].pointer);
        assert_string_equal(shop->fault.items[i].code.data, expected[i].code);
        assert_int_equal(shop->fault.items[i].available, expected[i].available);
    }
    assert_int_equal(stock_of(shop, 1), 10);
    assert_int_equal(stock_of(shop, 5), 10);
    assert_int_equal(shop_stale(shop, INT64_MAX).count, 0);
    struct product_reserve much = RESERVE(shop, "ord_1", "f1", 1, 10, 2, 11);
    assert_int_equal(shop_reserve(shop, &much, &out), ERR_OUT_OF_STOCK);
    struct product_reserve possible = RESERVE(shop, "ord_1", "f1", 1, 10);
    assert_int_equal(shop_reserve(shop, &possible, &out), ERR_NONE); /* the refusal left no trace */
}

static void an_order_has_one_currency(void **state)
{
    struct shop *shop = *state;
    struct product_reserved out = {0};
    struct product product = shop_product(shop, 9);
    product.currency = TEXT("EUR");
    stock_things(shop, 1);
    shop_add(shop, &product);
    struct product_reserve in = RESERVE(shop, "ord_1", "f1", 1, 1, 9, 1);
    assert_int_equal(shop_reserve(shop, &in, &out), ERR_MIXED_CURRENCY);
    assert_int_equal(shop->fault.item_count, 1);
    assert_string_equal(shop->fault.items[0].pointer.data, "/lines/1");
    assert_int_equal(stock_of(shop, 1), 10);
}

static void releasing_gives_back_once(void **state)
{
    struct shop *shop = *state;
    struct product_reserved out = {0};
    stock_things(shop, 2);
    struct product_reserve in = RESERVE(shop, "ord_1", "f1", 1, 4, 2, 10);
    assert_int_equal(shop_settle(shop, in.order_id, HOLD_RELEASE, NULL), ERR_NONE); /* nothing held: nothing given */
    assert_int_equal(stock_of(shop, 1), 10);
    assert_int_equal(shop_reserve(shop, &in, &out), ERR_NONE);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(shop_settle(shop, in.order_id, HOLD_RELEASE, NULL), ERR_NONE);
        assert_int_equal(stock_of(shop, 1), 10);
        assert_int_equal(stock_of(shop, 2), 10);
    }
    assert_int_equal(shop_settle(shop, in.order_id, HOLD_CONFIRM, "f1"), ERR_NONE); /* too late: it stays released */
    assert_int_equal(shop_settle(shop, in.order_id, HOLD_COMMIT, NULL), ERR_NONE);
    assert_int_equal(shop_reserve(shop, &in, &out), ERR_CONFLICT);
    struct product_reserve other = RESERVE(shop, "ord_1", "f2", 1, 1);
    assert_int_equal(shop_reserve(shop, &other, &out), ERR_CONFLICT);
    assert_int_equal(stock_of(shop, 1), 10);
}

static void held_pieces_come_back_on_top(void **state)
{
    struct shop *shop = *state;
    struct product_reserved out = {0};
    struct product product;
    struct request set = shop_request(shop, false), removal = shop_request(shop, false);
    stock_things(shop, 1);
    struct product_reserve in = RESERVE(shop, "ord_1", "f1", 1, 4);
    struct product_edit edit = {.id = TEXT("prd_00000001"), .stock = STOCK_MAX};
    set_has(product_edit, &edit, stock);
    assert_int_equal(shop_reserve(shop, &in, &out), ERR_NONE);
    assert_int_equal(shop_edit(shop, &set, &edit, NULL, &product), ERR_NONE);
    assert_int_equal(product.stock, STOCK_MAX);
    assert_int_equal(shop_settle(shop, in.order_id, HOLD_RELEASE, NULL), ERR_NONE);
    assert_int_equal(stock_of(shop, 1), STOCK_MAX); /* told up to the bound, */
    struct product_reserve more = RESERVE(shop, "ord_2", "f1", 1, 3);
    assert_int_equal(shop_reserve(shop, &more, &out), ERR_NONE);
    assert_int_equal(stock_of(shop, 1), STOCK_MAX); /* counted beyond it */
    struct product_reserve last = RESERVE(shop, "ord_3", "f1", 1, 2);
    assert_int_equal(shop_reserve(shop, &last, &out), ERR_NONE);
    assert_int_equal(stock_of(shop, 1), STOCK_MAX - 1);
    assert_int_equal(shop_retire(shop, &removal, edit.id, NULL), ERR_NONE);
    assert_int_equal(shop_settle(shop, last.order_id, HOLD_RELEASE, NULL),
                     ERR_NONE); /* of a retired product: no error */
}

static void confirming_by_request(void **state)
{
    struct shop *shop = *state;
    struct product_reserved out = {0};
    stock_things(shop, 2);
    struct product_reserve mine = RESERVE(shop, "ord_1", "f1", 1, 4);
    struct product_reserve other = RESERVE(shop, "ord_1", "f2", 2, 5);
    assert_int_equal(shop_reserve(shop, &mine, &out), ERR_NONE);
    assert_int_equal(shop_reserve(shop, &other, &out), ERR_NONE);
    for (int i = 0; i < 2; i++) { /* placed by the first: what the second held goes back */
        assert_int_equal(shop_settle(shop, mine.order_id, HOLD_CONFIRM, "f1"), ERR_NONE);
        assert_int_equal(stock_of(shop, 1), 6);
        assert_int_equal(stock_of(shop, 2), 10);
    }
    assert_int_equal(shop_stale(shop, INT64_MAX).count, 0);
    assert_int_equal(shop_settle(shop, mine.order_id, HOLD_RELEASE, "f1"), ERR_NONE); /* cancelled */
    assert_int_equal(stock_of(shop, 1), 10);
}

static void committed_pieces_do_not_come_back(void **state)
{
    struct shop *shop = *state;
    struct product_reserved out = {0};
    stock_things(shop, 1);
    struct product_reserve in = RESERVE(shop, "ord_1", "f1", 1, 4);
    assert_int_equal(shop_reserve(shop, &in, &out), ERR_NONE);
    assert_int_equal(shop_settle(shop, in.order_id, HOLD_COMMIT, "f1"), ERR_NONE);
    assert_int_equal(shop_settle(shop, in.order_id, HOLD_RELEASE, "f1"), ERR_NONE);
    assert_int_equal(stock_of(shop, 1), 6);
}

static void many_orders_settle_in_one_call(void **state)
{
    struct shop *shop = *state;
    struct product_reserved out = {0};
    struct hold_order orders[3] = {{.order_id = TEXT("ord_1"), .step = HOLD_RELEASE},
                                   {.order_id = TEXT("ord_none"), .step = HOLD_CONFIRM},
                                   {.order_id = TEXT("ord_2"), .step = HOLD_CONFIRM}};
    struct product_settle settle = {.orders = {orders, 3}};
    stock_things(shop, ORDER_MAX_LINES);
    struct product_reserve in = {.order_id = TEXT("ord_1"), .fingerprint = TEXT("f")};
    struct product_reserve small = RESERVE(shop, "ord_2", "f", 1, 1);
    int pairs[ORDER_MAX_LINES * 2];
    for (int i = 0; i < ORDER_MAX_LINES; i++) {
        pairs[2 * i] = i + 1, pairs[2 * i + 1] = 2;
    }
    in = reserve_of(shop, "ord_1", "f", pairs, ORDER_MAX_LINES);
    assert_int_equal(shop_reserve(shop, &in, &out), ERR_NONE);
    assert_int_equal(shop_reserve(shop, &small, &out), ERR_NONE);
    assert_int_equal(shop_stale(shop, INT64_MAX).count, 2);
    assert_int_equal(shop_settle(shop, in.order_id, HOLD_CONFIRM, "f"), ERR_NONE);
    assert_int_equal(shop_stale(shop, INT64_MAX).count, 1);
    assert_int_equal(shop_settle_all(shop, &settle), ERR_NONE);
    assert_int_equal(shop_stale(shop, INT64_MAX).count, 0);
    for (int i = 1; i <= ORDER_MAX_LINES; i++) {
        assert_int_equal(stock_of(shop, i), i == 1 ? 9 : 10);
    }
}

static void stale_holds_are_those_that_nobody_confirmed(void **state)
{
    struct shop *shop = *state;
    struct product_reserved out = {0};
    int64_t start = shop->now_ms;
    stock_things(shop, 3);
    static const char *const orders[] = {"ord_9", "ord_5", "ord_7", "ord_1"};
    for (size_t i = 0; i < ARRAY_COUNT(orders); i++) {
        struct product_reserve in = RESERVE(shop, orders[i], "f", 1, 1, 2, 1, 3, 1);
        shop->now_ms = start + (int64_t)i;
        assert_int_equal(shop_reserve(shop, &in, &out), ERR_NONE);
    }
    assert_int_equal(shop_settle(shop, TEXT("ord_5"), HOLD_CONFIRM, "f"), ERR_NONE);
    struct text_list stale = shop_stale(shop, start + 2);
    assert_int_equal(stale.count, 2); /* oldest first, each order once */
    assert_true(text_is(stale.items[0], "ord_9") && text_is(stale.items[1], "ord_7"));
    assert_int_equal(shop_stale(shop, start - 1).count, 0);
}

static void stale_holds_come_in_bounded_lists(void **state)
{
    struct shop *shop = *state;
    struct product product = shop_product(shop, 1);
    product.stock = STOCK_MAX;
    shop_add(shop, &product);
    for (int i = 0; i < SETTLE_MAX + 10; i++) {
        char order[24];
        struct product_reserved out = {0};
        snprintf(order, sizeof order, "ord_%d", i);
        struct product_reserve in = RESERVE(shop, order, "f", 1, 1);
        assert_int_equal(shop_reserve(shop, &in, &out), ERR_NONE);
    }
    for (uint32_t left = SETTLE_MAX + 10; left > 0;) {
        struct text_list stale = shop_stale(shop, shop->now_ms);
        assert_int_equal(stale.count, left < SETTLE_MAX ? left : SETTLE_MAX);
        for (uint32_t i = 0; i < stale.count; i++, left--) {
            assert_int_equal(shop_settle(shop, stale.items[i], HOLD_RELEASE, NULL), ERR_NONE);
        }
    }
    assert_int_equal(shop_stock(shop, product.id), STOCK_MAX);
    assert_int_equal(shop_purge(shop, shop->now_ms + 1), SETTLE_MAX + 10);
}

static void only_ended_holds_are_dropped(void **state)
{
    struct shop *shop = *state;
    struct product_reserved out = {0};
    stock_things(shop, 1);
    static const char *const orders[] = {"ord_held", "ord_confirmed", "ord_released", "ord_committed"};
    for (size_t i = 0; i < ARRAY_COUNT(orders); i++) {
        struct product_reserve in = RESERVE(shop, orders[i], "f", 1, 1);
        assert_int_equal(shop_reserve(shop, &in, &out), ERR_NONE);
    }
    shop->now_ms += 10;
    assert_int_equal(shop_settle(shop, TEXT("ord_confirmed"), HOLD_CONFIRM, NULL), ERR_NONE);
    assert_int_equal(shop_settle(shop, TEXT("ord_released"), HOLD_RELEASE, NULL), ERR_NONE);
    assert_int_equal(shop_settle(shop, TEXT("ord_committed"), HOLD_COMMIT, NULL), ERR_NONE);
    assert_int_equal(shop_purge(shop, shop->now_ms), 0); /* as old as their end, not their beginning */
    assert_int_equal(shop_purge(shop, shop->now_ms + 1), 2);
    assert_int_equal(shop_settle(shop, TEXT("ord_confirmed"), HOLD_RELEASE, NULL), ERR_NONE);
    assert_int_equal(shop_settle(shop, TEXT("ord_held"), HOLD_RELEASE, NULL), ERR_NONE);
    assert_int_equal(stock_of(shop, 1), 9);
}

int contract_product_holds(const struct contract_place *place)
{
    const struct CMUnitTest holds[] = {
        SHOP_TEST(reserving_takes_all_lines),
        SHOP_TEST(reserving_again_takes_nothing),
        SHOP_TEST(a_refused_reserve_takes_nothing),
        SHOP_TEST(an_order_has_one_currency),
        SHOP_TEST(releasing_gives_back_once),
        SHOP_TEST(held_pieces_come_back_on_top),
        SHOP_TEST(confirming_by_request),
        SHOP_TEST(committed_pieces_do_not_come_back),
        SHOP_TEST(many_orders_settle_in_one_call),
        SHOP_TEST(stale_holds_are_those_that_nobody_confirmed),
        SHOP_TEST(stale_holds_come_in_bounded_lists),
        SHOP_TEST(only_ended_holds_are_dropped),
    };
    return cmocka_run_group_tests(holds, NULL, NULL);
}
