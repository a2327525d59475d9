#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/config.h"

#define FIRST_CONFIG(X)                                                                                                \
    X(STRING, host, "host", "127.0.0.1", 1, 15, "where to listen")                                                     \
    X(NUMBER, port, "port", "8080", 0, 65535, "port to listen on")
CONFIG_DECLARE(first_config, FIRST_CONFIG);
CONFIG_DEFINE(first_config, FIRST_CONFIG)

#define config_struct   second_config_struct
#define config_row_list second_config_row_list
#define SECOND_CONFIG(X)                                                                                               \
    X(SWITCH, cache, "use-cache", "yes", 0, 0, "remember products")                                                    \
    X(NUMBER, loops, "j", "1", -4, 64, "loops")                                                                        \
    X(STRING, keys, "keys", NULL, 0, 0, "folder of keys")
CONFIG_DECLARE(second_config, SECOND_CONFIG);
CONFIG_DEFINE(second_config, SECOND_CONFIG)

struct whole {
    struct first_config first;
    struct second_config second;
};

static const struct config_section sections[] = {
    {"first", &first_config_rows, offsetof(struct whole, first)},
    {"second", &second_config_rows, offsetof(struct whole, second)},
};
static const struct config_table table = {"shop", "sells things", "[flags]", sections, 2};

static enum config_result load(struct whole *out, char *message, int *rest, int count, const char *const *words)
{
    static char *argv[20];
    argv[0] = (char *)"shop";
    for (int i = 0; i < count; i++) {
        argv[i + 1] = (char *)(uintptr_t)words[i];
    }
    argv[count + 1] = NULL;
    return config_load(&table, count + 1, argv, out, rest, message, 200);
}

#define LOAD(out, message, rest, ...)                                                                                  \
    load(out, message, rest, (int)(sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *)),                 \
         (const char *const[]){__VA_ARGS__})

static void defaults_environment_flags(void **state)
{
    (void)state;
    struct whole whole;
    char message[200] = "";
    assert_int_equal(load(&whole, message, NULL, 0, NULL), CONFIG_OK);
    assert_string_equal(whole.first.host, "127.0.0.1");
    assert_int_equal(whole.first.port, 8080);
    assert_true(whole.second.cache);
    assert_null(whole.second.keys);
    setenv("ZMART_PORT", "81", 1);
    setenv("ZMART_USE_CACHE", "off", 1);
    setenv("ZMART_J", "3", 1);
    assert_int_equal(load(&whole, message, NULL, 0, NULL), CONFIG_OK);
    assert_int_equal(whole.first.port, 81);
    assert_false(whole.second.cache);
    assert_int_equal(whole.second.loops, 3);
    assert_int_equal(LOAD(&whole, message, NULL, "--port=82", "--use-cache", "-j", "-4", "--keys", "/k"), CONFIG_OK);
    assert_int_equal(whole.first.port, 82);
    assert_true(whole.second.cache);
    assert_int_equal(whole.second.loops, -4);
    assert_string_equal(whole.second.keys, "/k");
    setenv("ZMART_PORT", "many", 1);
    assert_int_equal(load(&whole, message, NULL, 0, NULL), CONFIG_BAD);
    assert_non_null(strstr(message, "ZMART_PORT takes a whole number from 0 to 65535, not \"many\""));
    unsetenv("ZMART_PORT");
    unsetenv("ZMART_USE_CACHE");
    unsetenv("ZMART_J");
}

static void bad_flags_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *words[2];
        const char *message;
    } cases[] = {
        {{"--prot", "1"}, "unknown flag --prot"},
        {{"--", NULL}, "unknown flag --"},
        {{"--port", NULL}, "--port needs a value"},
        {{"-j", "65"}, "-j takes a whole number from -4 to 64, not \"65\""},
        {{"--port", "65536"}, "from 0 to 65535"},
        {{"--port=-1", NULL}, "from 0 to 65535"},
        {{"--port=", NULL}, "not \"\""},
        {{"--port=08", NULL}, "not \"08\""},
        {{"--host=", NULL}, "takes 1 to 15 characters, not 0"},
        {{"--host=1234567890123456", NULL}, "takes 1 to 15 characters, not 16"},
        {{"--use-cache=maybe", NULL}, "takes yes or no"},
        {{"word", NULL}, "unexpected argument \"word\""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct whole whole;
        char message[200] = "";
        int count = cases[i].words[1] ? 2 : 1;
        if (load(&whole, message, NULL, count, cases[i].words) != CONFIG_BAD || !strstr(message, cases[i].message)) {
            fail_msg("case %zu: %s", i, message);
        }
    }
}

static void words_are_moved_to_the_front(void **state)
{
    (void)state;
    struct whole whole;
    char message[200];
    int rest = -1;
    char *argv[] = {(char *)"shop", (char *)"one", (char *)"--port",
                    (char *)"1",    (char *)"two", (char *)"--use-cache=no",
                    (char *)"-",    NULL};
    assert_int_equal(config_load(&table, 7, argv, &whole, &rest, message, sizeof message), CONFIG_OK);
    assert_int_equal(rest, 3);
    assert_string_equal(argv[1], "one");
    assert_string_equal(argv[2], "two");
    assert_string_equal(argv[3], "-");
    assert_int_equal(whole.first.port, 1);
    assert_false(whole.second.cache);
}

static void help_shows_every_row(void **state)
{
    (void)state;
    struct whole whole;
    char message[200];
    char *text = NULL;
    size_t size = 0;
    assert_int_equal(LOAD(&whole, message, NULL, "--port", "1", "--help"), CONFIG_HELP);
    assert_int_equal(LOAD(&whole, message, NULL, "-h"), CONFIG_HELP);
    FILE *file = open_memstream(&text, &size);
    config_print_help(&table, file);
    fclose(file);
    static const char *const parts[] = {"shop - sells things",
                                        "usage: shop [flags]",
                                        "first:",
                                        "second:",
                                        "--host TEXT",
                                        "ZMART_HOST",
                                        "default: 127.0.0.1",
                                        "--port N",
                                        "0..65535",
                                        "  -j N",
                                        "ZMART_J",
                                        "--use-cache\n",
                                        "ZMART_USE_CACHE",
                                        "--keys TEXT",
                                        "default: none"};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (!strstr(text, parts[i])) {
            fail_msg("no %s in %s", parts[i], text);
        }
    }
    free(text);
}

static void rows_and_names_are_found(void **state)
{
    (void)state;
    char name[20];
    assert_ptr_equal(config_find(&table, "port"), &first_config_rows.rows[1]);
    assert_null(config_find(&table, "ports"));
    assert_true(config_env_name("a-b", name, sizeof name));
    assert_string_equal(name, "ZMART_A_B");
    assert_false(config_env_name("a-name-that-is-too-long", name, sizeof name));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_environment_flags),   cmocka_unit_test(bad_flags_are_named),
        cmocka_unit_test(words_are_moved_to_the_front), cmocka_unit_test(help_shows_every_row),
        cmocka_unit_test(rows_and_names_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
