#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/backoff.h"

static void a_first_death_is_mended_at_once(void **state)
{
    (void)state;
    assert_int_equal(backoff_count(0, 50, false), 1);
    assert_int_equal(backoff_delay_ms(1), 0);
}

static void a_crash_loop_waits_longer_but_never_too_long(void **state)
{
    int count = 0;
    int64_t last_ms = -1;
    (void)state;
    for (int i = 0; i < 1000; i++) {
        count = backoff_count(count, 60000, false);
        int64_t delay_ms = backoff_delay_ms(count);
        assert_true(delay_ms >= last_ms && delay_ms <= BACKOFF_MAX_MS);
        last_ms = delay_ms;
    }
    assert_int_equal(last_ms, BACKOFF_MAX_MS);
}

static void who_was_ready_is_back_soon(void **state)
{
    int count = 0;
    (void)state;
    for (int i = 0; i < 1000; i++) {
        count = backoff_count(count, 10, true);
        assert_true(backoff_delay_ms(count) <= BACKOFF_READY_MAX_MS);
    }
    assert_int_equal(backoff_delay_ms(count), BACKOFF_READY_MAX_MS);
    assert_int_equal(backoff_delay_ms(backoff_count(10, 10, true)), BACKOFF_READY_MAX_MS);
}

static void a_useful_life_forgives(void **state)
{
    (void)state;
    assert_int_equal(backoff_count(9, BACKOFF_HEALTHY_MS, true), 1);
    assert_int_equal(backoff_count(1, BACKOFF_HEALTHY_MS - 1, true), 2);
    assert_int_equal(backoff_count(4, BACKOFF_HEALTHY_MS, false), 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_first_death_is_mended_at_once),
        cmocka_unit_test(a_crash_loop_waits_longer_but_never_too_long),
        cmocka_unit_test(who_was_ready_is_back_soon),
        cmocka_unit_test(a_useful_life_forgives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
