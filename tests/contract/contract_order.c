/* Orders and tombstones, what is due, events, pages, the purge. */
#include "tests/contract/contract_order.h"

#include <stdio.h>
#include <stdlib.h>

static void test_absent(void **state)
{
    struct contract_shop *shop = *state;
    shop_begin(shop);
    struct order_entry entry = entry_found(shop, TEXT("ord_none"));
    assert_int_equal(entry.kind, ORDER_ABSENT);
    assert_int_equal(entry.due, HOLDS_NOTHING_DUE);
    assert_int_equal(due_count(shop), 0);
    shop_commit(shop);
}

static void test_placed_is_found_whole(void **state)
{
    struct contract_shop *shop = *state;
    struct order order = order_made(shop, 1, "usr_1", 1000);
    shop_begin(shop);
    assert_false(taken_by_order(shop, &order, "f-1"));
    shop_commit(shop);
    shop_begin(shop);
    struct order_entry entry = entry_found(shop, order.id);
    assert_int_equal(entry.kind, ORDER_PLACED);
    assert_int_equal(entry.due, HOLDS_CONFIRM_DUE);
    assert_true(text_is(entry.fingerprint, "f-1"));
    assert_same_order(shop, &entry.order, &order);
    shop_commit(shop);
}

static void test_tombstones_are_found(void **state)
{
    struct contract_shop *shop = *state;
    shop_begin(shop);
    assert_false(taken_by_tombstone(shop, TEXT("ord_r"), ORDER_REFUSED, HOLDS_RELEASE_DUE, 5));
    assert_false(taken_by_tombstone(shop, TEXT("ord_v"), ORDER_VOID, HOLDS_NOTHING_DUE, 5));
    shop_commit(shop);
    shop_begin(shop);
    struct order_entry entry = entry_found(shop, TEXT("ord_r"));
    assert_int_equal(entry.kind, ORDER_REFUSED);
    assert_int_equal(entry.due, HOLDS_RELEASE_DUE);
    assert_true(text_is(entry.fingerprint, "f-refused"));
    assert_int_equal(entry.answer.size, 4);
    entry = entry_found(shop, TEXT("ord_v"));
    assert_int_equal(entry.kind, ORDER_VOID);
    assert_int_equal(entry.due, HOLDS_NOTHING_DUE);
    assert_int_equal(entry.fingerprint.size, 0);
    shop_commit(shop);
}

/* The first document under an id decides, whatever comes later. */
static void test_first_insert_decides(void **state)
{
    struct contract_shop *shop = *state;
    struct order order = order_made(shop, 1, "usr_1", 1000);
    static const enum order_kind tombs[] = {ORDER_REFUSED, ORDER_VOID};
    shop_begin(shop);
    assert_false(taken_by_order(shop, &order, "f-1"));
    assert_true(taken_by_order(shop, &order, "f-2"));
    for (size_t i = 0; i < ARRAY_COUNT(tombs); i++) {
        assert_true(taken_by_tombstone(shop, order.id, tombs[i], HOLDS_RELEASE_DUE, 7));
    }
    struct order_entry entry = entry_found(shop, order.id);
    assert_int_equal(entry.kind, ORDER_PLACED);
    assert_true(text_is(entry.fingerprint, "f-1"));
    for (size_t i = 0; i < ARRAY_COUNT(tombs); i++) {
        struct order later = order_made(shop, 10 + (int)i, "usr_1", 1000);
        assert_false(taken_by_tombstone(shop, later.id, tombs[i], HOLDS_NOTHING_DUE, 7));
        assert_true(taken_by_order(shop, &later, "f-3"));
        assert_int_equal(entry_found(shop, later.id).kind, tombs[i]);
    }
    shop_commit(shop);
}

static void test_change_is_compare_and_set(void **state)
{
    struct contract_shop *shop = *state;
    struct order order = order_made(shop, 1, "usr_1", 1000);
    shop_begin(shop);
    assert_false(taken_by_order(shop, &order, "f-1"));
    struct order confirmed = order_moved(&order, ORDER_CONFIRMED);
    assert_int_equal(order_store_change(shop->store, &confirmed, HOLDS_NOTHING_DUE, NULL, &shop->fault), ERR_NONE);
    assert_int_equal(entry_found(shop, order.id).due, HOLDS_CONFIRM_DUE); /* still */
    struct order_entry entry = entry_found(shop, order.id);
    assert_same_order(shop, &entry.order, &confirmed);
    /* the same version again, one that is too new, and what is not there */
    assert_int_equal(order_store_change(shop->store, &confirmed, HOLDS_RELEASE_DUE, NULL, &shop->fault), ERR_CONFLICT);
    struct order later = order_moved(&confirmed, ORDER_SHIPPED);
    later.version++;
    assert_int_equal(order_store_change(shop->store, &later, HOLDS_RELEASE_DUE, NULL, &shop->fault), ERR_CONFLICT);
    struct order absent = order_made(shop, 2, "usr_1", 1000);
    absent.version = 2;
    assert_int_equal(order_store_change(shop->store, &absent, HOLDS_RELEASE_DUE, NULL, &shop->fault), ERR_CONFLICT);
    assert_false(taken_by_tombstone(shop, absent.id, ORDER_REFUSED, HOLDS_NOTHING_DUE, 7));
    assert_int_equal(order_store_change(shop->store, &absent, HOLDS_RELEASE_DUE, NULL, &shop->fault), ERR_CONFLICT);
    later.version--;
    assert_int_equal(order_store_change(shop->store, &later, HOLDS_COMMIT_DUE, NULL, &shop->fault), ERR_NONE);
    assert_int_equal(entry_found(shop, order.id).due, HOLDS_COMMIT_DUE);
    assert_int_equal(entry_found(shop, order.id).order.version, 3);
    assert_true(text_is(entry_found(shop, order.id).fingerprint, "f-1"));
    shop_commit(shop);
}

/* An event is there if and only if its cause is. */
static void test_events_lie_with_their_cause(void **state)
{
    struct contract_shop *shop = *state;
    struct order order = order_made(shop, 1, "usr_1", 1000), confirmed = order_moved(&order, ORDER_CONFIRMED);
    struct event_new placed = event_made(&order, "evt_1"), again = event_made(&order, "evt_x");
    struct event_new moved = event_made(&confirmed, "evt_2"), shipped = event_made(&confirmed, "evt_3");
    bool taken;
    assert_events(shop, &order, NULL, 0);
    shop_begin(shop);
    assert_int_equal(order_store_place(shop->store, &order, TEXT("f-1"), &placed, &shop->fault, &taken), ERR_NONE);
    assert_int_equal(order_store_place(shop->store, &order, TEXT("f-1"), &again, &shop->fault, &taken), ERR_NONE);
    assert_true(taken);
    shop_commit(shop);
    shop_begin(shop);
    assert_int_equal(order_store_change(shop->store, &confirmed, HOLDS_NOTHING_DUE, &moved, &shop->fault), ERR_NONE);
    assert_int_equal(order_store_change(shop->store, &confirmed, HOLDS_NOTHING_DUE, &again, &shop->fault),
                     ERR_CONFLICT);
    shop_commit(shop);
    assert_true(shop->store->outbox->waiting);
    assert_events(shop, &order, (const char *const[]){"evt_1", "evt_2"}, 2);
    assert_events(shop, &order, NULL, 0);
    struct order last = order_moved(&confirmed, ORDER_SHIPPED);
    shop_begin(shop);
    assert_int_equal(order_store_change(shop->store, &last, HOLDS_COMMIT_DUE, &shipped, &shop->fault), ERR_NONE);
    shop_commit(shop);
    assert_events(shop, &order, (const char *const[]){"evt_3"}, 1);
    shop_begin(shop);
    struct order_entry entry = entry_found(shop, order.id);
    assert_same_order(shop, &entry.order, &last);
    shop_commit(shop);
}

static void test_release_is_for_tombstones(void **state)
{
    struct contract_shop *shop = *state;
    struct order order = order_made(shop, 1, "usr_1", 1000);
    shop_begin(shop);
    assert_false(taken_by_order(shop, &order, "f-1"));
    assert_false(taken_by_tombstone(shop, TEXT("ord_v"), ORDER_VOID, HOLDS_NOTHING_DUE, 7));
    assert_int_equal(order_store_release(shop->store, order.id, &shop->fault), ERR_NONE);
    assert_int_equal(order_store_release(shop->store, TEXT("ord_v"), &shop->fault), ERR_NONE);
    assert_int_equal(order_store_release(shop->store, TEXT("ord_none"), &shop->fault), ERR_NONE);
    assert_int_equal(entry_found(shop, order.id).due, HOLDS_CONFIRM_DUE);
    assert_int_equal(entry_found(shop, TEXT("ord_v")).due, HOLDS_RELEASE_DUE);
    shop_commit(shop);
}

static void test_due_until_settled(void **state)
{
    struct contract_shop *shop = *state;
    struct order younger = order_made(shop, 1, "usr_1", 2000), older = order_made(shop, 2, "usr_1", 1000);
    struct due_list list;
    shop_begin(shop);
    assert_false(taken_by_order(shop, &younger, "f-1"));
    assert_false(taken_by_order(shop, &older, "f-2"));
    assert_false(taken_by_tombstone(shop, TEXT("ord_r"), ORDER_REFUSED, HOLDS_RELEASE_DUE, 3000));
    assert_false(taken_by_tombstone(shop, TEXT("ord_v"), ORDER_VOID, HOLDS_NOTHING_DUE, 1));
    assert_int_equal(order_store_due(shop->store, 2, &shop->arena, &shop->fault, &list), ERR_NONE);
    assert_int_equal(list.count, 2); /* bounded */
    assert_int_equal(order_store_due(shop->store, 9, &shop->arena, &shop->fault, &list), ERR_NONE);
    assert_int_equal(list.count, 3);
    assert_true(text_equal(list.items[0].order_id, older.id));
    assert_int_equal(list.items[0].step, HOLD_CONFIRM);
    assert_true(has(hold_order, &list.items[0], fingerprint));
    assert_true(text_is(list.items[0].fingerprint, "f-2"));
    assert_true(text_is(list.items[2].order_id, "ord_r"));
    assert_int_equal(list.items[2].step, HOLD_RELEASE);
    /* cancelled while product-svc was being told of the confirmation: that remains to be told */
    struct order cancelled = order_moved(&older, ORDER_CANCELLED);
    assert_int_equal(order_store_change(shop->store, &cancelled, HOLDS_RELEASE_DUE, NULL, &shop->fault), ERR_NONE);
    assert_int_equal(order_store_settled(shop->store, &list, &shop->fault), ERR_NONE);
    assert_int_equal(entry_found(shop, older.id).due, HOLDS_RELEASE_DUE);
    assert_int_equal(entry_found(shop, younger.id).due, HOLDS_NOTHING_DUE);
    assert_int_equal(order_store_due(shop->store, 9, &shop->arena, &shop->fault, &list), ERR_NONE);
    assert_int_equal(list.count, 1);
    assert_int_equal(order_store_settled(shop->store, &list, &shop->fault), ERR_NONE);
    assert_int_equal(order_store_settled(shop->store, &list, &shop->fault), ERR_NONE);
    assert_int_equal(due_count(shop), 0);
    shop_commit(shop);
}

/* ---- pages ---- */

enum { PAGED_COUNT = 60 };

static int newest_first(const void *a, const void *b)
{
    const struct order *left = a, *right = b;
    if (left->created_at != right->created_at) {
        return left->created_at < right->created_at ? 1 : -1;
    }
    return -text_compare(left->id, right->id);
}

static bool is_on_page(const struct order *order, const struct order_page_query *query)
{
    return (!query->user_id.size || text_equal(order->user_id, query->user_id)) &&
           (query->status < 0 || (int)order->status == query->status) && order->created_at >= query->created_gte &&
           order->created_at < query->before_at;
}

/* Walks all pages of a query; each order exactly once, in order. */
static void walk(struct contract_shop *shop, struct order_page_query query, const struct order *all)
{
    struct order_row_list page;
    int at = 0;
    const struct order_page_query first = query;
    do {
        assert_int_equal(order_store_page(shop->store, &query, &shop->arena, &shop->fault, &page), ERR_NONE);
        assert_true((int)page.count <= query.limit);
        for (uint32_t i = 0; i < page.count; i++, at++) {
            while (at < PAGED_COUNT && !is_on_page(&all[at], &first)) {
                at++;
            }
            assert_true(at < PAGED_COUNT);
            assert_same_order(shop, &page.items[i], &all[at]);
            query.before_at = page.items[i].created_at;
            query.before_id = page.items[i].id;
        }
    } while (page.count);
    for (; at < PAGED_COUNT; at++) {
        assert_false(is_on_page(&all[at], &first));
    }
}

static void test_pages(void **state)
{
    struct contract_shop *shop = *state;
    struct order all[PAGED_COUNT];
    static const char *const users[] = {"usr_1", "usr_2", "usr_3"};
    shop_begin(shop);
    for (int i = 0; i < PAGED_COUNT; i++) { /* many at one time; ids do not follow the times */
        all[i] = order_made(shop, (i * 37) % 101, users[i % 3], 1000 + i / 7);
        assert_false(taken_by_order(shop, &all[i], "f-1"));
        if (i % 4 == 1) {
            all[i] = order_moved(&all[i], ORDER_CANCELLED);
            assert_int_equal(order_store_change(shop->store, &all[i], HOLDS_RELEASE_DUE, NULL, &shop->fault), ERR_NONE);
        }
    }
    assert_false(taken_by_tombstone(shop, TEXT("ord_r"), ORDER_REFUSED, HOLDS_NOTHING_DUE, 1001));
    assert_false(taken_by_tombstone(shop, TEXT("ord_v"), ORDER_VOID, HOLDS_NOTHING_DUE, 1001));
    qsort(all, PAGED_COUNT, sizeof all[0], newest_first);
    for (int i = 0; i < 2 * 3 * 2 * 2 * 3; i++) {
        struct order_page_query query = {.user_id = i % 2 ? TEXT("usr_2") : TEXT(""),
                                         .status = i / 2 % 3 == 0   ? -1
                                                   : i / 2 % 3 == 1 ? ORDER_CANCELLED
                                                                    : ORDER_PENDING,
                                         .created_gte = i / 6 % 2 ? 1003 : 0,
                                         .before_at = i / 12 % 2 ? 1007 : INT64_MAX,
                                         .limit = i / 24 == 0   ? 1
                                                  : i / 24 == 1 ? 7
                                                                : 101};
        walk(shop, query, all);
    }
    shop_commit(shop);
}

/* ---- purging ---- */

static void test_purge_is_bounded_and_careful(void **state)
{
    struct contract_shop *shop = *state;
    struct order order = order_made(shop, 1, "usr_1", 10);
    int count;
    shop_begin(shop);
    assert_false(taken_by_order(shop, &order, "f-1"));
    for (int i = 0; i < 6; i++) {
        char id[16];
        snprintf(id, sizeof id, "ord_t%d", i);
        assert_false(
            taken_by_tombstone(shop, text_of(id), i % 2 ? ORDER_VOID : ORDER_REFUSED, HOLDS_NOTHING_DUE, 100 + i));
    }
    assert_false(taken_by_tombstone(shop, TEXT("ord_due"), ORDER_REFUSED, HOLDS_RELEASE_DUE, 50));
    assert_int_equal(order_store_purge(shop->store, 104, 3, &shop->fault, &count), ERR_NONE);
    assert_int_equal(count, 3);
    assert_int_equal(order_store_purge(shop->store, 104, 3, &shop->fault, &count), ERR_NONE);
    assert_int_equal(count, 1);
    assert_int_equal(order_store_purge(shop->store, 104, 3, &shop->fault, &count), ERR_NONE);
    assert_int_equal(count, 0);
    assert_int_equal(entry_found(shop, order.id).kind, ORDER_PLACED);
    assert_int_equal(entry_found(shop, TEXT("ord_due")).kind, ORDER_REFUSED);
    assert_int_equal(entry_found(shop, TEXT("ord_t3")).kind, ORDER_ABSENT);
    assert_int_equal(entry_found(shop, TEXT("ord_t4")).kind, ORDER_REFUSED);
    shop_commit(shop);
}

static void test_rolled_back_is_gone(void **state)
{
    struct contract_shop *shop = *state;
    struct order order = order_made(shop, 1, "usr_1", 1000);
    shop_begin(shop);
    assert_false(taken_by_order(shop, &order, "f-1"));
    shop->unit->rollback(shop->handle);
    shop_begin(shop);
    assert_int_equal(shop->unit->savepoint(shop->handle, &shop->fault), ERR_NONE);
    assert_false(taken_by_tombstone(shop, order.id, ORDER_VOID, HOLDS_NOTHING_DUE, 7));
    shop->unit->undo(shop->handle);
    assert_int_equal(entry_found(shop, order.id).kind, ORDER_ABSENT);
    assert_int_equal(due_count(shop), 0);
    shop_commit(shop);
}

int contract_order_run(const struct contract_host *host)
{
    const struct CMUnitTest tests[] = {
        ORDER_TEST(test_absent, host),
        ORDER_TEST(test_placed_is_found_whole, host),
        ORDER_TEST(test_tombstones_are_found, host),
        ORDER_TEST(test_first_insert_decides, host),
        ORDER_TEST(test_change_is_compare_and_set, host),
        ORDER_TEST(test_events_lie_with_their_cause, host),
        ORDER_TEST(test_release_is_for_tombstones, host),
        ORDER_TEST(test_due_until_settled, host),
        ORDER_TEST(test_pages, host),
        ORDER_TEST(test_purge_is_bounded_and_careful, host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int contract_order_units_run(const struct contract_host *host)
{
    const struct CMUnitTest tests[] = {ORDER_TEST(test_rolled_back_is_gone, host)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
