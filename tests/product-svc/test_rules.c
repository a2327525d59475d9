/* The rules of the catalogue. */
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
    struct text images[] = {TEXT("https://example.com/a.png"),
                            TEXT("ftp://example.com/a"),
                            TEXT("https://"),
                            TEXT("https:///a"),
                            TEXT("http://a b"),
                            TEXT("//example.com"),
                            TEXT("javascript:x")};
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
        {"\"3-12\"", true, true},
        {"\"3-11\"", true, false},
        {"\"2-12\"", false, false},
        {"*", true, true},
        {" *", true, true},
        {"W/\"3-12\"", false, false},
        {"\"1-1\", \"3-12\"", true, true},
        {"\"1-1\",W/\"3-12\" , \"3-9\"", true, false},
        {"", false, false},
        {"3-12", false, false},
        {"\"3-12", false, false},
        {"\"3\"", false, false},
        {"\"\"", false, false},
        {"\"3-\"", false, false},
        {"\"-12\"", false, false},
        {"\"3-12-1\"", false, false},
        {"\"03-12\"", false, false},
        {"\"x\" \"3-12\"", true, true},
        {"garbage \"3-12\"", false, false},
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
    return (struct product){.id = TEXT("prd_1"),
                            .name = TEXT("Chair"),
                            .description = TEXT("old"),
                            .sku = TEXT("CH-1"),
                            .price = 2999,
                            .currency = TEXT("USD"),
                            .stock = 10,
                            .active = true,
                            .version = 4,
                            .created_at = 1000,
                            .updated_at = 2000};
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
        {0, INT64_MIN, ERR_NONE, 0},
        {25, INT64_MIN, ERR_NONE, 25},
        {INT64_MIN, 5, ERR_NONE, 15},
        {INT64_MIN, -10, ERR_NONE, 0},
        {INT64_MIN, -11, ERR_OUT_OF_STOCK, 10},
        {INT64_MIN, STOCK_MAX, ERR_INVALID_BODY, 0},
        {5, 5, ERR_INVALID_BODY, 0},
        {INT64_MIN, 0, ERR_NONE, 10},
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
        {"\"4-10\"", false, ERR_NONE},
        {"\"4-9\"", false, ERR_NONE},
        {"\"4-9\"", true, ERR_PRECONDITION_FAILED},
        {"\"4-10\"", true, ERR_NONE},
        {"\"3-10\"", false, ERR_PRECONDITION_FAILED},
        {"", false, ERR_PRECONDITION_FAILED},
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

static void a_search_is_sorted_by_relevance(void **state)
{
    (void)state;
    struct product_query query = {.sort = PRODUCT_BY_PRICE};
    assert_int_equal(product_sort_of(&query), PRODUCT_BY_NEWEST);
    set_has(product_query, &query, q);
    assert_int_equal(product_sort_of(&query), PRODUCT_BY_RELEVANCE);
    set_has(product_query, &query, sort);
    assert_int_equal(product_sort_of(&query), PRODUCT_BY_PRICE);
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
        cmocka_unit_test(a_search_is_sorted_by_relevance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
