/* Opening a database and refusing it, its indexes, and many programs that do so at once. */
#include <pthread.h>

#include "lib/store/share.h"
#include "tests/lib/store/mongo_place.h"

static void test_opens_again(void **state)
{
    struct place *place = *state;
    struct mongo_pool *again = NULL;
    assert_int_equal(mongo_pool_open(&place->config, &thing_schema, NULL, &place->fault, &again), ERR_NONE);
    mongo_pool_destroy(&again);
}

static void assert_refused(const struct store_config *config, const struct mongo_schema *with, const char *says)
{
    struct mongo_pool *pool = NULL;
    struct fault fault;
    fault_init(&fault, NULL);
    assert_int_equal(mongo_pool_open(config, with, NULL, &fault, &pool), ERR_SERVICE_UNAVAILABLE);
    assert_null(pool);
    if (!strstr(fault.detail, says)) {
        fail_msg("\"%s\" is not in: %s (%s)", says, fault.detail, fault.cause);
    }
    assert_null(strchr(fault.detail, '\n'));
    assert_null(strstr(fault.detail, "s3cret"));
    assert_null(strstr(fault.cause, "s3cret"));
}

static void test_urls_that_are_none(void **state)
{
    (void)state;
    static const char *const urls[][2] = {
        {"mongodb://", "no MongoDB URL"},
        {"mongodb://u:s3cret@:@localhost/zmart", "no MongoDB URL"},
        {"mongodb://u:s3cret/x@localhost/zmart", "MongoDB URL"},
        {"mongodb://localhost/a%20b", "MongoDB URL"},
        {"mongodb://localhost/a*b", "the database's name"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(urls); i++) {
        struct store_config config = {
            .store = urls[i][0], .store_connect_ms = 300, .store_select_ms = 300, .store_answer_ms = 300};
        assert_refused(&config, &thing_schema, urls[i][1]);
    }
}

static void test_no_server(void **state)
{
    (void)state;
    struct store_config config = {.store = "mongodb://u:s3cret@127.0.0.1:1/zmart",
                                  .store_connect_ms = 300,
                                  .store_select_ms = 300,
                                  .store_answer_ms = 300};
    assert_refused(&config, &thing_schema, "no server that takes writes; start it, or correct --store");
}

static void test_a_newer_schema_is_refused(void **state)
{
    struct place *place = *state;
    const struct mongo_schema older = {"thing", 1, thing_indexes, ARRAY_COUNT(thing_indexes)};
    assert_refused(&place->config, &older, "schema version 2, this program knows up to 1");
    const struct mongo_schema other = {"other", 1, NULL, 0}; /* another service of the same shop */
    struct mongo_pool *pool = NULL;
    assert_int_equal(mongo_pool_open(&place->config, &other, NULL, &place->fault, &pool), ERR_NONE);
    mongo_pool_destroy(&pool);
}

static mongoc_collection_t *foreign_collection(const char *url, mongoc_client_t **out_client)
{
    mongoc_uri_t *uri = mongoc_uri_new(url);
    *out_client = mongoc_client_new_from_uri(uri);
    mongoc_collection_t *found = mongoc_client_get_collection(*out_client, mongoc_uri_get_database(uri), "letters");
    mongoc_uri_destroy(uri);
    return found;
}

static void test_a_foreign_database_is_left_alone(void **state)
{
    struct place *place = place_new();
    mongoc_client_t *client;
    bson_error_t error;
    AUTO(bson_destroy) bson_t document = BSON_INITIALIZER;
    (void)state;
    mongoc_collection_t *letters = foreign_collection(place->url, &client);
    assert_true(mongoc_collection_insert_one(letters, &document, NULL, NULL, &error));
    assert_refused(&place->config, &thing_schema, "holds something that is not zmart's");
    mongoc_uri_t *uri = mongoc_uri_new(place->url);
    mongoc_database_t *database = mongoc_client_get_database(client, mongoc_uri_get_database(uri));
    char **names = mongoc_database_get_collection_names_with_opts(database, NULL, &error);
    assert_non_null(names);
    assert_string_equal(names[0], "letters");
    assert_null(names[1]); /* nothing was added */
    bson_strfreev(names);
    mongoc_database_destroy(database);
    mongoc_uri_destroy(uri);
    mongoc_collection_destroy(letters);
    mongoc_client_destroy(client);
    void *drop = place;
    place_drop(&drop);
}

static void test_an_index_of_another_shape_is_refused(void **state)
{
    struct place *place = *state;
    const struct mongo_index other[] = {{"things", "by_name", {"name"}, false, true}};
    const struct mongo_schema with = {"thing", 2, other, 1};
    assert_refused(&place->config, &with, "the index by_name of things");
}

/* What a service's loops share follows from the URL. */
static void test_shares_by_url(void **state)
{
    struct place *place = *state;
    struct env env = {.metrics = place->metrics};
    struct service_share share = {0};
    struct store_config config = place->config;
    assert_int_equal(store_share_prepare(&config, &thing_schema, &env, &place->fault, &share), ERR_NONE);
    assert_non_null(share.shared);
    assert_true(share.all_write);
    assert_int_equal(share.loops, MONGO_DEFAULT_LOOPS);
    store_share_forget(share.shared);
    share = (struct service_share){0};
    config.store = "sqlite:/tmp/nowhere";
    assert_int_equal(store_share_prepare(&config, &thing_schema, &env, &place->fault, &share), ERR_NONE);
    assert_null(share.shared);
    assert_false(share.all_write);
    store_share_forget(share.shared);
    config.store = "postgres://u:x@h/d";
    assert_int_equal(store_share_prepare(&config, &thing_schema, &env, &place->fault, &share), ERR_SERVICE_UNAVAILABLE);
    assert_non_null(strstr(place->fault.detail, "--store takes sqlite:DIR or mongodb://"));
}

/* ---- many programs that start at the same moment ---- */

enum { STARTERS = 16 };

/* Two services, each several times. */
static const struct mongo_index people_indexes[] = {
    {"people", "email", {"email"}, true, false},
    {"people", "place", {"place"}, true, false},
    {"people", "age", {"-age", "-_id"}, false, false},
    {"people", "role", {"role", "-age"}, false, true},
    {"visits", "end", {"ended_at"}, false, false},
};
static const struct mongo_schema people = {"people", 1, people_indexes, ARRAY_COUNT(people_indexes)};

struct starter {
    pthread_t thread;
    const struct store_config *config;
    const struct mongo_schema *schema;
    pthread_barrier_t *start;
    enum err e;
    char detail[sizeof((struct fault *)0)->detail];
};

static void *starter_run(void *arg)
{
    struct starter *self = arg;
    AUTO(arena_release) struct arena arena = {0};
    struct fault fault;
    struct mongo_pool *pool = NULL;
    fault_init(&fault, &arena);
    pthread_barrier_wait(self->start);
    self->e = mongo_pool_open(self->config, self->schema, NULL, &fault, &pool);
    snprintf(self->detail, sizeof self->detail, "%s", fault.detail);
    mongo_pool_destroy(&pool);
    return NULL;
}

static void test_many_start_at_once(void **state)
{
    enum { ROUNDS = 5 };
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        struct place *place = place_new();
        struct starter starters[STARTERS];
        pthread_barrier_t start;
        pthread_barrier_init(&start, NULL, STARTERS);
        for (int i = 0; i < STARTERS; i++) {
            starters[i] = (struct starter){
                .config = &place->config, .schema = i % 2 == 0 ? &thing_schema : &people, .start = &start};
            assert_int_equal(pthread_create(&starters[i].thread, NULL, starter_run, &starters[i]), 0);
        }
        for (int i = 0; i < STARTERS; i++) {
            pthread_join(starters[i].thread, NULL);
        }
        pthread_barrier_destroy(&start);
        for (int i = 0; i < STARTERS; i++) {
            if (starters[i].e != ERR_NONE) {
                fail_msg("%d of round %d: %s", i, round, starters[i].detail);
            }
        }
        void *dropped = place;
        (void)place_drop(&dropped);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, place_make, place_drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_opens_again),
        cmocka_unit_test(test_urls_that_are_none),
        cmocka_unit_test(test_no_server),
        TEST(test_a_newer_schema_is_refused),
        cmocka_unit_test(test_a_foreign_database_is_left_alone),
        TEST(test_an_index_of_another_shape_is_refused),
        cmocka_unit_test(test_many_start_at_once),
        TEST(test_shares_by_url),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
