/* MongoDB through a real server: opening and refusing, indexes, every command, what errors mean, and how many commands
 * it all takes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/store/share.h"
#include "tests/mongo/patient.h"
#include "tests/mongo/proxy.h"

static const struct mongo_index indexes[] = {
    {"things", "by_name", {"name"}, true, true},
    {"things", "by_age", {"-age", "_id"}, false, false},
};
static const struct mongo_schema schema = {"thing", 2, indexes, ARRAY_COUNT(indexes)};

struct place {
    char url[TEST_URL_SIZE];
    struct store_config config;
    struct metrics *metrics;
    struct mongo_pool *pool;
    struct mongo_db *db;
    struct arena arena;
    struct fault fault;
};

static struct place *place_new(void)
{
    struct place *place = calloc(1, sizeof *place);
    test_database_new(place->url);
    place->config = (struct store_config){
        .store = place->url, .store_connect_ms = 2000, .store_select_ms = 5000, .store_answer_ms = 20000};
    place->metrics = metrics_new();
    fault_init(&place->fault, &place->arena);
    return place;
}

static int place_make(void **state)
{
    struct place *place = place_new();
    if (mongo_pool_open(&place->config, &schema, place->metrics, &place->fault, &place->pool) != ERR_NONE) {
        fail_msg("open: %s (%s)", place->fault.detail, place->fault.cause);
    }
    place->db = mongo_db_new(place->pool);
    *state = place;
    return 0;
}

static int place_drop(void **state)
{
    struct place *place = *state;
    mongo_db_destroy(&place->db);
    mongo_pool_destroy(&place->pool);
    test_database_drop(place->url);
    metrics_destroy(&place->metrics);
    arena_release(&place->arena);
    free(place);
    return 0;
}

/* ---- small things ---- */

static int64_t command_count(struct place *place, const char *command)
{
    char labels[64];
    snprintf(labels, sizeof labels, "command=\"%s\"", command);
    return metric_value(metrics_get(place->metrics, METRIC_COUNTER, "zmart_store_commands_total", labels, ""));
}

static void thing_make(bson_t *to, const char *id, const char *name, int64_t age)
{
    bson_init(to);
    bson_put_text(to, "_id", text_of(id));
    if (name) {
        bson_put_text(to, "name", text_of(name));
    }
    bson_put_int(to, "age", age);
}

static enum err inserted(struct place *place, const char *id, const char *name, int64_t age)
{
    bson_t thing;
    thing_make(&thing, id, name, age);
    fault_init(&place->fault, &place->arena);
    enum err e = mongo_insert(place->db, "things", &thing, &place->fault);
    bson_destroy(&thing);
    return e;
}

static int64_t count_of(struct place *place)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    const struct mongo_query query = {.collection = "things", .filter = &filter};
    struct mongo_rows rows;
    const bson_t *document;
    int64_t count = 0;
    mongo_find(place->db, &query, &rows);
    while (mongo_next(&rows, &document)) {
        count++;
    }
    assert_int_equal(mongo_rows_end(&rows, &place->fault), ERR_NONE);
    return count;
}

/* The age of the thing, or -1. */
static int64_t age_of(struct place *place, const char *id)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    bson_t found;
    bool is_there = false;
    int64_t age = -1;
    bson_put_text(&filter, "_id", text_of(id));
    const struct mongo_query query = {.collection = "things", .filter = &filter};
    assert_int_equal(mongo_find_one(place->db, &query, &place->arena, &place->fault, &found, &is_there), ERR_NONE);
    if (is_there) {
        assert_true(bson_get_int(&found, "age", &age));
    }
    return age;
}

static void set_age(bson_t *update, int64_t age)
{
    bson_t part;
    bson_init(update);
    BSON_APPEND_DOCUMENT_BEGIN(update, "$set", &part);
    bson_put_int(&part, "age", age);
    bson_append_document_end(update, &part);
}

/* ---- opening ---- */

static void test_opens_again(void **state)
{
    struct place *place = *state;
    struct mongo_pool *again = NULL;
    assert_int_equal(mongo_pool_open(&place->config, &schema, NULL, &place->fault, &again), ERR_NONE);
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
        assert_refused(&config, &schema, urls[i][1]);
    }
}

static void test_no_server(void **state)
{
    (void)state;
    struct store_config config = {.store = "mongodb://u:s3cret@127.0.0.1:1/zmart",
                                  .store_connect_ms = 300,
                                  .store_select_ms = 300,
                                  .store_answer_ms = 300};
    assert_refused(&config, &schema, "no server that takes writes; start it, or correct --store");
}

static void test_a_newer_schema_is_refused(void **state)
{
    struct place *place = *state;
    const struct mongo_schema older = {"thing", 1, indexes, ARRAY_COUNT(indexes)};
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
    assert_refused(&place->config, &schema, "holds something that is not zmart's");
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
    assert_int_equal(store_share_prepare(&config, &schema, &env, &place->fault, &share), ERR_NONE);
    assert_non_null(share.shared);
    assert_true(share.all_write);
    assert_int_equal(share.loops, MONGO_DEFAULT_LOOPS);
    store_share_forget(share.shared);
    share = (struct service_share){0};
    config.store = "sqlite:/tmp/nowhere";
    assert_int_equal(store_share_prepare(&config, &schema, &env, &place->fault, &share), ERR_NONE);
    assert_null(share.shared);
    assert_false(share.all_write);
    store_share_forget(share.shared);
    config.store = "postgres://u:x@h/d";
    assert_int_equal(store_share_prepare(&config, &schema, &env, &place->fault, &share), ERR_SERVICE_UNAVAILABLE);
    assert_non_null(strstr(place->fault.detail, "--store takes sqlite:DIR or mongodb://"));
}

/* ---- writing ---- */

static void test_insert_and_what_refuses_it(void **state)
{
    struct place *place = *state;
    assert_int_equal(inserted(place, "a", "Ann", 1), ERR_NONE);
    assert_int_equal(inserted(place, "a", "Bob", 2), ERR_CONFLICT);  /* the id */
    assert_int_equal(inserted(place, "b", "Ann", 2), ERR_CONFLICT);  /* the unique name */
    assert_int_equal(inserted(place, "c", NULL, 3), ERR_NONE);       /* without a name there is nothing unique */
    assert_int_equal(inserted(place, "d", NULL, 3), ERR_NONE);
    assert_int_equal(age_of(place, "a"), 1);
    assert_int_equal(count_of(place), 3);
}

static void test_update_says_whether_it_found(void **state)
{
    struct place *place = *state;
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t stale = BSON_INITIALIZER;
    bson_t update;
    bool found = false;
    assert_int_equal(inserted(place, "a", "Ann", 1), ERR_NONE);
    bson_put_text(&filter, "_id", TEXT("a"));
    bson_put_text(&stale, "_id", TEXT("a"));
    bson_put_int(&stale, "age", 9);
    set_age(&update, 2);
    assert_int_equal(mongo_update(place->db, "things", &filter, &update, &place->fault, &found), ERR_NONE);
    assert_true(found);
    assert_int_equal(mongo_update(place->db, "things", &filter, &update, &place->fault, &found), ERR_NONE);
    assert_true(found); /* although it changed nothing */
    assert_int_equal(mongo_update(place->db, "things", &stale, &update, &place->fault, &found), ERR_NONE);
    assert_false(found);
    bson_destroy(&update);
}

static void test_upsert(void **state)
{
    struct place *place = *state;
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    bson_t update;
    bool found = true;
    bson_put_text(&filter, "_id", TEXT("a"));
    set_age(&update, 2);
    assert_int_equal(mongo_upsert(place->db, "things", &filter, &update, &place->fault, &found), ERR_NONE);
    assert_false(found);
    assert_int_equal(mongo_upsert(place->db, "things", &filter, &update, &place->fault, &found), ERR_NONE);
    assert_true(found);
    assert_int_equal(age_of(place, "a"), 2);
    bson_destroy(&update);
}

static void test_many_at_once(void **state)
{
    struct place *place = *state;
    AUTO(bson_destroy) bson_t old = BSON_INITIALIZER;
    bson_t update;
    int64_t count = 0;
    for (int i = 0; i < 5; i++) {
        char id[8];
        snprintf(id, sizeof id, "t%d", i);
        assert_int_equal(inserted(place, id, NULL, i), ERR_NONE);
    }
    mongo_put_compare(&old, "age", "$gte", 3);
    set_age(&update, 90);
    assert_int_equal(mongo_update_all(place->db, "things", &old, &update, &place->fault, &count), ERR_NONE);
    assert_int_equal(count, 2);
    assert_int_equal(age_of(place, "t4"), 90);
    assert_int_equal(age_of(place, "t2"), 2);
    assert_int_equal(mongo_delete_all(place->db, "things", &old, &place->fault, &count), ERR_NONE);
    assert_int_equal(count, 2);
    assert_int_equal(count_of(place), 3);
    bson_destroy(&update);
}

static void test_bulk_is_one_command_a_kind(void **state)
{
    struct place *place = *state;
    struct mongo_changes changes = {0};
    int64_t inserts = command_count(place, "insert"), updates = command_count(place, "update");
    struct mongo_bulk *bulk = mongo_bulk_new(place->db, "things", true);
    for (int i = 0; i < 50; i++) {
        char id[8];
        bson_t thing;
        snprintf(id, sizeof id, "t%d", i);
        thing_make(&thing, id, NULL, i);
        mongo_bulk_insert(bulk, &thing);
        bson_destroy(&thing);
    }
    for (int i = 0; i < 50; i += 2) {
        char id[8];
        bson_t update;
        AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
        snprintf(id, sizeof id, "t%d", i);
        bson_put_text(&filter, "_id", text_of(id));
        set_age(&update, 100 + i);
        mongo_bulk_update(bulk, &filter, &update, false);
        bson_destroy(&update);
    }
    assert_int_equal(mongo_bulk_run(&bulk, &place->fault, &changes), ERR_NONE);
    assert_null(bulk);
    assert_int_equal(changes.inserted, 50);
    assert_int_equal(changes.matched, 25);
    assert_int_equal(age_of(place, "t48"), 148);
    assert_int_equal(age_of(place, "t49"), 49);
    assert_int_equal(command_count(place, "insert") - inserts, 1);
    assert_int_equal(command_count(place, "update") - updates, 1);
    bulk = mongo_bulk_new(place->db, "things", true); /* without writes */
    assert_int_equal(mongo_bulk_run(&bulk, &place->fault, &changes), ERR_NONE);
    assert_int_equal(changes.inserted, 0);
}

static void bulk_of_three(struct place *place, bool ordered, struct mongo_changes *out)
{
    static const char *const ids[] = {"a", "taken", "b"};
    struct mongo_bulk *bulk = mongo_bulk_new(place->db, "things", ordered);
    for (size_t i = 0; i < ARRAY_COUNT(ids); i++) {
        bson_t thing;
        thing_make(&thing, ids[i], NULL, 1);
        mongo_bulk_insert(bulk, &thing);
        bson_destroy(&thing);
    }
    assert_int_equal(mongo_bulk_run(&bulk, &place->fault, out), ERR_CONFLICT);
}

static void test_bulk_stops_or_goes_on(void **state)
{
    struct place *place = *state;
    AUTO(bson_destroy) bson_t all = BSON_INITIALIZER;
    struct mongo_changes changes;
    int64_t count = 0;
    assert_int_equal(inserted(place, "taken", NULL, 0), ERR_NONE);
    bulk_of_three(place, true, &changes);
    assert_int_equal(changes.inserted, 1);
    assert_int_equal(age_of(place, "b"), -1);
    assert_int_equal(mongo_delete_all(place->db, "things", &all, &place->fault, &count), ERR_NONE);
    assert_int_equal(count, 2);
    assert_int_equal(inserted(place, "taken", NULL, 0), ERR_NONE);
    bulk_of_three(place, false, &changes);
    assert_int_equal(changes.inserted, 2);
    assert_int_equal(age_of(place, "b"), 1);
}

/* ---- reading ---- */

static void test_a_page_is_one_round_trip(void **state)
{
    enum { COUNT = 300, LIMIT = 257 };
    struct place *place = *state;
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t sort = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t projection = BSON_INITIALIZER;
    struct mongo_bulk *bulk = mongo_bulk_new(place->db, "things", true);
    struct mongo_rows rows;
    const bson_t *document;
    int64_t last = -1, age;
    for (int i = 0; i < COUNT; i++) {
        char id[8];
        bson_t thing;
        snprintf(id, sizeof id, "t%d", i);
        thing_make(&thing, id, id, (i * 37) % COUNT);
        mongo_bulk_insert(bulk, &thing);
        bson_destroy(&thing);
    }
    assert_int_equal(mongo_bulk_run(&bulk, &place->fault, NULL), ERR_NONE);
    bson_put_int(&sort, "age", 1);
    bson_put_int(&projection, "age", 1);
    const struct mongo_query query = {.collection = "things",
                                      .filter = &filter,
                                      .sort = &sort,
                                      .projection = &projection,
                                      .limit = LIMIT,
                                      .newest = true};
    int64_t finds = command_count(place, "find");
    mongo_find(place->db, &query, &rows);
    while (mongo_next(&rows, &document)) {
        assert_true(bson_get_int(document, "age", &age));
        assert_int_equal(age, last + 1);
        assert_false(bson_has_field(document, "name"));
        last = age;
    }
    assert_int_equal(mongo_rows_end(&rows, &place->fault), ERR_NONE);
    assert_int_equal(last, LIMIT - 1);
    assert_int_equal(command_count(place, "find") - finds, 1);
    assert_int_equal(command_count(place, "getMore"), 0);
    assert_int_equal(command_count(place, "killCursors"), 0);
}

static void test_in_finds_those_that_are_there(void **state)
{
    struct place *place = *state;
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    const struct text ids[] = {TEXT("a"), TEXT("none"), TEXT("b")};
    struct mongo_rows rows;
    const bson_t *document;
    int count = 0;
    assert_int_equal(inserted(place, "a", NULL, 1), ERR_NONE);
    assert_int_equal(inserted(place, "b", NULL, 1), ERR_NONE);
    assert_int_equal(inserted(place, "c", NULL, 1), ERR_NONE);
    mongo_put_in(&filter, "_id", ids, ARRAY_COUNT(ids));
    const struct mongo_query query = {.collection = "things", .filter = &filter};
    mongo_find(place->db, &query, &rows);
    while (mongo_next(&rows, &document)) {
        count++;
    }
    assert_int_equal(mongo_rows_end(&rows, &place->fault), ERR_NONE);
    assert_int_equal(count, 2);
}

/* ---- errors ---- */

static void test_our_own_mistakes_are_internal(void **state)
{
    struct place *place = *state;
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    bson_t part;
    struct mongo_rows rows;
    const bson_t *document;
    BSON_APPEND_DOCUMENT_BEGIN(&filter, "age", &part);
    bson_put_int(&part, "$noSuchOperator", 1);
    bson_append_document_end(&filter, &part);
    const struct mongo_query query = {.collection = "things", .filter = &filter};
    mongo_find(place->db, &query, &rows);
    assert_false(mongo_next(&rows, &document));
    assert_int_equal(mongo_rows_end(&rows, &place->fault), ERR_INTERNAL);
    assert_non_null(strstr(place->fault.cause, "mongodb: "));
    assert_int_equal(inserted(place, "a", NULL, 1), ERR_NONE); /* the store is still asked */
}

/* ---- a server that says no, or goes away: where it can be told to ---- */

/* False: this server knows no fail points. */
static bool fail_point_set(const char *url, const char *command, int32_t code, bool breaks, int times)
{
    AUTO(bson_destroy) bson_t request = BSON_INITIALIZER;
    bson_t part, commands;
    bson_error_t error;
    mongoc_client_t *client = mongoc_client_new(url);
    BSON_APPEND_UTF8(&request, "configureFailPoint", "failCommand");
    BSON_APPEND_DOCUMENT_BEGIN(&request, "mode", &part);
    BSON_APPEND_INT32(&part, "times", times);
    bson_append_document_end(&request, &part);
    BSON_APPEND_DOCUMENT_BEGIN(&request, "data", &part);
    BSON_APPEND_ARRAY_BEGIN(&part, "failCommands", &commands);
    BSON_APPEND_UTF8(&commands, "0", command);
    bson_append_array_end(&part, &commands);
    BSON_APPEND_UTF8(&part, "appName", "zmart thing-svc"); /* others may use this server */
    if (breaks) {
        BSON_APPEND_BOOL(&part, "closeConnection", true);
    } else {
        BSON_APPEND_INT32(&part, "errorCode", code);
    }
    bson_append_document_end(&request, &part);
    bool done = mongoc_client_command_simple(client, "admin", &request, NULL, NULL, &error);
    mongoc_client_destroy(client);
    return done;
}

/* The store is asked again soon after one failure, and not before. */
static void assert_comes_back(struct place *place)
{
    int64_t end_ms = clock_now_ms() + 30000, finds = command_count(place, "insert");
    assert_int_equal(inserted(place, "x", NULL, 1), ERR_SERVICE_UNAVAILABLE); /* at once, without asking */
    assert_true(place->fault.retry_after_s > 0);
    assert_int_equal(command_count(place, "insert"), finds);
    enum err e;
    while ((e = inserted(place, "back", NULL, 1)) != ERR_NONE && clock_now_ms() < end_ms) {
        assert_int_equal(e, ERR_SERVICE_UNAVAILABLE);
        usleep(10000);
    }
    assert_int_equal(e, ERR_NONE);
}

static void test_what_servers_answer_in_trouble(void **state)
{
    static const struct {
        int32_t code;
        enum err as;
        bool for_others_too; /* the store is not asked for a moment */
    } cases[] = {
        {10107, ERR_SERVICE_UNAVAILABLE, true}, /* not the primary */
        {11600, ERR_OUTCOME_UNKNOWN, true},     /* interrupted, as it shuts down */
        {91, ERR_OUTCOME_UNKNOWN, true},        /* the same */
        {64, ERR_OUTCOME_UNKNOWN, true},        /* no majority has confirmed it in time */
        {189, ERR_SERVICE_UNAVAILABLE, true},   /* the primary stepped down */
        {14031, ERR_SERVICE_UNAVAILABLE, true}, /* the disk is full */
        {1, ERR_SERVICE_UNAVAILABLE, false},    /* something within it, as SecantusDB says of a full disk */
        {8, ERR_SERVICE_UNAVAILABLE, false},    /* it does not know what */
        {4293, ERR_SERVICE_UNAVAILABLE, false}, /* FerretDB's disk is full */
        {13, ERR_INTERNAL, false},              /* not allowed */
        {112, ERR_NONE, false},                 /* a write conflict: tried again */
        {59, ERR_INTERNAL, false},              /* no such command */
    };
    struct place *place = *state;
    AUTO(bson_destroy) bson_t all = BSON_INITIALIZER;
    int64_t count;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        if (!fail_point_set(place->url, "insert", cases[i].code, false, 2)) { /* drivers try twice */
            print_message("this server knows no fail points\n");
            skip();
        }
        enum err e = inserted(place, "a", NULL, 1);
        if (e != cases[i].as) {
            fail_msg("%d: %s (%s)", (int)cases[i].code, err_info(e)->slug, place->fault.cause);
        }
        (void)fail_point_set(place->url, "insert", 1, false, 0);
        if (cases[i].for_others_too) {
            assert_comes_back(place);
        }
        assert_int_equal(mongo_delete_all(place->db, "things", &all, &place->fault, &count), ERR_NONE);
    }
    assert_true(fail_point_set(place->url, "insert", 0, true, 2)); /* the connection breaks */
    assert_int_equal(inserted(place, "a", NULL, 1), ERR_OUTCOME_UNKNOWN);
    (void)fail_point_set(place->url, "insert", 1, false, 0);
    assert_comes_back(place);
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
    char detail[256];
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
                .config = &place->config, .schema = i % 2 == 0 ? &schema : &people, .start = &start};
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

/* ---- writes that nobody knows the end of ---- */

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

static void begin_again(struct place *place)
{
    AUTO(bson_destroy) bson_t all = BSON_INITIALIZER;
    int64_t count;
    assert_int_equal(mongo_delete_all(place->db, "things", &all, &place->fault, &count), ERR_NONE);
    assert_int_equal(inserted(place, "a", NULL, 1), ERR_NONE);
}

/* Until the store behind the proxy is asked again. */
static void wait_open(struct mongo_db *db)
{
    AUTO(arena_release) struct arena arena = {0};
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    const struct mongo_query query = {.collection = "things", .filter = &filter};
    int64_t end_ms = clock_now_ms() + 30000;
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
    assert_int_equal(patient_pool_open(&config, &schema, NULL, &place->fault, &pool), ERR_NONE);
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
#define TEST(name) cmocka_unit_test_setup_teardown(name, place_make, place_drop)
    const struct CMUnitTest tests[] = {
        TEST(test_opens_again),
        cmocka_unit_test(test_urls_that_are_none),
        cmocka_unit_test(test_no_server),
        TEST(test_a_newer_schema_is_refused),
        cmocka_unit_test(test_a_foreign_database_is_left_alone),
        TEST(test_an_index_of_another_shape_is_refused),
        cmocka_unit_test(test_many_start_at_once),
        TEST(test_shares_by_url),
        TEST(test_insert_and_what_refuses_it),
        TEST(test_update_says_whether_it_found),
        TEST(test_upsert),
        TEST(test_many_at_once),
        TEST(test_bulk_is_one_command_a_kind),
        TEST(test_bulk_stops_or_goes_on),
        TEST(test_a_page_is_one_round_trip),
        TEST(test_in_finds_those_that_are_there),
        TEST(test_our_own_mistakes_are_internal),
        TEST(test_what_servers_answer_in_trouble),
        TEST(test_what_may_have_been_done_is_not_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
