/* Reading, listing, moving and arbitrating orders through the real services. */
#include "tests/order-svc/shop.h"

#include <stdio.h>
#include <stdlib.h>

static struct order placed(struct shop *shop, const char *user_id, struct text product_id, int64_t quantity)
{
    struct order order;
    assert_int_equal(order_ask(shop, NULL, user_id, product_id, quantity, &order), ERR_NONE);
    return order;
}

static enum err get_ask(struct shop *shop, struct call_meta meta, struct text id, struct order *out)
{
    struct order_ref in = {.id = id};
    struct ask ask = {.op = OP_order_get, .meta = meta, .in = &in};
    return shop_ask(shop, &ask, out);
}

static void assert_same(struct shop *shop, const struct order *a, const struct order *b)
{
    assert_true(
        text_equal(record_pack_in(&order_record, a, &shop->arena), record_pack_in(&order_record, b, &shop->arena)));
}

static void test_strangers_see_nothing(void **state)
{
    struct shop *shop = *state;
    struct order order = placed(shop, "usr_1", product_made(shop, "EUR", 10000, 10), 1), found;
    assert_int_equal(get_ask(shop, by_user("usr_1"), order.id, &found), ERR_NONE);
    assert_same(shop, &order, &found);
    assert_int_equal(get_ask(shop, by_admin(), order.id, &found), ERR_NONE);
    assert_int_equal(get_ask(shop, by_user("usr_2"), order.id, &found), ERR_NOT_FOUND);
    assert_int_equal(get_ask(shop, by_user("usr_1"), TEXT("ord_none"), &found), ERR_NOT_FOUND);
    assert_int_equal(move_ask(shop, by_user("usr_2"), order.id, ORDER_CANCELLED, &found), ERR_NOT_FOUND);
    assert_int_equal(move_ask(shop, by_user("usr_1"), order.id, ORDER_CONFIRMED, &found), ERR_FORBIDDEN);
    assert_int_equal(get_ask(shop, by_user("usr_1"), order.id, &found), ERR_NONE);
    assert_int_equal(found.version, 1);
}

/* A refusal keeps an id, but it is no order. */
static void test_tombstones_are_no_orders(void **state)
{
    struct shop *shop = *state;
    struct text tea = product_made(shop, "EUR", 10000, 0);
    uint8_t id[ID_SIZE];
    char order_id[IDENT_SIZE];
    struct order order;
    id_new(id);
    ident_make("ord", id, 0, order_id);
    assert_int_equal(order_ask(shop, id, "usr_1", tea, 1, &order), ERR_OUT_OF_STOCK);
    assert_int_equal(get_ask(shop, by_user("usr_1"), text_of(order_id), &order), ERR_NOT_FOUND);
    assert_int_equal(move_ask(shop, by_admin(), text_of(order_id), ORDER_CANCELLED, &order), ERR_NOT_FOUND);
}

/* ---- moves ---- */

static void test_the_whole_way(void **state)
{
    struct shop *shop = *state;
    struct text tea = product_made(shop, "EUR", 10000, 10);
    struct order order = placed(shop, "usr_1", tea, 3);
    static const enum order_status way[] = {ORDER_CONFIRMED, ORDER_SHIPPED, ORDER_DELIVERED};
    for (size_t i = 0; i < ARRAY_COUNT(way); i++) {
        assert_int_equal(move_ask(shop, by_admin(), order.id, way[i], &order), ERR_NONE);
        assert_int_equal(order.status, way[i]);
        assert_int_equal(order.version, 2 + i);
        assert_int_equal(order.history.count, 2 + i);
        assert_true(text_is(order.history.items[1 + i].by, "usr_admin"));
        struct order again;
        assert_int_equal(move_ask(shop, by_admin(), order.id, way[i], &again), ERR_NONE);
        assert_same(shop, &order, &again);
    }
    assert_int_equal(order.fulfillment_status, FULFILLMENT_DELIVERED);
    assert_int_equal(move_ask(shop, by_user("usr_1"), order.id, ORDER_CANCELLED, &order), ERR_BAD_TRANSITION);
    assert_int_equal(product_stock(shop, tea), 7);
    assert_int_equal(count_becomes(shop, "product.db", "SELECT count(*) FROM holds WHERE state = 3", 1), 1);
}

static void test_bad_transition_says_what_is_allowed(void **state)
{
    struct shop *shop = *state;
    struct order order = placed(shop, "usr_1", product_made(shop, "EUR", 10000, 10), 3);
    assert_int_equal(move_ask(shop, by_admin(), order.id, ORDER_DELIVERED, &order), ERR_BAD_TRANSITION);
    assert_int_equal(shop->fault.allowed.count, 2);
    assert_true(text_is(shop->fault.allowed.items[0], "confirmed"));
    assert_true(text_is(shop->fault.allowed.items[1], "cancelled"));
}

static void test_if_match(void **state)
{
    struct shop *shop = *state;
    struct order order = placed(shop, "usr_1", product_made(shop, "EUR", 10000, 10), 3);
    struct call_meta meta = by_admin();
    set_has(call_meta, &meta, if_match);
    meta.if_match = TEXT("\"2\"");
    assert_int_equal(move_ask(shop, meta, order.id, ORDER_CONFIRMED, &order), ERR_PRECONDITION_FAILED);
    meta.if_match = TEXT("\"1\"");
    assert_int_equal(move_ask(shop, meta, order.id, ORDER_CONFIRMED, &order), ERR_NONE);
    assert_int_equal(order.version, 2);
    /* the same once more, as after a lost answer: it was done */
    assert_int_equal(move_ask(shop, meta, order.id, ORDER_CONFIRMED, &order), ERR_NONE);
    assert_int_equal(order.version, 2);
    assert_int_equal(move_ask(shop, meta, order.id, ORDER_SHIPPED, &order), ERR_PRECONDITION_FAILED);
}

struct canceller {
    struct shop *shop;
    struct text order_id;
    pthread_t thread;
    enum err status;
};

static void *canceller_main(void *argument)
{
    struct canceller *canceller = argument;
    AUTO(arena_release) struct arena arena = {0};
    struct fault fault;
    bool replayed;
    struct order order;
    struct order_status_set in = {.id = canceller->order_id, .status = ORDER_CANCELLED};
    struct ask ask = {.op = OP_order_move, .meta = by_user("usr_1"), .in = &in};
    canceller->status = shop_ask_in(canceller->shop, &ask, &arena, &fault, &replayed, &order);
    return NULL;
}

/* Whoever hears of the cancellation finds the pieces back on stock, and they come back once. */
static void test_cancelling_gives_back_once(void **state)
{
    struct shop *shop = *state;
    struct text tea = product_made(shop, "EUR", 10000, 10);
    struct canceller cancellers[8];
    struct order order = placed(shop, "usr_1", tea, 4), other = placed(shop, "usr_1", tea, 1);
    assert_int_equal(product_stock(shop, tea), 5);
    assert_int_equal(move_ask(shop, by_user("usr_1"), order.id, ORDER_CANCELLED, &order), ERR_NONE);
    assert_int_equal(product_stock(shop, tea), 9);
    assert_int_equal(order.fulfillment_status, FULFILLMENT_CANCELLED);
    for (size_t i = 0; i < ARRAY_COUNT(cancellers); i++) {
        cancellers[i] = (struct canceller){.shop = shop, .order_id = i % 2 ? order.id : other.id};
        assert_int_equal(pthread_create(&cancellers[i].thread, NULL, canceller_main, &cancellers[i]), 0);
    }
    for (size_t i = 0; i < ARRAY_COUNT(cancellers); i++) {
        pthread_join(cancellers[i].thread, NULL);
        assert_int_equal(cancellers[i].status, ERR_NONE);
    }
    assert_int_equal(product_stock(shop, tea), 10);
    assert_int_equal(count_becomes(shop, "order.db", "SELECT count(*) FROM orders WHERE due IS NOT NULL", 0), 0);
    assert_int_equal(product_stock(shop, tea), 10);
}

/* ---- events ---- */

static struct event_page events_of(struct shop *shop, uint32_t count)
{
    struct event_page page = {0};
    struct text orders = TEXT("order.*"); /* products have events, too */
    struct event_replay in = {.after = 0, .types = {&orders, 1}};
    set_has(event_replay, &in, types);
    struct ask ask = {.op = OP_event_replay, .meta = by_service(), .in = &in};
    assert_int_equal(count_becomes(shop, "order.db", "SELECT count(*) FROM outbox", 0), 0);
    assert_int_equal(shop_ask(shop, &ask, &page), ERR_NONE);
    assert_int_equal(page.data.count, count);
    return page;
}

static bool holds_bytes(struct text whole, const char *part)
{
    return memmem(whole.data, whole.size, part, strlen(part)) != NULL;
}

/* One event a change, whatever is repeated; the public part says nothing about the person. */
static void test_events(void **state)
{
    struct shop *shop = *state;
    struct text tea = product_made(shop, "EUR", 10000, 10);
    struct order_item item = {.product_id = tea, .quantity = 2};
    struct address address = {.name = TEXT("Ada Lovelace"),
                              .line1 = TEXT("Way 1"),
                              .city = TEXT("Town"),
                              .postal_code = TEXT("1"),
                              .country = TEXT("DE")};
    struct order_new in = {.items = {&item, 1}, .shipping_address = &address, .note = TEXT("second bell")};
    struct order order, again;
    uint8_t id[ID_SIZE];
    set_has(order_new, &in, shipping_address);
    set_has(order_new, &in, note);
    id_new(id);
    struct ask ask = {.op = OP_order_create, .request_id = id, .meta = by_user("usr_1"), .in = &in};
    assert_int_equal(shop_ask(shop, &ask, &order), ERR_NONE);
    assert_int_equal(shop_ask(shop, &ask, &again), ERR_NONE);
    assert_int_equal(move_ask(shop, by_admin(), order.id, ORDER_CONFIRMED, &again), ERR_NONE);
    assert_int_equal(move_ask(shop, by_admin(), order.id, ORDER_CONFIRMED, &again), ERR_NONE);
    assert_int_equal(move_ask(shop, by_admin(), order.id, ORDER_CANCELLED, &again), ERR_NONE);
    static const char *const types[] = {"order.placed", "order.confirmed", "order.cancelled"};
    struct event_page page = events_of(shop, ARRAY_COUNT(types));
    for (uint32_t i = 0; i < page.data.count; i++) {
        const struct event_entry *entry = &page.data.items[i];
        struct order_event event;
        struct order whole;
        assert_true(text_is(entry->type, types[i]));
        assert_true(text_equal(entry->subject, order.id));
        assert_true(text_is(entry->user_id, "usr_1"));
        assert_false(holds_bytes(entry->data, "Lovelace") || holds_bytes(entry->data, "bell"));
        assert_int_equal(record_unpack(&order_event_record, entry->data, &shop->arena, &shop->fault, &event), ERR_NONE);
        assert_int_equal(event.version, i + 1);
        assert_int_equal(event.lines.items[0].quantity, 2);
        assert_int_equal(record_unpack(&order_record, entry->private_data, &shop->arena, &shop->fault, &whole),
                         ERR_NONE);
        assert_int_equal(whole.version, i + 1);
        assert_true(text_is(whole.note, "second bell"));
    }
}

/* ---- lists ---- */

static enum err list_ask(struct shop *shop, struct call_meta meta, struct order_query in, struct order_list *out)
{
    struct ask ask = {.op = OP_order_list, .meta = meta, .in = &in};
    return shop_ask(shop, &ask, out);
}

static void test_list_is_ones_own(void **state)
{
    struct shop *shop = *state;
    struct text tea = product_made(shop, "EUR", 10000, 10);
    struct order mine = placed(shop, "usr_1", tea, 1), theirs = placed(shop, "usr_2", tea, 1);
    struct order_list list;
    struct order_query query = {0};
    assert_int_equal(list_ask(shop, by_user("usr_1"), query, &list), ERR_NONE);
    assert_int_equal(list.data.count, 1);
    assert_false(list.has_more);
    assert_false(has(order_list, &list, next_cursor));
    assert_same(shop, &list.data.items[0], &mine);
    assert_int_equal(list_ask(shop, by_admin(), query, &list), ERR_NONE);
    assert_int_equal(list.data.count, 2);
    query.user_id = TEXT("usr_2");
    set_has(order_query, &query, user_id);
    assert_int_equal(list_ask(shop, by_admin(), query, &list), ERR_NONE);
    assert_int_equal(list.data.count, 1);
    assert_same(shop, &list.data.items[0], &theirs);
    assert_int_equal(list_ask(shop, by_user("usr_2"), query, &list), ERR_NONE);
    assert_int_equal(list_ask(shop, by_user("usr_1"), query, &list), ERR_FORBIDDEN);
    assert_int_equal(list_ask(shop, by_user("usr_3"), (struct order_query){0}, &list), ERR_NONE);
    assert_int_equal(list.data.count, 0);
}

static void test_pages(void **state)
{
    struct shop *shop = *state;
    enum { COUNT = 7 };
    struct text tea = product_made(shop, "EUR", 10000, 10);
    struct order orders[COUNT], order;
    struct order_list list;
    struct order_query query = {.limit = 3};
    set_has(order_query, &query, limit);
    for (int i = 0; i < COUNT; i++) {
        orders[i] = placed(shop, "usr_1", tea, 1);
    }
    int at = 0;
    do {
        assert_int_equal(list_ask(shop, by_user("usr_1"), query, &list), ERR_NONE);
        for (uint32_t i = 0; i < list.data.count; i++, at++) {
            assert_true(at == 0 || list.data.items[i].created_at <= order.created_at);
            order = list.data.items[i];
        }
        query.cursor = list.next_cursor;
        set_has(order_query, &query, cursor);
    } while (list.has_more && at < 2 * COUNT);
    assert_int_equal(at, COUNT);
    /* filters; the cursor of one query is none of another */
    assert_int_equal(list_ask(shop, by_user("usr_1"), (struct order_query){0}, &list), ERR_NONE);
    assert_int_equal(list.data.count, COUNT);
    assert_int_equal(move_ask(shop, by_user("usr_1"), orders[2].id, ORDER_CANCELLED, &order), ERR_NONE);
    query = (struct order_query){.status = ORDER_CANCELLED, .limit = 1};
    set_has(order_query, &query, status);
    assert_int_equal(list_ask(shop, by_user("usr_1"), query, &list), ERR_NONE);
    assert_int_equal(list.data.count, 1);
    assert_true(text_equal(list.data.items[0].id, orders[2].id));
    query = (struct order_query){.created_gte = orders[COUNT - 1].created_at + 1};
    set_has(order_query, &query, created_gte);
    assert_int_equal(list_ask(shop, by_admin(), query, &list), ERR_NONE);
    assert_int_equal(list.data.count, 0);
    query = (struct order_query){.created_lt = orders[0].created_at, .limit = 1};
    set_has(order_query, &query, created_lt);
    assert_int_equal(list_ask(shop, by_admin(), query, &list), ERR_NONE);
    assert_int_equal(list.data.count, 0);
    query.cursor = TEXT("bm9uc2Vuc2U");
    set_has(order_query, &query, cursor);
    assert_int_equal(list_ask(shop, by_admin(), query, &list), ERR_BAD_CURSOR);
}

/* A product whose name is as long as names can be. */
static struct text long_named(struct shop *shop)
{
    enum { CHARACTER_SIZE = 4, NAME = 200 };
    static char name[NAME * CHARACTER_SIZE];
    for (int i = 0; i < NAME; i++) {
        memcpy(name + i * CHARACTER_SIZE, "\xf0\x9f\x98\x80", CHARACTER_SIZE);
    }
    struct product_new in = {.name = {name, sizeof name}, .price = 10000, .stock = 1000};
    struct product product;
    struct ask ask = {.op = OP_product_create, .meta = by_admin(), .in = &in};
    assert_int_equal(shop_ask(shop, &ask, &product), ERR_NONE);
    return product.id;
}

/* More orders with more lines than a reply could hold. */
static void test_pages_of_large_orders_are_short(void **state)
{
    enum { COUNT = 50 };
    struct shop *shop = *state;
    struct order_item items[ORDER_MAX_LINES];
    struct order_new in = {.items = {items, ORDER_MAX_LINES}};
    struct order order;
    struct order_list list;
    for (int i = 0; i < ORDER_MAX_LINES; i++) {
        items[i] = (struct order_item){.product_id = long_named(shop), .quantity = 1};
    }
    struct ask ask = {.op = OP_order_create, .meta = by_user("usr_1"), .in = &in};
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(shop_ask(shop, &ask, &order), ERR_NONE);
    }
    struct order_query query = {.limit = PAGE_MAX};
    set_has(order_query, &query, limit);
    uint32_t count = 0;
    do {
        assert_int_equal(list_ask(shop, by_user("usr_1"), query, &list), ERR_NONE);
        assert_true(list.data.count > 0 && list.data.count < COUNT);
        count += list.data.count;
        query.cursor = list.next_cursor;
        set_has(order_query, &query, cursor);
    } while (list.has_more);
    assert_int_equal(count, COUNT);
}

/* ---- arbitration ---- */

static void test_arbitrate(void **state)
{
    struct shop *shop = *state;
    struct text tea = product_made(shop, "EUR", 10000, 10);
    struct order orders[4], order;
    for (int i = 0; i < 4; i++) {
        orders[i] = placed(shop, "usr_1", tea, 1);
    }
    assert_int_equal(move_ask(shop, by_admin(), orders[1].id, ORDER_CANCELLED, &order), ERR_NONE);
    for (int i = 2; i < 4; i++) {
        assert_int_equal(move_ask(shop, by_admin(), orders[i].id, ORDER_CONFIRMED, &order), ERR_NONE);
        assert_int_equal(move_ask(shop, by_admin(), orders[i].id, ORDER_SHIPPED, &order), ERR_NONE);
    }
    assert_int_equal(move_ask(shop, by_admin(), orders[3].id, ORDER_DELIVERED, &order), ERR_NONE);
    struct text ids[] = {orders[0].id, orders[1].id, orders[2].id, orders[3].id, TEXT("ord_lost"), TEXT("ord_lost")};
    static const enum order_outcome outcomes[] = {ORDER_OUTCOME_PLACED,  ORDER_OUTCOME_CANCELLED, ORDER_OUTCOME_SHIPPED,
                                                  ORDER_OUTCOME_SHIPPED, ORDER_OUTCOME_VOID,      ORDER_OUTCOME_VOID};
    struct order_arbitrate in = {.order_ids = {ids, ARRAY_COUNT(ids)}};
    struct order_arbitrated out;
    struct ask ask = {.op = OP_order_arbitrate, .meta = by_service(), .in = &in};
    for (int repeat = 0; repeat < 2; repeat++) {
        assert_int_equal(shop_ask(shop, &ask, &out), ERR_NONE);
        assert_int_equal(out.verdicts.count, ARRAY_COUNT(ids));
        for (size_t i = 0; i < ARRAY_COUNT(ids); i++) {
            assert_true(text_equal(out.verdicts.items[i].order_id, ids[i]));
            assert_int_equal(out.verdicts.items[i].outcome, outcomes[i]);
            assert_int_equal(has(order_verdict, &out.verdicts.items[i], fingerprint), i < 4);
        }
    }
    assert_int_equal(count_becomes(shop, "order.db", "SELECT count(*) FROM orders WHERE kind = 'void'", 1), 1);
    ask.meta = by_admin(); /* not even administrators */
    assert_int_equal(shop_ask(shop, &ask, &out), ERR_FORBIDDEN);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, shop_make, shop_drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_strangers_see_nothing),
        TEST(test_tombstones_are_no_orders),
        TEST(test_the_whole_way),
        TEST(test_bad_transition_says_what_is_allowed),
        TEST(test_if_match),
        TEST(test_cancelling_gives_back_once),
        TEST(test_events),
        TEST(test_list_is_ones_own),
        TEST(test_pages),
        TEST(test_pages_of_large_orders_are_short),
        TEST(test_arbitrate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
