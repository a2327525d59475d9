#include "tests/gateway/check.h"

#include <stdio.h>
#include <stdlib.h>

#include "gateway/router.h"

static struct router *router;

static int make(void **state)
{
    (void)state;
    router = router_new();
    return 0;
}

static int drop(void **state)
{
    (void)state;
    router_destroy(&router);
    return 0;
}

static enum err match(enum verb verb, const char *path, struct arena *arena, struct fault *fault,
                      struct route_match *out)
{
    struct http_request request = {.verb = verb, .path = text_of(path)};
    fault_init(fault, arena);
    return router_match(router, &request, arena, fault, out);
}

static void test_finds_operations(void **state)
{
    struct arena arena = {0};
    struct fault fault;
    struct route_match found = {0};
    (void)state;
    assert_int_equal(match(VERB_GET, "/api/products", &arena, &fault, &found), ERR_NONE);
    assert_int_equal(found.route->op, OP_product_list);
    assert_int_equal(match(VERB_HEAD, "/api/products", &arena, &fault, &found), ERR_NONE);
    assert_int_equal(found.route->op, OP_product_list);
    assert_int_equal(match(VERB_PUT, "/api/orders/ord_%31/status", &arena, &fault, &found), ERR_NONE);
    assert_int_equal(found.route->op, OP_order_move);
    assert_true(text_is(found.params[2], "ord_1"));
    assert_int_equal(match(VERB_GET, "/%61pi/products/a%20b", &arena, &fault, &found), ERR_NONE);
    assert_true(text_is(found.params[2], "a b"));
    assert_int_equal(match(VERB_GET, "/", &arena, &fault, &found), ERR_NONE);
    assert_int_equal(found.route->own, OWN_INDEX);
    arena_release(&arena);
}

static void test_knows_what_is_not_there(void **state)
{
    static const char *const paths[] = {
        "/api", "/api/", "/api/products/",         "/api//products",        "/api/products/a/b", "/API/products",
        "/x",   "//",    "/a/b/c/d/e/f/g/h/i/j/k", "/api/products/x/status"};
    struct arena arena = {0};
    struct fault fault;
    struct route_match found;
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(paths); i++) {
        enum err e = match(VERB_GET, paths[i], &arena, &fault, &found);
        /* an empty id is a segment too: its field refuses it later */
        assert_true(e == ERR_NOT_FOUND || strcmp(paths[i], "/api/products/") == 0);
    }
    arena_release(&arena);
}

static void test_says_what_is_allowed(void **state)
{
    struct arena arena = {0};
    struct fault fault;
    struct route_match found;
    char methods[100];
    (void)state;
    assert_int_equal(match(VERB_POST, "/api/products/x", &arena, &fault, &found), ERR_METHOD_NOT_ALLOWED);
    assert_int_equal(fault.allowed.count, 5);
    assert_int_equal(match(VERB_OTHER, "/livez", &arena, &fault, &found), ERR_METHOD_NOT_ALLOWED);
    assert_true(router_allowed(router, TEXT("/api/products/x"), &arena, methods, sizeof methods));
    assert_string_equal(methods, "GET, HEAD, PUT, DELETE, OPTIONS");
    assert_false(router_allowed(router, TEXT("/nothing"), &arena, methods, sizeof methods));
    arena_release(&arena);
}

static void test_created_things_have_a_location(void **state)
{
    struct arena arena = {0};
    struct fault fault;
    struct route_match found;
    (void)state;
    assert_int_equal(match(VERB_POST, "/api/orders", &arena, &fault, &found), ERR_NONE);
    assert_string_equal(router->routes[found.route->location].path, "/api/orders/{id}");
    assert_int_equal(match(VERB_POST, "/api/auth/login", &arena, &fault, &found), ERR_NONE);
    assert_int_equal(found.route->location, -1);
    arena_release(&arena);
}

static void test_lists_each_operation_once(void **state)
{
    char *text = NULL;
    size_t size;
    (void)state;
    FILE *file = open_memstream(&text, &size);
    router_print(router, file);
    fclose(file);
    for (int op = 0; op < OP_COUNT; op++) {
        const struct op_info *info = op_info((enum op)op);
        char word[64];
        snprintf(word, sizeof word, " %s ", info->route);
        const char *first = strstr(text, word);
        assert_true((first != NULL) == (info->method != HTTP_NONE));
        assert_true(!first || !strstr(first + 1, word));
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finds_operations),          cmocka_unit_test(test_knows_what_is_not_there),
        cmocka_unit_test(test_says_what_is_allowed),      cmocka_unit_test(test_created_things_have_a_location),
        cmocka_unit_test(test_lists_each_operation_once),
    };
    return cmocka_run_group_tests(tests, make, drop);
}
