#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/frame.h"
#include "proto/report.h"

static void a_registry_becomes_a_list(void **state)
{
    (void)state;
    AUTO(arena_release) struct arena arena = {0};
    AUTO(buffer_release) struct buffer packed;
    struct metrics *metrics = metrics_new();
    struct metric_list list;
    metric_add(metrics_get(metrics, METRIC_COUNTER, "zmart_a_total", "x=\"1\"", "A."), 3);
    metric_observe(metrics_get(metrics, METRIC_AMOUNT, "zmart_b", "", "B."), 2);
    buffer_init(&packed, 10000);
    assert_true(metric_list_pack(metrics, "me", &packed));
    assert_int_equal(record_unpack(&metric_list_record, buffer_text(&packed), &arena, NULL, &list), ERR_NONE);
    assert_true(text_is(list.instance, "me"));
    assert_int_equal(list.series.count, 2);
    assert_true(text_is(list.series.items[0].labels, "x=\"1\""));
    assert_int_equal(list.series.items[0].value, 3);
    assert_false(has(metric_series, &list.series.items[0], buckets));
    assert_true(text_is(list.series.items[1].buckets, "0 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0"));
    metrics_destroy(&metrics);
}

static void no_room_is_told(void **state)
{
    (void)state;
    AUTO(buffer_release) struct buffer packed;
    struct metrics *metrics = metrics_new();
    metric_add(metrics_get(metrics, METRIC_COUNTER, "zmart_a_total", "", "A."), 3);
    buffer_init(&packed, 20);
    assert_false(metric_list_pack(metrics, "me", &packed));
    metrics_destroy(&metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_registry_becomes_a_list), cmocka_unit_test(no_room_is_told)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
