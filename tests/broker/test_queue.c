#include "tests/broker/harness.h"

static struct request make(uint8_t priority, uint8_t flags, struct parcel *parcel)
{
    return (struct request){.priority = priority, .caller = {.flags = flags}, .parcel = parcel};
}

static void test_order_and_victims(void **state)
{
    (void)state;
    struct queue queue = {0};
    struct parcel *parcel = parcel_of(&TEXT("1234"), 1);
    struct request list[] = {make(0, 0, parcel), make(2, FRAME_SERVICE, parcel), make(2, 0, parcel),
                             make(2, 0, parcel), make(0, FRAME_SERVICE, parcel), make(1, 0, parcel)};
    static const int expected[] = {5, 1, 2, 3, 0, 4}; /* 5 goes again */
    for (int i = 0; i < 5; i++) {
        queue_add(&queue, &list[i], i);
    }
    queue_add_again(&queue, &list[5], 5);
    assert_int_equal(queue.size, 24);
    assert_int_equal(queue_oldest_us(&queue, 9), 0);
    assert_null(queue_victim(&queue, 0, false));
    assert_ptr_equal(queue_victim(&queue, 1, false), &list[0]);
    assert_ptr_equal(queue_victim(&queue, 0, true), &list[0]);
    struct queue_limits limits = {.count = 6, .size = 28, .age_us = 3};
    assert_false(queue_has_room(&queue, &limits, 4, 1));
    assert_true(queue_has_room(&queue, &limits, 4, 2));
    limits.count = 7;
    assert_true(queue_has_room(&queue, &limits, 4, 1));
    assert_false(queue_has_room(&queue, &limits, 5, 1));
    assert_null(queue_stale(&queue, &limits, 3));
    assert_ptr_equal(queue_stale(&queue, &limits, 4), &list[0]);
    for (size_t i = 0; i < ARRAY_COUNT(expected); i++) {
        struct request *first = queue_first(&queue);
        assert_ptr_equal(first, &list[expected[i]]);
        queue_remove(&queue, first);
        if (i == 1) {
            assert_ptr_equal(queue_victim(&queue, 0, true), &list[0]); /* the lowest first */
        }
    }
    assert_null(queue_first(&queue));
    assert_int_equal(queue.size, 0);
    assert_int_equal(queue_oldest_us(&queue, 9), 9);
    parcel_drop(&parcel);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_order_and_victims)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
