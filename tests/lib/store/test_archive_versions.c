/* Which version of which document was read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include <sqlite3.h>

#include "lib/store/archive_versions.h"

enum { MANY = 200000, MEMORY_MAX_SIZE = 4 * 1024 * 1024 }; /* of 9 MB of ids alone */

static void assert_version(struct archive_versions *versions, const char *id, int64_t wanted)
{
    struct fault fault;
    int64_t version = -1;
    fault_init(&fault, NULL);
    assert_int_equal(archive_versions_find(versions, text_of(id), &fault, &version), ERR_NONE);
    assert_int_equal(version, wanted);
}

static void test_the_last_version_is_found(void **state)
{
    struct archive_versions *versions;
    struct fault fault;
    (void)state;
    fault_init(&fault, NULL);
    assert_int_equal(archive_versions_new(&fault, &versions), ERR_NONE);
    assert_version(versions, "prod_1", 0);
    assert_int_equal(archive_versions_put(versions, text_of("prod_1"), 7, &fault), ERR_NONE);
    assert_int_equal(archive_versions_put(versions, text_of("prod_2"), INT64_MAX, &fault), ERR_NONE);
    assert_int_equal(archive_versions_put(versions, text_of("prod_1"), 8, &fault), ERR_NONE);
    assert_version(versions, "prod_1", 8);
    assert_version(versions, "prod_2", INT64_MAX);
    assert_version(versions, "prod_", 0);
    archive_versions_destroy(&versions);
    assert_null(versions);
    archive_versions_destroy(&versions);
}

static void test_many_take_no_more_memory_than_few(void **state)
{
    struct archive_versions *versions;
    struct fault fault;
    char id[64];
    (void)state;
    fault_init(&fault, NULL);
    assert_int_equal(archive_versions_new(&fault, &versions), ERR_NONE);
    for (int i = 0; i < MANY; i++) {
        snprintf(id, sizeof id, "prod_%032d", i);
        assert_int_equal(archive_versions_put(versions, text_of(id), i + 1, &fault), ERR_NONE);
    }
    assert_true(sqlite3_memory_used() < MEMORY_MAX_SIZE);
    for (int i = 0; i < MANY; i += 997) {
        snprintf(id, sizeof id, "prod_%032d", i);
        assert_version(versions, id, i + 1);
    }
    archive_versions_destroy(&versions);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_last_version_is_found),
        cmocka_unit_test(test_many_take_no_more_memory_than_few),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
