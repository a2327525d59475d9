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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stopping_shows_on_the_descriptor),
        cmocka_unit_test(every_program_has_the_process_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
