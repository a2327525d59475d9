#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/base/auto.h"
#include "proto/tag.h"

static void test_tags(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        bool matches;
    } cases[] = {{"*", true},        {"\"3\"", true},          {"\"2\", \"3\"", true}, {"\"2\" ,\t\"3\"", true},
                 {"W/\"3\"", false}, {"\"33\"", false},        {"\"2\"", false},       {"", false},
                 {"3", false},       {"\"3", false},           {"W/", false},          {"\"", false},
                 {"\"2,3\"", false}, {"W/\"3\", \"3\"", true}, {"\"\", \"3\"", true},  {"\"03\"", false}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        if (version_tag_matches(text_of(cases[i].header), 3) != cases[i].matches) {
            fail_msg("If-Match: %s", cases[i].header);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_tags)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
