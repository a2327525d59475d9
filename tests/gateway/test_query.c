#include "tests/gateway/check.h"

#include "gateway/query.h"
#include "proto/order.h"
#include "proto/product.h"

static void test_reads_every_kind(void **state)
{
    struct arena arena = {0};
    struct fault fault;
    struct product_query in = {0};
    struct order_query orders = {0};
    (void)state;
    fault_init(&fault, &arena);
    assert_int_equal(query_read(&product_query_record,
                                TEXT("limit=20&sort=-price&category=a%26b+c&price_gte=29.99&in_stock=true&q=caf%C3%A9"),
                                0, &arena, &fault, &in),
                     ERR_NONE);
    assert_int_equal(in.limit, 20);
    assert_int_equal(in.sort, PRODUCT_BY_PRICE_FALLING);
    assert_true(text_is(in.category, "a&b c"));
    assert_int_equal(in.price_gte, 299900);
    assert_true(in.in_stock);
    assert_true(text_is(in.q, "caf\xc3\xa9"));
    assert_false(has(product_query, &in, cursor));
    assert_int_equal(query_read(&order_query_record, TEXT("created_gte=1970-01-01T00:00:01Z&status=shipped"), 0, &arena,
                                &fault, &orders),
                     ERR_NONE);
    assert_int_equal(orders.created_gte, 1000);
    assert_int_equal(orders.status, ORDER_SHIPPED);
    arena_release(&arena);
}

static void test_refuses_by_name(void **state)
{
    static const struct {
        const char *query, *pointer, *code;
    } all[] = {
        {"limit=0", "/limit", "out_of_range"},
        {"limit=101", "/limit", "out_of_range"},
        {"limit=+5", "/limit", "wrong_type"},
        {"limit=", "/limit", "wrong_type"},
        {"limit", "/limit", "wrong_type"},
        {"limit=1&limit=1", "/limit", "duplicate_parameter"},
        {"limit=1&%6cimit=1", "/limit", "duplicate_parameter"},
        {"colour=red", "/colour", "unknown_parameter"},
        {"sort=name;drop", "/sort", "out_of_range"},
        {"in_stock=yes", "/in_stock", "wrong_type"},
        {"price_gte=-1", "/price_gte", "wrong_type"},
        {"price_gte=1e3", "/price_gte", "wrong_type"},
        {"q=", "/q", "out_of_range"},
        {"q=%FF", "/q", "out_of_range"},
        {"q=%0A", "/q", "out_of_range"},
        {"%FF=1", "/", "malformed"},
        {"q=%zz", "/q", "malformed"},
        {"q=%00", "/q", "out_of_range"},
        {"\xff=%4", "/", "malformed"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(all); i++) {
        struct arena arena = {0};
        struct fault fault;
        struct product_query in = {0};
        fault_init(&fault, &arena);
        assert_int_equal(query_read(&product_query_record, text_of(all[i].query), 0, &arena, &fault, &in),
                         ERR_INVALID_PARAMETER);
        assert_item(fault, all[i].pointer, all[i].code);
        arena_release(&arena);
    }
}

static void test_takes_so_many_and_no_more(void **state)
{
    char query[8 + QUERY_MAX_PARAMETERS + 1] = "limit=20";
    (void)state;
    for (int over = 0; over <= 1; over++) {
        AUTO(arena_release) struct arena arena = {0};
        struct fault fault;
        struct product_query in = {0};
        fault_init(&fault, &arena);
        memset(query + 8, '&', QUERY_MAX_PARAMETERS + 1);
        struct text text = {query, (uint32_t)(8 + QUERY_MAX_PARAMETERS + over)}; /* the last & ends a parameter, too */
        assert_int_equal(query_read(&product_query_record, text, 0, &arena, &fault, &in),
                         over ? ERR_INVALID_PARAMETER : ERR_NONE);
        assert_int_equal(fault.item_count, over);
        assert_true(!over || fault_item(&fault, "", "too_many") == 0);
    }
}

static void test_takes_none_where_there_are_none(void **state)
{
    struct arena arena = {0};
    struct fault fault;
    struct product_ref in = {0};
    (void)state;
    fault_init(&fault, &arena);
    assert_int_equal(query_read(&product_ref_record, TEXT(""), 1, &arena, &fault, &in), ERR_NONE);
    assert_int_equal(query_read(&product_ref_record, TEXT("id=x"), 1, &arena, &fault, &in), ERR_INVALID_PARAMETER);
    assert_int_equal(query_read(&nothing_record, TEXT("nothing=true"), 0, &arena, &fault, &in), ERR_INVALID_PARAMETER);
    arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_every_kind),
        cmocka_unit_test(test_refuses_by_name),
        cmocka_unit_test(test_takes_so_many_and_no_more),
        cmocka_unit_test(test_takes_none_where_there_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
