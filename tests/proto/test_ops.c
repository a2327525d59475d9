#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "proto/ops.h"

static void every_operation_is_found_by_its_route(void **state)
{
    (void)state;
    struct text service, operation, key;
    for (int i = 0; i < OP_COUNT; i++) {
        const struct op_info *info = op_info((enum op)i);
        enum op found = OP_COUNT;
        assert_true(op_find(text_of(info->route), &found));
        assert_int_equal(found, i);
        assert_true(route_read(text_of(info->route), &service, &operation, &key));
        assert_true(text_is(service, info->service) && text_is(operation, info->name));
    }
    enum op found = OP_COUNT;
    assert_false(op_find(TEXT("product.unheard_of"), &found));
    assert_false(op_find(TEXT(""), &found));
    assert_int_equal(found, OP_COUNT);
}

static void every_row_makes_sense(void **state)
{
    (void)state;
    for (int i = 0; i < OP_COUNT; i++) {
        const struct op_info *info = op_info((enum op)i);
        assert_true(info->priority <= 3);
        assert_true(info->budget_ms >= 1 && info->budget_ms <= 600000);
        assert_true(info->status >= 200 && info->status <= 299);
        assert_int_equal(info->status == 204, info->reply == &nothing_record && info->method != HTTP_NONE);
        assert_int_equal(info->method == HTTP_NONE, info->path[0] == '\0');
        assert_int_equal(info->method == HTTP_NONE, info->role == OP_SERVICES);
        assert_true(info->role != OP_SERVICES || info->priority == 3 || info->access == OP_READ);
        assert_true(!info->keyed || (info->method == HTTP_POST && info->role != OP_ANYONE));
        assert_true(info->method != HTTP_GET || info->access == OP_READ);
        assert_true(info->method != HTTP_POST || info->role == OP_ANYONE || info->keyed);
    }
}

static void path_parameters_are_fields(void **state)
{
    (void)state;
    for (int i = 0; i < OP_COUNT; i++) {
        const struct op_info *info = op_info((enum op)i);
        struct text rest = text_of(info->path), segment;
        while (text_cut(&rest, '/', &segment)) {
            if (text_starts_with(segment, "{")) {
                struct text name = {segment.data + 1, segment.size - 2};
                const struct field *field = record_field(info->request, name);
                assert_non_null(field);
                assert_int_equal(field->kind, FIELD_TEXT);
                assert_true(field->flags & REQ);
            }
        }
    }
}

static void no_two_share_method_and_path(void **state)
{
    (void)state;
    for (int i = 0; i < OP_COUNT; i++) {
        for (int j = 0; j < i; j++) {
            const struct op_info *a = op_info((enum op)i), *b = op_info((enum op)j);
            assert_false(a->method != HTTP_NONE && a->method == b->method && strcmp(a->path, b->path) == 0);
        }
    }
}

static void secrets_are_known(void **state)
{
    (void)state;
    assert_true(op_is_secret(OP_user_login));
    assert_true(op_is_secret(OP_user_redeem));
    assert_false(op_is_secret(OP_order_create));
    assert_false(op_is_secret(OP_user_ticket)); /* only its reply is */
    assert_string_equal(http_method_name(HTTP_DELETE), "DELETE");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operation_is_found_by_its_route),
        cmocka_unit_test(every_row_makes_sense),
        cmocka_unit_test(path_parameters_are_fields),
        cmocka_unit_test(no_two_share_method_and_path),
        cmocka_unit_test(secrets_are_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
