#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "event-svc/tail.h"
#include "lib/base/auto.h"
#include "lib/base/mem.h"

static struct event_new event_made(char *payload, size_t size)
{
    struct event_new event = {.id = TEXT("evt_1"), .type = TEXT("order.placed"), .subject = TEXT("ord_1"),
                              .source = TEXT("order-svc"), .time = 7, .user_id = TEXT("usr_1"),
                              .data = {payload, (uint32_t)size}};
    set_has(event_new, &event, user_id);
    set_has(event_new, &event, data);
    return event;
}

static int tail_make(void **state)
{
    *state = mem_alloc(sizeof(struct event_tail));
    return 0;
}

static int tail_drop(void **state)
{
    tail_release(*state);
    mem_free(*state);
    return 0;
}

static void entries_are_copies(void **state)
{
    struct event_tail *tail = *state;
    char payload[] = "abc";
    struct event_new event = event_made(payload, 3);
    tail_add(tail, &event, 5, 2);
    memset(payload, 'x', 3);
    assert_int_equal(tail_take(tail), 1);
    const struct event_entry *entry = &tail->items[0];
    assert_true(entry->seq == 5 && entry->tseq == 2 && entry->time == 7);
    assert_true(text_is(entry->id, "evt_1") && text_is(entry->type, "order.placed") &&
                text_is(entry->subject, "ord_1"));
    assert_true(text_is(entry->source, "order-svc") && text_is(entry->user_id, "usr_1") && text_is(entry->data, "abc"));
    assert_true(has(event_entry, entry, user_id) && has(event_entry, entry, data));
    assert_false(has(event_entry, entry, traceparent) || has(event_entry, entry, private_data));
}

static void each_is_told_once(void **state)
{
    struct event_tail *tail = *state;
    char payload[] = "abc";
    struct event_new event = event_made(payload, 3);
    assert_int_equal(tail_take(tail), 0);
    tail_add(tail, &event, 1, 1);
    tail_add(tail, &event, 2, 2);
    assert_int_equal(tail_take(tail), 2);
    assert_int_equal(tail_take(tail), 0);
    tail_add(tail, &event, 3, 3);
    assert_int_equal(tail_take(tail), 1);
    assert_int_equal(tail->items[0].seq, 3);
}

static void a_torn_tail_says_nothing(void **state)
{
    struct event_tail *tail = *state;
    char payload[] = "abc";
    struct event_new event = event_made(payload, 3);
    tail_add(tail, &event, 1, 1);
    tail_tear(tail);
    tail_add(tail, &event, 2, 2);
    assert_int_equal(tail_take(tail), 0);
    tail_add(tail, &event, 3, 3); /* a new one */
    assert_int_equal(tail_take(tail), 1);
}

static void it_is_bounded(void **state)
{
    struct event_tail *tail = *state;
    static char payload[EVENT_PAYLOAD_MAX];
    struct event_new small = event_made(payload, 3), large = event_made(payload, sizeof payload);
    for (int i = 1; i <= EVENT_BATCH_MAX; i++) {
        tail_add(tail, &small, i, i);
    }
    assert_int_equal(tail_take(tail), EVENT_BATCH_MAX);
    for (int i = 0; i <= EVENT_BATCH_MAX; i++) {
        tail_add(tail, &small, i, i);
    }
    assert_int_equal(tail_take(tail), 0);
    for (int i = 1; i <= EVENT_TAIL_MAX_SIZE / EVENT_PAYLOAD_MAX; i++) {
        tail_add(tail, &large, i, i);
    }
    assert_int_equal(tail_take(tail), EVENT_TAIL_MAX_SIZE / EVENT_PAYLOAD_MAX);
    for (int i = 0; i <= EVENT_TAIL_MAX_SIZE / EVENT_PAYLOAD_MAX; i++) {
        tail_add(tail, &large, i, i);
    }
    assert_int_equal(tail_take(tail), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(entries_are_copies, tail_make, tail_drop),
        cmocka_unit_test_setup_teardown(each_is_told_once, tail_make, tail_drop),
        cmocka_unit_test_setup_teardown(a_torn_tail_says_nothing, tail_make, tail_drop),
        cmocka_unit_test_setup_teardown(it_is_bounded, tail_make, tail_drop),
    };
    return cmocka_run_group_tests_name("tail", tests, NULL, NULL);
}
