/* What orders hold, by steps in any order: the contract of product stores, kept by MongoDB. */
#include "tests/contract/contract_product.h"

int main(void)
{
    const struct contract_place *place = &product_mongo_place;
    return contract_product_holds(place) + contract_product_random(place) + contract_product_saga(place);
}
