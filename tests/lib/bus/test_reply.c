#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/bus/reply.h"
#include "proto/product.h"

static struct message message_of(enum frame_type type, int status, struct text body)
{
    struct message message = {.head = {.type = type, .status = (uint16_t)status}};
    message_add(&message, (struct text){0});
    message_add(&message, body);
    return message;
}

static void test_problems(void **state)
{
    (void)state;
    AUTO(arena_release) struct arena arena = {0};
    struct fault fault;
    struct problem_item items[] = {{.pointer = TEXT("/x"), .code = TEXT("bad"), .message = TEXT("is bad")}};
    struct problem problem = {.code = TEXT("outcome_unknown"),
                              .status = 504,
                              .detail = TEXT("late"),
                              .errors = {items, 1},
                              .retry_after_s = 3};
    set_has(problem, &problem, detail);
    set_has(problem, &problem, errors);
    set_has(problem, &problem, retry_after_s);
    struct message message = message_of(FRAME_NACK, 504, record_pack_in(&problem_record, &problem, &arena));
    fault_init(&fault, &arena);
    assert_int_equal(reply_error(&message, &arena, &fault), ERR_EXPIRED);
    assert_int_equal(fault.code, ERR_EXPIRED);
    assert_string_equal(fault.detail, "late");
    assert_int_equal(fault.retry_after_s, 3);
    assert_int_equal(fault.item_count, 1);
    assert_int_equal(reply_error(&message, NULL, NULL), ERR_EXPIRED);
    message_release(&message);
}

static void test_defects(void **state)
{
    (void)state;
    AUTO(arena_release) struct arena arena = {0};
    struct fault fault;
    struct product_ref ref = {.id = TEXT("untouched")};
    fault_init(&fault, &arena);
    struct message message = message_of(FRAME_REPLY, 500, TEXT("\xc1"));
    assert_int_equal(reply_error(&message, &arena, &fault), ERR_INTERNAL);
    assert_true(fault.cause[0] != '\0' && fault.detail[0] == '\0');
    message_release(&message);
    message = message_of(FRAME_NACK, 200, TEXT("\x80"));
    assert_int_equal(reply_error(&message, &arena, &fault), ERR_INTERNAL);
    message_release(&message);
    assert_int_equal(reply_unpack(&product_ref_record, TEXT("\x80"), &arena, &fault, &ref), ERR_INTERNAL);
    assert_true(text_is(ref.id, "untouched"));
}

static void test_no_answer(void **state)
{
    (void)state;
    struct fault fault;
    fault_init(&fault, NULL);
    assert_int_equal(reply_missing(ERR_EXPIRED, &fault), ERR_EXPIRED);
    assert_int_equal(reply_missing(ERR_OUTCOME_UNKNOWN, &fault), ERR_OUTCOME_UNKNOWN);
    assert_int_equal(reply_missing(ERR_SERVICE_UNAVAILABLE, &fault), ERR_SERVICE_UNAVAILABLE);
    assert_int_equal(fault.retry_after_s, 1);
    assert_int_equal(reply_missing(ERR_SERVICE_UNAVAILABLE, NULL), ERR_SERVICE_UNAVAILABLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_problems), cmocka_unit_test(test_defects),
                                       cmocka_unit_test(test_no_answer)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
