#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <limits.h>
#include <stdio.h>

#include "lib/base/text.h"

static void comparing(void **state)
{
    (void)state;
    struct text none = text_of(NULL);
    assert_null(none.data);
    assert_true(text_equal(none, TEXT("")));
    assert_true(text_is(none, "") && text_is(none, NULL));
    assert_true(text_is(TEXT("abc"), "abc"));
    assert_false(text_is(TEXT("abc"), "abcd"));
    assert_false(text_is(TEXT("ab\0c"), "ab"));
    assert_true(text_equal_ignoring_case(TEXT("HeLLo-1"), TEXT("hEllO-1")));
    assert_false(text_equal_ignoring_case(TEXT("\xc3\x84"), TEXT("\xc3\xa4"))); /* ASCII only */
    assert_false(text_equal_ignoring_case(TEXT("["), TEXT("{")));
    assert_true(text_starts_with(TEXT("order.placed"), "order."));
    assert_false(text_starts_with(TEXT("order"), "order."));
    assert_true(text_starts_with(none, ""));
    assert_true(text_compare(TEXT("a"), TEXT("b")) < 0);
    assert_true(text_compare(TEXT("ab"), TEXT("a")) > 0);
    assert_true(text_compare(TEXT("\xff"), TEXT("a")) > 0);
    assert_int_equal(text_compare(none, TEXT("")), 0);
}

static void utf8_is_checked_to_the_letter(void **state)
{
    (void)state;
    static const char *const good[] = {"",
                                       "plain",
                                       "\xc2\x80",
                                       "\xdf\xbf",
                                       "\xe0\xa0\x80",
                                       "\xed\x9f\xbf",
                                       "\xee\x80\x80",
                                       "\xef\xbf\xbf",
                                       "\xf0\x90\x80\x80",
                                       "\xf4\x8f\xbf\xbf"};
    static const char *const bad[] = {"\x80",
                                      "\xbf",
                                      "\xc0\x80",
                                      "\xc1\xbf",
                                      "\xc2",
                                      "\xc2\x41",
                                      "\xe0\x80\x80",
                                      "\xe0\x9f\xbf",
                                      "\xed\xa0\x80",
                                      "\xed\xbf\xbf",
                                      "\xe2\x82",
                                      "\xf0\x80\x80\x80",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xff",
                                      "\xfe",
                                      "a\xe2\x82z"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(text_is_utf8(text_of(good[i])));
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (text_is_utf8(text_of(bad[i]))) {
            fail_msg("case %zu is taken for UTF-8", i);
        }
    }
    assert_false(text_is_utf8(TEXT("a\0b")));
    assert_int_equal(text_length(TEXT("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x9b\x92")), 4);
}

/* Every code point, written by the rules, is valid; its surrogates are not. */
static void all_code_points_are_valid(void **state)
{
    (void)state;
    for (uint32_t point = 1; point <= 0x110000; point++) {
        char bytes[4];
        uint32_t size = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
        static const unsigned char first[] = {0, 0, 0xc0, 0xe0, 0xf0};
        for (uint32_t i = size, rest = point; i-- > 0; rest >>= 6) {
            bytes[i] = (char)(i == 0 ? first[size] | rest : 0x80 | (rest & 0x3f));
        }
        bool valid = !(point >= 0xd800 && point <= 0xdfff) && point <= 0x10ffff;
        if (text_is_utf8((struct text){bytes, size}) != valid) {
            fail_msg("U+%X", point);
        }
    }
}

static void integers_are_read_strictly(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t value;
    } good[] = {
        {"0", 0}, {"7", 7}, {"-1", -1}, {"9223372036854775807", INT64_MAX}, {"-9223372036854775808", INT64_MIN}};
    static const char *const bad[] = {"",
                                      "-",
                                      "-0",
                                      "00",
                                      "01",
                                      "-01",
                                      "+1",
                                      " 1",
                                      "1 ",
                                      "1a",
                                      "0x1",
                                      "1.0",
                                      "9223372036854775808",
                                      "-9223372036854775809",
                                      "99999999999999999999999"};
    int64_t value = 42;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (text_to_int(text_of(bad[i]), &value) || value != 42) {
            fail_msg("\"%s\" was read", bad[i]);
        }
    }
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(text_to_int(text_of(good[i].text), &value));
        assert_true(value == good[i].value);
    }
}

static void cutting(void **state)
{
    (void)state;
    struct text rest = TEXT("a,,bc,"), part;
    static const char *const parts[] = {"a", "", "bc", ""};
    for (int i = 0; i < 4; i++) {
        assert_true(text_cut(&rest, ',', &part));
        assert_true(text_is(part, parts[i]));
    }
    assert_false(text_cut(&rest, ',', &part));
    rest = text_of(NULL);
    assert_false(text_cut(&rest, ',', &part));
    rest = TEXT("");
    assert_true(text_cut(&rest, ',', &part)); /* one empty part */
    assert_false(text_cut(&rest, ',', &part));
}

static void copying_out(void **state)
{
    (void)state;
    char room[4] = "zzz";
    assert_true(text_to_string(TEXT("abc"), room, sizeof room));
    assert_string_equal(room, "abc");
    assert_false(text_to_string(TEXT("abcd"), room, sizeof room));
    assert_string_equal(room, "");
    assert_true(text_to_string(text_of(NULL), room, sizeof room));
}

static void distances(void **state)
{
    (void)state;
    char longest[TEXT_DISTANCE_MAX + 1];
    memset(longest, 'x', sizeof longest);
    assert_int_equal(text_distance(TEXT("product"), TEXT("product")), 0);
    assert_int_equal(text_distance(TEXT("produkt"), TEXT("product")), 1);
    assert_int_equal(text_distance(TEXT("prodcut"), TEXT("product")), 2);
    assert_int_equal(text_distance(TEXT(""), TEXT("abc")), 3);
    assert_int_equal(text_distance(TEXT("abc"), TEXT("")), 3);
    assert_int_equal(text_distance((struct text){longest, TEXT_DISTANCE_MAX}, TEXT("x")), TEXT_DISTANCE_MAX - 1);
    assert_int_equal(text_distance((struct text){longest, TEXT_DISTANCE_MAX + 1}, TEXT("x")), UINT32_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comparing),
        cmocka_unit_test(utf8_is_checked_to_the_letter),
        cmocka_unit_test(all_code_points_are_valid),
        cmocka_unit_test(integers_are_read_strictly),
        cmocka_unit_test(cutting),
        cmocka_unit_test(copying_out),
        cmocka_unit_test(distances),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
