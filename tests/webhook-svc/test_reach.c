#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

#include "lib/base/auto.h"
#include "webhook-svc/reach.h"

static const struct sockaddr *address_of(const char *text, struct sockaddr_storage *room)
{
    struct sockaddr_in four = {.sin_family = AF_INET};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    memset(room, 0, sizeof *room);
    if (strchr(text, ':')) {
        assert_int_equal(inet_pton(AF_INET6, text, &six.sin6_addr), 1);
        memcpy(room, &six, sizeof six);
    } else {
        assert_int_equal(inet_pton(AF_INET, text, &four.sin_addr), 1);
        memcpy(room, &four, sizeof four);
    }
    return (const struct sockaddr *)room;
}

static void test_what_is_inside(void **state)
{
    (void)state;
    static const char *const inside[] = {"0.0.0.0",
                                         "0.1.2.3",
                                         "10.0.0.0",
                                         "10.255.255.255",
                                         "100.64.0.0",
                                         "100.127.255.255",
                                         "127.0.0.1",
                                         "127.255.255.255",
                                         "169.254.0.1",
                                         "169.254.169.254",
                                         "172.16.0.0",
                                         "172.31.255.255",
                                         "192.0.0.1",
                                         "192.0.2.1",
                                         "192.88.99.1",
                                         "192.168.0.1",
                                         "192.168.255.255",
                                         "198.18.0.0",
                                         "198.19.255.255",
                                         "198.51.100.7",
                                         "203.0.113.9",
                                         "224.0.0.1",
                                         "239.255.255.255",
                                         "240.0.0.1",
                                         "255.255.255.255",
                                         "::",
                                         "::1",
                                         "::ffff:127.0.0.1",
                                         "::ffff:8.8.8.8",
                                         "::8.8.8.8",
                                         "64:ff9b::a00:1",
                                         "100::1",
                                         "fc00::1",
                                         "fdff::1",
                                         "fe80::1",
                                         "fec0::1",
                                         "ff02::1",
                                         "2001::1",
                                         "2001:1ff::1",
                                         "2001:db8::1",
                                         "2002:7f00:1::",
                                         "3fff::1",
                                         "4000::1",
                                         "1::1"};
    struct sockaddr_storage room;
    for (size_t i = 0; i < ARRAY_COUNT(inside); i++) {
        if (address_is_public(address_of(inside[i], &room))) {
            fail_msg("%s is public", inside[i]);
        }
    }
}

static void test_what_is_outside(void **state)
{
    (void)state;
    static const char *const outside[] = {
        "1.1.1.1",        "8.8.8.8",         "9.255.255.255",   "11.0.0.0",        "100.63.255.255",
        "100.128.0.0",    "126.255.255.255", "128.0.0.1",       "169.253.255.255", "169.255.0.0",
        "172.15.255.255", "172.32.0.0",      "192.167.255.255", "192.169.0.0",     "198.17.255.255",
        "198.20.0.0",     "223.255.255.255", "2000::1",         "2001:200::1",     "2001:4860:4860::8888",
        "2001:db7::1",    "2001:db9::1",     "2003::1",         "2606:4700::1111", "3ffe::1"};
    struct sockaddr_storage room;
    for (size_t i = 0; i < ARRAY_COUNT(outside); i++) {
        if (!address_is_public(address_of(outside[i], &room))) {
            fail_msg("%s is not public", outside[i]);
        }
    }
}

static void test_other_families_and_loopback(void **state)
{
    (void)state;
    struct sockaddr_storage room;
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    assert_false(address_is_public((const struct sockaddr *)&local));
    assert_false(address_is_allowed((const struct sockaddr *)&local, true));
    assert_true(address_is_loopback(address_of("127.9.9.9", &room)));
    assert_true(address_is_loopback(address_of("::1", &room)));
    assert_false(address_is_loopback(address_of("128.0.0.1", &room)));
    assert_false(address_is_loopback(address_of("::2", &room)));
    assert_false(address_is_allowed(address_of("127.0.0.1", &room), false));
    assert_true(address_is_allowed(address_of("127.0.0.1", &room), true));
    assert_true(address_is_allowed(address_of("::1", &room), true));
    assert_false(address_is_allowed(address_of("10.0.0.1", &room), true));
    assert_true(address_is_allowed(address_of("8.8.8.8", &room), false));
}

static void check(const char *url, bool loopback, bool good)
{
    struct fault fault;
    struct arena arena = {0};
    fault_init(&fault, &arena);
    enum err e = url_check(text_of(url), loopback, &fault);
    if ((e == ERR_NONE) != good) {
        fail_msg("%s: %d", url, e);
    }
    if (!good) {
        assert_int_equal(e, ERR_INVALID_BODY);
        assert_int_equal(fault.item_count, 1);
        assert_true(text_is(fault.items[0].pointer, "/url"));
    }
    arena_release(&arena);
}

static void test_urls(void **state)
{
    (void)state;
    check("https://example.com/", false, true);
    check("https://example.com:8443/a?b=c", false, true);
    check("HTTPS://EXAMPLE.com", false, true);
    check("https://8.8.8.8/", false, true);
    check("https://[2606:4700::1111]/", false, true);
    check("https://localhost/", false, true); /* a name: looked at when it is resolved */
    static const char *const bad[] = {
        "", "example.com", "http://example.com/", "ftp://example.com/", "file:///etc/passwd", "https://",
        "https://me@example.com/", "https://me:pass@example.com/", "https://example.com/#x", "https://exa mple.com/",
        "https://127.0.0.1/", "https://127.1/", "https://0x7f000001/", "https://017700000001/", "https://2130706433/",
        "https://10.0.0.1/", "https://[::1]/", "https://[fe80::1%25eth0]/", "https://[::ffff:10.0.0.1]/",
        "https://169.254.169.254/latest/meta-data/"};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        check(bad[i], false, false);
    }
    check("http://127.0.0.1:8000/", true, true);
    check("http://[::1]:8000/", true, true);
    check("http://10.0.0.1/", true, false);
    check("gopher://127.0.0.1/", true, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_inside), cmocka_unit_test(test_what_is_outside),
        cmocka_unit_test(test_other_families_and_loopback), cmocka_unit_test(test_urls)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
