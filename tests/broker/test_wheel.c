#include "tests/broker/harness.h"

#include "broker/wheel.h"

static void test_nothing_early_nothing_forgotten(void **state)
{
    (void)state;
    enum { COUNT = 500 };
    struct wheel *wheel = mem_alloc(sizeof *wheel);
    struct request *requests = mem_alloc_array(COUNT, sizeof *requests);
    int64_t now_us = 77 * SECOND + 3;
    wheel_init(wheel, now_us);
    for (int i = 0; i < COUNT; i++) {
        requests[i].deadline_us = now_us + i * 97 * MS; /* several turns */
        wheel_add(wheel, &requests[i]);
    }
    wheel_remove(wheel, &requests[100]);
    wheel_remove(wheel, &requests[100]);
    int seen = 0;
    for (; seen < COUNT - 1; now_us += 7 * MS) {
        assert_true(now_us < 200 * SECOND);
        struct request *due;
        while ((due = wheel_take_due(wheel, now_us)) != NULL) {
            assert_ptr_not_equal(due, &requests[100]);
            assert_true(due->deadline_us <= now_us && due->deadline_us > now_us - 7 * MS - 2 * WHEEL_TICK_US);
            seen++;
        }
    }
    assert_int_equal(wheel->count, 0);
    mem_free(requests);
    mem_free(wheel);
}

static void test_after_a_long_stall_all_are_found(void **state)
{
    (void)state;
    struct wheel *wheel = mem_alloc(sizeof *wheel);
    struct request requests[3] = {
        {.deadline_us = 1 * SECOND}, {.deadline_us = 9 * SECOND}, {.deadline_us = 4000 * SECOND}};
    wheel_init(wheel, 0);
    for (int i = 0; i < 3; i++) {
        wheel_add(wheel, &requests[i]);
    }
    int seen = 0;
    while (wheel_take_due(wheel, 3600 * SECOND)) {
        seen++;
    }
    assert_int_equal(seen, 2);
    wheel_remove(wheel, &requests[2]);
    assert_int_equal(wheel->count, 0);
    mem_free(wheel);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_nothing_early_nothing_forgotten),
                                       cmocka_unit_test(test_after_a_long_stall_all_are_found)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
