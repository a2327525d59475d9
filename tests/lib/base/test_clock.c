#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lib/base/clock.h"

static void durations_never_go_back(void **state)
{
    (void)state;
    int64_t before_us = clock_now_us(), before_ms = clock_now_ms();
    assert_true(before_us > 0 && before_us / 1000 <= before_ms);
    for (int i = 0; i < 1000; i++) {
        int64_t now_us = clock_now_us();
        assert_true(now_us >= before_us);
        before_us = now_us;
    }
    assert_true(clock_wall_ms() > INT64_C(1700000000000));
}

static void waits_are_spread_over_a_fifth_more(void **state)
{
    (void)state;
    static const int64_t waits_ms[] = {0, 1, 4, 5, 1000, 300000, 86400000, INT64_C(86400000) * 365};
    for (size_t i = 0; i < ARRAY_COUNT(waits_ms); i++) {
        assert_int_equal(wait_spread_ms(waits_ms[i], 0), waits_ms[i]); /* never less */
        for (uint32_t k = 1; k <= 1000; k++) {
            int64_t wait_ms = wait_spread_ms(waits_ms[i], k * UINT32_C(2654435761));
            assert_in_range(wait_ms, waits_ms[i], waits_ms[i] + waits_ms[i] / 5);
        }
    }
    assert_int_equal(wait_spread_ms(1000, 200), 1200);
    assert_int_equal(wait_spread_ms(1000, 201), 1000);
}

static void times_are_written(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {1767323045678, "2026-01-02T03:04:05.678Z"},
        {-1, "1969-12-31T23:59:59.999Z"},
        {INT64_C(253402300799999), "9999-12-31T23:59:59.999Z"},
        {INT64_MAX, "9999-12-31T23:59:59.999Z"},
        {INT64_MIN, "0000-01-01T00:00:00.000Z"},
        {INT64_C(951782400000), "2000-02-29T00:00:00.000Z"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char out[CLOCK_TEXT_SIZE];
        clock_format(cases[i].ms, out);
        assert_string_equal(out, cases[i].text);
    }
}

static void dates_are_those_of_the_calendar(void **state)
{
    (void)state;
    for (int64_t day = -719528; day < 2932897; day += 17) { /* 0000-01-01 to 9999-12-31 */
        char out[CLOCK_TEXT_SIZE], expected[CLOCK_TEXT_SIZE + 8];
        time_t at = (time_t)(day * 86400 + day % 1000);
        struct tm tm;
        assert_non_null(gmtime_r(&at, &tm));
        snprintf(expected, sizeof expected, "%04d-%02d-%02dT%02d:%02d:%02d.007Z", (tm.tm_year + 1900) % 10000,
                 tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
        clock_format((int64_t)at * 1000 + 7, out);
        if (at >= -62167219200) {
            assert_string_equal(out, expected);
        }
    }
}

static void times_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2026-01-02T03:04:05.678Z", 1767323045678},
        {"2026-01-02t03:04:05.678z", 1767323045678},
        {"2026-01-02 03:04:05.678Z", 1767323045678},
        {"2026-01-02T03:04:05.678999999Z", 1767323045678},
        {"2026-01-02T03:04:05.6Z", 1767323045600},
        {"2026-01-02T04:34:05.678+01:30", 1767323045678},
        {"2026-01-01T19:04:05.678-08:00", 1767323045678},
        {"2016-12-31T23:59:60Z", 1483228800000}, /* a leap second */
        {"2000-02-29T00:00:00Z", 951782400000},
        {"9999-12-31T23:59:59.999Z", 253402300799999},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t ms = -7;
        if (!clock_parse(text_of(cases[i].text), &ms) || ms != cases[i].ms) {
            fail_msg("%s: %lld", cases[i].text, (long long)ms);
        }
    }
}

static void everything_else_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "2026",
                                      "2026-01-02",
                                      "2026-01-02T03:04:05",
                                      "2026-01-02T03:04Z",
                                      "2026-1-02T03:04:05Z",
                                      "2026-00-02T03:04:05Z",
                                      "2026-13-02T03:04:05Z",
                                      "2026-02-29T03:04:05Z",
                                      "1900-02-29T00:00:00Z",
                                      "2026-04-31T03:04:05Z",
                                      "2026-01-00T03:04:05Z",
                                      "2026-01-02T24:00:00Z",
                                      "2026-01-02T03:60:05Z",
                                      "2026-01-02T03:04:61Z",
                                      "2026-01-02T03:04:05.Z",
                                      "2026-01-02T03:04:05.1234567890Z",
                                      "2026-01-02T03:04:05,5Z",
                                      "2026-01-02T03:04:05+1:00",
                                      "2026-01-02T03:04:05+0100",
                                      "2026-01-02T03:04:05+24:00",
                                      "2026-01-02T03:04:05+01:60",
                                      "2026-01-02T03:04:05Zx",
                                      " 2026-01-02T03:04:05Z",
                                      "2026-01-02T03:04:05 Z",
                                      "-2026-01-02T03:04:05Z",
                                      "2026-01-02T-3:04:05Z",
                                      "2026/01/02T03:04:05Z"};
    int64_t ms = -7;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (clock_parse(text_of(bad[i]), &ms) || ms != -7) {
            fail_msg("%s was read", bad[i]);
        }
    }
}

static void what_is_written_is_read_back(void **state)
{
    (void)state;
    for (int64_t ms = INT64_C(-62167219200000); ms < INT64_C(253402300799999); ms += INT64_C(86399999999)) {
        char out[CLOCK_TEXT_SIZE];
        int64_t back;
        clock_format(ms, out);
        assert_true(clock_parse(text_of(out), &back));
        assert_true(back == ms);
        for (uint32_t size = 0; size < CLOCK_TEXT_SIZE - 1; size++) {
            assert_false(clock_parse((struct text){out, size}, &back));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_never_go_back),
        cmocka_unit_test(waits_are_spread_over_a_fifth_more),
        cmocka_unit_test(times_are_written),
        cmocka_unit_test(dates_are_those_of_the_calendar),
        cmocka_unit_test(times_are_read),
        cmocka_unit_test(everything_else_is_refused),
        cmocka_unit_test(what_is_written_is_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
