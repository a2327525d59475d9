/* What every store of orders must do, whatever it stands on: a program says how a fresh, empty store is opened. */
#ifndef ZMART_TESTS_CONTRACT_ORDER_H
#define ZMART_TESTS_CONTRACT_ORDER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/bus/service.h"
#include "order-svc/store.h"
#include "proto/ident.h"

struct contract_host;

struct contract_shop {
    struct order_store *store; /* what is under test */
    const struct unit_of_work *unit; /* NULL: each verb is durable when it returns */
    void *handle; /* unit's first argument */
    void *host;   /* the host's own */
    const struct contract_host *from;
    struct arena arena;
    struct fault fault;
};

struct contract_host {
    void (*open)(struct contract_shop *shop); /* fills store, unit, handle, host */
    void (*close)(struct contract_shop *shop);
    void (*recover)(struct contract_shop *shop); /* waits until a store that failed can be asked again; may be NULL */
};

/* The suites; each returns how many of its tests failed. */
int contract_order_run(const struct contract_host *host);
/* Of a store with units of work. */
int contract_order_units_run(const struct contract_host *host);
/* A scenario on a store whose N-th call fails, for N = 0, 1, 2 ... until it passes without a failure: before the call
 * does anything, and after it has done all (an answer that was lost). */
int contract_order_failing_run(const struct contract_host *host);

/* The scenario: each request is sent again until it is answered, as a broker would. store: the shop's, or one before
 * it. */
void scenario_run(struct contract_shop *shop, struct order_store *store);
/* All of it has happened once. */
void scenario_check(struct contract_shop *shop);

struct contract_shop *shop_open(const struct contract_host *host);
void shop_close(struct contract_shop *shop);
/* A test's: *state is the host before and the shop in between. */
int shop_setup(void **state);
int shop_teardown(void **state);
#define ORDER_TEST(name, host)                                                            \
    {                                                                                     \
        #name, name, shop_setup, shop_teardown, (void *)(uintptr_t)(host)                 \
    }

/* A unit of work, where the store has such. */
void shop_begin(struct contract_shop *shop);
void shop_commit(struct contract_shop *shop);

/* Whether a store that was out of reach can be asked again now: one that waits only a moment for answers may find a
 * busy machine so. */
bool asked_again(struct contract_shop *shop, enum err e);

/* An order with all that an order can have; number n decides its id. Texts live in the arena. */
struct order order_made(struct contract_shop *shop, int n, const char *user_id, int64_t created_at);
struct order order_moved(const struct order *order, enum order_status to);
void assert_same_order(struct contract_shop *shop, const struct order *a, const struct order *b);
struct order_entry entry_found(struct contract_shop *shop, struct text id);
/* Whether the id was taken before. */
bool taken_by_order(struct contract_shop *shop, const struct order *order, const char *fingerprint);
bool taken_by_tombstone(struct contract_shop *shop, struct text id, enum order_kind kind, enum holds_due due,
                        int64_t now_ms);
uint32_t due_count(struct contract_shop *shop);
struct event_new event_made(const struct order *order, const char *id);
/* Hands over what waits; it must be these events of the order, in this order. */
void assert_events(struct contract_shop *shop, const struct order *order, const char *const *ids, uint32_t count);

#endif
