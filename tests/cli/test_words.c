#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/words.h"
#include "lib/base/auto.h"

static void words_end_in_null(void **state)
{
    AUTO(words_release) struct words words = {0};
    AUTO(words_release) struct words more = {0};
    (void)state;
    words_add(&words, "up");
    words_add_flag(&more, "order-svc", "2");
    words_add_all(&words, &more);
    assert_int_equal(words.count, 3);
    assert_string_equal(words.items[0], "up");
    assert_string_equal(words.items[1], "--order-svc");
    assert_string_equal(words.items[2], "2");
    assert_null(words.items[3]);
    words_release(&words);
    assert_int_equal(words.count, 0);
    assert_null(words.items);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(words_end_in_null)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
