#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/address.h"
#include "tests/proto/table.h"

static void countries_are_known(void **state)
{
    (void)state;
    static const char *const good[] = {"AD", "DE", "FR", "GB", "US", "ZW", "XK", "AX"};
    static const char *const bad[] = {"", "D", "de", "De", "UK", "XX", "ZZ", "DEU", "D ", " D", "  ", "A\n", "EU"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(address_country_known(text_of(good[i])));
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (address_country_known(text_of(bad[i]))) {
            fail_msg("%s is known", bad[i]);
        }
    }
    int count = 0;
    for (char a = 'A'; a <= 'Z'; a++) {
        for (char b = 'A'; b <= 'Z'; b++) {
            char code[2] = {a, b};
            count += address_country_known((struct text){code, 2});
        }
    }
    assert_int_equal(count, 250); /* 249 assigned, and XK */
}

static void the_table_is_sane(void **state)
{
    (void)state;
    table_check(&address_record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(countries_are_known), cmocka_unit_test(the_table_is_sane)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
