#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "proto/money.h"

static void currencies_have_their_decimals(void **state)
{
    (void)state;
    assert_int_equal(currency_decimals(TEXT("EUR")), 2);
    assert_int_equal(currency_decimals(TEXT("JPY")), 0);
    assert_int_equal(currency_decimals(TEXT("TND")), 3);
    assert_int_equal(currency_decimals(TEXT("CLF")), 4);
    static const char *const unknown[] = {"", "E", "EU", "eur", "EURO", "XXX", "EUR ", " EUR", "R U", "UR "};
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
        assert_int_equal(currency_decimals(text_of(unknown[i])), -1);
    }
}

static void decimals_become_minor_units(void **state)
{
    (void)state;
    int64_t minor = 7;
    assert_true(money_from_decimal(299900, 2, &minor));
    assert_int_equal(minor, 2999);
    assert_false(money_from_decimal(299950, 2, &minor));
    assert_int_equal(minor, 2999);
    assert_true(money_from_decimal(299950, 3, &minor));
    assert_int_equal(minor, 29995);
    assert_false(money_from_decimal(299900, 0, &minor));
    assert_true(money_from_decimal(290000, 0, &minor));
    assert_int_equal(minor, 29);
    assert_true(money_from_decimal(DECIMAL_MAX, 4, &minor));
    assert_true(minor == DECIMAL_MAX);
    for (int decimals = 0; decimals <= 4; decimals++) {
        assert_true(money_from_decimal(money_to_decimal(12345, decimals), decimals, &minor));
        assert_int_equal(minor, 12345);
    }
}

static void amounts_are_written_with_all_decimals(void **state)
{
    (void)state;
    static const struct {
        int64_t minor;
        int decimals;
        const char *text;
    } cases[] = {
        {2999, 2, "29.99"},
        {0, 2, "0.00"},
        {5, 2, "0.05"},
        {-5, 2, "-0.05"},
        {500, 0, "500"},
        {-500, 0, "-500"},
        {1, 4, "0.0001"},
        {12345, 3, "12.345"},
        {INT64_MIN, 2, "-92233720368547758.08"},
        {INT64_MAX, 0, "9223372036854775807"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char out[MONEY_TEXT_SIZE];
        money_format(cases[i].minor, cases[i].decimals, out);
        assert_string_equal(out, cases[i].text);
    }
}

static void texts_are_read_strictly(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t decimal;
    } good[] = {{"0", 0},     {"29.99", 299900}, {"0.0001", 1}, {"9999999999.99", DECIMAL_MAX},
                {"7", 70000}, {"0.5", 5000}};
    static const char *const bad[] = {"",
                                      ".",
                                      "1.",
                                      ".5",
                                      "-1",
                                      "+1",
                                      "1e2",
                                      "1.23456",
                                      "1.2.3",
                                      " 1",
                                      "1 ",
                                      "0x1",
                                      "9999999999.9901",
                                      "10000000000",
                                      "99999999999999999999",
                                      "1,5",
                                      "NaN"};
    int64_t decimal = -7;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(decimal_from_text(text_of(good[i].text), &decimal));
        assert_true(decimal == good[i].decimal);
    }
    decimal = -7;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (decimal_from_text(text_of(bad[i]), &decimal) || decimal != -7) {
            fail_msg("%s was read", bad[i]);
        }
    }
}

static void every_cent_survives_a_double(void **state)
{
    (void)state;
    int64_t decimal;
    for (int64_t cents = 0; cents < 100000; cents++) {
        assert_true(decimal_from_double((double)cents / 100, &decimal));
        assert_true(decimal == cents * 100);
        int64_t large = INT64_C(999999999999) - cents * 7919;
        assert_true(decimal_from_double((double)large / 100, &decimal));
        assert_true(decimal == large * 100);
    }
    assert_true(decimal_from_double(-0.05, &decimal));
    assert_int_equal(decimal, -500);
    assert_true(decimal_from_double(-0.0, &decimal));
    assert_int_equal(decimal, 0);
    assert_true(decimal_from_double(0.0001, &decimal));
    assert_int_equal(decimal, 1);
    assert_true(decimal_from_double(0.1 + 0.2, &decimal)); /* 0.30000000000000004: 0.3 to 15 digits */
    assert_int_equal(decimal, 3000);
}

static void what_has_too_many_digits_is_refused(void **state)
{
    (void)state;
    static const double bad[] = {0.00001,           1e-5, 1e-16,          1e-20, 5e-324,   29.999999, 0.12345, 0.00011,
                                 0.001000000000012, 1e10, 9999999999.995, 1e300, INFINITY, -INFINITY, NAN,     -1e-20};
    int64_t decimal = -7;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (decimal_from_double(bad[i], &decimal) || decimal != -7) {
            fail_msg("%.17g was read as %lld", bad[i], (long long)decimal);
        }
    }
}

static void sums_do_not_run_over(void **state)
{
    (void)state;
    int64_t out = -7;
    assert_true(money_multiply(2999, 100000, &out));
    assert_int_equal(out, 299900000);
    assert_false(money_multiply(MONEY_MAX, 2, &out));
    assert_false(money_multiply(INT64_MAX, INT64_MAX, &out));
    assert_true(money_add(MONEY_MAX - 1, 1, &out));
    assert_true(out == MONEY_MAX);
    assert_false(money_add(MONEY_MAX, 1, &out));
    assert_false(money_add(INT64_MAX, INT64_MAX, &out));
    assert_true(out == MONEY_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(currencies_have_their_decimals),
        cmocka_unit_test(decimals_become_minor_units),
        cmocka_unit_test(amounts_are_written_with_all_decimals),
        cmocka_unit_test(texts_are_read_strictly),
        cmocka_unit_test(every_cent_survives_a_double),
        cmocka_unit_test(what_has_too_many_digits_is_refused),
        cmocka_unit_test(sums_do_not_run_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
