#include "tests/broker/harness.h"

#include "broker/request.h"

static void test_numbers_are_never_used_twice(void **state)
{
    (void)state;
    struct requests table;
    requests_init(&table, 1000);
    struct request *first = request_take(&table);
    first->state = REQUEST_SENT;
    uint64_t old = request_dispatch_id(first);
    assert_ptr_equal(request_by_dispatch(&table, old), first);
    request_renumber(first);
    assert_null(request_by_dispatch(&table, old));
    old = request_dispatch_id(first);
    request_free(&table, first);
    assert_null(request_by_dispatch(&table, old));
    struct request *again = request_take(&table);
    again->state = REQUEST_SENT;
    assert_ptr_equal(again, first);
    assert_int_not_equal(request_dispatch_id(again), old);
    assert_null(request_by_dispatch(&table, UINT64_MAX));
    again->generation = UINT32_MAX;
    request_renumber(again);
    assert_int_not_equal(again->generation, 0);
    request_free(&table, again);
    requests_release(&table);
}

static void test_the_table_is_bounded(void **state)
{
    (void)state;
    struct requests table;
    struct request *list[600];
    requests_init(&table, 600);
    for (int i = 0; i < 600; i++) {
        list[i] = request_take(&table);
        assert_non_null(list[i]);
        list[i]->state = REQUEST_SENT;
    }
    assert_null(request_take(&table));
    for (int i = 0; i < 600; i++) {
        assert_ptr_equal(request_by_dispatch(&table, request_dispatch_id(list[i])), list[i]);
        request_free(&table, list[i]);
    }
    requests_release(&table);
}

static void test_callers(void **state)
{
    (void)state;
    struct requests table;
    struct peer *clients[2] = {(struct peer *)&table, (struct peer *)&state};
    requests_init(&table, 10);
    struct request *one = request_take(&table), *twin = request_take(&table);
    one->state = twin->state = REQUEST_SENT;
    one->caller.client = twin->caller.client = clients[0];
    one->caller.corr = twin->caller.corr = 5;
    request_index(&table, one);
    request_index(&table, twin);
    assert_ptr_equal(request_by_caller(&table, clients[0], 5), one);
    assert_null(request_by_caller(&table, clients[1], 5));
    request_unindex(&table, twin); /* was never in */
    assert_ptr_equal(request_by_caller(&table, clients[0], 5), one);
    request_unindex(&table, one);
    assert_null(request_by_caller(&table, clients[0], 5));
    request_free(&table, one);
    request_free(&table, twin);
    requests_release(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_numbers_are_never_used_twice),
                                       cmocka_unit_test(test_the_table_is_bounded), cmocka_unit_test(test_callers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
