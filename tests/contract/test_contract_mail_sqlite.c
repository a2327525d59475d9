/* The store of mails on SQLite. */
#include "tests/contract/contract_mail.h"

#define DESK_DESTROY mail_store_destroy
#include "tests/contract/subscriber_sqlite.h"

static enum err store_make(const struct store_config *config, int64_t now_ms, struct fault *fault,
                           struct mail_store **out)
{
    return mail_store_sqlite_open(config, true, now_ms, NULL, fault, out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {CONTRACT_TESTS};
    contract_host = &sqlite_host;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
