#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "lib/base/auto.h"
#include "proto/pattern.h"

static void types_have_a_shape(void **state)
{
    (void)state;
    assert_true(type_is_valid(TEXT("order.placed")));
    assert_true(type_is_valid(TEXT("order")));
    assert_true(type_is_valid(TEXT("order-svc.v2.line_added")));
    static const char *const bad[] = {"",
                                      "_head",
                                      ".order",
                                      "order.",
                                      "order..placed",
                                      "Order",
                                      "order placed",
                                      "order*",
                                      "a234567890123456789012345678901234567890123456789012345678901"};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        assert_false(type_is_valid(text_of(bad[i])));
    }
}

static void patterns_have_a_shape(void **state)
{
    (void)state;
    assert_true(pattern_is_valid(TEXT("*")));
    assert_true(pattern_is_valid(TEXT("order.*")));
    assert_true(pattern_is_valid(TEXT("order.pl*")));
    assert_true(pattern_is_valid(TEXT("order.placed")));
    static const char *const bad[] = {"", "**", "order.*.x", "*placed", "_*", "order.", "order..*"};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        assert_false(pattern_is_valid(text_of(bad[i])));
    }
}

static void patterns_match_types(void **state)
{
    (void)state;
    struct text items[] = {TEXT("order.*"), TEXT("session.ended")};
    struct text_list list = {items, 2};
    struct text_list none = {0};
    assert_true(pattern_matches(TEXT("*"), TEXT("order.placed")));
    assert_true(pattern_matches(TEXT("order.*"), TEXT("order.placed")));
    assert_false(pattern_matches(TEXT("order.*"), TEXT("orders.placed")));
    assert_false(pattern_matches(TEXT("order.*"), TEXT("order")));
    assert_true(pattern_matches(TEXT("order.placed"), TEXT("order.placed")));
    assert_false(pattern_matches(TEXT("order.placed"), TEXT("order.placed2")));
    assert_true(patterns_match(&list, TEXT("session.ended")));
    assert_true(patterns_match(&list, TEXT("order.shipped")));
    assert_false(patterns_match(&list, TEXT("session.began")));
    assert_true(patterns_match(&none, TEXT("anything")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types_have_a_shape),
        cmocka_unit_test(patterns_have_a_shape),
        cmocka_unit_test(patterns_match_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
