/* Settings that cannot be used end the program with a status, not with a surprise later. */
#include "tests/product-svc/world.h"

static void unusable_settings_end_the_program(void **state)
{
    struct world *world = *state;
    static const struct {
        const char *flag, *value;
    } bad[] = {{"--currency", "usd"},
               {"--currency", "DOLLAR"},
               {"--store", "mongo://localhost"},
               {"--store", "sqlite:/proc/none"},
               {"--hold-patience-ms", "1000"}};
    world->log.level = LOG_ERROR + 1; /* what is told is not looked at here */
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        struct runner runner;
        program_start(world, &runner, &product_program, bad[i].flag, bad[i].value);
        assert_int_not_equal(runner_stop(&runner), 0);
    }
}

static void settings_are_shown_with_their_defaults(void **state)
{
    (void)state;
    const struct config_row *patience = config_find(product_program.config, "hold-patience-ms");
    const struct config_row *currency = config_find(product_program.config, "currency");
    assert_non_null(patience);
    assert_non_null(currency);
    assert_true(patience->min >= 10 * (int64_t)op_info(OP_order_create)->budget_ms); /* 10 budgets at the least */
    assert_string_equal(currency->fallback, "USD");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(unusable_settings_end_the_program, world_make, world_drop),
        cmocka_unit_test(settings_are_shown_with_their_defaults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
