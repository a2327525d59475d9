/* Which store a URL names, and what of it people may see. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "lib/store/url.h"

static void test_kinds(void **state)
{
    (void)state;
    assert_int_equal(store_kind_of("sqlite:./data"), STORE_SQLITE);
    assert_int_equal(store_kind_of("mongodb://h/d"), STORE_MONGO);
    assert_int_equal(store_kind_of("mongodb+srv://h/d"), STORE_MONGO);
    assert_int_equal(store_kind_of("sqlite:"), STORE_UNKNOWN);
    assert_int_equal(store_kind_of("mongodb://"), STORE_UNKNOWN);
    assert_int_equal(store_kind_of("mongodb:h"), STORE_UNKNOWN);
    assert_int_equal(store_kind_of("MONGODB://h"), STORE_UNKNOWN);
    assert_int_equal(store_kind_of(""), STORE_UNKNOWN);
}

static void assert_shown(const char *url, const char *as)
{
    char shown[STORE_SHOWN_SIZE];
    store_url_show(url, shown);
    assert_string_equal(shown, as);
}

static void test_secrets_are_not_shown(void **state)
{
    (void)state;
    assert_shown("sqlite:/var/lib/zmart", "sqlite:/var/lib/zmart");
    assert_shown("postgres://u:pw@h/shop", "postgres://h/shop");
    assert_shown("nonsense", "nonsense");
    assert_shown("mongodb://h:27017,i/shop?replicaSet=r", "mongodb://h:27017,i/shop");
    assert_shown("mongodb://u:pw@h/shop", "mongodb://h/shop");
    assert_shown("mongodb+srv://u:pw@h/shop?tlsCertificateKeyFilePassword=x", "mongodb+srv://h/shop");
    assert_shown("mongodb://u:p/w?p@w@h/shop", "mongodb://h/shop"); /* not escaped as it should be */
    assert_shown("mongodb://h/shop?authMechanismProperties=a:b@c", "mongodb://c");
}

static void test_what_is_long_is_cut(void **state)
{
    char url[2000], shown[STORE_SHOWN_SIZE];
    (void)state;
    memset(url, 'x', sizeof url - 1);
    url[sizeof url - 1] = '\0';
    memcpy(url, "mongodb://", 10);
    store_url_show(url, shown);
    assert_int_equal(strlen(shown), STORE_SHOWN_SIZE - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_secrets_are_not_shown),
        cmocka_unit_test(test_what_is_long_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
