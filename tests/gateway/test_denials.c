#include "tests/gateway/check.h"

#include <stdio.h>

#include "gateway/denials.h"

static struct denial denial_of(const char *session, const char *user, int64_t before_ms, int64_t expires_ms)
{
    struct denial denial = {.before = before_ms, .expires_at = expires_ms};
    if (session) {
        denial.session_id = text_of(session);
        set_has(denial, &denial, session_id);
    }
    if (user) {
        denial.user_id = text_of(user);
        set_has(denial, &denial, user_id);
    }
    return denial;
}

static void test_session_and_account(void **state)
{
    struct denials *denials = denials_new();
    struct denial both = denial_of("s1", "u1", 100, 1000), other = denial_of("s2", NULL, 0, 1000);
    (void)state;
    assert_false(denials_hit(denials, TEXT("u1"), TEXT("s1"), 1));
    assert_true(denials_add(denials, &both, 0));
    assert_true(denials_add(denials, &other, 0));
    assert_true(denials_hit(denials, TEXT("u9"), TEXT("s1"), 999));
    assert_true(denials_hit(denials, TEXT("u1"), TEXT("s9"), 100));
    assert_false(denials_hit(denials, TEXT("u1"), TEXT("s9"), 101));
    assert_true(denials_hit(denials, TEXT("u9"), TEXT("s2"), 101));
    assert_false(denials_hit(denials, TEXT("s2"), TEXT("u1"), 1)); /* ids of one kind do not name the other */
    assert_int_equal(denials_count(denials), 3);
    assert_true(denials_add(denials, &both, 0)); /* a repeat adds nothing */
    assert_int_equal(denials_count(denials), 3);
    denials_destroy(&denials);
}

static void test_a_full_set_says_that_it_is_not_complete(void **state)
{
    struct denials *denials = denials_new();
    struct denial_list none = {0};
    char id[24];
    (void)state;
    for (int i = 0; i < DENIALS_MAX; i++) {
        snprintf(id, sizeof id, "s%d", i);
        struct denial one = denial_of(id, NULL, 0, i < 10 ? 500 : 5000);
        assert_true(denials_add(denials, &one, 0));
    }
    struct denial more = denial_of("more", NULL, 0, 5000);
    assert_true(denials_add(denials, &more, 1000)); /* ten have expired by then */
    assert_int_equal(denials_count(denials), DENIALS_MAX - 9);
    for (int i = 0; i < 9; i++) {
        snprintf(id, sizeof id, "t%d", i);
        struct denial one = denial_of(id, NULL, 0, 5000);
        assert_true(denials_add(denials, &one, 1000));
    }
    assert_true(denials_complete(denials));
    more.session_id = TEXT("even more");
    assert_false(denials_add(denials, &more, 1000));
    assert_false(denials_complete(denials));
    denials_merge(denials, &none, 6000);
    assert_true(denials_complete(denials));
    assert_int_equal(denials_count(denials), 0);
    denials_destroy(&denials);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_session_and_account),
        cmocka_unit_test(test_a_full_set_says_that_it_is_not_complete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
