#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>

#include "gateway/ws_event.h"
#include "tests/gateway/ws_order.h"

static void an_order_event_is_one_json_text(void **state)
{
    (void)state;
    AUTO(arena_release) struct arena arena = {0};
    struct fault fault;
    fault_init(&fault, &arena);
    struct subscriber_event event = ws_order_event(42, "usr_a", ORDER_A, 5, &arena);
    struct ws_message *message = NULL;
    assert_int_equal(ws_event_make(&event, &fault, &message), ERR_NONE);
    assert_non_null(message);
    assert_int_equal(message->seq, 42);
    assert_string_equal(message->user_id, "usr_a");
    assert_string_equal(message->order_id, ORDER_A);
    assert_int_equal(message->bytes[1], 126);
    json_t *json = json_loadb((const char *)message->bytes + 4, message->size - 4, 0, NULL);
    assert_non_null(json);
    assert_int_equal(json_object_size(json), 5);
    assert_string_equal(json_string_value(json_object_get(json, "id")), "evt_\"1\"");
    assert_string_equal(json_string_value(json_object_get(json, "type")), "order.placed");
    assert_int_equal(json_integer_value(json_object_get(json, "seq")), 42);
    assert_string_equal(json_string_value(json_object_get(json, "time")), "2026-01-02T03:04:05.678Z");
    json_t *order = json_object_get(json, "order");
    assert_string_equal(json_string_value(json_object_get(order, "id")), ORDER_A);
    assert_string_equal(json_string_value(json_object_get(order, "status")), "pending");
    assert_string_equal(json_string_value(json_object_get(order, "note")), "nnnnn");
    assert_true(json_real_value(json_object_get(order, "total")) == 59.98);
    json_decref(json);
    ws_message_drop(&message);
}

static void other_events_are_not_for_sockets(void **state)
{
    (void)state;
    AUTO(arena_release) struct arena arena = {0};
    struct fault fault;
    fault_init(&fault, &arena);
    static const char *const types[] = {"session.ended", "order.unheard_of", ""};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        struct subscriber_event event = ws_order_event(42, "usr_a", ORDER_A, 0, &arena);
        struct event_meta meta = *event.meta;
        meta.type = text_of(types[i]);
        event.meta = &meta;
        struct ws_message *message = (struct ws_message *)&event;
        assert_int_equal(ws_event_make(&event, &fault, &message), ERR_NONE);
        assert_null(message);
    }
}

static void damaged_events_are_told(void **state)
{
    (void)state;
    AUTO(arena_release) struct arena arena = {0};
    struct fault fault;
    fault_init(&fault, &arena);
    struct subscriber_event event = ws_order_event(42, "usr_a", ORDER_A, 0, &arena);
    for (uint32_t size = 0; size < event.private_data.size; size += 7) {
        struct subscriber_event cut = event;
        cut.private_data.size = size;
        struct ws_message *message = NULL;
        assert_int_not_equal(ws_event_make(&cut, &fault, &message), ERR_NONE);
        assert_null(message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_order_event_is_one_json_text),
        cmocka_unit_test(other_events_are_not_for_sockets),
        cmocka_unit_test(damaged_events_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
