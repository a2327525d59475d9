/* Addresses, passwords, delays, roles, access, versions, lifetimes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "user-svc/rules.h"

static void addresses_that_work(void **state)
{
    static const char *const good[] = {"test@example.com",      "a@b",          "first.last+tag@sub.example.co.uk",
                                       "o'hara@example.com",    "x@1.2.3",      "\xc3\xbc@b\xc3\xbc" "cher.example",
                                       "UPPER@EXAMPLE.COM",     "a_b-c@d-e.fr"};
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(good); i++) {
        if (email_problem(text_of(good[i]))) {
            fail_msg("%s: %s", good[i], email_problem(text_of(good[i])));
        }
    }
}

static void addresses_that_do_not(void **state)
{
    char local[80], label[100];
    static const char *const bad[] = {"",           "a",            "@",           "@b.c",       "a@",
                                      "a@@b",       "a@b@c",        "a b@c.de",    "a@b .de",    "a\n@b.de",
                                      "a@b..de",    "a@.de",        "a@de.",       "a@-b.de",    "a@b-.de",
                                      "a@b_c.de",   "\"q\"@b.de",   "a,b@c.de",    "<a@b.de>",   "a@b.de\x7f",
                                      "a@[1.2.3.4]", "a\xc2\xa0@b.de", "a@b\xe2\x80\x8b.de", "a\xff@b.de", "a;b@c.de"};
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        if (!email_problem(text_of(bad[i]))) {
            fail_msg("\"%s\" was taken", bad[i]);
        }
    }
    for (int over = 0; over <= 1; over++) {
        char domain[EMAIL_DOMAIN_MAX_SIZE + 8];
        snprintf(local, sizeof local, "%0*d@b.de", EMAIL_LOCAL_MAX_SIZE + over, 1);
        assert_int_equal(email_problem(text_of(local)) != NULL, over);
        snprintf(label, sizeof label, "a@%0*d.de", EMAIL_LABEL_MAX_SIZE + over, 1);
        assert_int_equal(email_problem(text_of(label)) != NULL, over);
        int left = EMAIL_DOMAIN_MAX_SIZE - 4 * 51 - 3 + over; /* four labels of 50 and a dot each, and .de */
        snprintf(domain, sizeof domain, "a@%050d.%050d.%050d.%050d.%0*d.de", 1, 1, 1, 1, left, 1);
        assert_int_equal(strlen(domain), 2 + EMAIL_DOMAIN_MAX_SIZE + over);
        assert_int_equal(email_problem(text_of(domain)) != NULL, over);
    }
}

static void folding_ignores_case(void **state)
{
    char a[EMAIL_FOLDED_SIZE], b[EMAIL_FOLDED_SIZE];
    (void)state;
    assert_true(email_fold(TEXT("Test@Example.COM"), a));
    assert_string_equal(a, "test@example.com");
    /* a letter and its mark, apart and composed */
    assert_true(email_fold(TEXT("A\xcc\x88@x.de"), a));
    assert_true(email_fold(TEXT("\xc3\xa4@x.de"), b));
    assert_string_equal(a, b);
    assert_true(email_fold(TEXT("STRASSE@x.de"), a));
    assert_true(email_fold(TEXT("stra\xc3\x9f" "e@x.de"), b));
    assert_string_equal(a, b);
    assert_false(email_fold(TEXT("\xff"), a));
    assert_false(email_fold(TEXT(""), a));
}

static void folding_has_an_end(void **state)
{
    char long_one[3000], out[EMAIL_FOLDED_SIZE];
    (void)state;
    memset(long_one, 'a', sizeof long_one);
    assert_false(email_fold((struct text){long_one, sizeof long_one}, out));
    assert_true(email_fold((struct text){long_one, 254}, out));
    assert_int_equal(strlen(out), 254);
}

static const char *password_said(bool strict, int64_t min_length, const char *password)
{
    static char message[PASSWORD_MESSAGE_SIZE];
    struct password_policy policy = {min_length, strict};
    return password_problem(&policy, text_of(password), TEXT("Someone@example.com"), TEXT("Test User"), message);
}

static void passwords_by_policy(void **state)
{
    (void)state;
    assert_null(password_said(false, 8, "password"));
    assert_non_null(password_said(false, 8, "passwor"));
    assert_string_equal(password_said(false, 12, "password"), "takes 12 characters or more");
    assert_null(password_said(false, 8, "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"));
    assert_non_null(password_said(false, 8, "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4")); /* 8 bytes, 4 characters */
    assert_non_null(password_said(true, 8, "password"));
    assert_non_null(password_said(true, 8, "PassWord1"));
    assert_non_null(password_said(true, 8, "test user"));
    assert_non_null(password_said(true, 7, "SOMEONE"));
    assert_non_null(password_said(true, 8, "someone@example.com"));
    assert_null(password_said(true, 8, "kite over the sea"));
}

static void failures_delay(void **state)
{
    const struct attempt_policy policy = {5, 900 * 1000};
    struct attempts attempts = {0};
    int64_t now = 1000000;
    (void)state;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(attempts_wait_ms(&attempts, now), 0);
        attempts_fail(&attempts, &policy, now);
    }
    assert_int_equal(attempts_wait_ms(&attempts, now), 0); /* five are free */
    int64_t expected = 1000;
    for (int i = 0; i < 20; i++) {
        attempts_fail(&attempts, &policy, now);
        assert_int_equal(attempts_wait_ms(&attempts, now), expected);
        assert_int_equal(attempts_wait_ms(&attempts, now + expected - 1), 1);
        assert_int_equal(attempts_wait_ms(&attempts, now + expected), 0);
        now += expected;
        expected = expected * 2 > 900 * 1000 ? 900 * 1000 : expected * 2;
    }
    assert_int_equal(expected, 900 * 1000);
    now += ATTEMPT_FORGET_MS + 1;
    attempts_fail(&attempts, &policy, now);
    assert_int_equal(attempts.failures, 1);
    assert_int_equal(attempts_wait_ms(&attempts, now), 0);
}

/* What was noted under a clock that was ahead is not waited for. */
static void a_clock_that_was_set_back_locks_nobody_out(void **state)
{
    const struct attempt_policy policy = {1, 900 * 1000};
    struct attempts attempts = {0};
    int64_t ahead = INT64_C(86400000) * 365, now = 1000000;
    (void)state;
    for (int i = 0; i < 3; i++) {
        attempts_fail(&attempts, &policy, now + ahead);
    }
    assert_int_equal(attempts_wait_ms(&attempts, now + ahead), 2000);
    assert_int_equal(attempts_wait_ms(&attempts, now + ahead - CLOCKS_DIFFER_MS), 2000 + CLOCKS_DIFFER_MS);
    assert_int_equal(attempts_wait_ms(&attempts, now), 0);
    attempts_fail(&attempts, &policy, now); /* it counts on from there */
    assert_int_equal(attempts_wait_ms(&attempts, now), 4000);
}

static void counts_do_not_overflow(void **state)
{
    const struct attempt_policy policy = {1, INT64_C(86400000)};
    struct attempts attempts = {.failures = INT64_C(1) << 40};
    (void)state;
    attempts_fail(&attempts, &policy, 5);
    assert_int_equal(attempts_wait_ms(&attempts, 5), 86400000);
}

static void first_account_rules(void **state)
{
    (void)state;
    struct new_account_roles free_roles = new_account_roles(TEXT("a@b"), (struct text){0});
    assert_int_equal(free_roles.first, ROLE_ADMIN);
    assert_int_equal(free_roles.later, ROLE_CUSTOMER);
    struct new_account_roles pinned = new_account_roles(TEXT("a@b"), TEXT("a@b"));
    assert_int_equal(pinned.first, ROLE_ADMIN);
    assert_int_equal(pinned.later, ROLE_ADMIN);
    struct new_account_roles other = new_account_roles(TEXT("c@d"), TEXT("a@b"));
    assert_int_equal(other.first, ROLE_CUSTOMER);
    assert_int_equal(other.later, ROLE_CUSTOMER);
}

static void who_may_edit_what(void **state)
{
    struct user_edit name = {.id = TEXT("usr_1"), .name = TEXT("N")};
    struct user_edit email = {.id = TEXT("usr_1"), .email = TEXT("a@b")};
    struct user_edit password = {.id = TEXT("usr_1"), .password = TEXT("p")};
    (void)state;
    set_has(user_edit, &name, name);
    set_has(user_edit, &email, email);
    set_has(user_edit, &password, password);
    assert_int_equal(user_edit_access(&name, true, false), ERR_NONE);
    assert_int_equal(user_edit_access(&name, false, true), ERR_NONE);
    assert_int_equal(user_edit_access(&name, false, false), ERR_NOT_FOUND);
    assert_int_equal(user_edit_access(&password, false, false), ERR_NOT_FOUND);
    assert_int_equal(user_edit_access(&password, false, true), ERR_FORBIDDEN);
    assert_int_equal(user_edit_access(&email, false, true), ERR_FORBIDDEN);
    assert_int_equal(user_edit_access(&password, true, true), ERR_NONE);
    assert_false(user_edit_needs_password(&name));
    assert_true(user_edit_needs_password(&email));
    assert_true(user_edit_needs_password(&password));
}

static void countries(void **state)
{
    struct address addresses[] = {{.country = TEXT("DE")}, {.country = TEXT("ZZ")}};
    struct user_edit edit = {.addresses = {addresses, 2}};
    (void)state;
    assert_int_equal(user_edit_bad_country(&edit), -1); /* not given */
    set_has(user_edit, &edit, addresses);
    assert_int_equal(user_edit_bad_country(&edit), 1);
    addresses[1].country = TEXT("fr");
    assert_int_equal(user_edit_bad_country(&edit), 1);
    addresses[1].country = TEXT("FR");
    assert_int_equal(user_edit_bad_country(&edit), -1);
}

static void versions_and_tags(void **state)
{
    (void)state;
    assert_true(user_version_matches(TEXT("*"), 7));
    assert_true(user_version_matches(TEXT("\"7\""), 7));
    assert_true(user_version_matches(TEXT("\"6\", \"7\""), 7));
    assert_false(user_version_matches(TEXT("\"6\""), 7));
    assert_false(user_version_matches(TEXT("W/\"7\""), 7));
    assert_false(user_version_matches(TEXT("7"), 7));
    assert_false(user_version_matches(TEXT(""), 7));
}

static void sessions_end_by_time(void **state)
{
    const struct session_policy policy = {100, 1000};
    (void)state;
    assert_false(session_is_over(&policy, 0, 0, 100));
    assert_true(session_is_over(&policy, 0, 0, 101));
    assert_false(session_is_over(&policy, 0, 950, 1000));
    assert_true(session_is_over(&policy, 0, 950, 1001));
}

static void new_tokens_are_later_than_denials(void **state)
{
    (void)state;
    assert_int_equal(token_time_ms(10, 0), 10);
    assert_int_equal(token_time_ms(10, 10), 11);
    assert_int_equal(token_time_ms(10, 500), 501); /* the wall clock went back */
}

static void denials_are_later_than_tokens(void **state)
{
    (void)state;
    for (int64_t now = 5000; now < 5003; now++) { /* a token, a denial, a token, a denial ... in the same moment */
        int64_t denied_until = 0;
        for (int i = 0; i < 4; i++) {
            int64_t issued = token_time_ms(now, denied_until);
            assert_true(issued > denied_until);
            int64_t denied = denial_time_ms(now, denied_until);
            assert_true(denied >= issued && denied > denied_until);
            assert_true(denied >= now + CLOCKS_DIFFER_MS); /* a clock that is ahead */
            denied_until = denied;
        }
    }
    assert_true(denial_time_ms(10, 5000) > 5000); /* the wall clock went back */
}

static void keys_take_turns(void **state)
{
    static const struct key_policy policy = {.lead_ms = 100, .token_ms = 1000, .rotate_ms = 5000};
    static const int64_t created[] = {3000, 2000, 1000};
    (void)state;
    assert_int_equal(key_that_signs(&policy, created, 0, 9000), -1);
    assert_int_equal(key_that_signs(&policy, created, 3, 0), 2); /* the shop's first key waits for nobody */
    assert_int_equal(key_that_signs(&policy, created, 3, 2099), 2);
    assert_int_equal(key_that_signs(&policy, created, 3, 2100), 1);
    assert_int_equal(key_that_signs(&policy, created, 3, 3100), 0);
    assert_false(key_elders_are_over(&policy, 3000, 3000 + 100 + 1000 + KEY_MARGIN_MS - 1));
    assert_true(key_elders_are_over(&policy, 3000, 3000 + 100 + 1000 + KEY_MARGIN_MS));
    assert_false(key_is_due(&policy, 3000, 7999));
    assert_true(key_is_due(&policy, 3000, 8000));
    assert_false(key_is_due(&(struct key_policy){.rotate_ms = 0}, 0, INT64_MAX));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_that_work),   cmocka_unit_test(addresses_that_do_not),
        cmocka_unit_test(folding_ignores_case),  cmocka_unit_test(folding_has_an_end),
        cmocka_unit_test(passwords_by_policy),   cmocka_unit_test(failures_delay),
        cmocka_unit_test(a_clock_that_was_set_back_locks_nobody_out), cmocka_unit_test(first_account_rules),
        cmocka_unit_test(counts_do_not_overflow), cmocka_unit_test(first_account_rules),
        cmocka_unit_test(who_may_edit_what),     cmocka_unit_test(countries),
        cmocka_unit_test(versions_and_tags),     cmocka_unit_test(sessions_end_by_time),
        cmocka_unit_test(new_tokens_are_later_than_denials),
        cmocka_unit_test(denials_are_later_than_tokens),
        cmocka_unit_test(keys_take_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
