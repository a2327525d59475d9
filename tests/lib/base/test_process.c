#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <unistd.h>

#include "lib/base/process.h"

static void stopping_shows_on_the_descriptor(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    struct env env = {.stop_fd = ends[0]};
    assert_false(env_stopping(&env));
    assert_int_equal(write(ends[1], "x", 1), 1);
    assert_true(env_stopping(&env));
    assert_true(env_stopping(&env)); /* it is not read */
    close(ends[0]);
    close(ends[1]);
}

static void every_program_has_the_process_rows(void **state)
{
    (void)state;
    static const struct config_section section = {"process", &process_config_rows, 0};
    static const struct config_table table = {"x", "y", "", &section, 1};
    assert_non_null(config_find(&table, "log-level"));
    assert_non_null(config_find(&table, "log-file"));
    assert_non_null(config_find(&table, "instance"));
}

static void passwords_are_written_over(void **state)
{
    (void)state;
    char program[] = "order-svc", flag[] = "--store=mongodb://u:pa:s@s@h/shop?x=y", value[] = "mongodb://h:27017/shop";
    char user[] = "mongodb://u@h:1/shop", *argv[] = {program, flag, value, user, NULL};
    AUTO(argv_release) char **copy = argv_hide(4, argv);
    assert_string_equal(copy[1], "--store=mongodb://u:pa:s@s@h/shop?x=y");
    assert_string_equal(copy[2], "mongodb://h:27017/shop");
    assert_null(copy[4]);
    assert_string_equal(program, "order-svc");
    assert_string_equal(flag, "--store=mongodb://u:xxxxxx@h/shop?x=y");
    assert_string_equal(value, "mongodb://h:27017/shop");
    assert_string_equal(user, "mongodb://u@h:1/shop");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(passwords_are_written_over),
        cmocka_unit_test(stopping_shows_on_the_descriptor),
        cmocka_unit_test(every_program_has_the_process_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
