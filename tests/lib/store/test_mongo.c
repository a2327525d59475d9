/* MongoDB through a real server: every command, what errors mean, and how many commands it all takes. */
#include <unistd.h>

#include "lib/base/clock.h"
#include "tests/lib/store/mongo_place.h"

/* ---- small things ---- */

static int64_t command_count(struct place *place, const char *command)
{
    char labels[64];
    snprintf(labels, sizeof labels, "command=\"%s\"", command);
    return metric_value(metrics_get(place->metrics, METRIC_COUNTER, "zmart_store_commands_total", labels, ""));
}

/* ---- opening ---- */
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

/* A fail point is the whole server's. It names the application, so the test that sets them has a name of its own: the
 * server is that of the other tests, too. */
static int struck_make(void **state)
{
    static const struct mongo_schema struck = {"struck", 2, thing_indexes, ARRAY_COUNT(thing_indexes)};
    *state = place_open(&struck);
    return 0;
}

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
    BSON_APPEND_UTF8(&part, "appName", "zmart struck-svc");
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

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, place_make, place_drop)
    const struct CMUnitTest tests[] = {
        TEST(test_insert_and_what_refuses_it),
        TEST(test_update_says_whether_it_found),
        TEST(test_upsert),
        TEST(test_many_at_once),
        TEST(test_bulk_is_one_command_a_kind),
        TEST(test_bulk_stops_or_goes_on),
        TEST(test_a_page_is_one_round_trip),
        TEST(test_in_finds_those_that_are_there),
        TEST(test_our_own_mistakes_are_internal),
        cmocka_unit_test_setup_teardown(test_what_servers_answer_in_trouble, struck_make, place_drop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
