/* Events in a SQLite table: with their cause or not at all, in order, in pages that fit one append. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "lib/store/outbox_sqlite.h"

static const char *const migrations[] = {OUTBOX_SQL};
static const struct sqlite_schema schema = {"events.db", migrations, 1};

struct place {
    char folder[64];
    struct sqlite_db *db;
    struct outbox_source *outbox;
    struct arena arena;
    struct fault fault;
};

static int place_make(void **state)
{
    char url[96];
    struct place *place = calloc(1, sizeof *place);
    snprintf(place->folder, sizeof place->folder, "/tmp/zmart-test-XXXXXX");
    assert_non_null(mkdtemp(place->folder));
    snprintf(url, sizeof url, "sqlite:%s", place->folder);
    struct store_config config = {.store = url, .store_busy_ms = 50};
    fault_init(&place->fault, &place->arena);
    assert_int_equal(sqlite_db_open(&config, &schema, true, NULL, &place->fault, &place->db), ERR_NONE);
    place->outbox = outbox_sqlite_new(place->db);
    *state = place;
    return 0;
}

static int place_drop(void **state)
{
    struct place *place = *state;
    char command[128];
    outbox_source_destroy(&place->outbox);
    sqlite_db_destroy(&place->db);
    arena_release(&place->arena);
    snprintf(command, sizeof command, "rm -r '%s'", place->folder);
    int status = system(command);
    free(place);
    return status;
}

/* So many bytes of msgpack, five at least: a bin 32 of zeros. */
static struct text payload_of(struct place *place, uint32_t size)
{
    uint8_t *bytes = arena_alloc(&place->arena, size);
    uint32_t rest = size - 5;
    uint8_t head[] = {0xc6, (uint8_t)(rest >> 24), (uint8_t)(rest >> 16), (uint8_t)(rest >> 8), (uint8_t)rest};
    memcpy(bytes, head, sizeof head);
    return (struct text){(const char *)bytes, size};
}

/* Event n, with so many bytes of payload. */
static void add(struct place *place, int n, uint32_t payload_size)
{
    char *id = arena_alloc(&place->arena, 24);
    snprintf(id, 24, "evt_%d", n);
    struct event_new event = {.id = text_of(id),
                              .type = TEXT("order.placed"),
                              .subject = TEXT("ord_1"),
                              .source = TEXT("order-svc"),
                              .time = n};
    if (payload_size > 0) {
        event.private_data = payload_of(place, payload_size);
        set_has(event_new, &event, private_data);
    }
    assert_int_equal(outbox_sqlite_add(place->outbox, &event, &place->arena, &place->fault), ERR_NONE);
}

static struct outbox_page looked(struct place *place)
{
    struct outbox_page page = {0};
    assert_int_equal(place->outbox->ops->look(place->outbox, &place->arena, &place->fault, &page), ERR_NONE);
    return page;
}

static void clear(struct place *place, const struct outbox_page *page)
{
    assert_int_equal(place->outbox->ops->clear(place->outbox, page, &place->fault), ERR_NONE);
}

static void test_added_looked_cleared(void **state)
{
    struct place *place = *state;
    assert_false(place->outbox->waiting);
    assert_int_equal(outbox_sqlite_add(place->outbox, NULL, &place->arena, &place->fault), ERR_NONE);
    assert_false(place->outbox->waiting);
    add(place, 1, 0);
    add(place, 2, 9);
    assert_true(place->outbox->waiting);
    struct outbox_page page = looked(place);
    assert_int_equal(page.append.events.count, 2);
    assert_false(page.more);
    assert_true(text_is(page.append.events.items[0].id, "evt_1"));
    assert_int_equal(page.append.events.items[1].private_data.size, 9);
    add(place, 3, 0); /* while the page is under way */
    clear(place, &page);
    page = looked(place);
    assert_int_equal(page.append.events.count, 1);
    assert_true(text_is(page.append.events.items[0].id, "evt_3"));
    clear(place, &page);
    page = looked(place);
    assert_int_equal(page.append.events.count, 0);
    assert_false(page.more);
}

static void test_rolled_back_with_its_cause(void **state)
{
    struct place *place = *state;
    assert_int_equal(sqlite_unit.begin(place->db, true, &place->fault), ERR_NONE);
    add(place, 1, 0);
    sqlite_unit.rollback(place->db);
    assert_int_equal(looked(place).append.events.count, 0);
}

static void test_pages_are_bounded_by_count(void **state)
{
    struct place *place = *state;
    for (int n = 0; n < EVENT_BATCH_MAX + 3; n++) {
        add(place, n, 0);
    }
    struct outbox_page page = looked(place);
    assert_int_equal(page.append.events.count, EVENT_BATCH_MAX);
    assert_true(page.more);
    clear(place, &page);
    page = looked(place);
    assert_int_equal(page.append.events.count, 3);
    assert_false(page.more);
    assert_true(text_is(page.append.events.items[0].id, "evt_256"));
}

static void test_pages_are_bounded_by_size(void **state)
{
    struct place *place = *state;
    for (int n = 0; n < 6; n++) {
        add(place, n, EVENT_PAYLOAD_MAX);
    }
    struct outbox_page page = looked(place);
    assert_int_equal(page.append.events.count, 3); /* the fourth, with its texts, would be more than 1 MiB */
    assert_true(page.more);
    clear(place, &page);
    page = looked(place);
    assert_int_equal(page.append.events.count, 3);
    assert_false(page.more);
}

static void test_what_cannot_be_read_is_said(void **state)
{
    struct place *place = *state;
    sqlite3_stmt *insert = sqlite_prepare(place->db, "INSERT INTO outbox(event) VALUES(x'ff')", &place->fault);
    assert_int_equal(sqlite_run(place->db, insert, &place->fault), ERR_NONE);
    struct outbox_page page = {0};
    assert_int_equal(place->outbox->ops->look(place->outbox, &place->arena, &place->fault, &page), ERR_INTERNAL);
    assert_non_null(strstr(place->fault.cause, "cannot be read"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, place_make, place_drop)
    const struct CMUnitTest tests[] = {
        TEST(test_added_looked_cleared),        TEST(test_rolled_back_with_its_cause),
        TEST(test_pages_are_bounded_by_count),  TEST(test_pages_are_bounded_by_size),
        TEST(test_what_cannot_be_read_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
