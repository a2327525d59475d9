#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/order.h"
#include "tests/proto/table.h"

static void tables_are_sane(void **state)
{
    (void)state;
    static const struct record *const records[] = {
        &order_record,       &order_new_record,  &order_ref_record,       &order_status_set_record,
        &order_query_record, &order_list_record, &order_arbitrate_record, &order_arbitrated_record};
    for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++) {
        table_check(records[i]);
    }
}

static void statuses_have_the_published_names(void **state)
{
    (void)state;
    static const char *const names[] = {"pending", "confirmed", "shipped", "delivered", "cancelled"};
    assert_int_equal(order_status_names.count, 5);
    for (int i = 0; i < 5; i++) {
        assert_string_equal(enum_name(&order_status_names, i), names[i]);
    }
}

/* Lines of one product are summed, so a line can be larger than one item of a request, and must still fit. */
static void summed_lines_fit(void **state)
{
    (void)state;
    const struct field *line = record_field(&order_line_record, TEXT("quantity"));
    assert_true(line->max >= (int64_t)QUANTITY_MAX * ORDER_MAX_LINES || line->max >= 100000000);
    assert_true(record_field(&order_record, TEXT("lines"))->max >= record_field(&order_new_record, TEXT("items"))->max);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_are_sane),
        cmocka_unit_test(statuses_have_the_published_names),
        cmocka_unit_test(summed_lines_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
