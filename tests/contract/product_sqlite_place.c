/* Empty SQLite stores for the contract of product stores. */
#include "tests/contract/contract_product.h"

#include <stdio.h>
#include <stdlib.h>

static void place_make(char *url, size_t size)
{
    char folder[] = "/tmp/zmart-test-XXXXXX";
    assert_non_null(mkdtemp(folder));
    snprintf(url, size, "sqlite:%s", folder);
}

static void place_drop(const char *url)
{
    char command[256];
    snprintf(command, sizeof command, "rm -r '%s'", url + sizeof "sqlite:" - 1);
    assert_int_equal(system(command), 0);
}

const struct contract_place product_sqlite_place = {place_make, place_drop, .is_remote = false};
