/* What orders hold, by steps in any order and with failing calls too: the contract of product stores, kept by SQLite.
 */
#include "tests/contract/contract_product.h"

int main(void)
{
    const struct contract_place *place = &product_sqlite_place;
    return contract_product_holds(place) + contract_product_random(place) + contract_product_saga(place) +
           contract_product_failing(place);
}
