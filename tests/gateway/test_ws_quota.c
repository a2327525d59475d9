#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "gateway/ws_quota.h"

static void an_account_has_its_share(void **state)
{
    (void)state;
    struct ws_quota *quota = ws_quota_new(100, 2);
    struct fault fault;
    fault_init(&fault, NULL);
    assert_int_equal(ws_quota_take(quota, TEXT("usr_a"), false, &fault), ERR_NONE);
    assert_int_equal(ws_quota_take(quota, TEXT("usr_a"), false, &fault), ERR_NONE);
    assert_int_equal(ws_quota_take(quota, TEXT("usr_a"), false, &fault), ERR_RATE_LIMITED);
    assert_true(fault.retry_after_s > 0);
    assert_int_equal(ws_quota_take(quota, TEXT("usr_b"), false, &fault), ERR_NONE);
    assert_int_equal(ws_quota_total(quota), 3);
    ws_quota_give(quota, TEXT("usr_a"));
    assert_int_equal(ws_quota_take(quota, TEXT("usr_a"), false, &fault), ERR_NONE);
    ws_quota_destroy(&quota);
}

static void the_gateway_has_its_share(void **state)
{
    (void)state;
    struct ws_quota *quota = ws_quota_new(3000, 1);
    struct fault fault;
    char user[32];
    fault_init(&fault, NULL);
    for (int i = 0; i < 3000; i++) {
        snprintf(user, sizeof(user), "usr_%d", i);
        assert_int_equal(ws_quota_take(quota, text_of(user), false, &fault), ERR_NONE);
    }
    assert_int_equal(ws_quota_take(quota, TEXT("usr_x"), false, &fault), ERR_SERVICE_UNAVAILABLE);
    assert_int_equal(ws_quota_total(quota), 3000);
    for (int i = 0; i < 3000; i++) {
        snprintf(user, sizeof(user), "usr_%d", i);
        ws_quota_give(quota, text_of(user));
    }
    assert_int_equal(ws_quota_total(quota), 0);
    ws_quota_destroy(&quota);
}

static void administrators_are_bounded_by_the_total(void **state)
{
    (void)state;
    struct fault fault;
    struct ws_quota *quota = ws_quota_new(3, 1);
    fault_init(&fault, NULL);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ws_quota_take(quota, TEXT("usr_admin"), true, &fault), ERR_NONE);
    }
    assert_int_equal(ws_quota_take(quota, TEXT("usr_admin"), true, &fault), ERR_SERVICE_UNAVAILABLE);
    for (int i = 0; i < 3; i++) {
        ws_quota_give(quota, TEXT("usr_admin"));
    }
    assert_int_equal(ws_quota_total(quota), 0);
    ws_quota_destroy(&quota);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_account_has_its_share),
        cmocka_unit_test(the_gateway_has_its_share),
        cmocka_unit_test(administrators_are_bounded_by_the_total),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
