/* Which stores can be opened. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "product-svc/store.h"

static void other_schemes_are_one_clear_fault(void **state)
{
    (void)state;
    static const char *const urls[] = {
        "mongo://localhost/shop", "postgres:x", "sqlite", "", ":", "SQLITE:/tmp", "sqlite:", "mongodb://"};
    for (size_t i = 0; i < ARRAY_COUNT(urls); i++) {
        struct fault fault;
        struct store_config config = {.store = urls[i]};
        struct product_store *store = NULL;
        fault_init(&fault, NULL);
        assert_int_equal(product_store_open(&config, &(struct product_access){.writer = true}, &fault, &store),
                         ERR_SERVICE_UNAVAILABLE);
        assert_null(store);
        assert_non_null(strstr(fault.detail, "--store takes sqlite:DIR"));
    }
}

static void nothing_can_be_destroyed(void **state)
{
    (void)state;
    struct product_store *none = NULL;
    product_store_destroy(&none);
    assert_null(none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(other_schemes_are_one_clear_fault),
        cmocka_unit_test(nothing_can_be_destroyed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
