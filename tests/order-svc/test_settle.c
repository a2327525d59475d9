/* What product-svc is told of holds: lazily, many at a time, and whatever crashes or is away meanwhile. */
#include "tests/order-svc/shop.h"

#define DUE       "SELECT count(*) FROM orders WHERE due IS NOT NULL"
#define CONFIRMED "SELECT count(*) FROM holds WHERE state = 1"

static struct order placed(struct shop *shop, struct text product_id)
{
    struct order order;
    assert_int_equal(order_ask(shop, NULL, "usr_1", product_id, 1, &order), ERR_NONE);
    return order;
}

/* More than one round takes. */
static void test_confirmed_in_the_end(void **state)
{
    struct shop *shop = *state;
    struct text tea = product_made(shop, "EUR", 10000, 1000);
    program_stop(&shop->orders);
    shop_start_orders(shop, "60000"); /* its first run is at the start, the next one far away */
    enum { COUNT = SETTLE_MAX + 40 };
    for (int i = 0; i < COUNT; i++) {
        (void)placed(shop, tea);
    }
    assert_int_equal(count_becomes(shop, "order.db", DUE, COUNT), COUNT);
    assert_int_equal(count_becomes(shop, "product.db", CONFIRMED, 0), 0);
    program_stop(&shop->orders); /* what is due outlives the process */
    shop_start_orders(shop, "60000");
    assert_int_equal(count_becomes(shop, "product.db", CONFIRMED, COUNT), COUNT);
    assert_int_equal(count_becomes(shop, "order.db", DUE, 0), 0);
    assert_int_equal(product_stock(shop, tea), 1000 - COUNT);
}

/* A cancellation does not fail because product-svc is away; the pieces come back with it. */
static void test_cancelled_while_products_are_away(void **state)
{
    struct shop *shop = *state;
    struct text tea = product_made(shop, "EUR", 10000, 10);
    struct order order = placed(shop, tea), shipped = placed(shop, tea);
    assert_int_equal(count_becomes(shop, "order.db", DUE, 0), 0);
    program_stop(&shop->products);
    assert_int_equal(move_ask(shop, by_user("usr_1"), order.id, ORDER_CANCELLED, &order), ERR_NONE);
    assert_int_equal(order.status, ORDER_CANCELLED);
    assert_int_equal(move_ask(shop, by_admin(), shipped.id, ORDER_CONFIRMED, &shipped), ERR_NONE);
    assert_int_equal(move_ask(shop, by_admin(), shipped.id, ORDER_SHIPPED, &shipped), ERR_NONE);
    assert_int_equal(count_becomes(shop, "order.db", DUE, 2), 2);
    shop_start_products(shop);
    assert_true(product_stock_becomes(shop, tea, 9));
    assert_int_equal(count_becomes(shop, "order.db", DUE, 0), 0);
    assert_int_equal(count_becomes(shop, "product.db", "SELECT count(*) FROM holds WHERE state = 3", 1), 1);
    assert_int_equal(product_stock(shop, tea), 9);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, shop_make, shop_drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_confirmed_in_the_end),
        TEST(test_cancelled_while_products_are_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
