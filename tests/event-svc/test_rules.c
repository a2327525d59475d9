#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "event-svc/rules.h"
#include "lib/base/auto.h"

static void positions_are_served_or_lost(void **state)
{
    (void)state;
    assert_int_equal(position_check(0, 1, 0), POSITION_AT_END);   /* an empty log */
    assert_int_equal(position_check(0, 1, 5), POSITION_SERVED);
    assert_int_equal(position_check(5, 1, 5), POSITION_AT_END);
    assert_int_equal(position_check(99, 1, 5), POSITION_AT_END);
    assert_int_equal(position_check(3, 4, 5), POSITION_SERVED);   /* 4 is the next one and there */
    assert_int_equal(position_check(2, 4, 5), POSITION_BEFORE_LOG);
    assert_int_equal(position_check(INT64_MAX, 4, 5), POSITION_AT_END);
}

static void publishing_goes_on_at_the_mark(void **state)
{
    (void)state;
    assert_int_equal(position_to_publish(0, 0), 0);
    assert_int_equal(position_to_publish(7, 10), 7);
    assert_int_equal(position_to_publish(10, 10), 10);
    assert_int_equal(position_to_publish(0, 5000), 5000 - EVENT_REPUBLISH_MAX);
    assert_int_equal(position_to_publish(20, 10), 10);
}

static void retention_has_a_cutoff(void **state)
{
    (void)state;
    int64_t day = 86400000;
    assert_int_equal(retention_cutoff_ms(day * 1000, 0), 0);
    assert_int_equal(retention_cutoff_ms(day * 1000, 10), day * 990);
    assert_int_equal(retention_cutoff_ms(day * 5, 10), 0);
}

/* What is packed can be read by whoever receives it. */
static void assert_travels(const struct event_meta *meta)
{
    AUTO(arena_release) struct arena arena = {0};
    struct event_meta read;
    struct text packed = record_pack_in(&event_meta_record, meta, &arena);
    assert_int_equal(record_unpack(&event_meta_record, packed, &arena, NULL, &read), ERR_NONE);
    assert_true(text_equal(read.type, meta->type) && read.seq == meta->seq);
}

static void entries_become_frames(void **state)
{
    (void)state;
    char topic[EVENT_TOPIC_SIZE];
    char time[CLOCK_TEXT_SIZE];
    struct event_meta meta;
    struct event_entry entry = {.seq = 9, .tseq = 4, .id = TEXT("evt_1"), .type = TEXT("order.placed"),
                                .subject = TEXT("ord_1"), .source = TEXT("order-svc"), .time = 1000};
    assert_true(text_is(topic_make(entry.type, topic), "order.placed."));
    meta_make(&entry, TEXT("zmart"), 77, time, &meta);
    assert_travels(&meta);
    assert_int_equal(meta.seq, 9);
    assert_int_equal(meta.tseq, 4);
    assert_int_equal(meta.epoch, 77);
    assert_true(text_is(meta.time, "1970-01-01T00:00:01.000Z"));
    assert_true(text_is(meta.specversion, "1.0"));
    assert_true(text_is(meta.datacontenttype, "application/msgpack"));
    assert_false(has(event_meta, &meta, traceparent));
    entry.traceparent = TEXT("00-ab-cd-01");
    set_has(event_entry, &entry, traceparent);
    meta_make(&entry, TEXT("zmart"), 77, time, &meta);
    assert_true(has(event_meta, &meta, traceparent) && text_equal(meta.traceparent, entry.traceparent));
}

static void a_beacon_tells_the_head(void **state)
{
    (void)state;
    char time[CLOCK_TEXT_SIZE];
    struct event_meta meta;
    struct stream_head head = {.stream = TEXT("zmart"), .epoch = 3, .seq = 12};
    meta_make_head(&head, 0, time, &meta);
    assert_travels(&meta);
    assert_true(text_is(meta.type, "_head"));
    assert_int_equal(meta.seq, 12);
    assert_int_equal(meta.id.size, 0);
    assert_int_equal(meta.subject.size, 0);
}

static void a_lease_ends_in_silence(void **state)
{
    struct lease_sight sight = {0};
    (void)state;
    assert_true(lease_is_free(&sight, false, 0, 0, 1000));
    assert_false(lease_is_free(&sight, true, 1, 0, 2000)); /* from now on we watch this one */
    assert_false(lease_is_free(&sight, true, 1, 0, 2000 + EVENT_LEASE_MS - 1));
    assert_true(lease_is_free(&sight, true, 1, 0, 2000 + EVENT_LEASE_MS));
    assert_false(lease_is_free(&sight, true, 1, 1, 2000 + EVENT_LEASE_MS)); /* renewed */
    assert_false(lease_is_free(&sight, true, 2, 1, 2000 + 2 * EVENT_LEASE_MS)); /* another holder */
    assert_true(lease_is_free(&sight, false, 2, 1, 2000 + 2 * EVENT_LEASE_MS)); /* given back */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(positions_are_served_or_lost),
        cmocka_unit_test(publishing_goes_on_at_the_mark),
        cmocka_unit_test(retention_has_a_cutoff),
        cmocka_unit_test(entries_become_frames),
        cmocka_unit_test(a_beacon_tells_the_head),
        cmocka_unit_test(a_lease_ends_in_silence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
