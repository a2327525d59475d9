/* A store is whoever fills the table: every call reaches it with what was given. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "user-svc/store.h"

/* A store that counts, and refuses. */
struct counting {
    struct user_store base;
    int calls;
    bool destroyed;
};

static enum err counting_shop_is_founded(struct user_store *self, struct fault *fault, bool *out)
{
    ((struct counting *)self)->calls++;
    (void)out;
    return fault_set(fault, ERR_CONFLICT, "shop_is_founded");
}

static enum err counting_account_get(struct user_store *self, struct text id, struct arena *arena, struct fault *fault,
                                     struct account *out)
{
    ((struct counting *)self)->calls++;
    (void)arena;
    (void)out;
    return fault_set(fault, ERR_CONFLICT, "account_get %.*s", TEXT_ARG(id));
}

static void counting_destroy(struct user_store **self)
{
    ((struct counting *)*self)->destroyed = true;
    *self = NULL;
}

static const struct user_store_ops counting_ops = {.shop_is_founded = counting_shop_is_founded,
                                                   .account_get = counting_account_get,
                                                   .destroy = counting_destroy};

static void calls_reach_the_implementation(void **state)
{
    struct counting counting = {.base = {.ops = &counting_ops}};
    struct user_store *store = &counting.base;
    struct fault fault;
    struct arena arena = {0};
    struct account account = {.denied_until_ms = 7};
    bool out = true;
    (void)state;
    fault_init(&fault, NULL);
    assert_int_equal(user_store_shop_is_founded(store, &fault, &out), ERR_CONFLICT);
    assert_string_equal(fault.detail, "shop_is_founded");
    assert_true(out); /* untouched */
    assert_int_equal(user_store_account_get(store, TEXT("usr_1"), &arena, &fault, &account), ERR_CONFLICT);
    assert_string_equal(fault.detail, "account_get usr_1");
    assert_int_equal(account.denied_until_ms, 7);
    assert_int_equal(counting.calls, 2);
    user_store_destroy(&store);
    assert_true(counting.destroyed);
    assert_null(store);
    user_store_destroy(&store); /* nothing to destroy */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(calls_reach_the_implementation)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
