#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "lib/base/mem.h"
#include "lib/bus/breakers.h"

static const struct breaker_settings settings = {
    .percent = 50, .window_ms = 1000, .least_count = 2, .patience_ms = 1, .open_ms = 100, .probe_count = 1};

static int64_t value(struct metrics *metrics, enum metric_kind kind, const char *name, const char *labels)
{
    return metric_value(metrics_get(metrics, kind, name, labels, ""));
}

static void each_service_has_its_own(void **state)
{
    (void)state;
    struct metrics *metrics = metrics_new();
    struct breakers *breakers = mem_alloc(sizeof *breakers);
    uint32_t probe;
    breakers_init(breakers, &settings, metrics);
    struct breaker_line *order = breakers_find(breakers, TEXT("order.create"), 0);
    struct breaker_line *product = breakers_find(breakers, TEXT("product.get#prd_1"), 0);
    assert_true(order && product && order != product);
    assert_ptr_equal(breakers_find(breakers, TEXT("order.list"), 0), order);
    assert_null(breakers_find(breakers, TEXT("mmi.queues"), 0));
    assert_null(breakers_find(breakers, TEXT("nonsense"), 0));
    for (int64_t now_ms = 0; now_ms < 3; now_ms++) {
        assert_true(breakers_enter(breakers, order, now_ms, &probe));
        breakers_leave(breakers, order, probe, BREAKER_BAD, now_ms);
    }
    assert_false(breakers_enter(breakers, order, 4, &probe));
    assert_true(breakers_enter(breakers, product, 4, &probe));
    assert_int_equal(value(metrics, METRIC_GAUGE, "zmart_breaker_state", "service=\"order\""), BREAKER_OPEN);
    assert_int_equal(value(metrics, METRIC_GAUGE, "zmart_breaker_state", "service=\"product\""), BREAKER_CLOSED);
    assert_int_equal(value(metrics, METRIC_COUNTER, "zmart_breaker_rejected_total", "service=\"order\""), 1);
    assert_true(breakers_enter(breakers, order, 200, &probe));
    breakers_leave(breakers, order, probe, BREAKER_GOOD, 200);
    static const char *const states[] = {"open", "half_open", "closed"};
    for (size_t i = 0; i < ARRAY_COUNT(states); i++) {
        char labels[80];
        snprintf(labels, sizeof labels, "service=\"order\",to=\"%s\"", states[i]);
        assert_int_equal(value(metrics, METRIC_COUNTER, "zmart_breaker_transitions_total", labels), 1);
    }
    mem_free(breakers);
    metrics_destroy(&metrics);
}

static void none_and_too_many(void **state)
{
    (void)state;
    struct metrics *metrics = metrics_new();
    struct breakers *breakers = mem_alloc(sizeof *breakers);
    char route[40];
    breakers_init(breakers, &(struct breaker_settings){.percent = 0}, metrics);
    assert_null(breakers_find(breakers, TEXT("order.create"), 0));
    breakers_init(breakers, &settings, metrics);
    for (int i = 0; i < BREAKERS_MAX + 1; i++) {
        snprintf(route, sizeof route, "s%d.x", i);
        assert_int_equal(breakers_find(breakers, text_of(route), 0) != NULL, i < BREAKERS_MAX);
    }
    assert_null(breakers_find(breakers, TEXT("a123456789b123456789c123456789d123456789e123456789.x"), 0));
    mem_free(breakers);
    metrics_destroy(&metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_service_has_its_own), cmocka_unit_test(none_and_too_many)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
