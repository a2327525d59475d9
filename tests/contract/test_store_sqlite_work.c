/* What an order costs product-svc does not grow with products, nor with what other orders hold of the same one. */
#include <stdio.h>

#include "tests/contract/contract_product.h"
#include "tests/contract/sqlite_work.h"

/* Everything that an order and its timers ask for, once. -> its work */
static int64_t order_run(struct shop *shop, int n)
{
    char id[32];
    struct product_reserved out = {0};
    bool more = false;
    struct reserve_line line = {.product_id = TEXT("prd_00000001"), .quantity = 1};
    snprintf(id, sizeof id, "ord_of_work_%d", n);
    const struct product_reserve in = {.order_id = text_of(id), .fingerprint = TEXT("f"), .lines = {&line, 1}};
    (void)work_done(shop->store->handle);
    assert_int_equal(shop_reserve(shop, &in, &out), ERR_NONE);
    assert_int_equal(shop_reserve(shop, &in, &out), ERR_NONE); /* sent again */
    assert_int_equal(shop_settle(shop, text_of(id), HOLD_CONFIRM, "f"), ERR_NONE);
    assert_int_equal(shop_settle(shop, text_of(id), HOLD_COMMIT, "f"), ERR_NONE);
    assert_int_equal(shop_stale(shop, shop->now_ms).count, 0);
    assert_int_equal(shop_purge(shop, shop->now_ms - PRODUCT_KEEP_MS), 0);
    assert_int_equal(shop_tell(shop, &more), ERR_NONE);
    int64_t work = work_done(shop->store->handle);
    work_execute(shop->store->handle, "DELETE FROM outbox"); /* as if it had been handed over */
    return work;
}

static void test_work_does_not_grow(void **state)
{
    struct shop *shop = *state;
    struct product product = shop_product(shop, 1);
    product.stock = 100000;
    shop_add(shop, &product);
    (void)order_run(shop, 1); /* prepares */
    int64_t before = order_run(shop, 2);
    work_execute(shop->store->handle, WORK_NUMBERS
                 "INSERT INTO products(id, name, description, sku, price, currency, price_decimal, stock, categories, "
                 "images, active,"
                 " version, created_at, updated_at, name_key, sku_key, fingerprint) SELECT printf('prd_more_%d', n), "
                 "name, description,"
                 " printf('M-%d', n), price, currency, price_decimal, stock, categories, images, active, version, "
                 "created_at, updated_at,"
                 " name_key, printf('m-%d', n), fingerprint FROM many, products WHERE id = 'prd_00000001'");
    work_execute(shop->store->handle, WORK_NUMBERS
                 "INSERT INTO holds(order_id, product_id, quantity, fingerprint, state, created_at, changed_at)"
                 " SELECT printf('ord_more_%d', n), 'prd_00000001', 1, 'f', 1, 1, 1 FROM many");
    assert_int_equal(order_run(shop, 3), before);
    /* and it would be seen */
    sqlite3_stmt *walk = sqlite_prepare(shop->store->handle,
                                        "SELECT count(*) FROM holds WHERE product_id = 'prd_00000001'", &shop->fault);
    assert_int_equal(sqlite_run(shop->store->handle, walk, &shop->fault), ERR_NONE);
    assert_true(work_done(shop->store->handle) > 3000);
}

int main(void)
{
    const struct contract_place *place = &product_sqlite_place;
    const struct CMUnitTest tests[] = {SHOP_TEST(test_work_does_not_grow)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
