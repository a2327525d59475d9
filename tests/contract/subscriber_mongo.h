/* Desks on MongoDB, and the suite's scenario with its N-th command spoilt on the wire. The program says what is there:
 * DESK_SCHEMA, DESK_COLLECTIONS, DESK_DESTROY, and store_make. */
#ifndef ZMART_TESTS_CONTRACT_SUBSCRIBER_MONGO_H
#define ZMART_TESTS_CONTRACT_SUBSCRIBER_MONGO_H

#include <unistd.h>

#include "tests/mongo/patient.h"
#include "tests/mongo/proxy.h"

enum { ANSWER_MS = 20000, SOON_MS = 400, RECOVER_MS = 60000, PAUSE_US = 10000 };

struct place {
    char url[TEST_URL_SIZE];
    struct mongo_pool *pool;
    struct mongo_db *db;       /* beside the store's own */
    struct mongo_proxy *proxy; /* NULL: none in between */
};

/* A handle on the pool, as the service makes it. */
static enum err store_make(struct mongo_pool *pool, int64_t now_ms, struct fault *fault, DESK_STORE **out);

static void store_open(struct desk *desk, int64_t now_ms)
{
    struct fault fault;
    fault_init(&fault, NULL);
    if (store_make(((struct place *)desk->host)->pool, now_ms, &fault, &desk->store) != ERR_NONE) {
        fail_msg("open: %s (%s)", fault.detail, fault.cause);
    }
}

static void place_open(struct desk *desk, const char *url, int64_t answer_ms)
{
    struct place *place = desk->host;
    struct fault fault;
    struct store_config config = {
        .store = url, .store_connect_ms = 2000, .store_select_ms = 5000, .store_answer_ms = answer_ms};
    fault_init(&fault, NULL);
    if (patient_pool_open(&config, DESK_SCHEMA, NULL, &fault, &place->pool) != ERR_NONE) {
        fail_msg("open: %s (%s)", fault.detail, fault.cause);
    }
    place->db = mongo_db_new(place->pool);
}

static void mongo_open(struct desk *desk)
{
    struct place *place = calloc(1, sizeof *place);
    test_database_new(place->url);
    desk->host = place;
    place_open(desk, place->url, ANSWER_MS);
    store_open(desk, MADE_AT);
}

static void mongo_reopen(struct desk *desk)
{
    DESK_DESTROY(&desk->store);
    store_open(desk, MADE_AT + 1000);
}

static void mongo_close(struct desk *desk)
{
    struct place *place = desk->host;
    DESK_DESTROY(&desk->store);
    mongo_db_destroy(&place->db);
    mongo_pool_destroy(&place->pool);
    if (place->proxy) {
        mongo_proxy_stop(&place->proxy);
    }
    test_database_drop(place->url);
    free(place);
}

/* ---- the N-th command goes wrong on the wire ---- */

/* After a failure the store is not asked for a moment, and a new connection is made. */
static void mongo_recover(struct desk *desk)
{
    AUTO(bson_destroy) bson_t all = BSON_INITIALIZER;
    struct place *place = desk->host;
    const struct mongo_query query = {.collection = "log_readers", .filter = &all};
    int64_t end_ms = clock_now_ms() + RECOVER_MS;
    bson_t document;
    bool found;
    enum err e = ERR_NONE;
    do {
        usleep(e == ERR_NONE ? 0 : PAUSE_US);
        fault_init(&desk->fault, &desk->arena);
        e = mongo_find_one(place->db, &query, &desk->arena, &desk->fault, &document, &found);
    } while (e != ERR_NONE && clock_now_ms() < end_ms);
    assert_int_equal(e, ERR_NONE);
}

static void mongo_settle(struct desk *desk)
{
    struct place *place = desk->host;
    if (place->proxy) {
        mongo_proxy_settle(place->proxy);
    }
}

static enum err step_empty(struct desk *desk, DESK_STORE *store)
{
    static const char *const collections[] = {DESK_COLLECTIONS};
    AUTO(bson_destroy) bson_t all = BSON_INITIALIZER;
    int64_t count;
    enum err e = ERR_NONE;
    (void)store;
    for (size_t i = 0; e == ERR_NONE && i < ARRAY_COUNT(collections); i++) {
        e = mongo_delete_all(((struct place *)desk->host)->db, collections[i], &all, &desk->fault, &count);
    }
    if (e == ERR_NONE) {
        DESK_DESTROY(&desk->store);
        while ((e = store_make(((struct place *)desk->host)->pool, MADE_AT, &desk->fault, &desk->store)) != ERR_NONE) {
            mongo_recover(desk);
        }
    }
    return e;
}

static void mongo_empty(struct desk *desk)
{
    step_run(desk, desk->store, step_empty);
}

/* The write may have happened or not, or happens when nobody waits for it any more: it comes out right. From the
 * first-th command on, each step-th. */
static void spoil_each(enum spoil how, int first, int step, int commands_min)
{
    struct desk desk = {.host = calloc(1, sizeof(struct place))};
    struct place *place = desk.host;
    char url[TEST_URL_SIZE];
    bool spoilt = true;
    test_database_new(place->url);
    place->proxy = mongo_proxy_start(place->url, url);
    place_open(&desk, url, SOON_MS);
    fault_init(&desk.fault, &desk.arena);
    while (store_make(place->pool, MADE_AT, &desk.fault, &desk.store) != ERR_NONE) {
        mongo_recover(&desk);
    }
    for (int n = first; spoilt; n += step) {
        print_message("command %d spoilt as %d\n", n, how); /* the last one is the one that went wrong */
        mongo_proxy_spoil(place->proxy, n, how);
        scenario_run(&desk, desk.store);
        spoilt = mongo_proxy_spoilt(place->proxy);
        mongo_proxy_spoil(place->proxy, -1, how);
        mongo_proxy_settle(place->proxy);
        scenario_check(&desk);
        assert_true(spoilt || n >= commands_min); /* every verb had its turn */
        mongo_empty(&desk);
        arena_release(&desk.arena);
    }
    mongo_close(&desk);
    arena_release(&desk.arena);
}

static void spoil_all(int commands_min)
{
    spoil_each(SPOIL_REQUEST, 0, 1, commands_min);
    spoil_each(SPOIL_REPLY, 0, 1, commands_min);
    spoil_each(SPOIL_SILENCE, 0, 2, commands_min); /* those take long: they share the commands between them */
    spoil_each(SPOIL_LATE, 1, 2, commands_min);
}

static const struct contract_host mongo_host = {mongo_open,  mongo_reopen,  mongo_close,
                                                mongo_empty, mongo_recover, mongo_settle};

#endif
