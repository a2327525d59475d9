#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/user.h"
#include "tests/proto/table.h"

static void tables_are_sane(void **state)
{
    (void)state;
    static const struct record *const records[] = {
        &user_record,        &user_register_record, &user_login_record, &user_refresh_record, &user_session_record,
        &user_ref_record,    &user_edit_record,     &user_query_record, &user_list_record,    &user_role_set_record,
        &ws_ticket_record,   &ticket_ref_record,    &identity_record,   &signing_keys_record, &denial_list_record,
        &token_check_record, &token_verdict_record, &user_contact_record};
    for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++) {
        table_check(records[i]);
    }
}

static void an_account_never_shows_its_password(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < user_record.field_count; i++) {
        assert_false(user_record.fields[i].flags & SECRET);
        assert_null(record_field(&user_record, TEXT("password")));
        assert_null(record_field(&user_record, TEXT("password_hash")));
    }
}

static void what_is_secret_is_marked(void **state)
{
    (void)state;
    static const struct {
        const struct record *record;
        const char *field;
    } secrets[] = {{&user_register_record, "password"},     {&user_login_record, "password"},
                   {&user_edit_record, "password"},         {&user_edit_record, "old_password"},
                   {&user_session_record, "token"},         {&user_session_record, "refresh_token"},
                   {&user_refresh_record, "refresh_token"}, {&ws_ticket_record, "ticket"},
                   {&ticket_ref_record, "ticket"}};
    for (size_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++) {
        const struct field *field = record_field(secrets[i].record, text_of(secrets[i].field));
        assert_non_null(field);
        assert_true(field->flags & SECRET);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_are_sane),
        cmocka_unit_test(an_account_never_shows_its_password),
        cmocka_unit_test(what_is_secret_is_marked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
