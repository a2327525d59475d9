#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/bus/service_parts.h"

static void test_snapshot(void **state)
{
    (void)state;
    AUTO(arena_release) struct arena arena = {0};
    struct metrics *metrics = metrics_new();
    struct metric_list list;
    metric_add(metrics_get(metrics, METRIC_COUNTER, "zmart_a_total", "x=\"1\"", "A."), 3);
    metric_observe(metrics_get(metrics, METRIC_AMOUNT, "zmart_b", "", "B."), 2);
    struct text packed = metrics_pack(metrics, "me", &arena);
    assert_int_equal(record_unpack(&metric_list_record, packed, &arena, NULL, &list), ERR_NONE);
    assert_true(text_is(list.instance, "me"));
    assert_int_equal(list.series.count, 2);
    assert_true(text_is(list.series.items[0].labels, "x=\"1\""));
    assert_int_equal(list.series.items[0].value, 3);
    assert_false(has(metric_series, &list.series.items[0], buckets));
    assert_true(text_is(list.series.items[1].buckets, "0 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0"));
    metrics_destroy(&metrics);
}

static void test_full_registry(void **state)
{
    (void)state;
    AUTO(arena_release) struct arena arena = {0};
    struct metrics *metrics = metrics_new();
    struct metric_list list;
    char labels[40];
    for (int i = 0; i < METRIC_MAX_COUNT + 5; i++) {
        snprintf(labels, sizeof labels, "i=\"%d\"", i);
        metric_observe(metrics_get(metrics, METRIC_TIME, "zmart_t_seconds", labels, "T."), INT64_MAX / 1000);
    }
    struct text packed = metrics_pack(metrics, "me", &arena);
    assert_int_equal(record_unpack(&metric_list_record, packed, &arena, NULL, &list), ERR_NONE);
    assert_int_equal(list.series.count, METRIC_MAX_COUNT);
    metrics_destroy(&metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_snapshot), cmocka_unit_test(test_full_registry)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
