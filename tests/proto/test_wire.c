#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "proto/pack.h"
#include "proto/wire.h"
#include "tests/proto/sample.h"

#define WIRE(bytes) wire_of((struct text){bytes, sizeof(bytes) - 1})

static void integers_of_every_width(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        uint32_t size;
        int64_t value;
    } cases[] = {
        {"\x00", 1, 0},
        {"\x7f", 1, 127},
        {"\xff", 1, -1},
        {"\xe0", 1, -32},
        {"\xcc\xff", 2, 255},
        {"\xcd\xff\xff", 3, 65535},
        {"\xce\xff\xff\xff\xff", 5, UINT32_MAX},
        {"\xcf\x7f\xff\xff\xff\xff\xff\xff\xff", 9, INT64_MAX},
        {"\xd0\x80", 2, -128},
        {"\xd1\x80\x00", 3, -32768},
        {"\xd2\x80\x00\x00\x00", 5, INT32_MIN},
        {"\xd3\x80\x00\x00\x00\x00\x00\x00\x00", 9, INT64_MIN},
        {"\xd3\x00\x00\x00\x00\x00\x00\x00\x05", 9, 5},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t value = 42;
        struct wire wire = wire_of((struct text){cases[i].bytes, cases[i].size});
        assert_int_equal(wire_peek(&wire), WIRE_INT);
        assert_true(wire_read_int(&wire, &value));
        assert_true(value == cases[i].value);
        assert_int_equal(wire_peek(&wire), WIRE_END);
        for (uint32_t size = 0; size < cases[i].size; size++) {
            wire = wire_of((struct text){cases[i].bytes, size});
            assert_false(wire_read_int(&wire, &value));
            assert_int_equal(wire_peek(&wire), WIRE_END); /* broken for good */
        }
    }
    int64_t value = 42;
    struct wire wire = WIRE("\xcf\x80\x00\x00\x00\x00\x00\x00\x00");
    assert_false(wire_read_int(&wire, &value)); /* beyond int64 */
    assert_int_equal(value, 42);
}

static void what_was_packed_reads_back(void **state)
{
    (void)state;
    AUTO(buffer_release) struct buffer out;
    buffer_init(&out, 1 << 20);
    uint64_t seed = 1;
    static int64_t numbers[2000];
    for (int i = 0; i < 2000; i++) {
        numbers[i] = (int64_t)(sample_random(&seed) >> sample_random(&seed) % 64) * (sample_random(&seed) % 2 ? 1 : -1);
        assert_true(pack_int(&out, numbers[i]));
    }
    struct wire wire = wire_of(buffer_text(&out));
    for (int i = 0; i < 2000; i++) {
        int64_t value;
        assert_true(wire_read_int(&wire, &value));
        assert_true(value == numbers[i]);
    }
    assert_int_equal(wire_peek(&wire), WIRE_END);
}

static void texts_of_every_width(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {0, 1, 31, 32, 255, 256, 65535, 65536, 100000};
    char *data = mem_alloc(100000);
    memset(data, 'x', 100000);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        AUTO(buffer_release) struct buffer out;
        struct text text = {0};
        buffer_init(&out, 1 << 20);
        assert_true(pack_text(&out, (struct text){data, sizes[i]}));
        struct wire wire = wire_of(buffer_text(&out));
        assert_int_equal(wire_peek(&wire), WIRE_TEXT);
        assert_true(wire_read_text(&wire, &text));
        assert_int_equal(text.size, sizes[i]);
        wire = wire_of((struct text){out.data, (uint32_t)out.size - 1});
        assert_false(wire_read_text(&wire, &text));
        wire = wire_of(buffer_text(&out));
        assert_true(wire_skip(&wire, 0));
        assert_int_equal(wire_peek(&wire), WIRE_END);
    }
    mem_free(data);
}

static void bins_of_every_width(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {0, 1, 255, 256, 65535, 65536};
    char *data = mem_alloc(65536);
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        AUTO(buffer_release) struct buffer out;
        struct text bytes = {0};
        buffer_init(&out, 1 << 20);
        assert_true(pack_bin(&out, (struct text){data, sizes[i]}));
        struct wire wire = wire_of(buffer_text(&out));
        assert_int_equal(wire_peek(&wire), WIRE_BIN);
        assert_true(wire_read_bin(&wire, &bytes));
        assert_int_equal(bytes.size, sizes[i]);
        assert_int_equal(wire_peek(&wire), WIRE_END);
        wire = wire_of((struct text){out.data, (uint32_t)out.size - 1});
        assert_false(wire_read_bin(&wire, &bytes));
    }
    struct text bytes;
    struct wire wire = WIRE("\xa1x");
    assert_false(wire_read_bin(&wire, &bytes));
    mem_free(data);
}

static void counts_are_not_believed(void **state)
{
    (void)state;
    uint32_t count = 7;
    struct wire wire = WIRE("\xdd\xff\xff\xff\xff"
                            "abc");
    assert_false(wire_read_array(&wire, &count));
    wire = WIRE("\x93"
                "ab");
    assert_false(wire_read_array(&wire, &count));
    wire = WIRE("\x82"
                "abc"); /* two entries are four values */
    assert_false(wire_read_map(&wire, &count));
    wire = WIRE("\xde\x00\x01"
                "ab");
    assert_true(wire_read_map(&wire, &count));
    assert_int_equal(count, 1);
    wire = WIRE("\xdb\xff\xff\xff\xff"
                "abc");
    struct text text;
    assert_false(wire_read_text(&wire, &text));
}

static void only_the_right_kind_is_read(void **state)
{
    (void)state;
    bool flag;
    int64_t number;
    struct text text;
    uint32_t count;
    struct wire wire;
    for (int c = 0; c < 256; c++) {
        char bytes[16] = {(char)c};
        wire = wire_of((struct text){bytes, sizeof bytes});
        enum wire_kind kind = wire_peek(&wire);
        struct wire copy = wire;
        assert_true(kind == WIRE_NIL || !wire_read_nil(&copy));
        copy = wire;
        assert_true(kind == WIRE_BOOL || !wire_read_bool(&copy, &flag));
        copy = wire;
        assert_true(kind == WIRE_INT || !wire_read_int(&copy, &number));
        copy = wire;
        assert_true(kind == WIRE_TEXT || !wire_read_text(&copy, &text));
        copy = wire;
        assert_true(kind == WIRE_ARRAY || !wire_read_array(&copy, &count));
        copy = wire;
        assert_true(kind == WIRE_MAP || !wire_read_map(&copy, &count));
    }
}

/* What we take for a value, msgpack-c takes for the same one. (Not asked the other way round: it believes counts.) */
static void skipping_agrees_with_msgpack_c(void **state)
{
    (void)state;
    uint64_t seed = 99;
    int values = 0;
    for (int round = 0; round < 20000; round++) {
        uint32_t size = 1 + (uint32_t)(sample_random(&seed) % 24);
        char *bytes = mem_alloc(size);
        for (uint32_t i = 0; i < size; i++) {
            bytes[i] = (char)(sample_random(&seed) >> 11);
        }
        struct wire wire = wire_of((struct text){bytes, size});
        if (wire_skip(&wire, WIRE_MAX_SKIP_DEPTH)) {
            msgpack_unpacked unpacked;
            size_t at = 0;
            msgpack_unpacked_init(&unpacked);
            assert_int_equal(msgpack_unpack_next(&unpacked, bytes, size, &at), MSGPACK_UNPACK_SUCCESS);
            assert_int_equal((const char *)wire.at - bytes, at);
            msgpack_unpacked_destroy(&unpacked);
            values++;
        }
        mem_free(bytes);
    }
    assert_true(values > 1000);
}

static void every_value_that_was_packed_is_skipped_whole(void **state)
{
    (void)state;
    for (size_t r = 0; sample_records[r]; r++) {
        AUTO(arena_release) struct arena arena = {0};
        uint64_t seed = r;
        void *in = arena_alloc(&arena, sample_records[r]->size);
        sample_fill(sample_records[r], &seed, &arena, in);
        struct text bytes = record_pack_in(sample_records[r], in, &arena);
        struct wire wire = wire_of(bytes);
        assert_true(wire_skip(&wire, WIRE_MAX_SKIP_DEPTH));
        assert_int_equal(wire_peek(&wire), WIRE_END);
    }
}

static void depth_is_limited(void **state)
{
    (void)state;
    char bytes[64];
    memset(bytes, 0x91, sizeof bytes);
    for (uint32_t depth = 0; depth < 40; depth++) {
        bytes[depth] = '\x90'; /* depth arrays around an empty one */
        struct wire wire = wire_of((struct text){bytes, depth + 1});
        assert_int_equal(wire_skip(&wire, 100), depth + 1 <= WIRE_MAX_SKIP_DEPTH);
        wire = wire_of((struct text){bytes, depth + 1});
        assert_int_equal(wire_skip(&wire, 5), depth + 1 <= 5);
        bytes[depth] = '\x91';
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_of_every_width),
        cmocka_unit_test(what_was_packed_reads_back),
        cmocka_unit_test(texts_of_every_width),
        cmocka_unit_test(bins_of_every_width),
        cmocka_unit_test(counts_are_not_believed),
        cmocka_unit_test(only_the_right_kind_is_read),
        cmocka_unit_test(skipping_agrees_with_msgpack_c),
        cmocka_unit_test(every_value_that_was_packed_is_skipped_whole),
        cmocka_unit_test(depth_is_limited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
