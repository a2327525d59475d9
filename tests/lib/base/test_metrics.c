#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>

#include "lib/base/metrics.h"

static void the_same_name_and_labels_are_the_same_metric(void **state)
{
    (void)state;
    struct metrics *metrics = metrics_new();
    struct metric *a = metrics_get(metrics, METRIC_COUNTER, "zmart_a_total", "route=\"x\"", "Help.");
    assert_ptr_equal(metrics_get(metrics, METRIC_COUNTER, "zmart_a_total", "route=\"x\"", "Help."), a);
    assert_ptr_not_equal(metrics_get(metrics, METRIC_COUNTER, "zmart_a_total", "route=\"y\"", "Help."), a);
    assert_ptr_not_equal(metrics_get(metrics, METRIC_COUNTER, "zmart_b_total", "route=\"x\"", "Help."), a);
    assert_ptr_equal(metrics_get(metrics, METRIC_GAUGE, "zmart_c", NULL, "Help."),
                     metrics_get(metrics, METRIC_GAUGE, "zmart_c", "", "Help."));
    metric_add(a, 3);
    metric_add(a, 4);
    assert_int_equal(metric_value(a), 7);
    metric_set(a, -1);
    assert_int_equal(metric_value(a), -1);
    metrics_destroy(&metrics);
    assert_null(metrics);
    metrics_destroy(&metrics);
}

static void observations_fall_into_buckets(void **state)
{
    (void)state;
    struct metrics *metrics = metrics_new();
    struct metric *times = metrics_get(metrics, METRIC_TIME, "zmart_t_seconds", "", "Help.");
    struct metric *amounts = metrics_get(metrics, METRIC_AMOUNT, "zmart_n", "", "Help.");
    for (int i = 0; i < METRIC_BUCKET_COUNT - 1; i++) {
        metric_observe(times, metric_bucket_us[i]);
        metric_observe(times, metric_bucket_us[i] + 1);
    }
    assert_int_equal(atomic_load(&times->buckets[0]), 1);
    for (int i = 1; i < METRIC_BUCKET_COUNT - 1; i++) {
        assert_int_equal(atomic_load(&times->buckets[i]), 2);
    }
    assert_int_equal(atomic_load(&times->buckets[METRIC_BUCKET_COUNT - 1]), 1);
    metric_observe(amounts, 0);
    metric_observe(amounts, 1000000);
    assert_int_equal(atomic_load(&amounts->buckets[0]), 1);
    assert_int_equal(atomic_load(&amounts->buckets[METRIC_BUCKET_COUNT - 1]), 1);
    assert_int_equal(metric_value(amounts), 1000000);
    metrics_destroy(&metrics);
}

static void too_many_series_share_one(void **state)
{
    (void)state;
    struct metrics *metrics = metrics_new();
    struct metric *last = NULL;
    char labels[32];
    for (int i = 0; i < METRIC_MAX_COUNT + 10; i++) {
        snprintf(labels, sizeof labels, "n=\"%d\"", i);
        struct metric *metric = metrics_get(metrics, METRIC_COUNTER, "zmart_many_total", labels, "Help.");
        assert_non_null(metric);
        assert_int_equal(metric == last, i >= METRIC_MAX_COUNT);
        last = metric;
    }
    assert_string_equal(last->name, "zmart_metrics_overflow");
    metrics_destroy(&metrics);
}

struct seen {
    int count;
    const char *names[16];
};

static void see(struct metric *metric, void *user)
{
    struct seen *seen = user;
    seen->names[seen->count++] = metric->name;
}

static void series_of_one_name_come_together(void **state)
{
    (void)state;
    struct metrics *metrics = metrics_new();
    struct seen seen = {0};
    metrics_get(metrics, METRIC_COUNTER, "zmart_a_total", "n=\"1\"", "Help.");
    metrics_get(metrics, METRIC_COUNTER, "zmart_b_total", "", "Help.");
    metrics_get(metrics, METRIC_COUNTER, "zmart_a_total", "n=\"2\"", "Help.");
    metrics_get(metrics, METRIC_COUNTER, "zmart_b_total", "n=\"2\"", "Help.");
    metrics_each(metrics, see, &seen);
    assert_int_equal(seen.count, 4);
    assert_string_equal(seen.names[0], "zmart_a_total");
    assert_string_equal(seen.names[1], "zmart_a_total");
    assert_string_equal(seen.names[2], "zmart_b_total");
    assert_string_equal(seen.names[3], "zmart_b_total");
    metrics_destroy(&metrics);
}

static void *count_up(void *argument)
{
    for (int i = 0; i < 20000; i++) {
        metric_add(metrics_get(argument, METRIC_COUNTER, "zmart_shared_total", i % 2 ? "n=\"1\"" : "", "Help."), 1);
    }
    return NULL;
}

static void threads_share_a_registry(void **state)
{
    (void)state;
    struct metrics *metrics = metrics_new();
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, metrics), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(metric_value(metrics_get(metrics, METRIC_COUNTER, "zmart_shared_total", "", "Help.")), 40000);
    metrics_destroy(&metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_name_and_labels_are_the_same_metric),
        cmocka_unit_test(observations_fall_into_buckets),
        cmocka_unit_test(too_many_series_share_one),
        cmocka_unit_test(series_of_one_name_come_together),
        cmocka_unit_test(threads_share_a_registry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
