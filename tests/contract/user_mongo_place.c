#include "tests/contract/user_mongo_place.h"

#include "lib/store/mongo.h"
#include "tests/mongo/database.h"

/* One pool a URL; the tests of a program run one after the other. */
static struct mongo_pool *pool;

static void place_make(char *url, size_t size)
{
    char fresh[TEST_URL_SIZE];
    test_database_new(fresh);
    assert_true(strlen(fresh) < size);
    snprintf(url, size, "%s", fresh);
}

static void place_drop(const char *url)
{
    mongo_pool_destroy(&pool);
    test_database_drop(url);
}

struct store_config user_mongo_place_config(const char *url)
{
    return (struct store_config){
        .store = url, .store_connect_ms = 2000, .store_select_ms = 5000, .store_answer_ms = 20000};
}

static enum err place_open(const struct store_config *config, bool writer, struct metrics *metrics, struct fault *fault,
                           struct user_store **out)
{
    struct store_config patient = user_mongo_place_config(config->store);
    (void)writer;
    enum err e = pool ? ERR_NONE : mongo_pool_open(&patient, &user_mongo_schema, metrics, fault, &pool);
    if (e == ERR_NONE) {
        *out = user_store_new_mongo(pool);
    }
    return e;
}

struct user_store *user_mongo_place_another(void)
{
    return user_store_new_mongo(pool);
}

const struct user_place user_mongo_place = {place_make, place_drop, place_open};
