#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/backoff.h"

static void a_first_death_is_mended_at_once(void **state)
{
    (void)state;
    assert_int_equal(backoff_count(0, 50), 1);
    assert_int_equal(backoff_delay_ms(1), 0);
}

static void a_crash_loop_waits_longer_but_never_too_long(void **state)
{
    int count = 0;
    int64_t last_ms = -1;
    (void)state;
    for (int i = 0; i < 1000; i++) {
        count = backoff_count(count, 10);
        int64_t delay_ms = backoff_delay_ms(count);
        assert_true(delay_ms >= last_ms && delay_ms <= BACKOFF_MAX_MS);
        last_ms = delay_ms;
    }
    assert_int_equal(last_ms, BACKOFF_MAX_MS);
}

static void a_long_life_forgives(void **state)
{
    (void)state;
    assert_int_equal(backoff_count(9, BACKOFF_HEALTHY_MS), 1);
    assert_int_equal(backoff_count(3, BACKOFF_HEALTHY_MS - 1), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_first_death_is_mended_at_once),
        cmocka_unit_test(a_crash_loop_waits_longer_but_never_too_long),
        cmocka_unit_test(a_long_life_forgives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
