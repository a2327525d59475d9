#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "cli/settings.h"

static enum config_result load(const char *const *list, struct arguments *arguments, struct up_settings *out,
                               char message[SETTINGS_MESSAGE_SIZE])
{
    AUTO(words_release) struct words argv = {0};
    words_add(&argv, "up");
    for (; *list; list++) {
        words_add(&argv, *list);
    }
    message[0] = '\0';
    return settings_load(&argv, arguments, out, message);
}

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

static void defaults_are_a_local_shop(void **state)
{
    AUTO(arguments_release) struct arguments arguments = {0};
    struct up_settings settings;
    char message[SETTINGS_MESSAGE_SIZE];
    (void)state;
    assert_int_equal(load(LIST(NULL), &arguments, &settings, message), CONFIG_OK);
    assert_string_equal(settings.up.host, "127.0.0.1");
    assert_int_equal(settings.up.port, 8080);
    assert_string_equal(settings.up.events, "tcp://127.0.0.1:5556");
    assert_false(settings.up.processes);
    for (enum room_id id = 0; id < ROOM_COUNT; id++) {
        assert_int_equal(settings_room_count(&settings, id), 1);
        assert_int_equal(arguments.rooms[id].count, 0);
    }
}

static void a_flag_wins_over_the_environment(void **state)
{
    AUTO(arguments_release) struct arguments arguments = {0};
    struct up_settings settings;
    char message[SETTINGS_MESSAGE_SIZE];
    (void)state;
    assert_int_equal(setenv("ZMART_PORT", "9001", 1), 0);
    assert_int_equal(setenv("ZMART_HOST", "127.0.0.2", 1), 0);
    assert_int_equal(load(LIST("--port", "9002"), &arguments, &settings, message), CONFIG_OK);
    assert_int_equal(settings.up.port, 9002);
    assert_string_equal(settings.up.host, "127.0.0.2");
    assert_int_equal(unsetenv("ZMART_PORT"), 0);
    assert_int_equal(unsetenv("ZMART_HOST"), 0);
}

static void rooms_get_their_flags(void **state)
{
    AUTO(arguments_release) struct arguments arguments = {0};
    struct up_settings settings;
    char message[SETTINGS_MESSAGE_SIZE];
    (void)state;
    assert_int_equal(load(LIST("--retention-days=3", "--batch", "7"), &arguments, &settings, message), CONFIG_OK);
    assert_int_equal(arguments.rooms[ROOM_EVENT].count, 3);
    assert_int_equal(arguments.rooms[ROOM_PRODUCT].count, 2);
    assert_string_equal(arguments.rooms[ROOM_ORDER].items[1], "7");
    assert_int_equal(arguments.rooms[ROOM_BROKER].count, 0);
}

static void what_cannot_work_is_told(void **state)
{
    static const struct {
        const char *flag, *value, *said;
    } cases[] = {
        {"--events", "tcp://0.0.0.0:5556", "--keys"},
        {"--events", "tcp://*:5556", "--keys"},
        {"--events", "nonsense", "tcp://HOST:PORT"},
        {"--key", "folder", "set by up"},
        {"--store", "postgres://u:x@db/d", "mongodb://HOST/DATABASE"},
        {"--webhook-svc", "2", "SQLite"},
        {"--store", "folder", "sqlite:DIR"},
        {"--order-svc", "2", "MongoDB"},
        {"--gateway", "2", "--processes"},
        {"--bus", "ipc:///tmp", "set by up"},
        {"--batch", "0", "--batch"},
        {"--log-level", "loud", "--log-level"},
        {"--port", "65536", "--port"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        AUTO(arguments_release) struct arguments arguments = {0};
        struct up_settings settings;
        char message[SETTINGS_MESSAGE_SIZE];
        assert_int_equal(load(LIST(cases[i].flag, cases[i].value), &arguments, &settings, message), CONFIG_BAD);
        assert_non_null(strstr(message, cases[i].said));
        assert_null(strchr(message, '\n'));
    }
}

static void several_of_a_room_need_their_means(void **state)
{
    AUTO(arguments_release) struct arguments arguments = {0};
    struct up_settings settings;
    char message[SETTINGS_MESSAGE_SIZE];
    (void)state;
    assert_int_equal(load(LIST("--processes", "--gateway", "2", "--broker=3"), &arguments, &settings, message),
                     CONFIG_OK);
    assert_int_equal(settings_room_count(&settings, ROOM_GATEWAY), 2);
    assert_int_equal(settings_room_count(&settings, ROOM_BROKER), 3);
    AUTO(arguments_release) struct arguments others = {0};
    assert_int_equal(load(LIST("--processes", "--gateway", "2", "--port", "65535"), &others, &settings, message),
                     CONFIG_BAD);
}

static void rooms_on_mongodb_may_be_many(void **state)
{
    static const char *const flags[] = {"--product-svc", "--order-svc",   "--user-svc",
                                        "--event-svc",   "--webhook-svc", "--mail-svc"};
    static const enum room_id ids[] = {ROOM_PRODUCT, ROOM_ORDER, ROOM_USER, ROOM_EVENT, ROOM_WEBHOOK, ROOM_MAIL};
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(flags); i++) {
        for (int number = 64; number <= 65; number++) {
            AUTO(arguments_release) struct arguments arguments = {0};
            struct up_settings settings;
            char message[SETTINGS_MESSAGE_SIZE];
            bool good = number == 64;
            assert_int_equal(load(LIST("--processes", "--store", "mongodb://h/d", flags[i], good ? "64" : "65"),
                                  &arguments, &settings, message),
                             good ? CONFIG_OK : CONFIG_BAD);
            assert_true(!good || settings_room_count(&settings, ids[i]) == number);
        }
        AUTO(arguments_release) struct arguments on_sqlite = {0};
        struct up_settings settings;
        char message[SETTINGS_MESSAGE_SIZE];
        assert_int_equal(load(LIST("--processes", flags[i], "2"), &on_sqlite, &settings, message), CONFIG_BAD);
        assert_non_null(strstr(message, "needs MongoDB"));
    }
}

static void loopback_is_recognised(void **state)
{
    (void)state;
    assert_true(address_is_local("tcp://127.0.0.1:1"));
    assert_true(address_is_local("tcp://127.8.9.1:1"));
    assert_true(address_is_local("tcp://localhost:1"));
    assert_true(address_is_local("tcp://[::1]:1"));
    assert_true(address_is_local("ipc:///run/x"));
    assert_false(address_is_local("tcp://127.0.0.1.example.org:1"));
    assert_false(address_is_local("tcp://10.0.0.1:1"));
    assert_false(address_is_local("tcp://eth0:1"));
    assert_false(address_is_local("tcp://*:1"));
    assert_false(address_is_local("tcp://[::]:1"));
}

static void help_tells_every_flag_once(void **state)
{
    char *text = NULL;
    size_t size = 0;
    (void)state;
    FILE *memory = open_memstream(&text, &size);
    assert_non_null(memory);
    settings_print_help(memory);
    fclose(memory);
    static const char *const once[] = {"  --port N", "  --store TEXT", "  --batch N", "  --retention-days N",
                                       "  --log-file TEXT"};
    for (size_t i = 0; i < ARRAY_COUNT(once); i++) {
        const char *first = strstr(text, once[i]);
        assert_non_null(first);
        assert_null(strstr(first + 1, once[i]));
    }
    assert_null(strstr(text, "  --instance TEXT"));
    assert_null(strstr(text, "  --bus TEXT"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_a_local_shop),
        cmocka_unit_test(a_flag_wins_over_the_environment),
        cmocka_unit_test(rooms_get_their_flags),
        cmocka_unit_test(what_cannot_work_is_told),
        cmocka_unit_test(several_of_a_room_need_their_means),
        cmocka_unit_test(rooms_on_mongodb_may_be_many),
        cmocka_unit_test(loopback_is_recognised),
        cmocka_unit_test(help_tells_every_flag_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
