#include "tests/gateway/check.h"

#include <stdio.h>

#include "gateway/limit.h"

static void test_a_bucket_empties_and_fills(void **state)
{
    struct limit *limit = limit_new(3, 60000);
    struct limit_state now;
    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_true(limit_take(limit, TEXT("a"), 1, 1000, &now));
        assert_int_equal(now.left, 2 - i);
    }
    assert_false(limit_take(limit, TEXT("a"), 1, 1000, &now));
    assert_true(now.wait_s >= 20 && now.wait_s <= 22);
    assert_false(limit_take(limit, TEXT("a"), 0, 1000, &now)); /* a look */
    assert_true(limit_take(limit, TEXT("b"), 1, 1000, &now));  /* another name */
    /* looking often does not keep it from filling */
    for (int64_t at = 1001; at < 21000; at++) {
        (void)limit_take(limit, TEXT("a"), 0, at, &now);
    }
    assert_true(limit_take(limit, TEXT("a"), 1, 21100, &now));
    assert_false(limit_take(limit, TEXT("a"), 1, 21100, &now));
    assert_true(limit_take(limit, TEXT("a"), 1, 200000, &now));
    assert_int_equal(now.left, 2);
    limit_destroy(&limit);
}

static void test_names_without_end_take_no_more_room(void **state)
{
    struct limit *limit = limit_new(1, 1000);
    struct limit_state now;
    (void)state;
    for (int i = 0; i < 50000; i++) {
        char name[24];
        snprintf(name, sizeof name, "10.0.%d.%d", i / 256, i % 256);
        assert_true(limit_take(limit, text_of(name), 1, i, &now));
    }
    limit_destroy(&limit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_bucket_empties_and_fills),
        cmocka_unit_test(test_names_without_end_take_no_more_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
