#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "proto/errors.h"

static void every_row_is_whole(void **state)
{
    (void)state;
    for (int code = ERR_NONE + 1; code < ERR_COUNT; code++) {
        const struct err_info *info = err_info((enum err)code);
        assert_true(info->http >= 400 && info->http <= 599);
        assert_true(strlen(info->slug) > 0 && strlen(info->slug) <= 40);
        assert_int_equal(strspn(info->slug, "abcdefghijklmnopqrstuvwxyz0123456789_"), strlen(info->slug));
        assert_true(strlen(info->title) > 5);
        assert_int_equal(err_find(text_of(info->slug), info->http), code); /* slug and status name one code */
        assert_true(info->retry || (info->http != 503 && info->http != 429));
    }
}

static void the_unknown_is_a_defect(void **state)
{
    (void)state;
    assert_string_equal(err_info(ERR_NONE)->slug, "internal");
    assert_string_equal(err_info(ERR_COUNT)->slug, "internal");
    assert_string_equal(err_info(ERR_LATER)->slug, "internal");
    assert_string_equal(err_info((enum err)4711)->slug, "internal");
    assert_int_equal(err_find(TEXT("unheard_of"), 0), ERR_INTERNAL);
    assert_int_equal(err_find(TEXT("not_found"), 500), ERR_INTERNAL);
}

static void slugs_may_be_shared(void **state)
{
    (void)state;
    assert_int_equal(err_find(TEXT("outcome_unknown"), 502), ERR_OUTCOME_UNKNOWN);
    assert_int_equal(err_find(TEXT("outcome_unknown"), 504), ERR_EXPIRED);
    assert_int_equal(err_find(TEXT("outcome_unknown"), 0), ERR_OUTCOME_UNKNOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_row_is_whole), cmocka_unit_test(the_unknown_is_a_defect),
                                       cmocka_unit_test(slugs_may_be_shared)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
