#include "tests/gateway/check.h"

#include "gateway/conditional.h"
#include "proto/order.h"
#include "proto/product.h"
#include "proto/user.h"

static void test_tags(void **state)
{
    struct product product = {.version = 3, .stock = 98};
    struct order order = {.version = 2};
    struct product_list list = {0};
    char tag[ETAG_SIZE];
    (void)state;
    assert_true(etag_make(&product_record, &product, tag));
    assert_string_equal(tag, "\"3-98\"");
    assert_true(etag_make(&order_record, &order, tag));
    assert_string_equal(tag, "\"2\"");
    assert_false(etag_make(&product_list_record, &list, tag));
}

static void test_lists(void **state)
{
    (void)state;
    assert_true(etag_listed(TEXT("\"3-98\""), "\"3-98\""));
    assert_true(etag_listed(TEXT("\"1\", W/\"3-98\" ,\"x\""), "\"3-98\""));
    assert_true(etag_listed(TEXT("*"), "\"3-98\""));
    assert_false(etag_listed(TEXT("\"3-9\""), "\"3-98\""));
    assert_false(etag_listed(TEXT("3-98"), "\"3-98\""));
    assert_false(etag_listed(TEXT(""), "\"3-98\""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_tags), cmocka_unit_test(test_lists)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
