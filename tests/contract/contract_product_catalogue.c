/* Promises about one product at a time: adding, changing, retiring. */
#include "proto/fault.h"
#include "tests/contract/contract_product.h"

static void what_is_added_is_there(void **state)
{
    struct shop *shop = *state;
    struct text categories[] = {TEXT("Seats"), TEXT("Garden"), TEXT("Seats")};
    struct text images[] = {TEXT("https://example.com/1.png")};
    struct product out, product = shop_product(shop, 1);
    struct request request = shop_request(shop, false);
    product.description = TEXT("Zwölf Boxkämpfer\n\xf0\x9f\x98\x80");
    product.categories = (struct text_list){categories, 3};
    product.images = (struct text_list){images, 1};
    assert_int_equal(shop_insert(shop, &request, &product, &out), ERR_NONE);
    assert_product(&out, &product);
    assert_int_equal(shop_get(shop, product.id, false, &out), ERR_NONE);
    assert_product(&out, &product);
    shop_reopen(shop);
    assert_int_equal(shop_get(shop, product.id, false, &out), ERR_NONE);
    assert_product(&out, &product);
    assert_int_equal(shop_get(shop, TEXT("prd_unknown"), true, &out), ERR_NOT_FOUND);
}

static void inactive_products_are_the_administrators(void **state)
{
    struct shop *shop = *state;
    struct product out, product = shop_product(shop, 1);
    struct product_list list = {0};
    struct product_query query = {0};
    product.active = false;
    shop_add(shop, &product);
    assert_int_equal(shop_get(shop, product.id, false, &out), ERR_NOT_FOUND);
    assert_int_equal(shop_get(shop, product.id, true, &out), ERR_NONE);
    assert_int_equal(shop_page(shop, &query, false, &list), ERR_NONE);
    assert_int_equal(list.data.count, 0);
    assert_int_equal(shop_page(shop, &query, true, &list), ERR_NONE);
    assert_int_equal(list.data.count, 1);
}

static void edits_change_what_is_given(void **state)
{
    struct shop *shop = *state;
    struct text categories[] = {TEXT("New")};
    struct product out, product = shop_product(shop, 1);
    struct request request = shop_request(shop, false), nothing = shop_request(shop, false);
    struct product_edit edit = {.id = product.id, .sku = TEXT("N-1"), .price = 20000, .categories = {categories, 1}};
    set_has(product_edit, &edit, sku), set_has(product_edit, &edit, price), set_has(product_edit, &edit, categories);
    shop_add(shop, &product);
    shop->now_ms += 1000;
    assert_int_equal(shop_edit(shop, &request, &edit, NULL, &out), ERR_NONE);
    product.sku = TEXT("N-1"), product.price = 200, product.categories = edit.categories;
    product.version = 2, product.updated_at = shop->now_ms;
    assert_product(&out, &product);
    assert_int_equal(shop_get(shop, product.id, true, &out), ERR_NONE);
    assert_product(&out, &product);
    edit = (struct product_edit){.id = product.id};
    assert_int_equal(shop_edit(shop, &nothing, &edit, NULL, &out), ERR_NONE);
    assert_product(&out, &product);
    edit.id = TEXT("prd_unknown");
    assert_int_equal(shop_edit(shop, &nothing, &edit, NULL, &out), ERR_NOT_FOUND);
}

static void refused_edits_change_nothing(void **state)
{
    struct shop *shop = *state;
    struct product out, product = shop_product(shop, 1), second = shop_product(shop, 2);
    struct request request = shop_request(shop, true);
    struct product_edit taken = {.id = product.id, .sku = second.sku, .name = TEXT("Other")};
    struct product_edit too_much = {.id = product.id, .stock_delta = -11, .name = TEXT("Other")};
    set_has(product_edit, &taken, sku), set_has(product_edit, &taken, name);
    set_has(product_edit, &too_much, stock_delta), set_has(product_edit, &too_much, name);
    shop_add(shop, &product);
    shop_add(shop, &second);
    assert_int_equal(shop_edit(shop, &request, &taken, NULL, &out), ERR_SKU_TAKEN);
    assert_string_equal(shop->fault.items[0].pointer.data, "/sku");
    assert_int_equal(shop_edit(shop, &request, &too_much, NULL, &out), ERR_OUT_OF_STOCK);
    assert_int_equal(shop->fault.items[0].available, 10);
    assert_int_equal(shop_edit(shop, &request, &taken, "\"2-10\"", &out), ERR_PRECONDITION_FAILED);
    assert_int_equal(shop_get(shop, product.id, true, &out), ERR_NONE);
    assert_product(&out, &product);
    taken.sku = product.sku; /* its own is not taken */
    assert_int_equal(shop_edit(shop, &request, &taken, "\"1-0\"", &out), ERR_NONE);
}

static void retired_products_are_gone_but_for_their_holds(void **state)
{
    struct shop *shop = *state;
    struct product out, product = shop_product(shop, 1), heir = shop_product(shop, 2);
    struct request request = shop_request(shop, false), again = shop_request(shop, false);
    struct product_list list = {0};
    struct product_query query = {.q = TEXT("thing")};
    set_has(product_query, &query, q);
    shop_add(shop, &product);
    assert_int_equal(shop_retire(shop, &request, product.id, "\"2-10\""), ERR_PRECONDITION_FAILED);
    assert_int_equal(shop_retire(shop, &request, product.id, "\"1-3\""), ERR_NONE);
    assert_int_equal(shop_retire(shop, &request, product.id, "\"1-3\""), ERR_NONE);
    assert_true(shop->repeated);
    assert_int_equal(shop_retire(shop, &again, product.id, NULL), ERR_NOT_FOUND);
    assert_int_equal(shop_retire(shop, &again, TEXT("prd_unknown"), NULL), ERR_NOT_FOUND);
    assert_int_equal(shop_get(shop, product.id, true, &out), ERR_NOT_FOUND);
    struct product_edit edit = {.id = product.id};
    assert_int_equal(shop_edit(shop, &again, &edit, NULL, &out), ERR_NOT_FOUND);
    assert_int_equal(shop_page(shop, &query, true, &list), ERR_NONE);
    assert_int_equal(list.data.count, 0);
    heir.sku = product.sku;
    shop_add(shop, &heir);
}

int contract_product_catalogue(const struct contract_place *place)
{
    const struct CMUnitTest catalogue[] = {
        SHOP_TEST(what_is_added_is_there),
        SHOP_TEST(inactive_products_are_the_administrators),
        SHOP_TEST(edits_change_what_is_given),
        SHOP_TEST(refused_edits_change_nothing),
        SHOP_TEST(retired_products_are_gone_but_for_their_holds),
    };
    return cmocka_run_group_tests(catalogue, NULL, NULL);
}
