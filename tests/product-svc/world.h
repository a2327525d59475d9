/* product-svc as it runs: its program and a broker's on threads, and a caller on the real bus. */
#ifndef ZMART_TESTS_PRODUCT_WORLD_H
#define ZMART_TESTS_PRODUCT_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/bus/client.h"
#include "product-svc/program.h"
#include "tests/lib/bus/runner.h"

struct world {
    char folder[64];
    char url[80];
    char bus_name[20];
    struct log log;
    void *context;
    struct metrics *metrics;
    struct env env;
    struct bus_config bus;
    struct runner broker, products, orders, events;
    struct bus_client *client;
    struct arena arena; /* of everything that was answered */
    struct fault fault; /* of the last call */
};

struct caller {
    enum role role;
    const char *if_match;
    bool keyed;
    uint8_t request_id[ID_SIZE];
};

/* Starts it and waits until it is ready, or has ended: then its status is not -1. flag and value may be NULL. */
void program_start(struct world *world, struct runner *runner, const struct program *program, const char *flag,
                   const char *value);

int world_make(void **state); /* setup: a broker and a caller */
int world_make_with_products(void **state);
int world_drop(void **state);
void products_start(struct world *world); /* and the log that their events go to */

/* An administrator with a fresh request; also a service, for what only services may ask. */
struct caller admin(void);
struct call_meta meta_of(const struct caller *caller);
/* One call; the fault is world->fault. */
enum err ask(struct world *world, const struct caller *caller, enum op op, const void *request, void *out);
/* The same, and whether the answer was an earlier one's. */
bool ask_replayed(struct world *world, const struct caller *caller, enum op op, const void *request);
/* A new product, by the bus. */
struct product made(struct world *world, const char *name, int64_t stock);
int64_t stock_of(struct world *world, struct text id);

#endif
