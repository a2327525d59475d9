/* Argon2id hashes: right and wrong passwords, costs, the dummy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "user-svc/password.h"

static const struct password_cost cheap = {64, 1};
static const struct password_cost dearer = {128, 2};

static void only_the_right_one_verifies(void **state)
{
    char hash[PASSWORD_HASH_SIZE], other[PASSWORD_HASH_SIZE];
    (void)state;
    assert_true(password_hash(&cheap, TEXT("password"), hash));
    assert_true(password_hash(&cheap, TEXT("password"), other));
    assert_string_not_equal(hash, other); /* salted */
    assert_memory_equal(hash, "$argon2id$v=19$m=64,t=1,p=1$", 28);
    assert_true(password_verify(TEXT("password"), hash));
    assert_false(password_verify(TEXT("Password"), hash));
    assert_false(password_verify(TEXT("password "), hash));
    assert_false(password_verify(TEXT(""), hash));
}

static void nothing_is_cut_off(void **state)
{
    char long_one[512], hash[PASSWORD_HASH_SIZE];
    struct text password = {long_one, sizeof long_one};
    (void)state;
    memset(long_one, 'x', sizeof long_one);
    assert_true(password_hash(&cheap, password, hash));
    long_one[sizeof long_one - 1] = 'y';
    assert_false(password_verify(password, hash));
}

static void a_cost_shows_in_its_hash(void **state)
{
    char hash[PASSWORD_HASH_SIZE];
    (void)state;
    assert_true(password_hash(&cheap, TEXT("password"), hash));
    assert_false(password_is_dated(&cheap, hash));
    assert_true(password_is_dated(&dearer, hash));
}

static void a_dummy_looks_real_and_fits_nothing(void **state)
{
    char dummy[PASSWORD_HASH_SIZE], other[PASSWORD_HASH_SIZE], real[PASSWORD_HASH_SIZE];
    (void)state;
    password_dummy(&cheap, dummy);
    password_dummy(&cheap, other);
    assert_true(password_hash(&cheap, TEXT("password"), real));
    assert_int_equal(strlen(dummy), strlen(real));
    assert_string_not_equal(dummy, other);
    assert_false(password_is_dated(&cheap, dummy)); /* so it is verified at the same cost */
    assert_false(password_verify(TEXT("password"), dummy));
}

static void malformed_hashes_fit_nothing(void **state)
{
    (void)state;
    char hash[PASSWORD_HASH_SIZE] = "";
    assert_false(password_verify(TEXT("password"), hash));
    memcpy(hash, "$argon2id$v=19$m=64", 20);
    assert_false(password_verify(TEXT("password"), hash));
}

static int start(void **state)
{
    (void)state;
    return password_start() ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_right_one_verifies),         cmocka_unit_test(nothing_is_cut_off),
        cmocka_unit_test(a_cost_shows_in_its_hash),            cmocka_unit_test(a_dummy_looks_real_and_fits_nothing),
        cmocka_unit_test(malformed_hashes_fit_nothing),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
