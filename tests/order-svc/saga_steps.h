/* The saga's steps: each is what a service does in one unit of work of one store. */
#ifndef ZMART_TESTS_SAGA_STEPS_H
#define ZMART_TESTS_SAGA_STEPS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "order-svc/rules.h"
#include "order-svc/store.h"
#include "product-svc/store.h"
#include "proto/ident.h"
#include "tests/mongo/database.h"

enum { PRODUCTS = 3, REQUESTS = 8, ACTORS = 24, TRIES = 64, STEPS = 600, RUNS = 25, RUNS_ON_SERVER = 4 };

enum act {
    ACT_LOOK,
    ACT_RESERVE,
    ACT_PLACE,
    ACT_REFUSE,
    ACT_MOVE,
    ACT_SWEEP,
    ACT_ARBITRATE,
    ACT_SETTLE,
    ACT_DUE,
    ACT_TELL,
    ACT_TOLD,
    ACT_RESTOCK,
    ACT_DEAD
};

struct request {
    uint8_t id[ID_SIZE];
    char fingerprint[FINGERPRINT_SIZE];
    struct reserve_line lines[PRODUCTS];
    uint32_t line_count;
    char answered[40]; /* "placed ord_..." or "refused ord_...": what some client has heard */
};

/* One process: what it does next, and what it remembers of what it has read. */
struct actor {
    enum act next;
    int request;
    uint32_t try_count;
    enum order_status move_to;
    struct order_arbitrate ids;
    struct product_settle holds;
};

struct world {
    unsigned seed;
    struct order_store *orders;
    const struct unit_of_work *orders_unit; /* NULL on MongoDB: what a verb did is durable when it returns */
    struct sqlite_db *orders_db;
    struct mongo_pool *orders_pool;
    struct mongo_db *orders_mongo;
    struct product_store *products;
    struct arena arena; /* of one run */
    struct fault fault;
    char folder[32];  /* on SQLite */
    char url[TEST_URL_SIZE];
    char product_ids[PRODUCTS][IDENT_SIZE];
    int64_t supply[PRODUCTS];
    int64_t now_ms;
    struct request requests[REQUESTS];
    struct actor actors[ACTORS];
};

struct step {
    struct world *world;
    struct actor *actor; /* a copy: it counts only once the step is durable */
    char id[IDENT_SIZE]; /* of the actor's order */
    const char *heard;   /* what the client hears once the step is durable */
};

/* What an act does, and in whose store. It returns ERR_NONE unless the store fails. */
struct saga_act {
    enum err (*take)(struct step *step);
    bool on_products;
};
extern const struct saga_act saga_acts[ACT_DEAD];

/* One in so many; and a number below the limit. */
int chance(struct world *world, int one_in);
int below(struct world *world, int limit);
struct product_act act_now(struct world *world);

#endif
