/* Cursors belong to one query, and anything else is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "lib/store/cursor.h"
#include "proto/order.h"
#include "proto/product.h"

static void test_round_trip(void **state)
{
    (void)state;
    AUTO(arena_release) struct arena arena = {0};
    struct product_query query = {.q = TEXT("tea"), .limit = 5};
    set_has(product_query, &query, q);
    set_has(product_query, &query, limit);
    struct cursor_key keys[] = {{.is_text = true, .text = TEXT("caf\xc3\xa9")}, {.number = -7}};
    struct text cursor = cursor_make(&product_query_record, &query, keys, 2, &arena);
    assert_true(cursor.size <= 1000);
    /* another page size is the same query, and so is carrying the cursor */
    query.limit = 50;
    query.cursor = cursor;
    set_has(product_query, &query, cursor);
    struct fault fault;
    fault_init(&fault, &arena);
    struct cursor_key out[2];
    assert_int_equal(cursor_read(&product_query_record, &query, cursor, "ti", &arena, &fault, out), ERR_NONE);
    assert_true(text_is(out[0].text, "caf\xc3\xa9"));
    assert_int_equal(out[1].number, -7);
}

static void refuse(const struct product_query *query, struct text cursor, const char *kinds)
{
    AUTO(arena_release) struct arena arena = {0};
    struct fault fault;
    struct cursor_key out[CURSOR_MAX_KEYS] = {{.number = 99}};
    fault_init(&fault, &arena);
    assert_int_equal(cursor_read(&product_query_record, query, cursor, kinds, &arena, &fault, out), ERR_BAD_CURSOR);
    assert_int_equal(fault.item_count, 1);
    assert_true(text_is(fault.items[0].pointer, "/cursor"));
    assert_int_equal(out[0].number, 99);
}

static void test_refusals(void **state)
{
    (void)state;
    AUTO(arena_release) struct arena arena = {0};
    struct product_query query = {.q = TEXT("tea")};
    set_has(product_query, &query, q);
    struct cursor_key key = {.number = 1};
    struct text cursor = cursor_make(&product_query_record, &query, &key, 1, &arena);
    struct product_query other = query;
    other.q = TEXT("coffee");
    refuse(&other, cursor, "i");
    struct product_query none = {0};
    refuse(&none, cursor, "i");
    refuse(&query, cursor, "t");
    refuse(&query, cursor, "ii");
    refuse(&query, TEXT(""), "i");
    refuse(&query, TEXT("not base64!"), "i");
    refuse(&query, TEXT("AAAA"), "i");
    refuse(&query, (struct text){cursor.data, cursor.size - 1}, "i");
    char longer[1200];
    memset(longer, 'A', sizeof longer);
    refuse(&query, (struct text){longer, sizeof longer}, "i");
}

/* Without filters all queries look alike: the list that made the cursor still decides. */
static void test_lists_do_not_share_cursors(void **state)
{
    (void)state;
    AUTO(arena_release) struct arena arena = {0};
    struct product_query products = {0};
    struct order_query orders = {0};
    struct cursor_key keys[] = {{.number = 1}, {.is_text = true, .text = TEXT("ord_1")}}, out[2];
    struct text cursor = cursor_make(&order_query_record, &orders, keys, 2, &arena);
    struct fault fault;
    fault_init(&fault, &arena);
    assert_int_equal(cursor_read(&order_query_record, &orders, cursor, "it", &arena, &fault, out), ERR_NONE);
    refuse(&products, cursor, "it");
}

/* Every single changed character is refused, or still means the same bytes (unused bits of base64). */
static void test_changed_characters(void **state)
{
    (void)state;
    AUTO(arena_release) struct arena arena = {0};
    struct product_query query = {0};
    struct cursor_key key = {.is_text = true, .text = TEXT("abc")};
    struct text cursor = cursor_make(&product_query_record, &query, &key, 1, &arena);
    for (uint32_t i = 0; i < cursor.size; i++) {
        char *changed = arena_copy(&arena, cursor.data, cursor.size);
        changed[i] = changed[i] == 'A' ? 'B' : 'A';
        struct cursor_key out[1] = {{0}};
        struct fault fault;
        fault_init(&fault, &arena);
        enum err e =
            cursor_read(&product_query_record, &query, (struct text){changed, cursor.size}, "t", &arena, &fault, out);
        assert_true(e == ERR_BAD_CURSOR || (e == ERR_NONE && out[0].text.size == 3));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_lists_do_not_share_cursors),
        cmocka_unit_test(test_changed_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
