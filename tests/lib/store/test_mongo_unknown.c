/* Writes that nobody knows the end of, because the connection broke before the answer. */
#include "tests/lib/store/mongo_place.h"
#include "tests/mongo/patient.h"
#include "tests/mongo/proxy.h"

enum { WAIT_MS = 30000 };

/* Each changes a collection that holds {_id: "a", age: 1} alone. */
static enum err write_insert(struct mongo_db *db, struct fault *fault)
{
    bson_t thing;
    thing_make(&thing, "n", NULL, 1);
    enum err e = mongo_insert(db, "things", &thing, fault);
    bson_destroy(&thing);
    return e;
}

static enum err write_bulk(struct mongo_db *db, struct fault *fault)
{
    struct mongo_bulk *bulk = mongo_bulk_new(db, "things", true);
    bson_t thing;
    thing_make(&thing, "n", NULL, 1);
    mongo_bulk_insert(bulk, &thing);
    bson_destroy(&thing);
    return mongo_bulk_run(&bulk, fault, NULL);
}

static void put_age(bson_t *update, int64_t age)
{
    bson_t set;
    BSON_APPEND_DOCUMENT_BEGIN(update, "$set", &set);
    bson_put_int(&set, "age", age);
    bson_append_document_end(update, &set);
}

static enum err write_update(struct mongo_db *db, struct fault *fault)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t update = BSON_INITIALIZER;
    bool found;
    bson_put_text(&filter, "_id", TEXT("a"));
    put_age(&update, 2);
    return mongo_update(db, "things", &filter, &update, fault, &found);
}

static enum err write_upsert(struct mongo_db *db, struct fault *fault)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t update = BSON_INITIALIZER;
    bool found;
    bson_put_text(&filter, "_id", TEXT("n"));
    put_age(&update, 2);
    return mongo_upsert(db, "things", &filter, &update, fault, &found);
}

static enum err write_update_all(struct mongo_db *db, struct fault *fault)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t update = BSON_INITIALIZER;
    int64_t count;
    put_age(&update, 2);
    return mongo_update_all(db, "things", &filter, &update, fault, &count);
}

static enum err write_delete_all(struct mongo_db *db, struct fault *fault)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    int64_t count;
    return mongo_delete_all(db, "things", &filter, fault, &count);
}

/* Whether the collection is as it was before the write. */
static bool is_as_before(struct place *place)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    bson_t document;
    int64_t age = 0;
    bool found = false;
    bson_put_text(&filter, "_id", TEXT("a"));
    const struct mongo_query query = {.collection = "things", .filter = &filter};
    assert_int_equal(mongo_find_one(place->db, &query, &place->arena, &place->fault, &document, &found), ERR_NONE);
    return found && bson_get_int(&document, "age", &age) && age == 1 && count_of(place) == 1;
}

/* A write that nobody waits for any more may still be at work in the server, and in the way. */
static void begin_again(struct place *place)
{
    AUTO(bson_destroy) bson_t all = BSON_INITIALIZER;
    int64_t end_ms = clock_now_ms() + WAIT_MS, count;
    enum err e;
    while ((e = mongo_delete_all(place->db, "things", &all, &place->fault, &count)) == ERR_SERVICE_UNAVAILABLE &&
           clock_now_ms() < end_ms) {
        usleep(10000);
    }
    assert_int_equal(e, ERR_NONE);
    assert_int_equal(inserted(place, "a", NULL, 1), ERR_NONE);
}

/* Until the store behind the proxy is asked again. */
static void wait_open(struct mongo_db *db)
{
    AUTO(arena_release) struct arena arena = {0};
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    const struct mongo_query query = {.collection = "things", .filter = &filter};
    int64_t end_ms = clock_now_ms() + WAIT_MS;
    struct fault fault;
    bson_t document;
    bool found;
    enum err e;
    fault_init(&fault, &arena);
    while ((e = mongo_find_one(db, &query, &arena, &fault, &document, &found)) != ERR_NONE && clock_now_ms() < end_ms) {
        usleep(10000);
    }
    assert_int_equal(e, ERR_NONE);
}

/* SERVICE_UNAVAILABLE would say that nothing was done. */
static void test_what_may_have_been_done_is_not_refused(void **state)
{
    typedef enum err write(struct mongo_db *db, struct fault *fault);
    static write *const writes[] = {write_insert, write_bulk,       write_update,
                                    write_upsert, write_update_all, write_delete_all};
    struct place *place = *state;
    char url[TEST_URL_SIZE], once_url[TEST_URL_SIZE + 20];
    struct mongo_pool *pool;
    struct mongo_proxy *proxy = mongo_proxy_start(place->url, url);
    snprintf(once_url, sizeof once_url, "%s%cretryWrites=false", url, strchr(url, '?') ? '&' : '?');
    struct store_config config = {
        .store = once_url, .store_connect_ms = 2000, .store_select_ms = 5000, .store_answer_ms = 400};
    assert_int_equal(patient_pool_open(&config, &thing_schema, NULL, &place->fault, &pool), ERR_NONE);
    struct mongo_db *db = mongo_db_new(pool);
    for (int how = 0; how < SPOIL_COUNT; how++) {
        for (size_t i = 0; i < ARRAY_COUNT(writes); i++) {
            begin_again(place);
            wait_open(db);
            mongo_proxy_spoil(proxy, 0, (enum spoil)how);
            assert_int_equal(writes[i](db, &place->fault), ERR_OUTCOME_UNKNOWN);
            assert_true(mongo_proxy_spoilt(proxy));
            mongo_proxy_spoil(proxy, -1, (enum spoil)how);
            mongo_proxy_settle(proxy);
            assert_int_equal(is_as_before(place), how == SPOIL_REQUEST);
        }
    }
    mongo_db_destroy(&db);
    mongo_pool_destroy(&pool);
    mongo_proxy_stop(&proxy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_may_have_been_done_is_not_refused, place_make, place_drop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
