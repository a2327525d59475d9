/* Promises about the same request sent again: one effect, and for keyed requests the first answer. */
#include "tests/contract/contract_product.h"

static void a_keyed_insert_gets_its_first_answer_again(void **state)
{
    struct shop *shop = *state;
    struct product out, product = shop_product(shop, 1);
    struct request request = shop_request(shop, true), other = request;
    struct request change = shop_request(shop, false);
    struct product_edit edit = {.id = product.id, .name = TEXT("Renamed")};
    set_has(product_edit, &edit, name);
    assert_int_equal(shop_insert(shop, &request, &product, &out), ERR_NONE);
    assert_false(shop->repeated);
    assert_int_equal(shop_edit(shop, &change, &edit, NULL, &out), ERR_NONE);
    shop_reopen(shop);
    assert_int_equal(shop_insert(shop, &request, &product, &out), ERR_NONE);
    assert_true(shop->repeated);
    assert_product(&out, &product); /* as it was, not renamed */
    other.fingerprint[0] ^= 1;
    assert_int_equal(shop_insert(shop, &other, &product, &out), ERR_IDEMPOTENCY_KEY_REUSED);
    assert_int_equal(shop_get(shop, product.id, true, &out), ERR_NONE);
    assert_true(text_is(out.name, "Renamed"));
}

static void a_keyed_refusal_is_kept_too(void **state)
{
    struct shop *shop = *state;
    struct product out, first = shop_product(shop, 1), second = shop_product(shop, 2);
    struct request request = shop_request(shop, true), removal = shop_request(shop, false);
    second.sku = first.sku;
    shop_add(shop, &first);
    assert_int_equal(shop_insert(shop, &request, &second, &out), ERR_SKU_TAKEN);
    assert_false(shop->repeated);
    assert_string_equal(shop->fault.items[0].pointer.data, "/sku");
    assert_int_equal(shop_get(shop, second.id, true, &out), ERR_NOT_FOUND);
    assert_int_equal(shop_retire(shop, &removal, first.id, NULL), ERR_NONE); /* the SKU is free now */
    assert_int_equal(shop_insert(shop, &request, &second, &out), ERR_SKU_TAKEN);
    assert_true(shop->repeated);
    assert_int_equal(shop->fault.item_count, 1);
    assert_string_equal(shop->fault.items[0].pointer.data, "/sku");
    struct request fresh = shop_request(shop, true);
    struct product third = shop_product(shop, 3); /* another request makes another id */
    third.sku = first.sku;
    assert_int_equal(shop_insert(shop, &fresh, &third, &out), ERR_NONE);
}

static void an_insert_sent_again_adds_one(void **state)
{
    struct shop *shop = *state;
    struct product out, product = shop_product(shop, 1);
    struct request request = shop_request(shop, false), other = request, removal = shop_request(shop, false);
    struct product_list list = {0};
    struct product_query query = {0};
    assert_int_equal(shop_insert(shop, &request, &product, &out), ERR_NONE);
    product.updated_at++; /* made anew from the same request, a little later */
    assert_int_equal(shop_insert(shop, &request, &product, &out), ERR_NONE);
    assert_true(shop->repeated);
    product.updated_at--;
    assert_product(&out, &product);
    assert_int_equal(shop_page(shop, &query, true, &list), ERR_NONE);
    assert_int_equal(list.data.count, 1);
    other.fingerprint[0] ^= 1;
    assert_int_equal(shop_insert(shop, &other, &product, &out), ERR_IDEMPOTENCY_KEY_REUSED);
    assert_int_equal(shop_retire(shop, &removal, product.id, NULL), ERR_NONE);
    assert_int_equal(shop_insert(shop, &request, &product, &out), ERR_NONE); /* does not bring it back */
    assert_int_equal(shop_get(shop, product.id, true, &out), ERR_NOT_FOUND);
}

static void answers_are_dropped_when_old(void **state)
{
    struct shop *shop = *state;
    struct product out, first = shop_product(shop, 1), second = shop_product(shop, 2);
    struct request made = shop_request(shop, true), refused = shop_request(shop, true);
    second.sku = first.sku;
    assert_int_equal(shop_insert(shop, &made, &first, &out), ERR_NONE);
    assert_int_equal(shop_insert(shop, &refused, &second, &out), ERR_SKU_TAKEN);
    assert_int_equal(shop_purge(shop, shop->now_ms), 0);
    assert_int_equal(shop_purge(shop, shop->now_ms + 1), 2);
    assert_int_equal(shop_purge(shop, shop->now_ms + 1), 0);
    assert_int_equal(shop_insert(shop, &made, &first, &out), ERR_NONE); /* its id is still there */
    assert_true(shop->repeated);
    assert_int_equal(shop_insert(shop, &refused, &second, &out), ERR_SKU_TAKEN); /* decided anew */
    assert_false(shop->repeated);
}

static void an_edit_sent_again_is_applied_once(void **state)
{
    struct shop *shop = *state;
    struct product out, product = shop_product(shop, 1);
    struct request request = shop_request(shop, false), later = shop_request(shop, false), other = request;
    struct product_edit edit = {.id = product.id, .stock_delta = 5};
    set_has(product_edit, &edit, stock_delta);
    shop_add(shop, &product);
    assert_int_equal(shop_edit(shop, &request, &edit, "\"1-10\"", &out), ERR_NONE);
    assert_int_equal(out.stock, 15);
    assert_int_equal(shop_edit(shop, &later, &edit, NULL, &out), ERR_NONE);
    assert_int_equal(out.stock, 20);
    shop_reopen(shop);
    assert_int_equal(shop_edit(shop, &request, &edit, "\"1-10\"", &out), ERR_NONE); /* no 412 for what was done */
    assert_true(shop->repeated);
    assert_int_equal(out.stock, 20);
    assert_int_equal(out.version, 3);
    other.fingerprint[0] ^= 1;
    assert_int_equal(shop_edit(shop, &other, &edit, NULL, &out), ERR_IDEMPOTENCY_KEY_REUSED);
}

int contract_product_answers(const struct contract_place *place)
{
    const struct CMUnitTest answers[] = {
        SHOP_TEST(a_keyed_insert_gets_its_first_answer_again),
        SHOP_TEST(a_keyed_refusal_is_kept_too),
        SHOP_TEST(an_insert_sent_again_adds_one),
        SHOP_TEST(answers_are_dropped_when_old),
        SHOP_TEST(an_edit_sent_again_is_applied_once),
    };
    return cmocka_run_group_tests(answers, NULL, NULL);
}
