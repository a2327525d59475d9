/* The rules of holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "product-svc/rules.h"

#define WITH_FAULT                                                                                                     \
    AUTO(arena_release) struct arena arena = {0};                                                                      \
    struct fault fault;                                                                                                \
    fault_init(&fault, &arena)

static void assert_item(const struct fault *fault, uint32_t index, const char *pointer, const char *code)
{
    assert_true(index < fault->item_count);
    assert_string_equal(fault->items[index].pointer.data, pointer);
    assert_string_equal(fault->items[index].code.data, code);
}

enum { LINE_COUNT = 4 };
static struct reserve_line four_lines[LINE_COUNT] = {{.product_id = {"prd_a", 5}, .quantity = 2},
                                                     {.product_id = {"prd_b", 5}, .quantity = 2},
                                                     {.product_id = {"prd_c", 5}, .quantity = 2},
                                                     {.product_id = {"prd_d", 5}, .quantity = 2}};

static struct product_reserve reserve_of_four(void)
{
    struct product_reserve in = {.order_id = TEXT("ord_1"), .fingerprint = TEXT("f")};
    in.lines.items = four_lines;
    in.lines.count = LINE_COUNT;
    return in;
}

static void all_well(struct reserve_found found[LINE_COUNT])
{
    for (int i = 0; i < LINE_COUNT; i++) {
        found[i] = (struct reserve_found){.for_sale = true, .stock = 2, .line = {.currency = TEXT("USD")}};
    }
}

static void reserve_takes_what_is_there(void **state)
{
    (void)state;
    WITH_FAULT;
    struct product_reserve in = reserve_of_four();
    struct reserve_found found[LINE_COUNT];
    all_well(found);
    assert_int_equal(reserve_judge(&in, found, &fault), ERR_NONE);
    assert_int_equal(fault.item_count, 0);
    assert_true(reserve_takes(&found[0]));
}

static void reserve_names_all_failing_lines(void **state)
{
    (void)state;
    WITH_FAULT;
    struct product_reserve in = reserve_of_four();
    struct reserve_found found[LINE_COUNT];
    all_well(found);
    found[0].stock = 1;
    found[1].line.currency = TEXT("EUR");
    found[2].for_sale = false;
    found[2].stock = 50;
    found[3].stock = 0;
    assert_int_equal(reserve_judge(&in, found, &fault), ERR_UNAVAILABLE);
    assert_int_equal(fault.item_count, 4);
    assert_item(&fault, 0, "/lines/0", "out_of_stock");
    assert_item(&fault, 1, "/lines/1", "mixed_currency");
    assert_item(&fault, 2, "/lines/2", "unavailable");
    assert_item(&fault, 3, "/lines/3", "out_of_stock");
    static const int64_t available[LINE_COUNT] = {1, 2, 0, 0};
    for (int i = 0; i < LINE_COUNT; i++) {
        assert_int_equal(fault.items[i].available, available[i]);
    }
}

static void reserve_of_one_kind_of_failure(void **state)
{
    (void)state;
    struct product_reserve in = reserve_of_four();
    struct reserve_found found[LINE_COUNT];
    WITH_FAULT;
    all_well(found);
    found[3].stock = 1;
    assert_int_equal(reserve_judge(&in, found, &fault), ERR_OUT_OF_STOCK);
    all_well(found);
    found[0].line.currency = TEXT("EUR");
    fault_init(&fault, &arena);
    assert_int_equal(reserve_judge(&in, found, &fault), ERR_MIXED_CURRENCY);
    assert_int_equal(fault.item_count, 3); /* those that differ from the first */
    assert_item(&fault, 0, "/lines/1", "mixed_currency");
    all_well(found); /* more pieces than a product can say it has */
    found[0].stock = INT64_C(3) * STOCK_MAX, four_lines[0].quantity = INT64_C(4) * STOCK_MAX;
    fault_init(&fault, &arena);
    assert_int_equal(reserve_judge(&in, found, &fault), ERR_OUT_OF_STOCK);
    assert_int_equal(fault.items[0].available, STOCK_MAX);
    four_lines[0].quantity = 2;
}

static void reserve_again_takes_nothing(void **state)
{
    (void)state;
    static const struct {
        enum hold_state hold;
        bool same_request;
        enum err expected;
    } cases[] = {
        {HOLD_IS_HELD, true, ERR_NONE},
        {HOLD_IS_CONFIRMED, true, ERR_NONE},
        {HOLD_IS_COMMITTED, true, ERR_NONE},
        {HOLD_IS_RELEASED, true, ERR_CONFLICT},
        {HOLD_IS_HELD, false, ERR_IDEMPOTENCY_KEY_REUSED},
        {HOLD_IS_CONFIRMED, false, ERR_IDEMPOTENCY_KEY_REUSED},
        {HOLD_IS_RELEASED, false, ERR_CONFLICT},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        WITH_FAULT;
        struct product_reserve in = reserve_of_four();
        struct reserve_found found[LINE_COUNT];
        all_well(found);
        found[1].has_hold = true;
        found[1].state = cases[i].hold;
        found[1].same_request = cases[i].same_request;
        found[1].for_sale = false; /* retired since; it is held all the same */
        found[1].stock = 0;
        assert_int_equal(reserve_judge(&in, found, &fault), cases[i].expected);
        assert_false(reserve_takes(&found[1]));
        if (cases[i].expected != ERR_NONE) { /* goes before what could be had otherwise */
            found[0].stock = 0;
            assert_int_equal(reserve_judge(&in, found, &fault), cases[i].expected);
        }
    }
}

static void reserve_wants_each_product_once(void **state)
{
    (void)state;
    WITH_FAULT;
    struct product_reserve in = reserve_of_four();
    assert_int_equal(reserve_check(&in, &fault), ERR_NONE);
    four_lines[3].product_id = TEXT("prd_b");
    assert_int_equal(reserve_check(&in, &fault), ERR_INVALID_BODY);
    assert_int_equal(fault.item_count, 1);
    assert_item(&fault, 0, "/lines/3/product_id", "duplicate");
    four_lines[3].product_id = TEXT("prd_d");
}

static void settling_is_a_table(void **state)
{
    (void)state;
    /* by state, step, and whether the request is the same */
    static const enum hold_state expected[4][hold_step_count][2] = {
        [HOLD_IS_HELD] = {[HOLD_CONFIRM] = {HOLD_IS_RELEASED, HOLD_IS_CONFIRMED},
                          [HOLD_RELEASE] = {HOLD_IS_RELEASED, HOLD_IS_RELEASED},
                          [HOLD_COMMIT] = {HOLD_IS_RELEASED, HOLD_IS_COMMITTED}},
        [HOLD_IS_CONFIRMED] = {[HOLD_CONFIRM] = {HOLD_IS_CONFIRMED, HOLD_IS_CONFIRMED},
                               [HOLD_RELEASE] = {HOLD_IS_RELEASED, HOLD_IS_RELEASED},
                               [HOLD_COMMIT] = {HOLD_IS_COMMITTED, HOLD_IS_COMMITTED}},
        [HOLD_IS_RELEASED] = {[HOLD_CONFIRM] = {HOLD_IS_RELEASED, HOLD_IS_RELEASED},
                              [HOLD_RELEASE] = {HOLD_IS_RELEASED, HOLD_IS_RELEASED},
                              [HOLD_COMMIT] = {HOLD_IS_RELEASED, HOLD_IS_RELEASED}},
        [HOLD_IS_COMMITTED] = {[HOLD_CONFIRM] = {HOLD_IS_COMMITTED, HOLD_IS_COMMITTED},
                               [HOLD_RELEASE] = {HOLD_IS_COMMITTED, HOLD_IS_COMMITTED},
                               [HOLD_COMMIT] = {HOLD_IS_COMMITTED, HOLD_IS_COMMITTED}},
    };
    for (int hold = 0; hold < 4; hold++) {
        for (int step = 0; step < hold_step_count; step++) {
            for (int same = 0; same < 2; same++) {
                enum hold_state next = hold_settle((enum hold_state)hold, (enum hold_step)step, same);
                assert_int_equal(next, expected[hold][step][same]);
                assert_int_equal(hold_settle(next, (enum hold_step)step, same), next); /* repeating changes nothing */
            }
        }
    }
}

static void verdicts_become_steps(void **state)
{
    (void)state;
    assert_int_equal(hold_step_of(ORDER_OUTCOME_VOID), HOLD_RELEASE);
    assert_int_equal(hold_step_of(ORDER_OUTCOME_CANCELLED), HOLD_RELEASE);
    assert_int_equal(hold_step_of(ORDER_OUTCOME_PLACED), HOLD_CONFIRM);
    assert_int_equal(hold_step_of(ORDER_OUTCOME_SHIPPED), HOLD_COMMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reserve_takes_what_is_there),     cmocka_unit_test(reserve_names_all_failing_lines),
        cmocka_unit_test(reserve_of_one_kind_of_failure),  cmocka_unit_test(reserve_again_takes_nothing),
        cmocka_unit_test(reserve_wants_each_product_once), cmocka_unit_test(settling_is_a_table),
        cmocka_unit_test(verdicts_become_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
