/* A database of its own for each test of MongoDB, opened with a schema of one collection. */
#ifndef ZMART_TESTS_STORE_MONGO_PLACE_H
#define ZMART_TESTS_STORE_MONGO_PLACE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/store/mongo.h"
#include "tests/mongo/database.h"

static const struct mongo_index thing_indexes[] = {
    {"things", "by_name", {"name"}, true, true},
    {"things", "by_age", {"-age", "_id"}, false, false},
};
static const struct mongo_schema thing_schema = {"thing", 2, thing_indexes, ARRAY_COUNT(thing_indexes)};

struct place {
    char url[TEST_URL_SIZE];
    struct store_config config;
    struct metrics *metrics;
    struct mongo_pool *pool;
    struct mongo_db *db;
    struct arena arena;
    struct fault fault;
};

struct place *place_new(void);
/* Fails the test where it cannot be opened. */
struct place *place_open(const struct mongo_schema *schema);
int place_make(void **state);
int place_drop(void **state);

void thing_make(bson_t *to, const char *id, const char *name, int64_t age);
enum err inserted(struct place *place, const char *id, const char *name, int64_t age);
int64_t count_of(struct place *place);
/* The age of the thing, or -1. */
int64_t age_of(struct place *place, const char *id);
void set_age(bson_t *update, int64_t age);

#endif
