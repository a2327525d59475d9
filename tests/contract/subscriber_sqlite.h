/* Desks on SQLite, in a folder of their own. The program says how a store is opened: store_make, and DESK_DESTROY. */
#ifndef ZMART_TESTS_CONTRACT_SUBSCRIBER_SQLITE_H
#define ZMART_TESTS_CONTRACT_SUBSCRIBER_SQLITE_H

#include "lib/store/url.h"

static enum err store_make(const struct store_config *config, int64_t now_ms, struct fault *fault, DESK_STORE **out);

static void store_open(struct desk *desk, int64_t now_ms)
{
    char url[96];
    struct fault fault;
    snprintf(url, sizeof url, "sqlite:%s", (const char *)desk->host);
    struct store_config config = {.store = url, .store_busy_ms = 50};
    fault_init(&fault, NULL);
    if (store_make(&config, now_ms, &fault, &desk->store) != ERR_NONE) {
        fail_msg("open: %s (%s)", fault.detail, fault.cause);
    }
}

static void sqlite_open(struct desk *desk)
{
    desk->host = strdup("/tmp/zmart-test-XXXXXX");
    assert_non_null(mkdtemp(desk->host));
    store_open(desk, MADE_AT);
}

static void sqlite_reopen(struct desk *desk)
{
    DESK_DESTROY(&desk->store);
    store_open(desk, MADE_AT + 1000);
}

static void sqlite_close(struct desk *desk)
{
    char command[96];
    DESK_DESTROY(&desk->store);
    snprintf(command, sizeof command, "rm -r '%s'", (const char *)desk->host);
    assert_int_equal(system(command), 0);
    free(desk->host);
}

static void sqlite_empty(struct desk *desk)
{
    sqlite_close(desk);
    sqlite_open(desk);
}

static const struct contract_host sqlite_host = {sqlite_open, sqlite_reopen, sqlite_close, sqlite_empty, NULL, NULL};

#endif
