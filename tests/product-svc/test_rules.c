/* The rules of catalogue and holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "product-svc/rules.h"

#define WITH_FAULT                                     \
    AUTO(arena_release) struct arena arena = {0};      \
    struct fault fault;                                \
    fault_init(&fault, &arena)

static const struct product_terms terms = {{"prd_0123456789abcdefghjkmnpqrs", 30}, {"USD", 3}, 5000};

static void assert_item(const struct fault *fault, uint32_t index, const char *pointer, const char *code)
{
    assert_true(index < fault->item_count);
    assert_string_equal(fault->items[index].pointer.data, pointer);
    assert_string_equal(fault->items[index].code.data, code);
}

/* ---- making ---- */

static struct product_new new_product(void)
{
    return (struct product_new){.name = TEXT("Chair"), .price = 299900, .stock = 7};
}

static enum err draft(const struct product_new *in, struct fault *fault, struct product *out)
{
    static char sku[SKU_MADE_SIZE];
    return product_draft(in, &terms, sku, fault, out);
}

static void draft_fills_what_is_absent(void **state)
{
    (void)state;
    WITH_FAULT;
    struct product product;
    struct product_new in = new_product();
    assert_int_equal(draft(&in, &fault, &product), ERR_NONE);
    assert_true(text_is(product.id, "prd_0123456789abcdefghjkmnpqrs"));
    assert_true(text_is(product.sku, "SKU-0123456789AB"));
    assert_true(text_is(product.currency, "USD") && product.active);
    assert_true(product.price == 2999 && product.stock == 7);
    assert_true(product.description.size == 0 && product.categories.count == 0 && product.version == 1);
    assert_true(product.created_at == 5000 && product.updated_at == 5000);
}

static void draft_takes_what_is_given(void **state)
{
    (void)state;
    WITH_FAULT;
    struct product product;
    struct text images[] = {TEXT("https://example.com/a.png"), TEXT("HTTP://example.com")};
    struct text categories[] = {TEXT("Seats")};
    struct product_new in = new_product();
    in.sku = TEXT("CH-1"), in.currency = TEXT("JPY"), in.price = 5000000, in.active = false;
    in.description = TEXT("Four legs");
    in.images = (struct text_list){images, 2}, in.categories = (struct text_list){categories, 1};
    set_has(product_new, &in, sku), set_has(product_new, &in, currency), set_has(product_new, &in, active);
    set_has(product_new, &in, images), set_has(product_new, &in, categories), set_has(product_new, &in, description);
    assert_int_equal(draft(&in, &fault, &product), ERR_NONE);
    assert_true(text_is(product.sku, "CH-1") && text_is(product.description, "Four legs") && !product.active);
    assert_int_equal(product.price, 500);
    assert_true(product.images.count == 2 && product.categories.count == 1);
}

static void draft_names_every_bad_field(void **state)
{
    (void)state;
    WITH_FAULT;
    struct product product = {.version = 77};
    struct text images[] = {TEXT("https://example.com/a.png"), TEXT("ftp://example.com/a"), TEXT("https://"),
                            TEXT("https:///a"), TEXT("http://a b"), TEXT("//example.com"), TEXT("javascript:x")};
    struct text categories[] = {TEXT("ok"), TEXT("  ")};
    struct product_new in = new_product();
    in.name = TEXT("  "), in.sku = TEXT(" "), in.price = 299999;
    in.images = (struct text_list){images, ARRAY_COUNT(images)}, in.categories = (struct text_list){categories, 2};
    set_has(product_new, &in, sku), set_has(product_new, &in, images), set_has(product_new, &in, categories);
    assert_int_equal(draft(&in, &fault, &product), ERR_INVALID_BODY);
    assert_int_equal(product.version, 77); /* untouched */
    assert_int_equal(fault.item_count, 10);
    assert_item(&fault, 0, "/name", "blank");
    assert_item(&fault, 1, "/sku", "blank");
    assert_item(&fault, 2, "/price", "too_many_decimals");
    assert_item(&fault, 3, "/categories/1", "blank");
    for (uint32_t i = 4; i < 10; i++) {
        char pointer[] = "/images/0";
        pointer[8] = (char)('0' + i - 3);
        assert_item(&fault, i, pointer, "bad_url");
    }
}

static void draft_refuses_unknown_currencies(void **state)
{
    (void)state;
    static const char *const codes[] = {"usd", "XXX", "ABC", "   "};
    for (size_t i = 0; i < ARRAY_COUNT(codes); i++) {
        WITH_FAULT;
        struct product product;
        struct product_new in = new_product();
        in.currency = text_of(codes[i]);
        set_has(product_new, &in, currency);
        assert_int_equal(draft(&in, &fault, &product), ERR_INVALID_BODY);
        assert_item(&fault, 0, "/currency", "unknown_currency");
    }
}

/* ---- If-Match ---- */

static void tags_match_by_version_and_stock(void **state)
{
    (void)state;
    const struct product product = {.version = 3, .stock = 12};
    static const struct {
        const char *if_match;
        bool edits, stock_too;
    } cases[] = {
        {"\"3-12\"", true, true},        {"\"3-11\"", true, false},     {"\"2-12\"", false, false},
        {"*", true, true},               {" *", true, true},            {"W/\"3-12\"", false, false},
        {"\"1-1\", \"3-12\"", true, true}, {"\"1-1\",W/\"3-12\" , \"3-9\"", true, false},
        {"", false, false},              {"3-12", false, false},        {"\"3-12", false, false},
        {"\"3\"", false, false},         {"\"\"", false, false},        {"\"3-\"", false, false},
        {"\"-12\"", false, false},       {"\"3-12-1\"", false, false},  {"\"03-12\"", false, false},
        {"\"x\" \"3-12\"", true, true},  {"garbage \"3-12\"", false, false},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct text if_match = text_of(cases[i].if_match);
        if (product_tag_matches(if_match, &product, false) != cases[i].edits ||
            product_tag_matches(if_match, &product, true) != cases[i].stock_too) {
            fail_msg("If-Match: %s", cases[i].if_match);
        }
    }
}

/* ---- editing ---- */

static struct product stored_product(void)
{
    return (struct product){.id = TEXT("prd_1"), .name = TEXT("Chair"), .description = TEXT("old"), .sku = TEXT("CH-1"),
                            .price = 2999, .currency = TEXT("USD"), .stock = 10, .active = true, .version = 4,
                            .created_at = 1000, .updated_at = 2000};
}

static enum err apply(const struct product *product, struct product_edit *edit, struct fault *fault,
                      struct product *out)
{
    struct product_change change = {.edit = edit};
    set_has(product_edit, edit, id); /* as it comes from the wire */
    return product_apply(product, &change, 9000, fault, out);
}

static void edit_of_nothing_changes_nothing(void **state)
{
    (void)state;
    WITH_FAULT;
    struct product out, product = stored_product();
    struct product_edit edit = {.id = TEXT("prd_1")};
    assert_int_equal(apply(&product, &edit, &fault, &out), ERR_NONE);
    assert_memory_equal(&out, &product, sizeof out);
}

static void edit_changes_given_fields_only(void **state)
{
    (void)state;
    WITH_FAULT;
    struct product out, product = stored_product();
    struct product_edit edit = {.name = TEXT("Stool"), .active = false};
    set_has(product_edit, &edit, name), set_has(product_edit, &edit, active);
    assert_int_equal(apply(&product, &edit, &fault, &out), ERR_NONE);
    assert_true(text_is(out.name, "Stool"));
    assert_false(out.active);
    assert_true(out.version == 5 && out.updated_at == 9000 && out.created_at == 1000);
    assert_true(text_is(out.sku, "CH-1") && text_is(out.description, "old") && out.price == 2999 && out.stock == 10);
}

static void edit_time_never_goes_back(void **state)
{
    (void)state;
    WITH_FAULT;
    struct product out, product = stored_product();
    struct product_edit edit = {.description = TEXT("")};
    set_has(product_edit, &edit, description);
    product.updated_at = 10000;
    assert_int_equal(apply(&product, &edit, &fault, &out), ERR_NONE);
    assert_int_equal(out.updated_at, 10000);
    assert_int_equal(out.description.size, 0);
}

static void edit_of_stock(void **state)
{
    (void)state;
    struct product out, product = stored_product();
    static const struct {
        int64_t stock, delta; /* INT64_MIN: not given */
        enum err expected;
        int64_t left;
    } cases[] = {
        {0, INT64_MIN, ERR_NONE, 0},          {25, INT64_MIN, ERR_NONE, 25},
        {INT64_MIN, 5, ERR_NONE, 15},         {INT64_MIN, -10, ERR_NONE, 0},
        {INT64_MIN, -11, ERR_OUT_OF_STOCK, 10}, {INT64_MIN, STOCK_MAX, ERR_INVALID_BODY, 0},
        {5, 5, ERR_INVALID_BODY, 0},          {INT64_MIN, 0, ERR_NONE, 10},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        WITH_FAULT;
        struct product_edit edit = {.stock = cases[i].stock, .stock_delta = cases[i].delta};
        if (edit.stock != INT64_MIN) {
            set_has(product_edit, &edit, stock);
        }
        if (edit.stock_delta != INT64_MIN) {
            set_has(product_edit, &edit, stock_delta);
        }
        assert_int_equal(apply(&product, &edit, &fault, &out), cases[i].expected);
        if (cases[i].expected == ERR_NONE) {
            assert_int_equal(out.stock, cases[i].left);
            continue;
        }
        assert_int_equal(fault.code, cases[i].expected);
        assert_string_equal(fault.items[0].pointer.data, "/stock_delta");
        if (cases[i].expected == ERR_OUT_OF_STOCK) {
            assert_int_equal(fault.items[0].available, cases[i].left);
        }
    }
}

static enum err reprice(int64_t price, const char *currency, struct fault *fault, struct product *out)
{
    struct product product = stored_product();
    struct product_edit edit = {.price = price, .currency = text_of(currency)};
    if (price >= 0) {
        set_has(product_edit, &edit, price);
    }
    if (currency) {
        set_has(product_edit, &edit, currency);
    }
    return apply(&product, &edit, fault, out);
}

static void edit_of_price_and_currency(void **state)
{
    (void)state;
    WITH_FAULT;
    struct product out;
    assert_int_equal(reprice(10500, NULL, &fault, &out), ERR_NONE);
    assert_int_equal(out.price, 105);
    assert_int_equal(reprice(12340, "KWD", &fault, &out), ERR_NONE);
    assert_int_equal(out.price, 1234);
    assert_true(text_is(out.currency, "KWD"));
    assert_int_equal(reprice(-1, "EUR", &fault, &out), ERR_NONE); /* 29.99 stays 29.99 */
    assert_int_equal(out.price, 2999);
    assert_int_equal(reprice(-1, "KWD", &fault, &out), ERR_NONE);
    assert_int_equal(out.price, 29990);
    assert_int_equal(fault.item_count, 0);
    assert_int_equal(reprice(-1, "JPY", &fault, &out), ERR_INVALID_BODY);
    assert_item(&fault, 0, "/price", "too_many_decimals");
    assert_int_equal(reprice(10501, NULL, &fault, &out), ERR_INVALID_BODY);
    assert_item(&fault, 1, "/price", "too_many_decimals");
    assert_int_equal(reprice(10000, "ZZZ", &fault, &out), ERR_INVALID_BODY);
    assert_item(&fault, 2, "/currency", "unknown_currency");
}

static void edit_names_every_bad_field(void **state)
{
    (void)state;
    WITH_FAULT;
    struct product out = {.version = 77}, product = stored_product();
    struct text images[] = {TEXT("x")};
    struct product_edit edit = {.name = TEXT(" "), .sku = TEXT(" "), .images = {images, 1}, .stock_delta = -100};
    set_has(product_edit, &edit, name), set_has(product_edit, &edit, sku);
    set_has(product_edit, &edit, images), set_has(product_edit, &edit, stock_delta);
    assert_int_equal(apply(&product, &edit, &fault, &out), ERR_INVALID_BODY);
    assert_int_equal(fault.code, ERR_INVALID_BODY);
    assert_int_equal(out.version, 77);
    assert_item(&fault, 0, "/name", "blank");
    assert_item(&fault, 1, "/sku", "blank");
    assert_item(&fault, 2, "/images/0", "bad_url");
}

static void edit_compares_what_the_tag_says(void **state)
{
    (void)state;
    static const struct {
        const char *if_match;
        bool sets_stock;
        enum err expected;
    } cases[] = {
        {"\"4-10\"", false, ERR_NONE}, {"\"4-9\"", false, ERR_NONE},
        {"\"4-9\"", true, ERR_PRECONDITION_FAILED}, {"\"4-10\"", true, ERR_NONE},
        {"\"3-10\"", false, ERR_PRECONDITION_FAILED}, {"", false, ERR_PRECONDITION_FAILED},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        WITH_FAULT;
        struct product out, product = stored_product();
        struct product_edit edit = {.name = TEXT("Stool"), .stock = 3};
        set_has(product_edit, &edit, name);
        if (cases[i].sets_stock) {
            set_has(product_edit, &edit, stock);
        }
        struct product_change change = {&edit, true, text_of(cases[i].if_match)};
        assert_int_equal(product_apply(&product, &change, 9000, &fault, &out), cases[i].expected);
    }
}

/* ---- holds ---- */

enum { LINE_COUNT = 4 };
static struct reserve_line four_lines[LINE_COUNT] = {
    {.product_id = {"prd_a", 5}, .quantity = 2}, {.product_id = {"prd_b", 5}, .quantity = 2},
    {.product_id = {"prd_c", 5}, .quantity = 2}, {.product_id = {"prd_d", 5}, .quantity = 2}};

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
        cmocka_unit_test(draft_fills_what_is_absent),
        cmocka_unit_test(draft_takes_what_is_given),
        cmocka_unit_test(draft_names_every_bad_field),
        cmocka_unit_test(draft_refuses_unknown_currencies),
        cmocka_unit_test(tags_match_by_version_and_stock),
        cmocka_unit_test(edit_of_nothing_changes_nothing),
        cmocka_unit_test(edit_changes_given_fields_only),
        cmocka_unit_test(edit_time_never_goes_back),
        cmocka_unit_test(edit_of_stock),
        cmocka_unit_test(edit_of_price_and_currency),
        cmocka_unit_test(edit_names_every_bad_field),
        cmocka_unit_test(edit_compares_what_the_tag_says),
        cmocka_unit_test(reserve_takes_what_is_there),
        cmocka_unit_test(reserve_names_all_failing_lines),
        cmocka_unit_test(reserve_of_one_kind_of_failure),
        cmocka_unit_test(reserve_again_takes_nothing),
        cmocka_unit_test(reserve_wants_each_product_once),
        cmocka_unit_test(settling_is_a_table),
        cmocka_unit_test(verdicts_become_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
