#include "tests/contract/contract_order.h"

#include <stdio.h>
#include <stdlib.h>

struct contract_shop *shop_open(const struct contract_host *host)
{
    struct contract_shop *shop = calloc(1, sizeof *shop);
    shop->from = host;
    host->open(shop);
    fault_init(&shop->fault, &shop->arena);
    return shop;
}

void shop_close(struct contract_shop *shop)
{
    shop->from->close(shop);
    arena_release(&shop->arena);
    free(shop);
}

int shop_setup(void **state)
{
    *state = shop_open(*state);
    return 0;
}

int shop_teardown(void **state)
{
    shop_close(*state);
    return 0;
}

void shop_begin(struct contract_shop *shop)
{
    fault_init(&shop->fault, &shop->arena);
    if (shop->unit) {
        assert_int_equal(shop->unit->begin(shop->handle, true, &shop->fault), ERR_NONE);
    }
}

void shop_commit(struct contract_shop *shop)
{
    if (shop->unit) {
        assert_int_equal(shop->unit->commit(shop->handle, &shop->fault), ERR_NONE);
    }
}

bool asked_again(struct contract_shop *shop, enum err e)
{
    if ((e != ERR_SERVICE_UNAVAILABLE && e != ERR_OUTCOME_UNKNOWN) || !shop->from->recover) {
        return false;
    }
    shop->from->recover(shop);
    return true;
}

/* ---- what is stored ---- */

struct order order_made(struct contract_shop *shop, int n, const char *user_id, int64_t created_at)
{
    char id[40];
    snprintf(id, sizeof id, "ord_%05d", n);
    struct order_line *lines = arena_alloc(&shop->arena, 2 * sizeof *lines);
    struct address *address = arena_alloc(&shop->arena, sizeof *address);
    lines[0] = (struct order_line){.product_id = TEXT("prd_1"),
                                   .sku = TEXT("A-1"),
                                   .name = TEXT("\xc3\x84pfel"),
                                   .price = 299,
                                   .quantity = 3,
                                   .total = 897};
    lines[1] = (struct order_line){
        .product_id = TEXT("prd_2"), .sku = TEXT("B-1"), .name = TEXT("Birnen"), .price = 0, .quantity = 1};
    *address = (struct address){.name = TEXT("A"),
                                .line1 = TEXT("Way 1"),
                                .city = TEXT("Town"),
                                .postal_code = TEXT("1"),
                                .country = TEXT("DE")};
    struct order order = {.id = text_of(arena_copy(&shop->arena, id, strlen(id))),
                          .number = TEXT("AAAAA-BBBBB"),
                          .user_id = text_of(user_id),
                          .lines = {lines, 2},
                          .subtotal = 897,
                          .total = 897,
                          .currency = TEXT("EUR"),
                          .shipping_address = address,
                          .note = TEXT("ring \"twice\""),
                          .version = 1,
                          .created_at = created_at,
                          .updated_at = created_at};
    set_has(order, &order, shipping_address);
    set_has(order, &order, note);
    order.history.items = arena_alloc(&shop->arena, 4 * sizeof *order.history.items);
    order.history.items[0] = (struct order_move){.status = ORDER_PENDING, .at = created_at, .by = order.user_id};
    order.history.count = 1;
    return order;
}

struct order order_moved(const struct order *order, enum order_status to)
{
    struct order moved = *order;
    moved.history.items[moved.history.count++] =
        (struct order_move){.status = to, .at = order->updated_at + 1, .by = TEXT("usr_admin")};
    moved.status = to;
    moved.version++;
    moved.updated_at++;
    return moved;
}

void assert_same_order(struct contract_shop *shop, const struct order *a, const struct order *b)
{
    assert_true(
        text_equal(record_pack_in(&order_record, a, &shop->arena), record_pack_in(&order_record, b, &shop->arena)));
}

struct order_entry entry_found(struct contract_shop *shop, struct text id)
{
    struct order_entry entry = {.kind = ORDER_VOID, .due = HOLDS_COMMIT_DUE};
    enum err e;
    do {
        e = order_store_find(shop->store, id, &shop->arena, &shop->fault, &entry);
    } while (asked_again(shop, e));
    assert_int_equal(e, ERR_NONE);
    return entry;
}

bool taken_by_order(struct contract_shop *shop, const struct order *order, const char *fingerprint)
{
    bool taken;
    assert_int_equal(order_store_place(shop->store, order, text_of(fingerprint), NULL, &shop->fault, &taken), ERR_NONE);
    return taken;
}

bool taken_by_tombstone(struct contract_shop *shop, struct text id, enum order_kind kind, enum holds_due due,
                               int64_t now_ms)
{
    struct order_entry tombstone = {.kind = kind, .due = due};
    bool taken;
    if (kind == ORDER_REFUSED) {
        tombstone.fingerprint = TEXT("f-refused");
        tombstone.answer = TEXT("\x81\xa1"
                                "a\x01");
    }
    assert_int_equal(order_store_refuse(shop->store, id, &tombstone, now_ms, &shop->fault, &taken), ERR_NONE);
    return taken;
}

uint32_t due_count(struct contract_shop *shop)
{
    struct due_list list;
    enum err e;
    do {
        e = order_store_due(shop->store, SETTLE_MAX, &shop->arena, &shop->fault, &list);
    } while (asked_again(shop, e));
    assert_int_equal(e, ERR_NONE);
    return list.count;
}

struct event_new event_made(const struct order *order, const char *id)
{
    return (struct event_new){.id = text_of(id),
                              .type = TEXT("order.placed"),
                              .subject = order->id,
                              .source = TEXT("order-svc"),
                              .time = order->updated_at};
}

void assert_events(struct contract_shop *shop, const struct order *order, const char *const *ids, uint32_t count)
{
    struct outbox_source *outbox = shop->store->outbox;
    struct outbox_page page = {0};
    shop_begin(shop);
    enum err e;
    do {
        e = outbox->ops->look(outbox, &shop->arena, &shop->fault, &page);
    } while (asked_again(shop, e));
    assert_int_equal(e, ERR_NONE);
    assert_int_equal(page.append.events.count, count);
    assert_false(page.more);
    for (uint32_t i = 0; i < count; i++) {
        assert_true(text_is(page.append.events.items[i].id, ids[i]));
        assert_true(text_equal(page.append.events.items[i].subject, order->id));
    }
    if (count > 0) {
        do {
            e = outbox->ops->clear(outbox, &page, &shop->fault);
        } while (asked_again(shop, e));
        assert_int_equal(e, ERR_NONE);
    }
    shop_commit(shop);
}
