#include "tests/broker/harness.h"

static void test_order_and_ownership(void **state)
{
    (void)state;
    struct sends sends = {0};
    struct frame_head head = {.type = FRAME_PONG};
    for (uint64_t i = 0; i < 300; i++) {
        head.corr = i;
        sends_add(&sends, PLANE_WORKERS, TEXT("w"), &head, i % 2 ? parcel_of(&TEXT("body"), 1) : NULL);
    }
    assert_int_equal(sends.count, 300);
    struct send taken;
    send_move(&taken, &sends.list[299]);
    struct frame_head read;
    assert_true(frame_head_read((struct text){(const char *)taken.head, FRAME_HEAD_SIZE}, &read));
    assert_int_equal(read.corr, 299);
    assert_int_equal(send_size(&taken), 4);
    assert_int_equal(send_size(&sends.list[299]), 0); /* it was moved */
    assert_int_equal(taken.plane, PLANE_WORKERS);
    assert_memory_equal(taken.to, "w", 1);
    parcel_drop(&taken.parcel);
    sends_release(&sends);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_order_and_ownership)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
