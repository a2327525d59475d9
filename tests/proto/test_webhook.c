#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/webhook.h"
#include "tests/proto/table.h"

static void tables_are_sane(void **state)
{
    (void)state;
    static const struct record *const records[] = {
        &webhook_record,        &webhook_opened_record, &webhook_new_record,      &webhook_edit_record,
        &webhook_ref_record,    &webhook_list_record,   &webhook_delivery_record, &delivery_attempt_record,
        &delivery_query_record, &delivery_list_record,  &delivery_ref_record,     &webhook_ping_record};
    for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++) {
        table_check(records[i]);
    }
}

static void only_what_opens_a_webhook_shows_its_secret(void **state)
{
    (void)state;
    const struct field *secret = record_field(&webhook_opened_record, TEXT("secret"));
    assert_non_null(secret);
    assert_true(secret->flags & SECRET);
    assert_null(record_field(&webhook_record, TEXT("secret")));
    assert_null(record_field(&webhook_record, TEXT("keys")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_are_sane),
        cmocka_unit_test(only_what_opens_a_webhook_shows_its_secret),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
