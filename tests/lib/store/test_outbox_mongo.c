/* Events in the documents that caused them: handed over in order, in pages, by whoever wrote them or whoever finds them
 * later, and gone without a trace. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/store/outbox_mongo.h"
#include "tests/mongo/database.h"

static const struct mongo_index indexes[] = {OUTBOX_MONGO_INDEX("things"), OUTBOX_MONGO_INDEX("others")};
static const struct mongo_schema schema = {"thing", 1, indexes, ARRAY_COUNT(indexes)};
static const char *const collections[] = {"things", "others", NULL};

struct place {
    char url[TEST_URL_SIZE];
    struct metrics *metrics;
    struct mongo_pool *pool;
    struct mongo_db *db;
    struct outbox_source *outbox;
    struct arena arena;
    struct fault fault;
};

static int place_make(void **state)
{
    struct place *place = calloc(1, sizeof *place);
    test_database_new(place->url);
    struct store_config config = {
        .store = place->url, .store_connect_ms = 2000, .store_select_ms = 5000, .store_answer_ms = 20000};
    place->metrics = metrics_new();
    fault_init(&place->fault, &place->arena);
    if (mongo_pool_open(&config, &schema, place->metrics, &place->fault, &place->pool) != ERR_NONE) {
        fail_msg("open: %s (%s)", place->fault.detail, place->fault.cause);
    }
    place->db = mongo_db_new(place->pool);
    place->outbox = outbox_mongo_new(place->db, collections);
    *state = place;
    return 0;
}

static int place_drop(void **state)
{
    struct place *place = *state;
    outbox_source_destroy(&place->outbox);
    mongo_db_destroy(&place->db);
    mongo_pool_destroy(&place->pool);
    metrics_destroy(&place->metrics);
    test_database_drop(place->url);
    arena_release(&place->arena);
    free(place);
    return 0;
}

static struct event_new event_made(struct place *place, const char *subject, int n)
{
    char *id = arena_alloc(&place->arena, 40);
    snprintf(id, 40, "evt_%s_%d", subject, n);
    return (struct event_new){.id = text_of(id),
                              .type = TEXT("order.placed"),
                              .subject = text_of(subject),
                              .source = TEXT("order-svc"),
                              .time = n};
}

/* A new document with its first event, written by whoever this outbox is of. */
static void thing_insert(struct place *place, const char *collection, const char *id, struct outbox_source *outbox)
{
    AUTO(bson_destroy) bson_t document = BSON_INITIALIZER;
    struct event_new event = event_made(place, id, 1);
    bson_put_text(&document, "_id", text_of(id));
    outbox_mongo_put(&document, &event);
    assert_int_equal(mongo_insert(place->db, collection, &document, &place->fault), ERR_NONE);
    if (outbox) {
        outbox_mongo_wrote(outbox, collection, text_of(id));
    }
}

static void thing_change(struct place *place, const char *id, int n, struct outbox_source *outbox)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t update = BSON_INITIALIZER;
    struct event_new event = event_made(place, id, n);
    bool found = false;
    bson_put_text(&filter, "_id", text_of(id));
    outbox_mongo_push(&update, &event);
    assert_int_equal(mongo_update(place->db, "things", &filter, &update, &place->fault, &found), ERR_NONE);
    assert_true(found);
    if (outbox) {
        outbox_mongo_wrote(outbox, "things", text_of(id));
    }
}

static struct outbox_page looked(struct place *place, struct outbox_source *outbox)
{
    struct outbox_page page = {0};
    if (outbox->ops->look(outbox, &place->arena, &place->fault, &page) != ERR_NONE) {
        fail_msg("look: %s", place->fault.cause);
    }
    return page;
}

static void clear(struct place *place, struct outbox_source *outbox, const struct outbox_page *page)
{
    assert_int_equal(outbox->ops->clear(outbox, page, &place->fault), ERR_NONE);
}

static void assert_page(const struct outbox_page *page, const char *const *ids)
{
    uint32_t count = 0;
    for (; ids[count]; count++) {
        assert_true(count < page->append.events.count);
        if (!text_is(page->append.events.items[count].id, ids[count])) {
            fail_msg("%.*s is not %s", TEXT_ARG(page->append.events.items[count].id), ids[count]);
        }
    }
    assert_int_equal(page->append.events.count, count);
}

#define PAGE(page, ...) assert_page(page, (const char *const[]){__VA_ARGS__, NULL})

static bool has_outbox(struct place *place, const char *collection, const char *id)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    bson_t found;
    bool is_there = false;
    bson_put_text(&filter, "_id", text_of(id));
    const struct mongo_query query = {.collection = collection, .filter = &filter};
    assert_int_equal(mongo_find_one(place->db, &query, &place->arena, &place->fault, &found, &is_there), ERR_NONE);
    assert_true(is_there);
    return bson_has_field(&found, "outbox");
}

/* Makes every event of the collection look as if it had been left long ago. */
static void age_all(struct place *place, const char *collection)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t update = BSON_INITIALIZER;
    bson_t part;
    int64_t count = 0;
    mongo_put_exists(&filter, "outbox.0", true);
    BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &part);
    bson_put_int(&part, "outbox.0.at", clock_wall_ms() - OUTBOX_MONGO_LEFT_MS - 1);
    bson_append_document_end(&update, &part);
    assert_int_equal(mongo_update_all(place->db, collection, &filter, &update, &place->fault, &count), ERR_NONE);
}

static void test_own_events_at_once(void **state)
{
    struct place *place = *state;
    assert_false(place->outbox->waiting);
    thing_insert(place, "things", "a", place->outbox);
    assert_true(place->outbox->waiting);
    thing_change(place, "a", 2, place->outbox);
    thing_insert(place, "others", "b", place->outbox);
    struct outbox_page page = looked(place, place->outbox); /* one collection at a time */
    PAGE(&page, "evt_a_1", "evt_a_2");
    assert_true(page.more);
    thing_change(place, "a", 3, place->outbox); /* while the page is under way */
    clear(place, place->outbox, &page);
    assert_true(has_outbox(place, "things", "a"));
    page = looked(place, place->outbox);
    PAGE(&page, "evt_b_1");
    clear(place, place->outbox, &page);
    assert_false(has_outbox(place, "others", "b"));
    page = looked(place, place->outbox);
    PAGE(&page, "evt_a_3");
    assert_false(page.more);
    clear(place, place->outbox, &page);
    assert_false(has_outbox(place, "things", "a"));
    assert_int_equal(looked(place, place->outbox).append.events.count, 0);
}

/* An append that did not get there: the same page again. */
static void test_not_cleared_is_looked_at_again(void **state)
{
    struct place *place = *state;
    thing_insert(place, "things", "a", place->outbox);
    struct outbox_page page = looked(place, place->outbox);
    PAGE(&page, "evt_a_1");
    thing_change(place, "a", 2, place->outbox);
    page = looked(place, place->outbox);
    PAGE(&page, "evt_a_1", "evt_a_2");
    clear(place, place->outbox, &page);
    clear(place, place->outbox, &page); /* as a repeat would */
    assert_false(has_outbox(place, "things", "a"));
}

static void test_a_document_s_older_events_go_first(void **state)
{
    struct place *place = *state;
    struct outbox_source *other = outbox_mongo_new(place->db, collections);
    thing_insert(place, "things", "a", other); /* and that one has not yet handed it over */
    thing_change(place, "a", 2, place->outbox);
    struct outbox_page page = looked(place, place->outbox);
    PAGE(&page, "evt_a_1", "evt_a_2");
    clear(place, place->outbox, &page);
    assert_int_equal(looked(place, other).append.events.count, 0);
    other->waiting = false;
    assert_int_equal(looked(place, other).append.events.count, 0);
    outbox_source_destroy(&other);
}

static void test_what_a_crash_left_is_found_by_age(void **state)
{
    struct place *place = *state;
    thing_insert(place, "things", "a", NULL);
    thing_change(place, "a", 2, NULL);
    thing_insert(place, "others", "b", NULL);
    place->outbox->ops->sweep(place->outbox);
    assert_int_equal(looked(place, place->outbox).append.events.count, 0); /* whoever wrote them may be at it */
    age_all(place, "things");
    age_all(place, "others");
    assert_int_equal(looked(place, place->outbox).append.events.count, 0); /* not without a sweep */
    place->outbox->ops->sweep(place->outbox);
    struct outbox_page page = looked(place, place->outbox);
    PAGE(&page, "evt_a_1", "evt_a_2", "evt_b_1");
    clear(place, place->outbox, &page);
    assert_false(has_outbox(place, "things", "a"));
    assert_false(has_outbox(place, "others", "b"));
}

/* More than a loop remembers, and more than a page holds: nothing is forgotten. */
static void test_pages_are_bounded(void **state)
{
    enum { COUNT = 300 };
    struct place *place = *state;
    bool seen[COUNT] = {false};
    int count = 0, pages = 0;
    struct outbox_page page;
    for (int i = 0; i < COUNT; i++) {
        char id[8];
        snprintf(id, sizeof id, "t%d", i);
        thing_insert(place, "things", id, place->outbox);
    }
    do {
        page = looked(place, place->outbox);
        assert_true(page.append.events.count <= EVENT_BATCH_MAX);
        for (uint32_t i = 0; i < page.append.events.count; i++) {
            char subject[16];
            assert_true(text_to_string(page.append.events.items[i].subject, subject, sizeof subject));
            assert_false(seen[atoi(subject + 1)]);
            seen[atoi(subject + 1)] = true;
            count++;
        }
        clear(place, place->outbox, &page);
        assert_true(++pages < COUNT);
    } while (page.more);
    assert_int_equal(count, COUNT);
}

/* One document with more events than one append takes. */
static void test_a_long_outbox_goes_in_pieces(void **state)
{
    struct place *place = *state;
    int next = 1;
    struct outbox_page page;
    thing_insert(place, "things", "a", place->outbox);
    for (int n = 2; n <= EVENT_BATCH_MAX + 5; n++) {
        thing_change(place, "a", n, NULL);
    }
    do {
        page = looked(place, place->outbox);
        for (uint32_t i = 0; i < page.append.events.count; i++) {
            assert_int_equal(page.append.events.items[i].time, next++);
        }
        clear(place, place->outbox, &page);
    } while (page.more);
    assert_int_equal(next, EVENT_BATCH_MAX + 6);
    assert_false(has_outbox(place, "things", "a"));
}

static int64_t command_count(struct place *place, const char *command)
{
    char labels[64];
    snprintf(labels, sizeof labels, "command=\"%s\"", command);
    return metric_value(metrics_get(place->metrics, METRIC_COUNTER, "zmart_store_commands_total", labels, ""));
}

static void test_two_round_trips_a_page(void **state)
{
    struct place *place = *state;
    for (int i = 0; i < 20; i++) {
        char id[8];
        snprintf(id, sizeof id, "t%d", i);
        thing_insert(place, "things", id, place->outbox);
    }
    int64_t finds = command_count(place, "find"), updates = command_count(place, "update");
    struct outbox_page page = looked(place, place->outbox);
    assert_int_equal(page.append.events.count, 20);
    clear(place, place->outbox, &page);
    assert_int_equal(command_count(place, "find") - finds, 1);
    assert_int_equal(command_count(place, "update") - updates, 1);
}

/* A new document, whose event is remembered. */
static void thing_make(struct place *place, const char *collection, const char *id)
{
    struct event_new event = event_made(place, id, 1);
    thing_insert(place, collection, id, NULL);
    outbox_mongo_inserted(place->outbox, collection, text_of(id), &event);
}

static bool recalled(struct place *place, struct outbox_page *out)
{
    return place->outbox->ops->recall(place->outbox, &place->arena, &place->fault, out);
}

static void test_first_events_need_no_look(void **state)
{
    struct place *place = *state;
    struct outbox_page page;
    assert_false(recalled(place, &page));
    thing_make(place, "things", "a");
    thing_make(place, "others", "b");
    thing_change(place, "a", 2, place->outbox);
    thing_make(place, "things", "c");
    int64_t finds = command_count(place, "find");
    assert_true(place->outbox->waiting && recalled(place, &page));
    PAGE(&page, "evt_a_1", "evt_b_1"); /* and what follows the second event of a waits for it */
    assert_true(page.more);
    assert_true(recalled(place, &page)); /* an append that did not get there */
    PAGE(&page, "evt_a_1", "evt_b_1");
    clear(place, place->outbox, &page);
    assert_int_equal(command_count(place, "find"), finds);
    assert_false(has_outbox(place, "others", "b"));
    assert_false(recalled(place, &page));
    page = looked(place, place->outbox);
    assert_int_equal(page.append.events.count, 2); /* of two documents, so in any order */
    bool turned = text_is(page.append.events.items[0].id, "evt_c_1");
    assert_true(text_is(page.append.events.items[turned].id, "evt_a_2"));
    assert_true(text_is(page.append.events.items[!turned].id, "evt_c_1"));
    assert_false(page.more);
    clear(place, place->outbox, &page);
    assert_false(has_outbox(place, "things", "a") || has_outbox(place, "things", "c"));
    assert_false(recalled(place, &page));
}

static void test_what_is_remembered_is_bounded(void **state)
{
    enum { EACH_SIZE = 200 * 1024, FIT_COUNT = OUTBOX_PAGE_MAX_SIZE / EACH_SIZE, COUNT = FIT_COUNT + 2 };
    struct place *place = *state;
    struct outbox_page page;
    uint8_t *payload = arena_alloc(&place->arena, EACH_SIZE);
    payload[0] = 0xc6; /* a bin 32 of zeros */
    payload[2] = (EACH_SIZE - 5) >> 16;
    payload[3] = (EACH_SIZE - 5) >> 8 & 0xff;
    payload[4] = (EACH_SIZE - 5) & 0xff;
    for (int i = 0; i < COUNT; i++) {
        char id[8];
        snprintf(id, sizeof id, "t%d", i);
        struct event_new event = event_made(place, id, 1);
        event.private_data = (struct text){(const char *)payload, EACH_SIZE};
        set_has(event_new, &event, private_data);
        thing_insert(place, "things", id, NULL);
        outbox_mongo_inserted(place->outbox, "things", text_of(id), &event);
    }
    uint32_t count = 0;
    while (recalled(place, &page)) {
        count += page.append.events.count;
        clear(place, place->outbox, &page);
    }
    assert_true(count > 0 && count <= FIT_COUNT);
    do { /* the rest is looked for */
        page = looked(place, place->outbox);
        count += page.append.events.count;
        clear(place, place->outbox, &page);
    } while (page.more);
    assert_int_equal(count, COUNT);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, place_make, place_drop)
    const struct CMUnitTest tests[] = {
        TEST(test_own_events_at_once),
        TEST(test_not_cleared_is_looked_at_again),
        TEST(test_a_document_s_older_events_go_first),
        TEST(test_what_a_crash_left_is_found_by_age),
        TEST(test_pages_are_bounded),
        TEST(test_a_long_outbox_goes_in_pieces),
        TEST(test_two_round_trips_a_page),
        TEST(test_first_events_need_no_look),
        TEST(test_what_is_remembered_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
