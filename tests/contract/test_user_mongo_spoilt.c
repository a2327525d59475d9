/* Accounts on MongoDB with each command lost, or its answer, or late: whatever has happened, the repeat finds it. */
#include "tests/contract/user_mongo_place.h"

static void any_command_may_be_spoilt(void **state)
{
    (void)state;
    contract_user_spoil(&user_mongo_proxied_place, &user_mongo_spoiler);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(any_command_may_be_spoilt)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
