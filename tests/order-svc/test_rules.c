/* The table of moves, the sums, the prices: no store, no clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "order-svc/rules.h"

struct place {
    struct arena arena;
    struct fault fault;
};

static int place_make(void **state)
{
    struct place *place = calloc(1, sizeof *place);
    fault_init(&place->fault, &place->arena);
    *state = place;
    return 0;
}

static int place_drop(void **state)
{
    struct place *place = *state;
    arena_release(&place->arena);
    free(place);
    return 0;
}

/* ---- moves ---- */

static struct order order_in(enum order_status status, struct order_move *history)
{
    struct order order = {.id = TEXT("ord_1"),
                          .user_id = TEXT("usr_1"),
                          .status = status,
                          .version = 3,
                          .created_at = 1000,
                          .updated_at = 2000};
    history[0] = (struct order_move){.status = ORDER_PENDING, .at = 1000, .by = TEXT("usr_1")};
    order.history.items = history;
    order.history.count = 1;
    return order;
}

static bool is_listed(enum order_status from, enum order_status to)
{
    static const enum order_status moves[][2] = {{ORDER_PENDING, ORDER_CONFIRMED},
                                                 {ORDER_CONFIRMED, ORDER_SHIPPED},
                                                 {ORDER_SHIPPED, ORDER_DELIVERED},
                                                 {ORDER_PENDING, ORDER_CANCELLED},
                                                 {ORDER_CONFIRMED, ORDER_CANCELLED}};
    for (size_t i = 0; i < ARRAY_COUNT(moves); i++) {
        if (moves[i][0] == from && moves[i][1] == to) {
            return true;
        }
    }
    return false;
}

static void check_moved(const struct order *before, const struct order *after, enum order_status to)
{
    assert_int_equal(after->status, to);
    assert_int_equal(after->version, before->version + 1);
    assert_int_equal(after->history.count, before->history.count + 1);
    assert_int_equal(after->history.items[0].status, ORDER_PENDING);
    assert_int_equal(after->history.items[1].status, to);
    assert_int_equal(after->history.items[1].at, 5000);
    assert_true(text_is(after->history.items[1].by, "usr_2"));
    assert_int_equal(after->updated_at, 5000);
    assert_int_equal(after->created_at, 1000);
    static const enum fulfillment_status wanted[] = {[ORDER_CONFIRMED] = FULFILLMENT_UNFULFILLED,
                                                     [ORDER_SHIPPED] = FULFILLMENT_FULFILLED,
                                                     [ORDER_DELIVERED] = FULFILLMENT_DELIVERED,
                                                     [ORDER_CANCELLED] = FULFILLMENT_CANCELLED};
    assert_int_equal(after->fulfillment_status, wanted[to]);
}

/* Every pair of statuses, by an administrator and by the owner. */
static void test_every_move(void **state)
{
    struct place *place = *state;
    for (int pair = 0; pair < order_status_count * order_status_count * 2; pair++) {
        enum order_status from = (enum order_status)(pair / 2 / order_status_count);
        enum order_status to = (enum order_status)(pair / 2 % order_status_count);
        bool by_admin = pair % 2;
        struct order_move old[1], history[2];
        struct order order = order_in(from, old), out = {.version = -1};
        struct order_step step = {
            .to = to, .by = TEXT("usr_2"), .by_admin = by_admin, .now_ms = 5000, .history = history};
        fault_init(&place->fault, &place->arena);
        enum err e = order_apply(&order, &step, &place->fault, &out);
        if (from == to) {
            assert_int_equal(e, ERR_NONE);
            assert_int_equal(out.version, 3);
        } else if (!by_admin && to != ORDER_CANCELLED) {
            assert_int_equal(e, ERR_FORBIDDEN);
        } else if (is_listed(from, to)) {
            assert_int_equal(e, ERR_NONE);
            check_moved(&order, &out, to);
        } else {
            assert_int_equal(e, ERR_BAD_TRANSITION);
        }
        if (e != ERR_NONE) {
            assert_int_equal(out.version, -1); /* untouched */
        }
    }
}

static void test_refusal_says_what_is_allowed(void **state)
{
    struct place *place = *state;
    struct order_move old[1], history[2];
    struct order order = order_in(ORDER_PENDING, old), out;
    struct order_step step = {
        .to = ORDER_DELIVERED, .by = TEXT("usr_2"), .by_admin = true, .now_ms = 1, .history = history};
    assert_int_equal(order_apply(&order, &step, &place->fault, &out), ERR_BAD_TRANSITION);
    assert_int_equal(place->fault.allowed.count, 2);
    assert_true(text_is(place->fault.allowed.items[0], "confirmed"));
    assert_true(text_is(place->fault.allowed.items[1], "cancelled"));
    /* nothing leads away from delivered, and the answer says so with an empty list */
    struct problem problem;
    fault_init(&place->fault, &place->arena);
    order.status = ORDER_DELIVERED;
    step.to = ORDER_CANCELLED;
    assert_int_equal(order_apply(&order, &step, &place->fault, &out), ERR_BAD_TRANSITION);
    fault_to_problem(&place->fault, &problem);
    assert_true(has(problem, &problem, allowed));
    assert_int_equal(problem.allowed.count, 0);
    /* the owner of a shipped order hears of nothing that only administrators can do */
    fault_init(&place->fault, &place->arena);
    order.status = ORDER_SHIPPED;
    step.by_admin = false;
    assert_int_equal(order_apply(&order, &step, &place->fault, &out), ERR_BAD_TRANSITION);
    assert_int_equal(place->fault.allowed.count, 0);
}

static void test_history_never_runs_backwards(void **state)
{
    struct place *place = *state;
    struct order_move old[1], history[2];
    struct order order = order_in(ORDER_PENDING, old), out;
    struct order_step step = {
        .to = ORDER_CONFIRMED, .by = TEXT("usr_2"), .by_admin = true, .now_ms = 500, .history = history};
    assert_int_equal(order_apply(&order, &step, &place->fault, &out), ERR_NONE);
    assert_int_equal(out.updated_at, 2000);
    assert_int_equal(out.history.items[1].at, 2000);
}

static void test_as_placed(void **state)
{
    (void)state;
    struct order_move history[2];
    struct order order = order_in(ORDER_CANCELLED, history), out;
    order.history.count = 2;
    order.fulfillment_status = FULFILLMENT_CANCELLED;
    order_as_placed(&order, &out);
    assert_int_equal(out.status, ORDER_PENDING);
    assert_int_equal(out.fulfillment_status, FULFILLMENT_UNFULFILLED);
    assert_int_equal(out.history.count, 1);
    assert_int_equal(out.version, 1);
    assert_int_equal(out.updated_at, 1000);
}

/* ---- placing ---- */

static void test_lines_are_summed(void **state)
{
    (void)state;
    struct order_item items[] = {{.product_id = TEXT("b"), .quantity = 1},
                                 {.product_id = TEXT("a"), .quantity = 2},
                                 {.product_id = TEXT("b"), .quantity = QUANTITY_MAX},
                                 {.product_id = TEXT("c"), .quantity = 4},
                                 {.product_id = TEXT("a"), .quantity = 5}};
    struct order_new in = {.items = {items, ARRAY_COUNT(items)}};
    struct reserve_line lines[ARRAY_COUNT(items)];
    uint32_t first[ARRAY_COUNT(items)];
    assert_int_equal(order_lines_sum(&in, lines, first), 3);
    assert_true(text_is(lines[0].product_id, "b"));
    assert_int_equal(lines[0].quantity, QUANTITY_MAX + 1);
    assert_int_equal(lines[1].quantity, 7);
    assert_int_equal(lines[2].quantity, 4);
    assert_int_equal(first[0], 0);
    assert_int_equal(first[1], 1);
    assert_int_equal(first[2], 3);
}

static void test_country(void **state)
{
    struct place *place = *state;
    struct address address = {.country = TEXT("DE")};
    struct order_new in = {.shipping_address = &address};
    assert_int_equal(order_check(&in, &place->fault), ERR_NONE);
    set_has(order_new, &in, shipping_address);
    assert_int_equal(order_check(&in, &place->fault), ERR_NONE);
    address.country = TEXT("ZZ");
    assert_int_equal(order_check(&in, &place->fault), ERR_INVALID_BODY);
    assert_true(text_is(place->fault.items[0].pointer, "/shipping_address/country"));
}

struct basket {
    struct reserve_line asked_lines[2];
    struct reserved_line found[2];
    struct order_line lines[2];
    struct product_reserve asked;
    struct product_reserved reserved;
    struct order_bill bill;
};

static void basket_fill(struct basket *basket, const char *currency, int64_t price, int64_t quantity)
{
    *basket = (struct basket){0};
    basket->asked_lines[0] = (struct reserve_line){.product_id = TEXT("a"), .quantity = quantity};
    basket->asked_lines[1] = (struct reserve_line){.product_id = TEXT("b"), .quantity = 1};
    basket->found[0] = (struct reserved_line){.product_id = TEXT("a"),
                                              .sku = TEXT("A-1"),
                                              .name = TEXT("Apple"),
                                              .price = price,
                                              .currency = text_of(currency)};
    basket->found[1] = basket->found[0];
    basket->found[1].product_id = TEXT("b");
    basket->found[1].price = 1;
    basket->asked.lines.items = basket->asked_lines;
    basket->asked.lines.count = 2;
    basket->reserved.lines.items = basket->found;
    basket->reserved.lines.count = 2;
    basket->bill.lines = basket->lines;
}

static const uint32_t first_items[] = {0, 4};

static void test_bill(void **state)
{
    struct place *place = *state;
    struct basket basket;
    basket_fill(&basket, "EUR", 2999, 3);
    assert_int_equal(order_price(&basket.asked, &basket.reserved, first_items, &place->fault, &basket.bill), ERR_NONE);
    assert_int_equal(basket.bill.total, 8998);
    assert_int_equal(basket.bill.line_count, 2);
    assert_true(text_is(basket.bill.currency, "EUR"));
    assert_int_equal(basket.lines[0].total, 8997);
    assert_int_equal(basket.lines[0].quantity, 3);
    assert_true(text_is(basket.lines[0].sku, "A-1"));
    assert_true(text_is(basket.lines[0].name, "Apple"));
}

/* 9,999,999,999.99 is the largest total, in whatever minor units a currency has. */
static void test_largest_bill(void **state)
{
    struct place *place = *state;
    static const struct {
        const char *currency;
        int64_t max;
    } cases[] = {{"EUR", INT64_C(999999999999)}, {"JPY", INT64_C(9999999999)}, {"KWD", INT64_C(9999999999990)}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct basket basket;
        fault_init(&place->fault, &place->arena);
        basket_fill(&basket, cases[i].currency, cases[i].max - 1, 1);
        assert_int_equal(order_price(&basket.asked, &basket.reserved, first_items, &place->fault, &basket.bill),
                         ERR_NONE);
        assert_int_equal(basket.bill.total, cases[i].max);
        basket_fill(&basket, cases[i].currency, cases[i].max, 1);
        assert_int_equal(order_price(&basket.asked, &basket.reserved, first_items, &place->fault, &basket.bill),
                         ERR_INVALID_BODY);
        assert_true(text_is(place->fault.items[0].pointer, "/items/4/quantity"));
    }
    /* beyond what 64 bits hold */
    struct basket basket;
    fault_init(&place->fault, &place->arena);
    basket_fill(&basket, "EUR", MONEY_MAX, 10000000);
    assert_int_equal(order_price(&basket.asked, &basket.reserved, first_items, &place->fault, &basket.bill),
                     ERR_INVALID_BODY);
    assert_true(text_is(place->fault.items[0].pointer, "/items/0/quantity"));
}

static void test_bill_that_does_not_fit(void **state)
{
    struct place *place = *state;
    struct basket basket;
    basket_fill(&basket, "EUR", 100, 1);
    basket.found[1].currency = TEXT("USD");
    assert_int_equal(order_price(&basket.asked, &basket.reserved, first_items, &place->fault, &basket.bill),
                     ERR_MIXED_CURRENCY);
    assert_int_equal(place->fault.item_count, 1);
    assert_true(text_is(place->fault.items[0].pointer, "/items/4/product_id"));
    basket_fill(&basket, "EUR", 100, 1);
    basket.found[1].product_id = TEXT("c");
    assert_int_equal(order_price(&basket.asked, &basket.reserved, first_items, &place->fault, &basket.bill),
                     ERR_INTERNAL);
    basket_fill(&basket, "EUR", 100, 1);
    basket.reserved.lines.count = 1;
    assert_int_equal(order_price(&basket.asked, &basket.reserved, first_items, &place->fault, &basket.bill),
                     ERR_INTERNAL);
}

static void test_pointers(void **state)
{
    struct place *place = *state;
    static const uint32_t items[] = {0, 7};
    static const struct {
        const char *before, *after;
    } cases[] = {{"/lines/0", "/items/0"},   {"/lines/1/quantity", "/items/7/quantity"},
                 {"/lines/2", "/lines/2"},   {"/lines/x", "/lines/x"},
                 {"/lines/", "/lines/"},     {"/order_id", "/order_id"},
                 {"/lines/01", "/lines/01"}, {"/lines/1/product_id", "/items/7/product_id"}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        fault_add(&place->fault, cases[i].before, "code", 2, "says something");
    }
    char room[ARRAY_COUNT(cases) * ORDER_POINTER_SIZE];
    order_pointers_translate(&place->fault, items, ARRAY_COUNT(items), room);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        if (!text_is(place->fault.items[i].pointer, cases[i].after)) {
            fail_msg("%s became %.*s", cases[i].before, TEXT_ARG(place->fault.items[i].pointer));
        }
        assert_int_equal(place->fault.items[i].available, 2);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, place_make, place_drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_every_move),
        TEST(test_refusal_says_what_is_allowed),
        TEST(test_history_never_runs_backwards),
        TEST(test_as_placed),
        TEST(test_lines_are_summed),
        TEST(test_country),
        TEST(test_bill),
        TEST(test_largest_bill),
        TEST(test_bill_that_does_not_fit),
        TEST(test_pointers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
