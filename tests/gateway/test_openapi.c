#include "tests/gateway/check.h"

#include <jansson.h>

#include "gateway/docs.h"
#include "gateway/exchange.h"
#include "gateway/openapi.h"

static json_t *root;

static int make(void **state)
{
    struct buffer out;
    struct router *router = router_new();
    (void)state;
    buffer_init(&out, 1024 * 1024);
    openapi_print(router, &out);
    root = json_loadb(out.data, out.size, JSON_REJECT_DUPLICATES, NULL);
    buffer_release(&out);
    router_destroy(&router);
    return root ? 0 : -1;
}

static int drop(void **state)
{
    (void)state;
    json_decref(root);
    return 0;
}

static void references_check(json_t *json)
{
    const char *name;
    json_t *value;
    size_t i;
    json_array_foreach(json, i, value)
    {
        references_check(value);
    }
    json_object_foreach(json, name, value)
    {
        if (strcmp(name, "$ref") == 0) {
            char path[200];
            assert_true(text_to_string(text_of(json_string_value(value)), path, sizeof path));
            json_t *found = root;
            struct text rest = text_of(path + 2), step;
            while (text_cut(&rest, '/', &step)) {
                found = json_object_getn(found, step.data, step.size);
            }
            assert_non_null(found);
        } else {
            references_check(value);
        }
    }
}

static void test_what_is_posted_is_described(void **state)
{
    (void)state;
    json_t *hooks = json_object_get(root, "webhooks");
    for (int i = 0; i < EVENT_COUNT; i++) {
        const struct event_info *info = event_info((enum event_type)i);
        json_t *post = json_object_get(json_object_get(hooks, info->type), "post");
        assert_int_equal(post != NULL, event_shown(info) != NULL);
        if (post) {
            const char *type;
            assert_int_equal(json_unpack(post, "{s:{s:{s:{s:{s:{s:{s:s}}}}}}}", "requestBody", "content",
                                         "application/json", "schema", "properties", "type", "const", &type),
                             0);
            assert_string_equal(type, info->type);
        }
    }
    assert_non_null(json_object_get(hooks, WEBHOOK_TEST_TYPE));
    assert_null(json_object_get(hooks, "session.ended"));
}

static json_t *parameter_of(json_t *operation, const char *name)
{
    json_t *parameter;
    size_t i;
    json_array_foreach(json_object_get(operation, "parameters"), i, parameter)
    {
        if (strcmp(json_string_value(json_object_get(parameter, "name")), name) == 0) {
            return parameter;
        }
    }
    return NULL;
}

static bool has_parameter(json_t *operation, const char *name)
{
    return parameter_of(operation, name) != NULL;
}

static void test_headers_have_their_lengths(void **state)
{
    (void)state;
    json_t *paths = json_object_get(root, "paths");
    json_t *create = json_object_get(json_object_get(paths, "/api/products"), "post");
    json_t *edit = json_object_get(json_object_get(paths, "/api/products/{id}"), "put");
    json_t *key = json_object_get(parameter_of(create, "Idempotency-Key"), "schema");
    json_t *tag = json_object_get(parameter_of(edit, "If-Match"), "schema");
    assert_int_equal(json_integer_value(json_object_get(key, "maxLength")), IDEMPOTENCY_KEY_MAX_SIZE);
    assert_int_equal(json_integer_value(json_object_get(tag, "maxLength")), IF_MATCH_MAX_SIZE);
}

static void test_only_what_has_a_version_is_not_modified(void **state)
{
    static const struct {
        const char *path;
        bool tagged;
    } cases[] = {{"/api/products/{id}", true},
                 {"/api/orders/{id}", true},
                 {"/api/users/{id}", true},
                 {"/api/webhooks/{id}", true},
                 {"/api/webhooks/{id}/deliveries", false},
                 {"/api/products", false}};
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        json_t *get = json_object_get(json_object_get(json_object_get(root, "paths"), cases[i].path), "get");
        assert_non_null(get);
        assert_int_equal(json_object_get(json_object_get(get, "responses"), "304") != NULL, cases[i].tagged);
        assert_int_equal(has_parameter(get, "If-None-Match"), cases[i].tagged);
    }
}

static void test_every_reference_leads_somewhere(void **state)
{
    (void)state;
    references_check(root);
}

static void test_every_operation_is_there(void **state)
{
    (void)state;
    for (int op = 0; op < OP_COUNT; op++) {
        const struct op_info *info = op_info((enum op)op);
        char method[16];
        if (info->method == HTTP_NONE) {
            continue;
        }
        assert_true(text_to_string(text_of(http_method_name(info->method)), method, sizeof method));
        for (char *c = method; *c; c++) {
            *c = (char)(*c | 0x20);
        }
        json_t *operation = json_object_get(json_object_get(json_object_get(root, "paths"), info->path), method);
        assert_non_null(operation);
        assert_string_equal(json_string_value(json_object_get(operation, "operationId")), info->route);
        assert_non_null(json_object_get(json_object_get(operation, "responses"), "default"));
        const char *summary = json_string_value(json_object_get(operation, "summary"));
        assert_true(summary && strcmp(summary, info->route) != 0); /* each has words of its own */
        /* each {name} of the path is a parameter */
        size_t named = 0, i;
        json_t *parameter;
        json_array_foreach(json_object_get(operation, "parameters"), i, parameter)
        {
            named += strcmp(json_string_value(json_object_get(parameter, "in")), "path") == 0;
        }
        size_t braces = 0;
        for (const char *c = info->path; *c; c++) {
            braces += *c == '{';
        }
        assert_int_equal(named, braces);
    }
}

static void test_body_leaves_out_what_the_path_says(void **state)
{
    (void)state;
    json_t *edit = json_object_get(json_object_get(json_object_get(root, "components"), "schemas"), "product_edit");
    assert_null(json_object_get(json_object_get(edit, "properties"), "id"));
    assert_non_null(json_object_get(json_object_get(edit, "properties"), "price"));
}

static void test_every_error_is_told(void **state)
{
    (void)state;
    json_t *errors = json_object_get(root, "x-errors");
    assert_int_equal(json_array_size(errors), ERR_COUNT - 1);
    for (int code = ERR_NONE + 1; code < ERR_COUNT; code++) {
        json_t *error = json_array_get(errors, (size_t)code - 1);
        assert_string_equal(json_string_value(json_object_get(error, "code")), err_info((enum err)code)->slug);
        assert_int_equal(json_integer_value(json_object_get(error, "status")), err_info((enum err)code)->http);
    }
}

static void test_page_has_hashes_in_its_policy(void **state)
{
    char policy[256];
    (void)state;
    docs_policy(policy, sizeof policy);
    assert_non_null(strstr(policy, "script-src 'sha256-"));
    assert_null(strstr(policy, "unsafe"));
    assert_true(text_starts_with(docs_page(), "<!doctype html>"));
    assert_null(memmem(docs_page().data, docs_page().size, "https://", 8));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_what_has_a_version_is_not_modified),
        cmocka_unit_test(test_every_reference_leads_somewhere), cmocka_unit_test(test_what_is_posted_is_described),
        cmocka_unit_test(test_headers_have_their_lengths),
        cmocka_unit_test(test_every_operation_is_there),
        cmocka_unit_test(test_body_leaves_out_what_the_path_says), cmocka_unit_test(test_every_error_is_told),
        cmocka_unit_test(test_page_has_hashes_in_its_policy),
    };
    return cmocka_run_group_tests(tests, make, drop);
}
