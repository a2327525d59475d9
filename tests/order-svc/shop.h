/* A whole shop for tests: broker, product-, order- and event-svc as programs on threads, and calls to them. */
#ifndef ZMART_TESTS_ORDER_SHOP_H
#define ZMART_TESTS_ORDER_SHOP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/bus/client.h"
#include "proto/ident.h"
#include "tests/lib/bus/runner.h"

enum { PATIENCE_MS = 20000 };

struct shop {
    char folder[40];
    char url[60];
    struct log log;
    void *context;
    struct metrics *metrics;
    struct env env;
    struct bus_config bus;
    struct runner broker, products, orders, events;
    struct bus_client *client;
    struct arena arena; /* of one test */
    struct fault fault; /* of the last call */
    bool replayed;      /* what the last call said */
};

/* For cmocka. */
int shop_make(void **state);
int shop_drop(void **state);

void program_stop(struct runner *runner); /* it must end well */
void shop_start_products(struct shop *shop);
void shop_start_orders(struct shop *shop, const char *settle_ms);

/* Who calls. */
struct call_meta by_user(const char *user_id);
struct call_meta by_admin(void);
struct call_meta by_service(void);

/* One call. request_id NULL: a fresh one. out is the reply record. */
struct ask {
    enum op op;
    const uint8_t *request_id;
    struct call_meta meta;
    const void *in;
    uint32_t budget_ms; /* 0: the operation's own */
};
enum err shop_ask(struct shop *shop, const struct ask *ask, void *out);
/* The same on another thread's arena and fault. */
enum err shop_ask_in(struct shop *shop, const struct ask *ask, struct arena *arena, struct fault *fault,
                     bool *out_replayed, void *out);

/* A product of this price (in 1/10000 of the currency) and stock. */
struct text product_made(struct shop *shop, const char *currency, int64_t price, int64_t stock);
int64_t product_stock(struct shop *shop, struct text id);
void product_restock(struct shop *shop, struct text id, int64_t delta);
/* True once the stock is that; false after PATIENCE_MS. */
bool product_stock_becomes(struct shop *shop, struct text id, int64_t stock);

/* One order of pieces of one product; keyed. */
enum err order_ask(struct shop *shop, const uint8_t *request_id, const char *user_id, struct text product_id,
                   int64_t quantity, struct order *out);
enum err move_ask(struct shop *shop, struct call_meta meta, struct text order_id, enum order_status to,
                  struct order *out);
/* The count that a query gives on a service's database, once it is as wanted or PATIENCE_MS are over. */
int64_t count_becomes(struct shop *shop, const char *file, const char *sql, int64_t wanted);

#endif
