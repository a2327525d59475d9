/* What every event store promises: positions without a gap, ids once, rollback leaves nothing, pages, retention that
 * keeps the head. */
#include "tests/contract/contract_event.h"

#include "event-svc/rules.h"

/* ---- set-up ---- */

enum { OPEN_TRIES_MAX = 3000, OPEN_PAUSE_US = 20000 };

struct event_store *place_store(struct place *place, bool writer, int64_t epoch)
{
    struct event_store *store = NULL;
    enum err e;
    int tries = 0;
    do { /* a pool that gives up soon may do so here */
        e = event_store_open(&place->config, place->pool, writer, epoch, NULL, &place->fault, &store);
    } while ((e == ERR_SERVICE_UNAVAILABLE || e == ERR_OUTCOME_UNKNOWN) && ++tries < OPEN_TRIES_MAX &&
             usleep(OPEN_PAUSE_US) == 0);
    if (e != ERR_NONE) {
        fail_msg("open: %s (%s)", place->fault.detail, place->fault.cause);
    }
    return store;
}

struct event_new event_of(const char *id, const char *type, const char *user, int64_t time)
{
    struct event_new event = {.id = text_of(id), .type = text_of(type), .subject = TEXT("ord_1"),
                              .source = TEXT("order-svc"), .time = time, .private_data = TEXT("\x81\xa1k\x01")};
    set_has(event_new, &event, private_data);
    if (user) {
        event.user_id = text_of(user);
        set_has(event_new, &event, user_id);
        event.data = TEXT("\x80");
        set_has(event_new, &event, data);
    }
    return event;
}

/* One unit of work: all or nothing. */
enum err appended(struct event_store *store, struct event_new *events, uint32_t count, uint32_t *out_new)
{
    struct event_append batch = {.events = {events, count}};
    struct event_added added = {*out_new, 0};
    struct fault fault;
    fault_init(&fault, NULL);
    assert_int_equal(store->unit->begin(store->handle, true, &fault), ERR_NONE);
    enum err e = store->ops->append(store, &batch, &fault, &added);
    if (e != ERR_NONE) {
        store->unit->rollback(store->handle);
        return e;
    }
    *out_new = added.new_count;
    return store->unit->commit(store->handle, &fault);
}

static struct event_rows paged(struct place *place, struct event_store *store, struct event_filter filter)
{
    struct event_rows rows = {0};
    filter.last = filter.last ? filter.last : INT64_MAX;
    filter.limit = filter.limit ? filter.limit : EVENT_BATCH_MAX;
    if (store->ops->page(store, &filter, &place->arena, &place->fault, &rows) != ERR_NONE) {
        fail_msg("page: %s (%s)", place->fault.detail, place->fault.cause);
    }
    return rows;
}

void assert_gap_free(struct place *place, struct event_store *store, uint32_t count)
{
    struct event_rows rows = paged(place, store, (struct event_filter){.every_type = true});
    assert_int_equal(rows.count, count);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(rows.items[i].seq, i + 1);
    }
}

/* ---- the contract ---- */

static void an_empty_log_has_an_epoch(void **state)
{
    struct place *place = *state;
    struct event_stream stream;
    struct event_store *store = place_store(place, true, 42);
    assert_int_equal(store->ops->stream(store, &place->fault, &stream), ERR_NONE);
    assert_int_equal(stream.epoch, 42);
    assert_int_equal(stream.head, 0);
    assert_int_equal(stream.oldest, 1);
    event_store_destroy(&store);
    assert_null(store);
    store = place_store(place, true, 43); /* a second start keeps the first one's epoch */
    assert_int_equal(store->ops->stream(store, &place->fault, &stream), ERR_NONE);
    assert_int_equal(stream.epoch, 42);
    event_store_destroy(&store);
}

static void positions_follow_without_gaps(void **state)
{
    struct place *place = *state;
    struct event_store *store = place_store(place, true, 1);
    struct event_new events[] = {event_of("evt_1", "order.placed", "usr_1", 10),
                                 event_of("evt_2", "order.shipped", "usr_1", 11),
                                 event_of("evt_3", "order.placed", "usr_2", 12)};
    uint32_t new_count = 9;
    assert_int_equal(appended(store, events, 2, &new_count), ERR_NONE);
    assert_int_equal(new_count, 2);
    assert_int_equal(appended(store, events, 3, &new_count), ERR_NONE); /* two repeats */
    assert_int_equal(new_count, 1);
    assert_int_equal(appended(store, events, 3, &new_count), ERR_NONE);
    assert_int_equal(new_count, 0);
    assert_gap_free(place, store, 3);
    struct event_rows rows = paged(place, store, (struct event_filter){.every_type = true});
    assert_int_equal(rows.items[0].tseq, 1);
    assert_int_equal(rows.items[1].tseq, 1);
    assert_int_equal(rows.items[2].tseq, 2);
    assert_true(text_is(rows.items[2].id, "evt_3") && text_is(rows.items[2].user_id, "usr_2"));
    assert_int_equal(rows.items[2].time, 12);
    assert_true(text_equal(rows.items[2].data, events[2].data));
    assert_true(text_equal(rows.items[2].private_data, events[2].private_data));
    assert_false(has(event_entry, &rows.items[2], traceparent));
    event_store_destroy(&store);
}

static void one_id_twice_in_a_batch_counts_once(void **state)
{
    struct place *place = *state;
    struct event_store *store = place_store(place, true, 1);
    struct event_new events[] = {event_of("evt_1", "order.placed", NULL, 10),
                                 event_of("evt_1", "order.placed", NULL, 10),
                                 event_of("evt_2", "order.placed", NULL, 10)};
    uint32_t new_count = 0;
    assert_int_equal(appended(store, events, 3, &new_count), ERR_NONE);
    assert_int_equal(new_count, 2);
    assert_gap_free(place, store, 2);
    event_store_destroy(&store);
}

static void what_is_undone_leaves_nothing(void **state)
{
    struct place *place = *state;
    struct event_store *store = place_store(place, true, 1);
    struct event_new first = event_of("evt_1", "order.placed", NULL, 10);
    struct event_new second = event_of("evt_2", "order.placed", NULL, 10);
    struct event_append batch = {.events = {&first, 1}};
    struct event_append other = {.events = {&second, 1}};
    struct event_added added;
    assert_int_equal(store->unit->begin(store->handle, true, &place->fault), ERR_NONE);
    assert_int_equal(store->unit->savepoint(store->handle, &place->fault), ERR_NONE);
    assert_int_equal(store->ops->append(store, &batch, &place->fault, &added), ERR_NONE);
    assert_int_equal(added.head, 1);
    store->unit->undo(store->handle);
    assert_int_equal(store->unit->savepoint(store->handle, &place->fault), ERR_NONE);
    assert_int_equal(store->ops->append(store, &other, &place->fault, &added), ERR_NONE);
    assert_int_equal(added.head, 1);
    assert_int_equal(store->unit->release(store->handle, &place->fault), ERR_NONE);
    assert_int_equal(store->unit->commit(store->handle, &place->fault), ERR_NONE);
    struct event_rows rows = paged(place, store, (struct event_filter){.every_type = true});
    assert_int_equal(rows.count, 1);
    assert_int_equal(rows.items[0].seq, 1);
    assert_int_equal(rows.items[0].tseq, 1);
    assert_true(text_is(rows.items[0].id, "evt_2"));
    event_store_destroy(&store);
}

/* Entry by entry as the log has them. */
static void fresh_is_what_the_log_has(void **state)
{
    struct place *place = *state;
    struct event_store *store = place_store(place, true, 1);
    struct event_new events[] = {event_of("evt_1", "order.placed", "usr_1", 10),
                                 event_of("evt_2", "order.placed", NULL, 11),
                                 event_of("evt_3", "order.shipped", "usr_1", 12)};
    struct event_append undone = {.events = {&events[1], 1}}, kept = {.events = {&events[2], 1}};
    struct event_added added;
    struct event_rows fresh;
    uint32_t count = 0;
    store->ops->fresh(store, &fresh);
    assert_int_equal(fresh.count, 0);
    assert_int_equal(appended(store, events, 1, &count), ERR_NONE);
    assert_int_equal(appended(store, events, 3, &count), ERR_NONE); /* one is a repeat */
    store->ops->fresh(store, &fresh);
    struct event_rows rows = paged(place, store, (struct event_filter){.every_type = true});
    assert_true(fresh.count == 3 && rows.count == 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_true(text_equal(record_pack_in(&event_entry_record, &fresh.items[i], &place->arena),
                               record_pack_in(&event_entry_record, &rows.items[i], &place->arena)));
    }
    store->ops->fresh(store, &fresh); /* asked before */
    assert_int_equal(fresh.count, 0);
    events[1].id = TEXT("evt_4");
    events[2].id = TEXT("evt_5");
    assert_int_equal(store->unit->begin(store->handle, true, &place->fault), ERR_NONE);
    assert_int_equal(store->unit->savepoint(store->handle, &place->fault), ERR_NONE);
    assert_int_equal(store->ops->append(store, &undone, &place->fault, &added), ERR_NONE);
    store->unit->undo(store->handle);
    assert_int_equal(store->unit->savepoint(store->handle, &place->fault), ERR_NONE);
    assert_int_equal(store->ops->append(store, &kept, &place->fault, &added), ERR_NONE);
    assert_int_equal(store->unit->release(store->handle, &place->fault), ERR_NONE);
    assert_int_equal(store->unit->commit(store->handle, &place->fault), ERR_NONE);
    store->ops->fresh(store, &fresh); /* what was undone is not there, though the rest need not be */
    assert_true(fresh.count == 0 ||
                (fresh.count == 1 && text_is(fresh.items[0].id, "evt_5") && fresh.items[0].seq == 4));
    event_store_destroy(&store);
}

static void types_are_bounded(void **state)
{
    struct place *place = *state;
    struct event_store *store = place_store(place, true, 1);
    uint32_t new_count = 0;
    for (int i = 0; i <= EVENT_TOPIC_MAX; i++) {
        char id[16];
        char type[16];
        snprintf(id, sizeof id, "evt_%d", i);
        snprintf(type, sizeof type, "type%d", i);
        struct event_new event = event_of(id, type, NULL, 10);
        assert_int_equal(appended(store, &event, 1, &new_count), i < EVENT_TOPIC_MAX ? ERR_NONE : ERR_INVALID_BODY);
    }
    assert_gap_free(place, store, EVENT_TOPIC_MAX);
    event_store_destroy(&store);
}

static struct event_store *store_filled(struct place *place, int count)
{
    static const char *const types[] = {"order.placed", "order.shipped", "session.ended"};
    static const char *const users[] = {"usr_1", "usr_2", NULL, "usr_1"};
    struct event_store *store = place_store(place, true, 1);
    for (int i = 0; i < count; i++) {
        char id[16];
        uint32_t new_count = 0;
        snprintf(id, sizeof id, "evt_%d", i + 1);
        struct event_new event = event_of(id, types[i % 3], users[i % 4], 1000 + i);
        assert_int_equal(appended(store, &event, 1, &new_count), ERR_NONE);
    }
    return store;
}

static void pages_filter_and_go_on(void **state)
{
    struct place *place = *state;
    struct event_store *store = store_filled(place, 24);
    struct text items[] = {TEXT("order.shipped"), TEXT("order.placed"), TEXT("never.seen")};
    struct text_list types = {items, 3};
    struct event_filter filter = {.limit = 5, .types = &types};
    uint32_t seen = 0;
    bool more = true;
    while (more) { /* 16 of 24, in order, five at a time */
        struct event_rows rows = paged(place, store, filter);
        for (uint32_t i = 0; i < rows.count; i++) {
            assert_true(rows.items[i].seq > filter.after && rows.items[i].seq % 3 != 0);
            filter.after = rows.items[i].seq;
        }
        seen += rows.count;
        more = rows.has_more;
        assert_true(rows.count == 5 || !more);
    }
    assert_int_equal(seen, 16);
    filter = (struct event_filter){.limit = 4, .every_type = true, .user_id = TEXT("usr_1")};
    struct event_rows rows = paged(place, store, filter);
    assert_true(rows.count == 4 && rows.has_more);
    assert_int_equal(rows.items[3].seq, 8); /* 1, 4, 5, 8 */
    filter = (struct event_filter){.types = &types, .user_id = TEXT("usr_2"), .last = 10};
    rows = paged(place, store, filter);
    assert_int_equal(rows.count, 2); /* 2 and 10; 6 is of another type */
    assert_false(rows.has_more);
    types.count = 0;
    rows = paged(place, store, (struct event_filter){.types = &types});
    assert_true(rows.count == 0 && !rows.has_more);
    event_store_destroy(&store);
}

static void pages_are_bounded_in_bytes(void **state)
{
    struct place *place = *state;
    struct event_store *store = place_store(place, true, 1);
    static char payload[EVENT_PAYLOAD_MAX] = "\xc6\x00\x03\xff\xfb"; /* msgpack: so many bytes follow */
    uint32_t new_count = 0;
    uint32_t count = EVENT_PAGE_SIZE_MAX / EVENT_PAYLOAD_MAX + 3;
    for (uint32_t i = 0; i < count; i++) {
        char id[16];
        snprintf(id, sizeof id, "evt_%u", i);
        struct event_new event = event_of(id, "order.placed", NULL, 10);
        event.private_data = (struct text){payload, sizeof payload};
        assert_int_equal(appended(store, &event, 1, &new_count), ERR_NONE);
    }
    struct event_rows rows = paged(place, store, (struct event_filter){.every_type = true});
    assert_int_equal(rows.count, EVENT_PAGE_SIZE_MAX / EVENT_PAYLOAD_MAX);
    assert_true(rows.has_more);
    rows = paged(place, store, (struct event_filter){.every_type = true, .after = rows.count});
    assert_true(rows.count == 3 && !rows.has_more);
    event_store_destroy(&store);
}

static void retention_keeps_the_head(void **state)
{
    struct place *place = *state;
    struct event_store *store = store_filled(place, 10);
    struct event_stream stream;
    uint32_t count = 99;
    assert_int_equal(store->ops->purge(store, 1006, 4, &place->fault, &count), ERR_NONE);
    assert_int_equal(count, 4);
    assert_int_equal(store->ops->purge(store, 1006, 4, &place->fault, &count), ERR_NONE);
    assert_int_equal(count, 2);
    assert_int_equal(store->ops->stream(store, &place->fault, &stream), ERR_NONE);
    assert_int_equal(stream.oldest, 7);
    assert_int_equal(store->ops->purge(store, INT64_MAX, 100, &place->fault, &count), ERR_NONE);
    assert_int_equal(store->ops->stream(store, &place->fault, &stream), ERR_NONE);
    assert_int_equal(stream.oldest, 10);
    assert_int_equal(stream.head, 10);
    struct event_new event = event_of("evt_new", "order.shipped", NULL, 2000);
    assert_int_equal(appended(store, &event, 1, &count), ERR_NONE);
    struct event_rows rows = paged(place, store, (struct event_filter){.every_type = true, .after = 10});
    assert_true(rows.count == 1 && rows.items[0].seq == 11 && rows.items[0].tseq == 4);
    event_store_destroy(&store);
}

static void a_reader_sees_what_is_committed(void **state)
{
    struct place *place = *state;
    struct event_store *writer = store_filled(place, 2);
    struct event_store *reader = place_store(place, false, 9);
    struct event_new event = event_of("evt_new", "order.shipped", NULL, 2000);
    struct event_append batch = {.events = {&event, 1}};
    struct event_added added;
    assert_int_equal(writer->unit->begin(writer->handle, true, &place->fault), ERR_NONE);
    assert_int_equal(writer->ops->append(writer, &batch, &place->fault, &added), ERR_NONE);
    assert_gap_free(place, reader, 2);
    assert_int_equal(writer->unit->commit(writer->handle, &place->fault), ERR_NONE);
    assert_gap_free(place, reader, 3);
    event_store_destroy(&reader);
    event_store_destroy(&writer);
}

static void the_mark_stays(void **state)
{
    struct place *place = *state;
    struct event_stream stream;
    struct event_store *store = store_filled(place, 2);
    bool held = false;
    assert_int_equal(store->ops->lease(store, 1, &place->fault, &held), ERR_NONE);
    assert_true(held);
    assert_int_equal(store->ops->mark(store, 2, &place->fault), ERR_NONE);
    event_store_destroy(&store);
    store = place_store(place, true, 1);
    assert_int_equal(store->ops->stream(store, &place->fault, &stream), ERR_NONE);
    assert_int_equal(stream.published, 2);
    event_store_destroy(&store);
}

int contract_event_run(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_empty_log_has_an_epoch, place_make, place_drop),
        cmocka_unit_test_setup_teardown(positions_follow_without_gaps, place_make, place_drop),
        cmocka_unit_test_setup_teardown(one_id_twice_in_a_batch_counts_once, place_make, place_drop),
        cmocka_unit_test_setup_teardown(what_is_undone_leaves_nothing, place_make, place_drop),
        cmocka_unit_test_setup_teardown(fresh_is_what_the_log_has, place_make, place_drop),
        cmocka_unit_test_setup_teardown(types_are_bounded, place_make, place_drop),
        cmocka_unit_test_setup_teardown(pages_filter_and_go_on, place_make, place_drop),
        cmocka_unit_test_setup_teardown(pages_are_bounded_in_bytes, place_make, place_drop),
        cmocka_unit_test_setup_teardown(retention_keeps_the_head, place_make, place_drop),
        cmocka_unit_test_setup_teardown(a_reader_sees_what_is_committed, place_make, place_drop),
        cmocka_unit_test_setup_teardown(the_mark_stays, place_make, place_drop),
    };
    return cmocka_run_group_tests_name("event log", tests, NULL, NULL);
}
