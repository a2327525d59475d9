#include "tests/gateway/check.h"

#include <stdio.h>

#include "gateway/event_types.h"
#include "gateway/ws_change.h"
#include "lib/base/mem.h"

#define ORDER(n) "ord_000000000000000000000000" n

static struct ws_change *change_of(const char *text, enum role role)
{
    AUTO(arena_release) struct arena arena = {0};
    struct fault fault;
    struct ws_said said = {.is_text = true, .is_whole = true, .bytes = text_of(text)};
    struct ws_change *change = NULL;
    fault_init(&fault, &arena);
    assert_int_equal(ws_change_read(&said, role, &arena, &fault, &change), ERR_NONE);
    return change;
}

static void peer_change(struct ws_peer_settings *peer, const char *text)
{
    struct fault fault;
    struct ws_change *change = change_of(text, ROLE_ADMIN);
    fault_init(&fault, NULL);
    assert_int_equal(ws_change_apply(change, peer, &fault), ERR_NONE);
    ws_change_destroy(&change);
}

static void changes_add_and_take_away(void **state)
{
    (void)state;
    struct ws_peer_settings peer = {.types = event_types_bit(TEXT("order.placed"))};
    peer_change(&peer,
                "{\"subscribe\":{\"types\":[\"order.shipped\"],\"orders\":[\"" ORDER("01") "\",\"" ORDER("01") "\"]}}");
    assert_true(peer.types == (event_types_bit(TEXT("order.placed")) | event_types_bit(TEXT("order.shipped"))));
    assert_int_equal(peer.filter.count, 1);
    peer_change(&peer, "{\"subscribe\":{\"orders\":[\"" ORDER("02") "\",\"" ORDER("01") "\"]}}");
    assert_int_equal(peer.filter.count, 2);
    peer_change(&peer, "{\"unsubscribe\":{\"types\":[\"*\"],\"orders\":[\"" ORDER("01") "\",\"" ORDER("07") "\"]}}");
    assert_true(peer.types == EVENT_TYPES_NONE);
    assert_int_equal(peer.filter.count, 1);
    assert_string_equal(peer.filter.order_ids[0], ORDER("02"));
    peer_change(&peer, "{\"subscribe\":{\"types\":[\"order.placed\"]}}");
    assert_true(peer.types == event_types_bit(TEXT("order.placed")));
    mem_free(peer.filter.order_ids);
}

static void a_client_follows_so_many_orders(void **state)
{
    (void)state;
    AUTO(arena_release) struct arena arena = {0};
    struct fault fault;
    struct ws_peer_settings peer = {.types = EVENT_TYPES_NONE};
    for (int i = 0; i < WS_FILTER_MAX; i++) {
        char text[100];
        snprintf(text, sizeof text, "{\"subscribe\":{\"orders\":[\"ord_000000000000000000000000%d\"]}}", 10 + i);
        peer_change(&peer, text);
    }
    assert_int_equal(peer.filter.count, WS_FILTER_MAX);
    fault_init(&fault, &arena);
    struct ws_change *change =
        change_of("{\"subscribe\":{\"types\":[\"order.*\"],\"orders\":[\"" ORDER("02") "\"]}}", ROLE_ADMIN);
    assert_int_equal(ws_change_apply(change, &peer, &fault), ERR_INVALID_BODY);
    assert_item(fault, "/subscribe/orders", "out_of_range");
    assert_int_equal(peer.filter.count, WS_FILTER_MAX);
    assert_true(peer.types == EVENT_TYPES_NONE);
    ws_change_destroy(&change);
    mem_free(peer.filter.order_ids);
}

static void types_for_administrators_are_refused_to_customers(void **state)
{
    (void)state;
    for (int i = 0; i < EVENT_COUNT; i++) {
        AUTO(arena_release) struct arena arena = {0};
        struct fault fault;
        char text[120];
        const char *type = event_info((enum event_type)i)->type;
        uint64_t bit = event_types_bit(text_of(type));
        struct ws_change *change = NULL;
        snprintf(text, sizeof text, "{\"subscribe\":{\"types\":[\"%s\"]}}", type);
        struct ws_said said = {.is_text = true, .is_whole = true, .bytes = text_of(text)};
        fault_init(&fault, &arena);
        enum err e = ws_change_read(&said, ROLE_CUSTOMER, &arena, &fault, &change);
        enum err wanted = !bit ? ERR_INVALID_BODY : (bit & event_types_orders()) ? ERR_NONE : ERR_FORBIDDEN;
        assert_int_equal(e, wanted);
        assert_int_equal(e == ERR_NONE, change != NULL);
        ws_change_destroy(&change);
    }
}

static void refusals_fit_in_a_message(void **state)
{
    (void)state;
    AUTO(arena_release) struct arena arena = {0};
    struct fault fault;
    fault_init(&fault, &arena);
    (void)fault_set(&fault, ERR_INVALID_BODY, "no");
    for (int i = 0; i < FAULT_MAX_ITEMS; i++) {
        fault_add(&fault, "/subscribe/types/1", "format", -1, "%s",
                  "\x01\x02\x03\x04\x05\x06\x07\x08\x0e\x0f\x10\x11\x12\x13\x14\x15");
    }
    struct ws_message *message = ws_change_refusal(&fault);
    assert_memory_equal(message->bytes + message->size - 3, "]}}", 3);
    assert_false(message->event);
    ws_message_drop(&message);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changes_add_and_take_away),
        cmocka_unit_test(a_client_follows_so_many_orders),
        cmocka_unit_test(types_for_administrators_are_refused_to_customers),
        cmocka_unit_test(refusals_fit_in_a_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
