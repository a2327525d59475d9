#include "tests/broker/harness.h"

#include "broker/affinity.h"

static void test_keys_are_by_service_and_bounded(void **state)
{
    (void)state;
    struct affinity affinity;
    struct service a = {.name = "a"}, b = {.name = "b"};
    struct station one = {.service = &a}, two = {.service = &b};
    affinity_init(&affinity, 2);
    affinity_set(&affinity, TEXT("k"), &one);
    affinity_set(&affinity, TEXT("k"), &two);
    assert_ptr_equal(affinity_find(&affinity, &a, TEXT("k")), &one);
    assert_ptr_equal(affinity_find(&affinity, &b, TEXT("k")), &two);
    affinity_set(&affinity, TEXT("k"), &one); /* used again: the other one is older now */
    affinity_set(&affinity, TEXT("l"), &one);
    assert_int_equal(affinity.count, 2);
    assert_null(affinity_find(&affinity, &b, TEXT("k")));
    assert_ptr_equal(affinity_find(&affinity, &a, TEXT("k")), &one);
    affinity_forget(&affinity, &one);
    assert_int_equal(affinity.count, 0);
    assert_null(affinity_find(&affinity, &a, TEXT("k")));
    affinity_set(&affinity, TEXT("m"), &two);
    affinity_release(&affinity);
}

static void test_none_at_all(void **state)
{
    (void)state;
    struct affinity affinity;
    struct service a = {.name = "a"};
    struct station one = {.service = &a};
    affinity_init(&affinity, 0);
    affinity_set(&affinity, TEXT("k"), &one);
    assert_null(affinity_find(&affinity, &a, TEXT("k")));
    affinity_release(&affinity);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_keys_are_by_service_and_bounded),
                                       cmocka_unit_test(test_none_at_all)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
