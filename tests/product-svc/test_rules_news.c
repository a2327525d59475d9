/* When a change of the stock is news. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "product-svc/rules.h"

static void stock_runs_low_once(void **state)
{
    (void)state;
    assert_int_equal(stock_news_of(7, 6, 5), STOCK_IS_NO_NEWS);
    assert_int_equal(stock_news_of(6, 5, 5), STOCK_RUNS_LOW);
    assert_int_equal(stock_news_of(100, 0, 5), STOCK_RUNS_LOW);
    assert_int_equal(stock_news_of(5, 4, 5), STOCK_IS_NO_NEWS);
    assert_int_equal(stock_news_of(1, 0, 1), STOCK_IS_NO_NEWS);
    assert_int_equal(stock_news_of(2, 1, 1), STOCK_RUNS_LOW);
    assert_int_equal(stock_news_of(2, 9, 5), STOCK_IS_NO_NEWS); /* more is no warning */
}

static void without_a_level_nothing_is_low(void **state)
{
    (void)state;
    assert_int_equal(stock_news_of(6, 0, 0), STOCK_IS_NO_NEWS);
    assert_int_equal(stock_news_of(0, 1, 0), STOCK_IS_BACK);
}

static void what_was_gone_is_back(void **state)
{
    (void)state;
    assert_int_equal(stock_news_of(0, 1, 5), STOCK_IS_BACK);
    assert_int_equal(stock_news_of(0, 100, 5), STOCK_IS_BACK);
    assert_int_equal(stock_news_of(1, 2, 5), STOCK_IS_NO_NEWS);
    assert_int_equal(stock_news_of(0, 0, 5), STOCK_IS_NO_NEWS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stock_runs_low_once),
        cmocka_unit_test(without_a_level_nothing_is_low),
        cmocka_unit_test(what_was_gone_is_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
