/* The table of failures: bounded, by name, cleared by success. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sodium.h>
#include <stdio.h>

#include "user-svc/throttle.h"

static const struct attempt_policy policy = {2, 60000};

static void names_are_apart(void **state)
{
    struct throttle *throttle = throttle_new(&policy);
    (void)state;
    for (int i = 0; i < 3; i++) {
        throttle_fail(throttle, TEXT("a@b.de"), 100);
    }
    assert_int_equal(throttle_wait_ms(throttle, TEXT("a@b.de"), 100), 1000);
    assert_int_equal(throttle_wait_ms(throttle, TEXT("c@b.de"), 100), 0);
    assert_int_equal(throttle_wait_ms(throttle, (struct text){0}, 100), 0);
    throttle_clear(throttle, TEXT("c@b.de"));
    assert_int_equal(throttle_wait_ms(throttle, TEXT("a@b.de"), 100), 1000);
    throttle_clear(throttle, TEXT("a@b.de"));
    assert_int_equal(throttle_wait_ms(throttle, TEXT("a@b.de"), 100), 0);
    throttle_fail(throttle, TEXT("a@b.de"), 100);
    assert_int_equal(throttle_wait_ms(throttle, TEXT("a@b.de"), 100), 0); /* the free ones are back */
    throttle_destroy(&throttle);
    assert_null(throttle);
}

static void many_names_push_out_the_oldest(void **state)
{
    enum { CROWD = 40 * THROTTLE_NAME_COUNT };
    struct throttle *throttle = throttle_new(&policy);
    char name[32];
    int64_t now = 1;
    (void)state;
    for (int i = 0; i < 3; i++) {
        throttle_fail(throttle, TEXT("old"), now);
    }
    for (int i = 0; i < CROWD; i++) {
        snprintf(name, sizeof name, "crowd %d", i);
        throttle_fail(throttle, text_of(name), ++now);
    }
    assert_int_equal(throttle_wait_ms(throttle, TEXT("old"), 1), 0);
    for (int i = 0; i < 3; i++) {
        throttle_fail(throttle, TEXT("new"), now);
    }
    assert_int_equal(throttle_wait_ms(throttle, TEXT("new"), now), 1000);
    throttle_destroy(&throttle);
}

static int start(void **state)
{
    (void)state;
    return sodium_init() >= 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(names_are_apart),
                                       cmocka_unit_test(many_names_push_out_the_oldest)};
    return cmocka_run_group_tests(tests, start, NULL);
}
