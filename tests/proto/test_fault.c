#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "proto/fault.h"

static void a_fault_goes_over_the_wire(void **state)
{
    (void)state;
    AUTO(arena_release) struct arena arena = {0}, there = {0};
    struct fault fault, other;
    struct problem problem, received;
    fault_init(&fault, &arena);
    fault_init(&other, &there);
    fault_add(&fault, "/items/0", "out_of_stock", 3, "only %d are left", 3);
    fault_add(&fault, "/items/1", "unavailable", -1, "is not for sale");
    fault_allow(&fault, "cancelled");
    fault_cause(&fault, "sqlite: %s", "busy");
    fault.retry_after_s = 7;
    fault.head = 0;
    assert_int_equal(fault_set(&fault, ERR_OUT_OF_STOCK, "%d lines", 2), ERR_OUT_OF_STOCK);
    fault_to_problem(&fault, &problem);
    struct text bytes = record_pack_in(&problem_record, &problem, &arena);
    assert_null(memmem(bytes.data, bytes.size, "sqlite", 6)); /* the cause stays at home */
    assert_int_equal(record_unpack(&problem_record, bytes, &there, NULL, &received), ERR_NONE);
    fault_from_problem(&other, &received);
    assert_int_equal(other.code, ERR_OUT_OF_STOCK);
    assert_string_equal(other.detail, "2 lines");
    assert_string_equal(other.cause, "");
    assert_int_equal(other.item_count, 2);
    assert_true(text_is(other.items[0].pointer, "/items/0") && text_is(other.items[0].message, "only 3 are left"));
    assert_int_equal(other.items[0].available, 3);
    assert_true(has(problem_item, &other.items[0], available));
    assert_false(has(problem_item, &other.items[1], available));
    assert_int_equal(other.allowed.count, 1);
    assert_int_equal(other.retry_after_s, 7);
    assert_int_equal(other.head, 0);
}

/* Whoever says how long to wait counts by clocks, which may say anything. */
static void a_wait_is_bounded(void **state)
{
    (void)state;
    AUTO(arena_release) struct arena arena = {0};
    struct fault fault;
    struct problem problem;
    fault_init(&fault, &arena);
    fault_set(&fault, ERR_RATE_LIMITED, NULL);
    fault.retry_after_s = INT64_MAX;
    fault_to_problem(&fault, &problem);
    assert_int_equal(problem.retry_after_s, RETRY_AFTER_MAX_S);
    assert_true(record_pack_in(&problem_record, &problem, &arena).size > 0);
}

static void that_nothing_is_allowed_is_told(void **state)
{
    (void)state;
    AUTO(arena_release) struct arena arena = {0};
    struct fault fault, other;
    struct problem problem, received;
    fault_init(&fault, &arena);
    fault_init(&other, &arena);
    fault_set(&fault, ERR_BAD_TRANSITION, NULL);
    fault_allow_only(&fault);
    fault_to_problem(&fault, &problem);
    struct text bytes = record_pack_in(&problem_record, &problem, &arena);
    assert_int_equal(record_unpack(&problem_record, bytes, &arena, NULL, &received), ERR_NONE);
    fault_from_problem(&other, &received);
    assert_non_null(other.allowed.items);
    assert_int_equal(other.allowed.count, 0);
    fault_init(&fault, &arena); /* without it there is no list */
    fault_to_problem(&fault, &problem);
    fault_from_problem(&other, &problem);
    assert_null(other.allowed.items);
}

static void an_empty_fault_too(void **state)
{
    (void)state;
    AUTO(arena_release) struct arena arena = {0};
    struct fault fault;
    struct problem problem;
    fault_init(&fault, &arena);
    (void)fault_set(&fault, ERR_EXPIRED, NULL);
    fault_to_problem(&fault, &problem);
    assert_true(text_is(problem.code, "outcome_unknown"));
    assert_int_equal(problem.status, 504);
    fault_from_problem(&fault, &problem);
    assert_int_equal(fault.code, ERR_EXPIRED); /* 502 has the same slug */
    assert_int_equal(fault.head, -1);
    assert_int_equal(fault.item_count, 0);
}

static void what_is_too_long_is_cut_at_a_whole_character(void **state)
{
    (void)state;
    AUTO(arena_release) struct arena arena = {0};
    struct fault fault;
    struct problem problem;
    char words[2000];
    fault_init(&fault, &arena);
    for (int shift = 0; shift < 3; shift++) {
        memset(words, 'x', 3);
        for (int i = shift; i + 3 < (int)sizeof words; i += 3) {
            memcpy(words + i, "\xe2\x82\xac", 4);
        }
        (void)fault_set(&fault, ERR_CONFLICT, "%s", words);
        fault_cause(&fault, "%s", words);
        fault_add(&fault, words, words, -1, "%s", words);
        assert_true(text_is_utf8(text_of(fault.detail)) && strlen(fault.detail) > 300);
        assert_true(text_is_utf8(text_of(fault.cause)));
    }
    fault_to_problem(&fault, &problem);
    (void)record_pack_in(&problem_record, &problem, &arena); /* asserts every bound */
}

static void items_are_bounded(void **state)
{
    (void)state;
    AUTO(arena_release) struct arena arena = {0};
    struct fault fault;
    struct problem problem;
    char pointer[32];
    fault_init(&fault, &arena);
    for (int i = 0; i < FAULT_MAX_ITEMS + 50; i++) {
        snprintf(pointer, sizeof pointer, "/items/%d", i);
        fault_add(&fault, pointer, "bad", -1, "is bad");
        fault_allow(&fault, "x");
    }
    assert_int_equal(fault.item_count, FAULT_MAX_ITEMS);
    for (int i = 0; i < FAULT_MAX_ITEMS; i++) {
        snprintf(pointer, sizeof pointer, "/items/%d", i);
        assert_true(text_is(fault.items[i].pointer, pointer));
    }
    (void)fault_set(&fault, ERR_INVALID_BODY, NULL);
    fault_to_problem(&fault, &problem);
    (void)record_pack_in(&problem_record, &problem, &arena);
}

static void nobody_has_to_listen(void **state)
{
    (void)state;
    struct fault fault;
    assert_int_equal(fault_set(NULL, ERR_CONFLICT, "x"), ERR_CONFLICT);
    fault_add(NULL, "/x", "y", -1, "z");
    fault_cause(NULL, "x");
    fault_allow(NULL, "x");
    fault_init(&fault, NULL);
    fault_add(&fault, "/x", "y", -1, "z");
    fault_allow(&fault, "x");
    assert_int_equal(fault.item_count, 0);
    assert_int_equal(fault.allowed.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fault_goes_over_the_wire),
        cmocka_unit_test(a_wait_is_bounded),
        cmocka_unit_test(that_nothing_is_allowed_is_told),
        cmocka_unit_test(an_empty_fault_too),
        cmocka_unit_test(what_is_too_long_is_cut_at_a_whole_character),
        cmocka_unit_test(items_are_bounded),
        cmocka_unit_test(nobody_has_to_listen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
