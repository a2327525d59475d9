#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/bus/retry_budget.h"

static int spend_all(struct retry_budget *budget, int64_t now_ms)
{
    int count = 0;
    while (count < 100000 && retry_budget_spend(budget, now_ms)) {
        count++;
    }
    return count;
}

static void a_tenth_of_the_requests(void **state)
{
    (void)state;
    struct retry_budget budget;
    retry_budget_init(&budget, 10, 1, 1000);
    assert_int_equal(spend_all(&budget, 1000), RETRY_FLOOR_SAVED_S);
    for (int i = 0; i < 500; i++) {
        retry_budget_earn(&budget);
    }
    assert_int_equal(spend_all(&budget, 1000), 50);
    for (int i = 0; i < 9; i++) {
        retry_budget_earn(&budget);
        assert_false(retry_budget_spend(&budget, 1000));
    }
    retry_budget_earn(&budget);
    assert_int_equal(spend_all(&budget, 1000), 1);
}

static void a_floor_by_time(void **state)
{
    (void)state;
    struct retry_budget budget;
    retry_budget_init(&budget, 10, 20, 1000);
    assert_int_equal(spend_all(&budget, 1000), 200);
    assert_int_equal(spend_all(&budget, 1049), 0);
    assert_int_equal(spend_all(&budget, 1051), 1); /* what there was before is not lost */
    assert_int_equal(spend_all(&budget, 2051), 20);
    assert_int_equal(spend_all(&budget, 1000), 0); /* time does not go back */
}

static void savings_are_bounded(void **state)
{
    (void)state;
    struct retry_budget budget;
    retry_budget_init(&budget, 100, 1, 0);
    for (int i = 0; i < 10 * RETRY_SAVED_MAX; i++) {
        retry_budget_earn(&budget);
    }
    assert_int_equal(spend_all(&budget, INT64_MAX), RETRY_SAVED_MAX);
    retry_budget_init(&budget, 100, 10000, 0);
    assert_int_equal(spend_all(&budget, INT64_MAX / 2), 100000);
}

static void no_limit(void **state)
{
    (void)state;
    struct retry_budget budget = {0};
    assert_int_equal(spend_all(&budget, 0), 100000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_tenth_of_the_requests), cmocka_unit_test(a_floor_by_time),
                                       cmocka_unit_test(savings_are_bounded), cmocka_unit_test(no_limit)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
