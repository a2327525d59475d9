#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "lib/bus/breaker.h"

static const struct breaker_settings settings = {
    .percent = 50, .window_ms = 1000, .least_count = 10, .patience_ms = 500, .open_ms = 200, .probe_count = 3};

/* One call that takes no time; false if it was refused. */
static bool call(struct breaker *breaker, enum breaker_end end, int64_t now_ms)
{
    uint32_t probe;
    if (!breaker_enter(breaker, &settings, now_ms, &probe)) {
        return false;
    }
    breaker_leave(breaker, &settings, probe, end, now_ms);
    return true;
}

/* A failing call each 10 ms until it opens; returns when that is. */
static int64_t fail_until_open(struct breaker *breaker, int64_t now_ms)
{
    while (breaker->state == BREAKER_CLOSED) {
        assert_true(call(breaker, BREAKER_BAD, now_ms));
        now_ms += 10;
    }
    return now_ms - 10;
}

static void opens_when_it_has_been_bad_for_long(void **state)
{
    (void)state;
    struct breaker breaker;
    breaker_init(&breaker, 1000);
    assert_int_equal(fail_until_open(&breaker, 1000), 1000 + 9 * 10 + 500); /* ten calls, then patience */
    assert_int_equal(breaker.state, BREAKER_OPEN);
    assert_false(call(&breaker, BREAKER_GOOD, 1700));
    assert_int_equal(breaker_wait_ms(&breaker, &settings, 1700), 90);
}

static void a_short_fault_or_a_small_share_does_not_open_it(void **state)
{
    (void)state;
    struct breaker breaker;
    breaker_init(&breaker, 0);
    int64_t now_ms = 0;
    for (; now_ms < 200; now_ms += 10) { /* all bad, for less than the patience */
        assert_true(call(&breaker, BREAKER_BAD, now_ms));
    }
    for (; now_ms < 900; now_ms += 5) { /* back */
        assert_true(call(&breaker, BREAKER_GOOD, now_ms));
    }
    assert_int_equal(breaker.bad_since_ms, -1);
    for (; now_ms < 20000; now_ms += 10) { /* 40 % */
        assert_true(call(&breaker, now_ms / 10 % 5 < 2 ? BREAKER_BAD : BREAKER_GOOD, now_ms));
    }
    for (; now_ms < 60000; now_ms += 150) { /* all bad, but fewer than count */
        assert_true(call(&breaker, BREAKER_BAD, now_ms));
    }
    for (; now_ms < 70000; now_ms += 10) { /* says nothing about the service */
        assert_true(call(&breaker, BREAKER_NEITHER, now_ms));
    }
    assert_int_equal(breaker.state, BREAKER_CLOSED);
}

static void probes_close_it(void **state)
{
    (void)state;
    struct breaker breaker;
    uint32_t probes[3], none;
    breaker_init(&breaker, 0);
    int64_t now_ms = fail_until_open(&breaker, 0) + 200;
    for (int i = 0; i < 3; i++) {
        assert_true(breaker_enter(&breaker, &settings, now_ms, &probes[i]));
        assert_int_not_equal(probes[i], 0);
    }
    assert_int_equal(breaker.state, BREAKER_HALF_OPEN);
    assert_false(breaker_enter(&breaker, &settings, now_ms, &none)); /* three at a time */
    breaker_leave(&breaker, &settings, 0, BREAKER_BAD, now_ms);      /* from before it opened */
    breaker_leave(&breaker, &settings, probes[0], BREAKER_NEITHER, now_ms);
    assert_true(breaker_enter(&breaker, &settings, now_ms, &probes[0]));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(breaker.state, BREAKER_HALF_OPEN);
        breaker_leave(&breaker, &settings, probes[i], BREAKER_GOOD, now_ms);
    }
    assert_int_equal(breaker.state, BREAKER_CLOSED);
    assert_true(call(&breaker, BREAKER_BAD, now_ms)); /* and it has forgotten */
    assert_int_equal(breaker.state, BREAKER_CLOSED);
}

static void a_bad_probe_opens_it_again(void **state)
{
    (void)state;
    struct breaker breaker;
    uint32_t old, fresh;
    breaker_init(&breaker, 0);
    int64_t now_ms = fail_until_open(&breaker, 0) + 200;
    assert_true(breaker_enter(&breaker, &settings, now_ms, &old));
    assert_true(call(&breaker, BREAKER_BAD, now_ms));
    assert_int_equal(breaker.state, BREAKER_OPEN);
    assert_false(call(&breaker, BREAKER_GOOD, now_ms + 199));
    assert_true(breaker_enter(&breaker, &settings, now_ms + 200, &fresh));
    assert_int_not_equal(old, fresh);
    breaker_leave(&breaker, &settings, old, BREAKER_BAD, now_ms + 200); /* a probe of the time before */
    assert_int_equal(breaker.state, BREAKER_HALF_OPEN);
}

/* Whatever comes, it refuses only when it is not closed, never has more probes out than allowed, and gets out of it. */
static void random_calls(void **state)
{
    (void)state;
    enum { OUT_MAX = 50 };
    struct breaker breaker;
    uint32_t out[OUT_MAX];
    int count = 0, opened = 0;
    int64_t now_ms = 0;
    breaker_init(&breaker, now_ms);
    srand(7);
    for (int i = 0; i < 300000; i++) {
        enum breaker_state before = breaker.state;
        bool good_times = now_ms / 5000 % 2 == 0;
        now_ms += rand() % 20;
        if (count < OUT_MAX && rand() % 2) {
            bool passed = breaker_enter(&breaker, &settings, now_ms, &out[count]);
            assert_true(passed || before != BREAKER_CLOSED);
            count += passed;
        } else if (count > 0) {
            int at = rand() % count;
            breaker_leave(&breaker, &settings, out[at],
                          rand() % 20 == 0 ? BREAKER_NEITHER
                          : good_times     ? BREAKER_GOOD
                                           : BREAKER_BAD,
                          now_ms);
            out[at] = out[--count];
        }
        assert_true(breaker.probes_out >= 0 && breaker.probes_out <= settings.probe_count);
        opened += before != BREAKER_OPEN && breaker.state == BREAKER_OPEN;
    }
    assert_true(opened > 100);
    for (int i = 0; i < 10; i++) {
        (void)call(&breaker, BREAKER_GOOD, now_ms += 300);
        while (count > 0) {
            breaker_leave(&breaker, &settings, out[--count], BREAKER_GOOD, now_ms);
        }
    }
    assert_int_equal(breaker.state, BREAKER_CLOSED);
}

static void names(void **state)
{
    (void)state;
    assert_string_equal(breaker_state_name(BREAKER_HALF_OPEN), "half_open");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(opens_when_it_has_been_bad_for_long),
                                       cmocka_unit_test(a_short_fault_or_a_small_share_does_not_open_it),
                                       cmocka_unit_test(probes_close_it),
                                       cmocka_unit_test(a_bad_probe_opens_it_again),
                                       cmocka_unit_test(random_calls),
                                       cmocka_unit_test(names)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
