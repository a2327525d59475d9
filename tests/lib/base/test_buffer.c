#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "lib/base/buffer.h"

static void it_grows_to_its_maximum_and_no_further(void **state)
{
    (void)state;
    AUTO(buffer_release) struct buffer buffer;
    buffer_init(&buffer, 1000);
    for (int i = 0; i < 1000; i++) {
        assert_true(buffer_add_char(&buffer, (char)('a' + i % 26)));
    }
    assert_false(buffer.overflown);
    assert_false(buffer_add_char(&buffer, 'x'));
    assert_true(buffer.overflown);
    assert_int_equal(buffer.size, 1000);
    assert_int_equal(buffer.data[999], 'a' + 999 % 26);
    assert_true(buffer_add(&buffer, "", 0));
    buffer_clear(&buffer);
    assert_false(buffer.overflown);
    assert_true(buffer_add_string(&buffer, "again"));
    assert_true(text_is(buffer_text(&buffer), "again"));
}

static void what_does_not_fit_is_left_out_whole(void **state)
{
    (void)state;
    AUTO(buffer_release) struct buffer buffer;
    buffer_init(&buffer, 5);
    assert_true(buffer_add_string(&buffer, "abc"));
    assert_false(buffer_add_string(&buffer, "def"));
    assert_false(buffer_printf(&buffer, "%d", 123));
    assert_true(buffer_add_string(&buffer, "de"));
    assert_true(text_is(buffer_text(&buffer), "abcde"));
    buffer_release(&buffer);
    assert_null(buffer.data);
    assert_int_equal(buffer.max_size, 5);
}

static void numbers_and_formats(void **state)
{
    (void)state;
    AUTO(buffer_release) struct buffer buffer;
    char longer[2000];
    buffer_init(&buffer, 10000);
    assert_true(buffer_add_int(&buffer, INT64_MIN) && buffer_add_char(&buffer, ' ') &&
                buffer_add_int(&buffer, INT64_MAX));
    assert_true(text_is(buffer_text(&buffer), "-9223372036854775808 9223372036854775807"));
    buffer_clear(&buffer);
    memset(longer, 'y', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    assert_true(buffer_printf(&buffer, "%s%s", longer, "z")); /* longer than the room on the stack */
    assert_int_equal(buffer.size, 2000);
    assert_int_equal(buffer.data[1999], 'z');
}

static void json_strings_are_escaped(void **state)
{
    (void)state;
    const struct {
        struct text in;
        const char *out;
    } cases[] = {
        {TEXT(""), "\"\""},
        {TEXT("plain"), "\"plain\""},
        {TEXT("a\"b\\c/"), "\"a\\\"b\\\\c/\""},
        {TEXT("\n\r\t\x01\x1f\x7f"), "\"\\n\\r\\t\\u0001\\u001f\x7f\""},
        {TEXT("caf\xc3\xa9 \xf0\x9f\x9b\x92"), "\"caf\xc3\xa9 \xf0\x9f\x9b\x92\""},
        {TEXT("a\0b"), "\"a\\u0000b\""},
        {TEXT("\xff"), "\"\xef\xbf\xbd\""},
        {TEXT("a\xc3(\xe2\x82"), "\"a\xef\xbf\xbd(\xef\xbf\xbd\xef\xbf\xbd\""},
        {TEXT("\xff\"\n"), "\"\xef\xbf\xbd\\\"\\n\""},
        {TEXT("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        AUTO(buffer_release) struct buffer buffer;
        buffer_init(&buffer, 1000);
        assert_true(buffer_add_json_string(&buffer, cases[i].in));
        if (!text_is(buffer_text(&buffer), cases[i].out)) {
            fail_msg("case %zu: %.*s", i, TEXT_ARG(buffer_text(&buffer)));
        }
        for (size_t max = 0; max < buffer.size; max++) {
            AUTO(buffer_release) struct buffer small;
            buffer_init(&small, max);
            assert_false(buffer_add_json_string(&small, cases[i].in));
            assert_true(small.overflown);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_grows_to_its_maximum_and_no_further),
        cmocka_unit_test(what_does_not_fit_is_left_out_whole),
        cmocka_unit_test(numbers_and_formats),
        cmocka_unit_test(json_strings_are_escaped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
