#include "tests/gateway/check.h"

#include <jansson.h>

#include "gateway/problem.h"

static json_t *written(const struct fault *fault)
{
    struct buffer out;
    buffer_init(&out, 100000);
    assert_true(problem_write(fault, TEXT("/api/x\"y"), TEXT("0123"), &out));
    json_t *json = json_loadb(out.data, out.size, JSON_REJECT_DUPLICATES, NULL);
    buffer_release(&out);
    assert_non_null(json);
    return json;
}

static const char *string_of(json_t *json, const char *name)
{
    return json_string_value(json_object_get(json, name));
}

static void test_every_error_has_its_members(void **state)
{
    (void)state;
    for (int code = ERR_NONE + 1; code < ERR_COUNT; code++) {
        struct fault fault;
        fault_init(&fault, NULL);
        fault_set(&fault, (enum err)code, NULL);
        json_t *json = written(&fault);
        assert_string_equal(string_of(json, "code"), err_info((enum err)code)->slug);
        assert_int_equal(json_integer_value(json_object_get(json, "status")), err_info((enum err)code)->http);
        assert_string_equal(string_of(json, "instance"), "/api/x\"y");
        assert_string_equal(string_of(json, "request_id"), "0123");
        assert_true(strncmp(string_of(json, "type"), "/problems/", 10) == 0);
        assert_non_null(string_of(json, "title"));
        assert_non_null(string_of(json, "detail"));
        assert_null(json_object_get(json, "errors"));
        json_decref(json);
    }
}

static void test_items(void **state)
{
    struct arena arena = {0};
    struct fault fault;
    (void)state;
    fault_init(&fault, &arena);
    fault_set(&fault, ERR_OUT_OF_STOCK, "Only %d left.", 3);
    fault_add(&fault, "/items/0", "out_of_stock", 3, "too many");
    fault_add(&fault, "/items/1", "unavailable", -1, "gone");
    fault_allow(&fault, "cancelled");
    fault.head = 7;
    json_t *json = written(&fault);
    json_t *first = json_array_get(json_object_get(json, "errors"), 0);
    assert_string_equal(string_of(first, "pointer"), "/items/0");
    assert_int_equal(json_integer_value(json_object_get(first, "available")), 3);
    assert_null(json_object_get(json_array_get(json_object_get(json, "errors"), 1), "available"));
    assert_string_equal(string_of(json, "detail"), "Only 3 left.");
    assert_int_equal(json_array_size(json_object_get(json, "allowed")), 1);
    fault.allowed.count = 0; /* nothing is allowed: that is told, too */
    json_t *none = written(&fault);
    assert_true(json_is_array(json_object_get(none, "allowed")) &&
                json_array_size(json_object_get(none, "allowed")) == 0);
    json_decref(none);
    assert_int_equal(json_integer_value(json_object_get(json, "head")), 7);
    json_decref(json);
    arena_release(&arena);
}

static void test_when_to_come_back(void **state)
{
    struct fault fault;
    (void)state;
    fault_init(&fault, NULL);
    fault_set(&fault, ERR_RATE_LIMITED, NULL);
    assert_int_equal(problem_retry_after(&fault), 1);
    fault.retry_after_s = 30;
    assert_int_equal(problem_retry_after(&fault), 30);
    fault_init(&fault, NULL);
    fault_set(&fault, ERR_NOT_FOUND, NULL);
    assert_int_equal(problem_retry_after(&fault), 0);
}

static void test_a_service_that_is_not_there_is_away(void **state)
{
    struct arena arena = {0};
    struct fault fault;
    (void)state;
    fault_init(&fault, &arena);
    fault_set(&fault, ERR_UNKNOWN_OPERATION, "There is no such service.");
    fault_allow(&fault, "product");
    assert_int_equal(problem_of_call(ERR_UNKNOWN_OPERATION, &fault), ERR_SERVICE_UNAVAILABLE);
    assert_int_equal(fault.code, ERR_SERVICE_UNAVAILABLE);
    assert_true(problem_retry_after(&fault) > 0);
    json_t *json = written(&fault);
    assert_int_equal(json_integer_value(json_object_get(json, "status")), 503);
    assert_null(json_object_get(json, "allowed"));
    json_decref(json);
    fault_init(&fault, &arena);
    fault_set(&fault, ERR_NOT_FOUND, NULL);
    assert_int_equal(problem_of_call(ERR_NOT_FOUND, &fault), ERR_NOT_FOUND);
    assert_int_equal(fault.code, ERR_NOT_FOUND);
    assert_int_equal(problem_of_call(ERR_NONE, &fault), ERR_NONE);
    arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_error_has_its_members),
        cmocka_unit_test(test_items),
        cmocka_unit_test(test_when_to_come_back),
        cmocka_unit_test(test_a_service_that_is_not_there_is_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
