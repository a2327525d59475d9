/* The contract of user stores, kept by MongoDB. */
#include "tests/contract/user_mongo_place.h"

int main(void)
{
    return contract_user_run(&user_mongo_place);
}
