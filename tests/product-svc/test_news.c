/* Events and their names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "product-svc/news.h"

static const struct product chair = {.id = {"prd_1", 5},
                                     .name = {"Chair", 5},
                                     .sku = {"C-1", 3},
                                     .currency = {"USD", 3},
                                     .price = 2999,
                                     .stock = 7,
                                     .active = true,
                                     .version = 3};

static void ids_follow_from_the_cause(void **state)
{
    (void)state;
    AUTO(arena_release) struct arena arena = {0};
    struct product_act act = {.arena = &arena, .now_ms = 5}, later = {.arena = &arena, .now_ms = 6};
    struct product next = chair;
    struct event_new first, again, other;
    next.version++;
    product_news_make(&act, EVENT_PRODUCT_UPDATED, &chair, &first);
    product_news_make(&later, EVENT_PRODUCT_UPDATED, &chair, &again);
    assert_true(text_equal(first.id, again.id));
    product_news_make(&act, EVENT_PRODUCT_UPDATED, &next, &other);
    assert_false(text_equal(first.id, other.id));
    product_news_make(&act, EVENT_PRODUCT_RETIRED, &chair, &other);
    assert_false(text_equal(first.id, other.id));
    stock_news_make(&act, EVENT_PRODUCT_STOCK_CHANGED, &chair, 3, &first);
    stock_news_make(&act, EVENT_PRODUCT_STOCK_CHANGED, &next, 3, &again);
    assert_true(text_equal(first.id, again.id)); /* the count names it */
    stock_news_make(&act, EVENT_PRODUCT_STOCK_CHANGED, &chair, 4, &other);
    assert_false(text_equal(first.id, other.id));
    stock_news_make(&act, EVENT_PRODUCT_LOW_STOCK, &chair, 3, &other);
    assert_false(text_equal(first.id, other.id));
}

static void an_event_shows_the_product(void **state)
{
    (void)state;
    AUTO(arena_release) struct arena arena = {0};
    struct fault fault;
    struct product_act act = {.arena = &arena, .now_ms = 5, .traceparent = TEXT("00-1")};
    struct product much = chair;
    struct event_new event;
    struct product_event shown;
    fault_init(&fault, &arena);
    much.stock = INT64_C(2) * STOCK_MAX; /* counted, not told */
    stock_news_make(&act, EVENT_PRODUCT_STOCK_CHANGED, &much, 1, &event);
    assert_true(text_is(event.type, "product.stock_changed") && text_is(event.subject, "prd_1") && event.time == 5);
    assert_true(has(event_new, &event, traceparent) && !has(event_new, &event, user_id));
    assert_false(has(event_new, &event, private_data)); /* everybody sees the same */
    assert_ptr_equal(event_find(event.type)->payload, &product_event_record);
    assert_int_equal(record_unpack(&product_event_record, event.data, &arena, &fault, &shown), ERR_NONE);
    assert_true(shown.stock == STOCK_MAX && shown.price == 2999 && shown.version == 3 && shown.active);
    assert_true(text_is(shown.sku, "C-1") && text_is(shown.currency, "USD") && text_is(shown.product_id, "prd_1"));
    act.traceparent = (struct text){0};
    stock_news_make(&act, EVENT_PRODUCT_STOCK_CHANGED, &much, 1, &event);
    assert_false(has(event_new, &event, traceparent));
}

static void crossing_a_level_is_due(void **state)
{
    (void)state;
    struct product_act act = {.low_stock = 5};
    enum event_type type = EVENT_COUNT;
    assert_true(stock_news_due(&act, 6, 5, &type));
    assert_int_equal(type, EVENT_PRODUCT_LOW_STOCK);
    assert_true(stock_news_due(&act, 0, 5, &type));
    assert_int_equal(type, EVENT_PRODUCT_BACK_IN_STOCK);
    assert_false(stock_news_due(&act, 5, 4, &type));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_follow_from_the_cause),
        cmocka_unit_test(an_event_shows_the_product),
        cmocka_unit_test(crossing_a_level_is_due),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
