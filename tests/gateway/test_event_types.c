#include "tests/gateway/check.h"

#include "gateway/event_types.h"

static uint64_t read_of(const char *list)
{
    struct fault fault;
    uint64_t types = 0;
    fault_init(&fault, NULL);
    assert_int_equal(event_types_read(text_of(list), ROLE_ADMIN, &fault, &types), ERR_NONE);
    return types;
}

static void clients_get_what_has_an_order(void **state)
{
    (void)state;
    assert_true(event_types_bit(TEXT("order.placed")) != 0);
    assert_true((event_types_bit(TEXT("order.placed")) & event_types_all()) != 0);
    assert_true(event_types_bit(TEXT("order.placed")) != event_types_bit(TEXT("order.shipped")));
    static const char *const others[] = {"session.ended", "order.", "order.place", "order.placed.", "", "_head"};
    for (size_t i = 0; i < ARRAY_COUNT(others); i++) {
        assert_true(event_types_bit(text_of(others[i])) == 0);
    }
}

static void lists_name_types_and_beginnings(void **state)
{
    (void)state;
    assert_true(read_of("*") == event_types_all());
    assert_true(read_of("order.*") == event_types_orders());
    assert_true(read_of("order.placed") == event_types_bit(TEXT("order.placed")));
    assert_true(read_of("order.c*,order.placed") ==
                (event_types_bit(TEXT("order.placed")) | event_types_bit(TEXT("order.confirmed")) |
                 event_types_bit(TEXT("order.cancelled"))));
}

static void bad_lists_are_told(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      ",",
                                      "order.*,",
                                      "Order.*",
                                      "*.placed",
                                      "order..placed*",
                                      "order .*",
                                      ".*",
                                      "order.**",
                                      "order.pla",
                                      "session.ended",
                                      "order.plac\xc3\xa9"
                                      "d",
                                      "session.*",
                                      "foo.*",
                                      "order.x*",
                                      "order.placed,foo.*"};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        AUTO(arena_release) struct arena arena = {0};
        struct fault fault;
        uint64_t types = 77;
        fault_init(&fault, &arena);
        if (event_types_read(text_of(bad[i]), ROLE_ADMIN, &fault, &types) != ERR_INVALID_PARAMETER || types != 77 ||
            fault.item_count == 0 || !text_is(fault.items[0].pointer, "/types")) {
            fail_msg("\"%s\" is taken", bad[i]);
        }
    }
}

static void told_of(const char *list, enum role role, const char *wanted)
{
    AUTO(arena_release) struct arena arena = {0};
    struct fault fault;
    uint64_t types = 0;
    fault_init(&fault, &arena);
    assert_int_equal(event_types_read(text_of(list), role, &fault, &types), ERR_INVALID_PARAMETER);
    assert_int_equal(fault.item_count, 1);
    assert_non_null(memmem(fault.items[0].message.data, fault.items[0].message.size, wanted, strlen(wanted)));
}

static void unknown_ones_are_answered_with_those_that_there_are(void **state)
{
    (void)state;
    told_of("foo.*", ROLE_ADMIN, "foo.* is no type of events that clients get; there are order.*, user.*, product.*");
    told_of("foo.*", ROLE_CUSTOMER, "; there are order.*");
    told_of("order.lost", ROLE_CUSTOMER,
            "order.lost is no type of events that clients get; there are order.placed, order.confirmed, order.shipped, "
            "order.delivered, "
            "order.cancelled");
    told_of("user.x*", ROLE_ADMIN, "; there are user.created, user.updated, user.role_changed");
    told_of("product.placed", ROLE_ADMIN, "product.back_in_stock"); /* the longest list is told whole */
}

static void customers_get_orders_alone(void **state)
{
    (void)state;
    AUTO(arena_release) struct arena arena = {0};
    struct fault fault;
    uint64_t types = 0;
    assert_true(event_types_of(ROLE_CUSTOMER) == event_types_orders());
    assert_true(event_types_of(ROLE_ADMIN) == event_types_all());
    assert_true((event_types_orders() & ~event_types_all()) == 0);
    for (int i = 0; i < EVENT_COUNT; i++) {
        const char *type = event_info((enum event_type)i)->type;
        uint64_t bit = event_types_bit(text_of(type));
        fault_init(&fault, &arena);
        if (!bit || (bit & event_types_orders())) {
            continue;
        }
        assert_int_equal(event_types_read(text_of(type), ROLE_CUSTOMER, &fault, &types), ERR_FORBIDDEN);
        assert_item(fault, "/types", "forbidden");
        assert_int_equal(event_types_read(text_of(type), ROLE_ADMIN, &fault, &types), ERR_NONE);
        assert_true(types == bit);
    }
    fault_init(&fault, &arena);
    assert_int_equal(event_types_read(TEXT("*"), ROLE_CUSTOMER, &fault, &types), ERR_NONE);
    assert_true(types == event_types_orders());
}

static void names_come_back(void **state)
{
    (void)state;
    AUTO(arena_release) struct arena arena = {0};
    struct text_list names = event_types_names(read_of("order.shipped,order.placed"), &arena);
    assert_int_equal(names.count, 2);
    assert_true(text_is(names.items[0], "order.placed") && text_is(names.items[1], "order.shipped"));
    assert_int_equal(event_types_names(EVENT_TYPES_NONE, &arena).count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clients_get_what_has_an_order),
        cmocka_unit_test(lists_name_types_and_beginnings),
        cmocka_unit_test(bad_lists_are_told),
        cmocka_unit_test(unknown_ones_are_answered_with_those_that_there_are),
        cmocka_unit_test(customers_get_orders_alone),
        cmocka_unit_test(names_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
