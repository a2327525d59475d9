#include "tests/gateway/check.h"

#include "gateway/metrics_text.h"

static void test_one_family_from_two_processes(void **state)
{
    struct arena arena = {0};
    struct metrics *mine = metrics_new(), *theirs = metrics_new();
    struct metric_list lists[2];
    struct buffer out;
    (void)state;
    metric_add(metrics_get(mine, METRIC_COUNTER, "zmart_a_total", "x=\"1\"", "As."), 2);
    struct metric *seconds = metrics_get(mine, METRIC_TIME, "zmart_b_seconds", "", "Bs.");
    metric_observe(seconds, 100);
    metric_observe(seconds, 2000);
    metric_observe(seconds, 99000000);
    metric_add(metrics_get(theirs, METRIC_COUNTER, "zmart_a_total", "", "As."), 3);
    metric_set(metrics_get(theirs, METRIC_GAUGE, "zmart_c", "", "Cs."), -4);
    metrics_list_of(mine, "gateway-1", &arena, &lists[0]);
    metrics_list_of(theirs, "a\"b", &arena, &lists[1]);
    buffer_init(&out, 100000);
    assert_true(metrics_write(lists, 2, &arena, &out));
    (void)buffer_add_char(&out, '\0');
    assert_non_null(strstr(out.data, "# HELP zmart_a_total As.\n# TYPE zmart_a_total counter\n"
                                     "zmart_a_total{instance=\"gateway-1\",x=\"1\"} 2\n"
                                     "zmart_a_total{instance=\"a\\\"b\"} 3\n"));
    assert_non_null(strstr(out.data, "# TYPE zmart_b_seconds histogram\n"
                                     "zmart_b_seconds_bucket{instance=\"gateway-1\",le=\"0.0001\"} 1\n"));
    assert_non_null(strstr(out.data, "zmart_b_seconds_bucket{instance=\"gateway-1\",le=\"0.0025\"} 2\n"));
    assert_non_null(strstr(out.data, "zmart_b_seconds_bucket{instance=\"gateway-1\",le=\"10\"} 2\n"));
    assert_non_null(strstr(out.data, "zmart_b_seconds_bucket{instance=\"gateway-1\",le=\"+Inf\"} 3\n"
                                     "zmart_b_seconds_count{instance=\"gateway-1\"} 3\n"
                                     "zmart_b_seconds_sum{instance=\"gateway-1\"} 99.002100\n"));
    assert_non_null(strstr(out.data, "zmart_c{instance=\"a\\\"b\"} -4\n"));
    /* once each */
    assert_null(strstr(strstr(out.data, "# TYPE zmart_a_total") + 1, "# TYPE zmart_a_total"));
    buffer_release(&out);
    metrics_destroy(&mine);
    metrics_destroy(&theirs);
    arena_release(&arena);
}

static void test_other_kinds_of_one_name_are_left_out(void **state)
{
    struct arena arena = {0};
    struct metrics *mine = metrics_new(), *theirs = metrics_new();
    struct metric_list lists[2];
    struct buffer out;
    (void)state;
    metric_add(metrics_get(mine, METRIC_COUNTER, "zmart_a_total", "", "As."), 2);
    metric_set(metrics_get(theirs, METRIC_GAUGE, "zmart_a_total", "", "As."), 9);
    metrics_list_of(mine, "m", &arena, &lists[0]);
    metrics_list_of(theirs, "t", &arena, &lists[1]);
    buffer_init(&out, 100000);
    assert_true(metrics_write(lists, 2, &arena, &out));
    (void)buffer_add_char(&out, '\0');
    assert_null(strstr(out.data, "instance=\"t\""));
    buffer_release(&out);
    metrics_destroy(&mine);
    metrics_destroy(&theirs);
    arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_family_from_two_processes),
        cmocka_unit_test(test_other_kinds_of_one_name_are_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
