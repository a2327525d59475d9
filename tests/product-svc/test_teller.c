/* From sales to the log: a busy product has few events, and the last says what is left. */
#include "tests/product-svc/world.h"

#include <stdio.h>

#include "lib/base/clock.h"
#include "proto/event.h"

enum { PATIENCE_MS = 20000, STOCK = 60 };

static void buy_one(struct world *world, struct text product_id, int number)
{
    char order[32];
    struct caller one = admin();
    struct product_reserved out = {0};
    struct reserve_line line = {.product_id = product_id, .quantity = 1};
    struct product_reserve in = {.fingerprint = TEXT("f"), .lines = {&line, 1}};
    snprintf(order, sizeof order, "ord_%d", number);
    in.order_id = text_of(order);
    assert_int_equal(ask(world, &one, OP_product_reserve, &in, &out), ERR_NONE);
}

/* The log, from its start. */
static struct event_page log_of(struct world *world)
{
    struct caller one = admin();
    struct event_page page = {0};
    struct event_replay replay = {.limit = EVENT_BATCH_MAX};
    set_has(event_replay, &replay, limit);
    assert_int_equal(ask(world, &one, OP_event_replay, &replay, &page), ERR_NONE);
    return page;
}

/* Events of this type; *out_last is the last one's payload. */
static uint32_t count_of(struct world *world, const struct event_page *page, const char *type,
                         struct product_event *out_last)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < page->data.count; i++) {
        if (text_is(page->data.items[i].type, type)) {
            count++;
            assert_int_equal(record_unpack(&product_event_record, page->data.items[i].data, &world->arena,
                                           &world->fault, out_last),
                             ERR_NONE);
        }
    }
    return count;
}

static void sales_reach_the_log(void **state)
{
    struct world *world = *state;
    struct product_event last = {.stock = -1};
    struct event_page page;
    struct product product = made(world, "Chair", STOCK);
    for (int i = 0; i < STOCK; i++) {
        buy_one(world, product.id, i);
    }
    int64_t until_ms = clock_now_ms() + PATIENCE_MS;
    do {
        assert_true(clock_now_ms() < until_ms);
        page = log_of(world);
        (void)count_of(world, &page, "product.stock_changed", &last);
    } while (last.stock != 0);
    uint32_t changes = count_of(world, &page, "product.stock_changed", &last);
    assert_true(changes >= 1 && changes <= STOCK);
    assert_int_equal(count_of(world, &page, "product.created", &last), 1);
    assert_int_equal(count_of(world, &page, "product.low_stock", &last), 1);
    assert_int_equal(last.stock, 5); /* the default level */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sales_reach_the_log, world_make_with_products, world_drop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
