/* Promises about events: each lies beside its cause, once, and the last stock is always told. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/contract/contract_product.h"

enum { TOLD_MAX = 2000, LOW = 5 };

/* What was handed over, in order. */
struct told {
    struct event_new *events;
    uint32_t count;
};

/* Everything that waits, which is then cleared. */
static struct told hand_over(struct shop *shop)
{
    struct told told = {.events = arena_alloc(&shop->arena, TOLD_MAX * sizeof *told.events)};
    struct outbox_source *outbox = shop->store->outbox;
    struct outbox_page page;
    do {
        page = (struct outbox_page){0};
        assert_int_equal(outbox->ops->look(outbox, &shop->arena, &shop->fault, &page), ERR_NONE);
        for (uint32_t i = 0; i < page.append.events.count; i++) {
            assert_true(told.count < TOLD_MAX);
            told.events[told.count++] = page.append.events.items[i];
        }
        if (page.append.events.count > 0) {
            assert_int_equal(outbox->ops->clear(outbox, &page, &shop->fault), ERR_NONE);
        }
    } while (page.append.events.count > 0);
    for (uint32_t i = 0; i < told.count; i++) {
        for (uint32_t j = 0; j < i; j++) {
            assert_false(text_equal(told.events[i].id, told.events[j].id));
        }
    }
    return told;
}

static struct product_event payload(struct shop *shop, const struct event_new *event)
{
    struct product_event out;
    assert_true(has(event_new, event, data));
    assert_int_equal(record_unpack(&product_event_record, event->data, &shop->arena, &shop->fault, &out), ERR_NONE);
    assert_true(text_equal(out.product_id, event->subject));
    return out;
}

/* Hands over what waits: these types, one after the other, separated by blanks. */
static struct told assert_told(struct shop *shop, const char *types)
{
    char got[512] = "";
    struct told told = hand_over(shop);
    for (uint32_t i = 0; i < told.count; i++) {
        size_t size = strlen(got);
        snprintf(got + size, sizeof got - size, "%s%.*s", i ? " " : "", TEXT_ARG(told.events[i].type));
    }
    assert_string_equal(got, types);
    return told;
}

static bool tell(struct shop *shop)
{
    bool more = false;
    assert_int_equal(shop_tell(shop, &more), ERR_NONE);
    return more;
}

static void set_stock(struct shop *shop, struct text id, int64_t stock)
{
    struct product out;
    struct request request = shop_request(shop, false);
    struct product_edit edit = {.id = id, .stock = stock};
    set_has(product_edit, &edit, stock);
    assert_int_equal(shop_edit(shop, &request, &edit, NULL, &out), ERR_NONE);
}

static enum err buy(struct shop *shop, const char *order_id, struct text product_id, int64_t quantity)
{
    struct product_reserved out = {0};
    struct reserve_line line = {.product_id = product_id, .quantity = quantity};
    struct product_reserve in = {.order_id = text_of(order_id), .fingerprint = TEXT("f"), .lines = {&line, 1}};
    return shop_reserve(shop, &in, &out);
}

static void edits_are_told_with_what_they_did(void **state)
{
    struct shop *shop = *state;
    struct product out, product = shop_product(shop, 1), rival = shop_product(shop, 2);
    struct request made = shop_request(shop, true), renamed = shop_request(shop, false),
                   refused = shop_request(shop, false);
    shop->low_stock = LOW;
    shop->traceparent = TEXT("00-1-2-01");
    assert_int_equal(shop_insert(shop, &made, &product, &out), ERR_NONE);
    assert_int_equal(shop_insert(shop, &made, &product, &out), ERR_NONE); /* sent again: nothing is told again */
    struct told told = assert_told(shop, "product.created");
    struct product_event event = payload(shop, &told.events[0]);
    assert_true(text_equal(event.sku, product.sku) && text_is(event.currency, "USD") && event.active);
    assert_true(event.price == 1000 && event.stock == 10 && event.version == 1);
    assert_true(text_is(told.events[0].source, "product-svc") && text_is(told.events[0].traceparent, "00-1-2-01"));
    assert_int_equal(told.events[0].time, shop->now_ms);
    assert_false(has(event_new, &told.events[0], user_id));

    struct product_edit edit = {.id = product.id, .name = TEXT("Renamed"), .price = 20000};
    set_has(product_edit, &edit, name), set_has(product_edit, &edit, price);
    assert_int_equal(shop_edit(shop, &renamed, &edit, NULL, &out), ERR_NONE);
    assert_int_equal(shop_edit(shop, &renamed, &edit, NULL, &out), ERR_NONE);
    told = assert_told(shop, "product.updated");
    event = payload(shop, &told.events[0]);
    assert_true(event.price == 200 && event.version == 2);
    shop_add(shop, &rival);
    assert_told(shop, "product.created");
    edit = (struct product_edit){.id = product.id, .sku = rival.sku};
    set_has(product_edit, &edit, sku);
    assert_int_equal(shop_edit(shop, &refused, &edit, NULL, &out), ERR_SKU_TAKEN);
    assert_told(shop, "");
    assert_false(tell(shop)); /* no stock has changed */
    assert_told(shop, "");
}

static void retiring_is_the_last_that_is_told(void **state)
{
    struct shop *shop = *state;
    struct product product = shop_product(shop, 1);
    struct request removal = shop_request(shop, false);
    shop->low_stock = LOW;
    shop_add(shop, &product);
    assert_int_equal(buy(shop, "ord_1", product.id, 10), ERR_NONE);
    assert_told(shop, "product.created product.low_stock");
    assert_int_equal(shop_retire(shop, &removal, product.id, NULL), ERR_NONE);
    assert_int_equal(shop_retire(shop, &removal, product.id, NULL), ERR_NONE);
    assert_told(shop, "product.retired");
    assert_int_equal(shop_settle(shop, TEXT("ord_1"), HOLD_RELEASE, NULL), ERR_NONE);
    assert_false(tell(shop));
    assert_told(shop, ""); /* what comes back to a retired product is nobody's news */
}

static void levels_are_told_when_they_are_crossed(void **state)
{
    struct shop *shop = *state;
    struct product product = shop_product(shop, 1);
    shop->low_stock = LOW;
    shop_add(shop, &product);
    assert_int_equal(buy(shop, "ord_1", product.id, 4), ERR_NONE);
    assert_told(shop, "product.created");
    assert_int_equal(buy(shop, "ord_2", product.id, 1), ERR_NONE); /* 5 */
    assert_int_equal(buy(shop, "ord_2", product.id, 1), ERR_NONE); /* sent again */
    struct told told = assert_told(shop, "product.low_stock");
    assert_int_equal(payload(shop, &told.events[0]).stock, 5);
    assert_int_equal(buy(shop, "ord_3", product.id, 6), ERR_OUT_OF_STOCK);
    assert_int_equal(buy(shop, "ord_3", product.id, 5), ERR_NONE); /* 0: lower, but low already */
    assert_told(shop, "");
    assert_int_equal(shop_settle(shop, TEXT("ord_1"), HOLD_RELEASE, NULL), ERR_NONE); /* 4 */
    told = assert_told(shop, "product.back_in_stock");
    assert_int_equal(payload(shop, &told.events[0]).stock, 4);
    set_stock(shop, product.id, 100);
    assert_told(shop, "product.updated");
    set_stock(shop, product.id, 2);
    assert_told(shop, "product.updated product.low_stock");
    set_stock(shop, product.id, 0);
    set_stock(shop, product.id, 50);
    assert_told(shop, "product.updated product.updated product.back_in_stock");
    shop->low_stock = 0; /* nothing is low */
    set_stock(shop, product.id, 0);
    assert_told(shop, "product.updated");
}

static void many_changes_are_told_as_one(void **state)
{
    struct shop *shop = *state;
    char order[24];
    struct product product = shop_product(shop, 1), other = shop_product(shop, 2);
    shop_add(shop, &product);
    shop_add(shop, &other);
    hand_over(shop);
    for (int i = 0; i < 7; i++) {
        snprintf(order, sizeof order, "ord_%d", i);
        assert_int_equal(buy(shop, order, product.id, 1), ERR_NONE);
    }
    assert_told(shop, "");
    assert_false(tell(shop));
    struct told told = assert_told(shop, "product.stock_changed"), again;
    assert_int_equal(payload(shop, &told.events[0]).stock, 3);
    assert_true(text_equal(told.events[0].subject, product.id));
    assert_false(tell(shop));
    assert_told(shop, "");
    shop_reopen(shop);
    assert_int_equal(shop_settle(shop, TEXT("ord_0"), HOLD_RELEASE, NULL), ERR_NONE);
    shop_reopen(shop); /* what is not told yet is not forgotten */
    assert_false(tell(shop));
    again = assert_told(shop, "product.stock_changed");
    assert_int_equal(payload(shop, &again.events[0]).stock, 4);
    assert_false(text_equal(told.events[0].id, again.events[0].id));
    set_stock(shop, product.id, 4); /* the same number is no change */
    assert_false(tell(shop));
    assert_told(shop, "product.updated");
    set_stock(shop, product.id, 9);
    assert_false(tell(shop));
    assert_told(shop, "product.updated product.stock_changed");
}

static void many_products_are_told_in_bounded_steps(void **state)
{
    struct shop *shop = *state;
    enum { GOODS = PRODUCT_TELL_MAX + 5 };
    shop_batch_begin(shop);
    for (int i = 0; i < GOODS; i++) {
        char order[24];
        struct product product = shop_product(shop, i);
        shop_add(shop, &product);
        snprintf(order, sizeof order, "ord_%d", i);
        assert_int_equal(buy(shop, order, product.id, 1), ERR_NONE);
    }
    assert_true(shop_batch_end(shop, true));
    assert_int_equal(hand_over(shop).count, GOODS);
    assert_true(tell(shop));
    assert_int_equal(hand_over(shop).count, PRODUCT_TELL_MAX);
    assert_false(tell(shop));
    assert_int_equal(hand_over(shop).count, GOODS - PRODUCT_TELL_MAX);
}

/* What is lost with its batch is not told; on stores without batches nothing is lost. */
static void what_did_not_happen_is_not_told(void **state)
{
    struct shop *shop = *state;
    struct product product = shop_product(shop, 1);
    shop->low_stock = LOW;
    shop_add(shop, &product);
    hand_over(shop);
    shop_batch_begin(shop);
    assert_int_equal(buy(shop, "ord_1", product.id, 8), ERR_NONE);
    bool kept = shop_batch_end(shop, false);
    assert_told(shop, kept ? "product.low_stock" : "");
    assert_false(tell(shop));
    assert_told(shop, kept ? "product.stock_changed" : "");
}

/* ---- at random ---- */

enum { GOODS = 3, ORDERS = 40, STEPS = 1500, STEPS_REMOTE = 300, STOCK_TOP = 12 };

struct crossings {
    int64_t stock[GOODS];
    uint32_t low, back;
};

static void crossings_add(struct crossings *crossings, int good, int64_t stock)
{
    int64_t before = crossings->stock[good];
    crossings->low += before > LOW && stock <= LOW;
    crossings->back += before == 0 && stock > 0;
    crossings->stock[good] = stock;
}

static void random_step(struct shop *shop, uint64_t *random, struct text *ids, int *round)
{
    char order[32];
    int good = (int)random_below(random, GOODS);
    snprintf(order, sizeof order, "ord_%d_%d", *round, (int)random_below(random, ORDERS));
    switch (random_below(random, 8)) {
    case 0:
    case 1:
    case 2:
    case 3: (void)buy(shop, order, ids[good], 1 + random_below(random, 3)); break;
    case 4:
    case 5: assert_int_equal(shop_settle(shop, text_of(order), HOLD_RELEASE, NULL), ERR_NONE); break;
    case 6: set_stock(shop, ids[good], random_below(random, STOCK_TOP)); break;
    default: ++*round; break;
    }
}

static void the_last_stock_is_always_told(void **state)
{
    struct shop *shop = *state;
    uint64_t random = 0x1234567;
    struct crossings crossings = {0};
    struct text ids[GOODS];
    int64_t told_stock[GOODS];
    uint32_t low = 0, back = 0;
    int round = 0;
    shop->low_stock = LOW;
    for (int i = 0; i < GOODS; i++) {
        struct product product = shop_product(shop, i);
        shop_add(shop, &product);
        ids[i] = product.id;
        crossings.stock[i] = told_stock[i] = product.stock;
    }
    int steps = shop->place->is_remote ? STEPS_REMOTE : STEPS;
    for (int step = 0; step < steps; step++) {
        random_step(shop, &random, ids, &round);
        for (int i = 0; i < GOODS; i++) {
            crossings_add(&crossings, i, shop_stock(shop, ids[i]));
        }
        if (random_below(&random, 10) > 0) {
            continue;
        }
        tell(shop);
        struct told told = hand_over(shop);
        for (uint32_t i = 0; i < told.count; i++) {
            low += text_is(told.events[i].type, "product.low_stock");
            back += text_is(told.events[i].type, "product.back_in_stock");
            for (int good = 0; good < GOODS && text_is(told.events[i].type, "product.stock_changed"); good++) {
                told_stock[good] = text_equal(told.events[i].subject, ids[good])
                                       ? payload(shop, &told.events[i]).stock
                                       : told_stock[good];
            }
        }
        assert_memory_equal(told_stock, crossings.stock, sizeof told_stock);
        assert_int_equal(low, crossings.low);
        assert_int_equal(back, crossings.back);
    }
    assert_true(low > 3 && back > 3);
}

int contract_product_news(const struct contract_place *place)
{
    const struct CMUnitTest news[] = {
        SHOP_TEST(edits_are_told_with_what_they_did),
        SHOP_TEST(retiring_is_the_last_that_is_told),
        SHOP_TEST(levels_are_told_when_they_are_crossed),
        SHOP_TEST(many_changes_are_told_as_one),
        SHOP_TEST(many_products_are_told_in_bounded_steps),
        SHOP_TEST(what_did_not_happen_is_not_told),
        SHOP_TEST(the_last_stock_is_always_told),
    };
    return cmocka_run_group_tests(news, NULL, NULL);
}
