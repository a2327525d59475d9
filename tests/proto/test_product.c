#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/product.h"
#include "tests/proto/table.h"

static void tables_are_sane(void **state)
{
    (void)state;
    static const struct record *const records[] = {
        &product_record,        &product_new_record,  &product_edit_record,    &product_ref_record,
        &product_query_record,  &product_list_record, &product_reserve_record, &product_reserved_record,
        &product_settle_record, &nothing_record};
    for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++) {
        table_check(records[i]);
    }
}

/* What is written by PUT or POST can be read again by GET. */
static void requests_fit_what_is_stored(void **state)
{
    (void)state;
    const struct record *const requests[] = {&product_new_record, &product_edit_record};
    for (int r = 0; r < 2; r++) {
        for (uint32_t i = 0; i < requests[r]->field_count; i++) {
            const struct field *given = &requests[r]->fields[i];
            const struct field *kept = record_field(&product_record, text_of(given->name));
            if (kept && given->kind == kept->kind) {
                assert_true(given->min >= kept->min && given->max <= kept->max && given->count_max <= kept->count_max);
            }
        }
    }
}

static void sorts_have_their_names(void **state)
{
    (void)state;
    assert_string_equal(enum_name(&product_sort_names, PRODUCT_BY_NEWEST), "-created_at");
    assert_string_equal(enum_name(&product_sort_names, PRODUCT_BY_RELEVANCE), "relevance");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_are_sane),
        cmocka_unit_test(requests_fit_what_is_stored),
        cmocka_unit_test(sorts_have_their_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
