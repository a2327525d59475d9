/* A product store whose N-th call fails, or its commit does, or its commit succeeds and nobody hears of it. */
#ifndef ZMART_TESTS_CONTRACT_FAILING_PRODUCT_STORE_H
#define ZMART_TESTS_CONTRACT_FAILING_PRODUCT_STORE_H

#include "tests/contract/contract_product.h"

struct failing {
    struct product_store store;
    struct product_store *inner;
    int calls;
    int fail_at;
    bool commits_unheard; /* a commit that fails has happened all the same */
    bool writes;          /* the unit of work does: only then its commit is a call */
};

/* Stands before inner, which stays the caller's. */
void failing_product_store_init(struct failing *self, struct product_store *inner);

#endif
