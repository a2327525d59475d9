/* What a durable subscriber keeps in MongoDB: its position, and things that become due; and records in documents. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/store/due_mongo.h"
#include "tests/mongo/database.h"

#define ERRAND_FIELDS(F, R)                                            \
    F(R, TEXT, id,      REQ, 1, 40, none, "names it")                  \
    F(R, TEXT, whose,   REQ, 1, 40, none, "claimed by")                \
    F(R, INT,  seq,     REQ, 0, INT64_MAX, none, "its place")          \
    F(R, TIME, next_at, OPT, 0, INT64_MAX, none, "when it is due")
RECORD_DECLARE(errand, ERRAND_FIELDS);
RECORD_DEFINE(errand, ERRAND_FIELDS)

static const struct mongo_index indexes[] = {
    {"errands", "due", {"errand.whose", "due_at", "errand.seq"}, false, false}};
static const struct mongo_schema schema = {"errand", 1, indexes, ARRAY_COUNT(indexes)};
static const struct due_kind kind = {"errands", "errand", &errand_record};

struct place {
    char url[TEST_URL_SIZE];
    struct mongo_pool *pool;
    struct mongo_db *db;
    struct arena arena;
    struct fault fault;
};

static int place_make(void **state)
{
    struct place *place = calloc(1, sizeof *place);
    test_database_new(place->url);
    struct store_config config = {
        .store = place->url, .store_connect_ms = 2000, .store_select_ms = 5000, .store_answer_ms = 20000};
    fault_init(&place->fault, &place->arena);
    if (mongo_pool_open(&config, &schema, NULL, &place->fault, &place->pool) != ERR_NONE) {
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
    arena_release(&place->arena);
    free(place);
    return 0;
}

static struct errand errand_of(const char *id, const char *whose, int64_t seq, int64_t next_at)
{
    struct errand errand = {.id = text_of(id), .whose = text_of(whose), .seq = seq, .next_at = next_at};
    set_has(errand, &errand, next_at);
    return errand;
}

static void added(struct place *place, const char *id, const char *whose, int64_t seq, int64_t next_at)
{
    struct errand errand = errand_of(id, whose, seq, next_at);
    bool is_new = false;
    assert_int_equal(due_add(place->db, &kind, &errand, &place->fault, &is_new), ERR_NONE);
    assert_true(is_new);
}

static void test_positions(void **state)
{
    struct place *place = *state;
    int64_t position = 7, since_ms = 7;
    assert_int_equal(log_reader_position(place->db, "one", &place->fault, &position, NULL), ERR_NONE);
    assert_int_equal(position, 0);
    position = 7;
    assert_int_equal(log_reader_position(place->db, "one", &place->fault, &position, &since_ms), ERR_INTERNAL);
    assert_int_equal(position, 7); /* untouched */
    assert_int_equal(since_ms, 7);
    assert_int_equal(log_reader_begin(place->db, "one", 500, &place->fault), ERR_NONE);
    assert_int_equal(log_reader_position_set(place->db, "one", 42, &place->fault), ERR_NONE);
    assert_int_equal(log_reader_begin(place->db, "one", 900, &place->fault), ERR_NONE); /* changes nothing */
    assert_int_equal(log_reader_position(place->db, "one", &place->fault, &position, &since_ms), ERR_NONE);
    assert_int_equal(position, 42);
    assert_int_equal(since_ms, 500);
    assert_int_equal(log_reader_position_set(place->db, "other", 3, &place->fault), ERR_NONE); /* without a beginning */
    assert_int_equal(log_reader_position(place->db, "other", &place->fault, &position, NULL), ERR_NONE);
    assert_int_equal(position, 3);
}

static void test_things_end_and_are_known(void **state)
{
    struct place *place = *state;
    struct errand errand = errand_of("a", "me", 1, 5), found;
    bool is_new = true;
    assert_int_equal(due_put(place->db, &kind, &errand, &place->fault), ERR_NOT_FOUND);
    assert_int_equal(place->fault.code, ERR_NONE);
    added(place, "a", "me", 1, 5);
    errand.present = 0;
    errand.seq = 9;
    assert_int_equal(due_put(place->db, &kind, &errand, &place->fault), ERR_NONE);
    errand.whose = TEXT("you");
    assert_int_equal(due_add(place->db, &kind, &errand, &place->fault, &is_new), ERR_NONE);
    assert_false(is_new);
    assert_int_equal(mongo_find_record(place->db, "errands", TEXT("a"), "errand", &errand_record, &place->arena,
                                       &place->fault, &found), ERR_NONE);
    assert_true(text_is(found.whose, "me"));
    assert_int_equal(found.seq, 9);
    assert_false(has(errand, &found, next_at));
    assert_int_equal(mongo_find_record(place->db, "errands", TEXT("b"), "errand", &errand_record, &place->arena,
                                       &place->fault, &found), ERR_NOT_FOUND);
    struct errand items[4];
    uint32_t count = 9;
    const struct due_claim claim = {.now_ms = 1000, .until_ms = 2000, .limit = 4};
    assert_int_equal(due_claim(place->db, &kind, &claim, &place->arena, &place->fault, items, &count), ERR_NONE);
    assert_int_equal(count, 0); /* it has ended */
}

static void test_claims(void **state)
{
    struct place *place = *state;
    AUTO(bson_destroy) bson_t of = BSON_INITIALIZER;
    struct errand items[8];
    uint32_t count = 9;
    added(place, "late", "me", 1, 30);
    added(place, "third", "me", 5, 20);
    added(place, "second", "me", 4, 20);
    added(place, "first", "me", 9, 10);
    added(place, "yours", "you", 2, 1);
    bson_put_text(&of, "errand.whose", TEXT("me"));
    struct due_claim claim = {.of = &of, .then_by = "errand.seq", .now_ms = 20, .until_ms = 100, .limit = 2};
    assert_int_equal(due_claim(place->db, &kind, &claim, &place->arena, &place->fault, items, &count), ERR_NONE);
    assert_int_equal(count, 2);
    assert_true(text_is(items[0].id, "first"));
    assert_true(text_is(items[1].id, "second"));
    assert_int_equal(items[1].next_at, 100);
    claim.limit = 8;
    assert_int_equal(due_claim(place->db, &kind, &claim, &place->arena, &place->fault, items, &count), ERR_NONE);
    assert_int_equal(count, 1);
    assert_true(text_is(items[0].id, "third")); /* due at that very moment */
    claim.of = NULL;
    claim.then_by = NULL;
    claim.now_ms = 100;
    claim.until_ms = 200;
    assert_int_equal(due_claim(place->db, &kind, &claim, &place->arena, &place->fault, items, &count), ERR_NONE);
    assert_int_equal(count, 5); /* those that nobody ended are due again */
    assert_true(text_is(items[0].id, "yours"));
    assert_true(text_is(items[1].id, "late"));
}

static void test_what_is_found_is_deleted(void **state)
{
    struct place *place = *state;
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t sort = BSON_INITIALIZER;
    struct errand found;
    uint32_t count = 9;
    added(place, "a", "me", 3, 5);
    added(place, "b", "me", 1, 5);
    added(place, "c", "me", 2, 5);
    added(place, "d", "you", 0, 5);
    bson_put_text(&filter, "errand.whose", TEXT("me"));
    bson_put_int(&sort, "errand.seq", 1);
    const struct mongo_query query = {.collection = "errands", .filter = &filter, .sort = &sort, .limit = 2};
    assert_int_equal(mongo_delete_found(place->db, &query, &place->fault, &count), ERR_NONE);
    assert_int_equal(count, 2);
    assert_int_equal(mongo_find_record(place->db, "errands", TEXT("a"), "errand", &errand_record, &place->arena,
                                       &place->fault, &found), ERR_NONE);
    assert_int_equal(mongo_delete_found(place->db, &query, &place->fault, &count), ERR_NONE);
    assert_int_equal(count, 1);
    assert_int_equal(mongo_delete_found(place->db, &query, &place->fault, &count), ERR_NONE);
    assert_int_equal(count, 0);
    assert_int_equal(mongo_find_record(place->db, "errands", TEXT("d"), "errand", &errand_record, &place->arena,
                                       &place->fault, &found), ERR_NONE);
}

static void test_what_cannot_be_read_is_told(void **state)
{
    struct place *place = *state;
    AUTO(bson_destroy) bson_t spoilt = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t all = BSON_INITIALIZER;
    struct errand items[4] = {{.seq = 7}};
    uint32_t count = 9;
    bson_t part;
    bson_put_text(&spoilt, "_id", TEXT("a"));
    bson_append_document_begin(&spoilt, "errand", -1, &part);
    bson_put_text(&part, "id", TEXT("a"));
    bson_append_document_end(&spoilt, &part);
    assert_int_equal(mongo_insert(place->db, "errands", &spoilt, &place->fault), ERR_NONE);
    const struct mongo_query query = {.collection = "errands", .filter = &all, .limit = 4};
    assert_int_equal(
        mongo_find_records(place->db, &query, "errand", &errand_record, &place->arena, &place->fault, items, &count),
        ERR_INTERNAL);
    assert_int_equal(count, 9);
    assert_int_equal(items[0].seq, 7);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, place_make, place_drop)
    const struct CMUnitTest tests[] = {TEST(test_positions), TEST(test_things_end_and_are_known), TEST(test_claims),
                                       TEST(test_what_is_found_is_deleted), TEST(test_what_cannot_be_read_is_told)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
