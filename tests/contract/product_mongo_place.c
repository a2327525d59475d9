/* Databases of their own for the contract of product stores. */
#include "tests/contract/contract_product.h"
#include "tests/mongo/database.h"

static void place_make(char *url, size_t size)
{
    assert_true(size >= TEST_URL_SIZE);
    test_database_new(url);
}

const struct contract_place product_mongo_place = {place_make, test_database_drop, .is_remote = true};
