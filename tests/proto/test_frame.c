#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "proto/frame.h"

static void heads_go_there_and_back(void **state)
{
    (void)state;
    struct frame_head in = {.type = FRAME_REPLY,
                            .flags = 0x2a,
                            .priority = 3,
                            .attempt = 2,
                            .corr = UINT64_C(0x0102030405060708),
                            .t_send_us = INT64_C(0x1112131415161718),
                            .budget_ms = 0x21222324,
                            .status = 0x3132,
                            .credit = 0x4142,
                            .epoch = 0x51525354,
                            .queue_us = 0x61626364},
                      out;
    uint8_t bytes[FRAME_HEAD_SIZE];
    memset(in.request_id, 0xab, ID_SIZE);
    frame_head_write(&in, bytes);
    assert_true(frame_head_read((struct text){(const char *)bytes, sizeof bytes}, &out));
    assert_int_equal(out.type, in.type);
    assert_int_equal(out.flags, in.flags);
    assert_int_equal(out.priority, in.priority);
    assert_int_equal(out.attempt, in.attempt);
    assert_memory_equal(out.request_id, in.request_id, ID_SIZE);
    assert_true(out.corr == in.corr && out.t_send_us == in.t_send_us);
    assert_int_equal(out.budget_ms, in.budget_ms);
    assert_int_equal(out.status, in.status);
    assert_int_equal(out.credit, in.credit);
    assert_int_equal(out.epoch, in.epoch);
    assert_int_equal(out.queue_us, in.queue_us);
}

/* Others speak this too: where each byte lies is part of the contract. */
static void the_layout_is_fixed(void **state)
{
    (void)state;
    struct frame_head head = {.type = FRAME_REQUEST,
                              .flags = 2,
                              .priority = 1,
                              .attempt = 1,
                              .corr = 7,
                              .t_send_us = 8,
                              .budget_ms = 5000,
                              .status = 409,
                              .credit = 3,
                              .epoch = 9,
                              .queue_us = 10};
    static const uint8_t expected[FRAME_HEAD_SIZE] = {
        'B',      'U',         'S',         '1',      3,           2,        1,        1,        [31] = 7,
        [39] = 8, [42] = 0x13, [43] = 0x88, [44] = 1, [45] = 0x99, [47] = 3, [51] = 9, [55] = 10};
    uint8_t bytes[FRAME_HEAD_SIZE];
    frame_head_write(&head, bytes);
    assert_memory_equal(bytes, expected, FRAME_HEAD_SIZE);
}

static bool reads(uint32_t at, uint8_t value, uint32_t size)
{
    struct frame_head head = {.type = FRAME_PING}, out;
    uint8_t bytes[FRAME_HEAD_SIZE + 1] = {0};
    frame_head_write(&head, bytes);
    bytes[at] = value;
    return frame_head_read((struct text){(const char *)bytes, size}, &out);
}

static void other_heads_are_refused(void **state)
{
    (void)state;
    assert_true(reads(5, 0xff, FRAME_HEAD_SIZE));
    assert_false(reads(5, 0, FRAME_HEAD_SIZE - 1));
    assert_false(reads(5, 0, FRAME_HEAD_SIZE + 1));
    assert_false(reads(5, 0, 0));
    assert_false(reads(0, 'b', FRAME_HEAD_SIZE));
    assert_false(reads(3, '2', FRAME_HEAD_SIZE));
    assert_false(reads(4, 0, FRAME_HEAD_SIZE));
    assert_false(reads(4, FRAME_TYPE_COUNT, FRAME_HEAD_SIZE));
    assert_false(reads(6, 4, FRAME_HEAD_SIZE));
    struct frame_head out;
    assert_false(frame_head_read(text_of(NULL), &out));
}

static void routes_are_split(void **state)
{
    (void)state;
    struct text service, operation, key;
    assert_true(route_read(TEXT("product.get"), &service, &operation, &key));
    assert_true(text_is(service, "product") && text_is(operation, "get") && key.size == 0);
    assert_true(route_read(TEXT("product.reserve#prd_A1"), &service, &operation, &key));
    assert_true(text_is(operation, "reserve") && text_is(key, "prd_A1"));
    static const char *const bad[] = {
        "",
        ".",
        "#",
        "product",
        "product.",
        ".get",
        "product.get#",
        "Product.get",
        "product.Get",
        "product get.x",
        "a.b#c#d",
        "a.b#c d",
        "a\n.b",
        "#a.b",
        "a.bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
        "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"};
    service = TEXT("untouched");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (route_read(text_of(bad[i]), &service, &operation, &key)) {
            fail_msg("%s was read", bad[i]);
        }
    }
    assert_true(text_is(service, "untouched"));
}

static void types_have_names(void **state)
{
    (void)state;
    for (int type = 1; type < FRAME_TYPE_COUNT; type++) {
        assert_non_null(frame_type_name((enum frame_type)type));
    }
    assert_string_equal(frame_type_name(FRAME_NACK), "NACK");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_go_there_and_back), cmocka_unit_test(the_layout_is_fixed),
        cmocka_unit_test(other_heads_are_refused), cmocka_unit_test(routes_are_split),
        cmocka_unit_test(types_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
