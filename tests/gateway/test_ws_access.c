#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/ws_access.h"

static enum err no_keys(void *user, struct arena *arena, struct fault *fault, struct signing_keys *out)
{
    (void)user;
    (void)arena;
    (void)out;
    return fault_set(fault, ERR_SERVICE_UNAVAILABLE, NULL);
}

static enum err no_denials(void *user, struct arena *arena, struct fault *fault, struct denial_list *out)
{
    (void)user;
    (void)arena;
    (void)out;
    return fault_set(fault, ERR_SERVICE_UNAVAILABLE, NULL);
}

static enum err no_verdict(void *user, const struct token_check *ask, struct fault *fault, bool *out_good)
{
    (void)user;
    (void)ask;
    (void)out_good;
    return fault_set(fault, ERR_SERVICE_UNAVAILABLE, NULL);
}

static int64_t never_heard(void *user)
{
    (void)user;
    return INT64_MAX;
}

/* With nobody to ask, no header opens a socket. */
static void headers_are_checked_by_auth(void **state)
{
    (void)state;
    static const char *const headers[] = {"",
                                          "Bearer",
                                          "Bearer ",
                                          "Basic dXNlcjpwYXNz",
                                          "Bearer a b",
                                          "Bearer nonsense",
                                          "Bearer eyJhbGciOiJub25lIn0.e30."};
    struct auth_source source = {no_keys, no_denials, no_verdict, never_heard, NULL};
    struct auth_settings settings = {.token_count = 16, .leeway_s = 30, .silence_ms = 5000, .refetch_ms = 1000};
    struct ws_access_parts parts = {.auth = auth_new(&source, &settings)};
    struct ws_access access = ws_access_of(&parts);
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        AUTO(arena_release) struct arena arena = {0};
        struct fault fault;
        struct identity identity = {0};
        fault_init(&fault, &arena);
        enum err code = access.check(access.user, text_of(headers[i]), &arena, &fault, &identity);
        assert_true(code == ERR_UNAUTHENTICATED || code == ERR_SERVICE_UNAVAILABLE);
        assert_int_equal(fault.code, code);
        assert_int_equal(identity.user_id.size, 0);
    }
    auth_destroy(&parts.auth);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_are_checked_by_auth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
