#include "tests/lib/store/mongo_place.h"

struct place *place_new(void)
{
    struct place *place = calloc(1, sizeof *place);
    test_database_new(place->url);
    place->config = (struct store_config){
        .store = place->url, .store_connect_ms = 2000, .store_select_ms = 5000, .store_answer_ms = 20000};
    place->metrics = metrics_new();
    fault_init(&place->fault, &place->arena);
    return place;
}

struct place *place_open(const struct mongo_schema *schema)
{
    struct place *place = place_new();
    if (mongo_pool_open(&place->config, schema, place->metrics, &place->fault, &place->pool) != ERR_NONE) {
        fail_msg("open: %s (%s)", place->fault.detail, place->fault.cause);
    }
    place->db = mongo_db_new(place->pool);
    return place;
}

int place_make(void **state)
{
    *state = place_open(&thing_schema);
    return 0;
}

int place_drop(void **state)
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

void thing_make(bson_t *to, const char *id, const char *name, int64_t age)
{
    bson_init(to);
    bson_put_text(to, "_id", text_of(id));
    if (name) {
        bson_put_text(to, "name", text_of(name));
    }
    bson_put_int(to, "age", age);
}

enum err inserted(struct place *place, const char *id, const char *name, int64_t age)
{
    bson_t thing;
    thing_make(&thing, id, name, age);
    fault_init(&place->fault, &place->arena);
    enum err e = mongo_insert(place->db, "things", &thing, &place->fault);
    bson_destroy(&thing);
    return e;
}

int64_t count_of(struct place *place)
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

int64_t age_of(struct place *place, const char *id)
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

void set_age(bson_t *update, int64_t age)
{
    bson_t part;
    bson_init(update);
    BSON_APPEND_DOCUMENT_BEGIN(update, "$set", &part);
    bson_put_int(&part, "age", age);
    bson_append_document_end(update, &part);
}
