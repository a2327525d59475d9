/* Whom a request is counted for, when proxies stand in front and when somebody pretends that they do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/forwarded.h"

static void lists_are_read(void **state)
{
    static const char *const good[] = {
        "", "127.0.0.1", "10.0.0.0/8,192.168.1.0/24,127.0.0.1/32", "0.0.0.0/0",
        "1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1," /* FORWARDED_MAX_PROXIES */
        "1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1"};
    static const char *const bad[] = {
        "proxy",
        "10.0.0.1/8",
        "10.0.0.0/33",
        "10.0.0.0/",
        "10.0.0.0/-1",
        "10.0.0",
        "::1",
        "1.2.3.4,,5.6.7.8",
        "1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,"
        "1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1"};
    struct forwarded forwarded = {.count = 7};
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        if (forwarded_parse(bad[i], &forwarded) || forwarded.count != 7) {
            fail_msg("\"%s\" is taken", bad[i]);
        }
    }
    for (size_t i = 0; i < ARRAY_COUNT(good); i++) {
        if (!forwarded_parse(good[i], &forwarded)) {
            fail_msg("\"%s\" is not taken", good[i]);
        }
    }
}

static void only_proxies_are_believed(void **state)
{
    static const struct {
        const char *peer, *field, *client;
    } cases[] = {
        {"10.0.0.9", "203.0.113.7", "203.0.113.7"},
        {"10.0.0.9", "198.51.100.1, 203.0.113.7", "203.0.113.7"},              /* the first one is made up */
        {"10.0.0.9", "198.51.100.1 ,\t203.0.113.7 , 10.1.1.1", "203.0.113.7"}, /* through two proxies */
        {"10.0.0.9", "2001:db8::1", "2001:db8::1"},
        {"10.0.0.9", "", "10.0.0.9"},
        {"10.0.0.9", "10.0.0.8", "10.0.0.9"},       /* proxies alone */
        {"10.0.0.9", "203.0.113.7, unknown", "10.0.0.9"},
        {"10.0.0.9", "203.0.113.7,", "10.0.0.9"},
        {"10.0.0.9", "\"203.0.113.7\"", "10.0.0.9"},
        {"11.0.0.9", "203.0.113.7", "11.0.0.9"},    /* no proxy of ours */
        {"192.0.2.4", "203.0.113.7", "203.0.113.7"},
        {"192.0.2.5", "203.0.113.7", "192.0.2.5"},
    };
    struct forwarded forwarded, nobody = {0};
    (void)state;
    assert_true(forwarded_parse("10.0.0.0/8,192.0.2.4", &forwarded));
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct text peer = text_of(cases[i].peer), field = text_of(cases[i].field);
        if (!text_is(forwarded_client(&forwarded, peer, field), cases[i].client)) {
            fail_msg("%s, \"%s\"", cases[i].peer, cases[i].field);
        }
        assert_true(text_equal(forwarded_client(&nobody, peer, field), peer));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(lists_are_read), cmocka_unit_test(only_proxies_are_believed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
