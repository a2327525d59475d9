#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "proto/pack.h"

static void the_shortest_form_is_written(void **state)
{
    (void)state;
    AUTO(buffer_release) struct buffer out;
    buffer_init(&out, 1000);
    assert_true(pack_map(&out, 2) && pack_text(&out, TEXT("a")) && pack_int(&out, -1) && pack_text(&out, TEXT("b")) &&
                pack_array(&out, 3) && pack_bool(&out, true) && pack_bool(&out, false) && pack_nil(&out));
    assert_int_equal(out.size, 10);
    assert_memory_equal(out.data,
                        "\x82\xa1"
                        "a\xff\xa1"
                        "b\x93\xc3\xc2\xc0",
                        10);
    buffer_clear(&out);
    assert_true(pack_int(&out, 127) && pack_int(&out, 128) && pack_int(&out, 65536) && pack_raw(&out, TEXT("\x90")));
    assert_memory_equal(out.data, "\x7f\xcc\x80\xce\x00\x01\x00\x00\x90", 9);
}

static void a_full_buffer_says_so(void **state)
{
    (void)state;
    AUTO(buffer_release) struct buffer out;
    buffer_init(&out, 2);
    assert_false(pack_text(&out, TEXT("abc")));
    buffer_clear(&out);
    assert_true(pack_nil(&out) && pack_nil(&out));
    assert_false(pack_nil(&out));
    assert_false(pack_raw(&out, TEXT("x")));
    assert_true(out.overflown);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_shortest_form_is_written),
                                       cmocka_unit_test(a_full_buffer_says_so)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
