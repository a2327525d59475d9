#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "cli/shop.h"

static void urls_come_from_the_gateway(void **state)
{
    struct shop shop = {.settings.up = {.host = "127.0.0.1", .port = 8080}};
    char url[SHOP_URL_SIZE];
    (void)state;
    shop_url(&shop, "listening at http://127.0.0.1:4711 for all", url);
    assert_string_equal(url, "http://127.0.0.1:4711");
    shop_url(&shop, "says nothing of the sort", url);
    assert_string_equal(url, "http://127.0.0.1:8080");
    shop.settings.up.host = "::1";
    shop_url(&shop, NULL, url);
    assert_string_equal(url, "http://[::1]:8080");
}

static void ports_are_read_from_urls(void **state)
{
    (void)state;
    assert_int_equal(url_port("http://127.0.0.1:4711"), 4711);
    assert_int_equal(url_port("http://[::1]:80/docs"), 80);
    assert_int_equal(url_port("http://example.org"), 0);
    assert_int_equal(url_port("http://x:99999"), 0);
    assert_int_equal(url_port(""), 0);
}

static bool told(const struct words *words, const char *flag, const char *value)
{
    bool is = false; /* the last one counts */
    for (int i = 0; i + 1 < words->count; i++) {
        if (strcmp(words->items[i], flag) == 0) {
            is = strcmp(words->items[i + 1], value) == 0;
        }
    }
    return is;
}

static void rooms_are_told_what_they_know(void **state)
{
    struct shop shop = {
        .settings = {.process = {.log_level = "info"},
                     .up = {.host = "127.0.0.9", .port = 8080, .events = "tcp://127.0.0.1:1", .loops = 3}},
        .store = "sqlite:/srv/shop",
        .log_path = "/srv/shop/zmart.log"};
    (void)state;
    words_add_flag(&shop.arguments.rooms[ROOM_EVENT], "retention-days", "5");
    for (enum room_id id = 0; id < ROOM_COUNT; id++) {
        AUTO(words_release) struct words argv = {0};
        shop_room_argv(&shop, id, "inproc://here", 8081, &argv);
        assert_string_equal(argv.items[0], room_name(id));
        assert_true(told(&argv, "--bus", "inproc://here"));
        assert_int_equal(told(&argv, "--store", "sqlite:/srv/shop"), rooms[id].stores);
        assert_int_equal(told(&argv, "--j", "3"), rooms[id].stores);
        assert_int_equal(told(&argv, "--port", "8081"), id == ROOM_GATEWAY);
        assert_int_equal(told(&argv, "--host", "127.0.0.9"), id == ROOM_GATEWAY);
        assert_int_equal(told(&argv, "--events", "tcp://127.0.0.1:1"), id == ROOM_BROKER);
        assert_int_equal(told(&argv, "--retention-days", "5"), id == ROOM_EVENT);
    }
    arguments_release(&shop.arguments);
}

/* Its URL may hold a password: it stands in no room's arguments. */
static void mongodb_is_named_by_the_environment(void **state)
{
    struct shop shop = {.settings = {.process = {.log_level = "info"}, .up = {.host = "127.0.0.9", .events = ""}},
                        .data_path = "/srv/shop"};
    (void)state;
    for (enum room_id id = 0; id < ROOM_COUNT; id++) {
        AUTO(words_release) struct words argv = {0};
        shop_room_argv(&shop, id, "inproc://here", 0, &argv);
        bool given = false;
        for (int i = 0; i < argv.count; i++) {
            given = given || strcmp(argv.items[i], "--store") == 0;
        }
        assert_int_equal(given, rooms[id].stores && !rooms[id].mongo);
        assert_int_equal(told(&argv, "--store", "sqlite:/srv/shop"), given);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls_come_from_the_gateway),
        cmocka_unit_test(ports_are_read_from_urls),
        cmocka_unit_test(rooms_are_told_what_they_know),
        cmocka_unit_test(mongodb_is_named_by_the_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
