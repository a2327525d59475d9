#include "tests/gateway/check.h"

#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "gateway/long_poll.h"
#include "lib/base/clock.h"

enum { LONG_MS = 20 * 1000, SHORT_MS = 20 };

struct waiter {
    struct long_polls *polls;
    struct long_poll poll;
    pthread_t thread;
    atomic_bool entered;
    bool woken;
};

static void *wait_run(void *argument)
{
    struct waiter *waiter = argument;
    assert_true(long_polls_enter(waiter->polls, &waiter->poll));
    atomic_store(&waiter->entered, true);
    waiter->woken = long_polls_wait(waiter->polls, &waiter->poll, LONG_MS);
    long_polls_leave(waiter->polls, &waiter->poll);
    return NULL;
}

static void waiter_start(struct waiter *waiter, struct long_polls *polls, const char *user, uint64_t types)
{
    struct timespec pause = {.tv_nsec = 1000000};
    *waiter = (struct waiter){.polls = polls,
                              .poll = {.user_id = text_of(user), .everybody = user[0] == '*', .types = types}};
    assert_int_equal(pthread_create(&waiter->thread, NULL, wait_run, waiter), 0);
    while (!atomic_load(&waiter->entered)) {
        nanosleep(&pause, NULL);
    }
}

static bool waiter_end(struct waiter *waiter)
{
    assert_int_equal(pthread_join(waiter->thread, NULL), 0);
    return waiter->woken;
}

static void events_wake_those_that_may_see_them(void **state)
{
    (void)state;
    struct metrics *metrics = metrics_new();
    struct long_polls *polls = long_polls_new(8, metrics);
    struct waiter ada, bob, admin, other;
    waiter_start(&ada, polls, "usr_ada", 3);
    waiter_start(&bob, polls, "usr_bob", 3);
    waiter_start(&admin, polls, "*", 3);
    waiter_start(&other, polls, "usr_ada", 4);
    long_polls_wake(polls, TEXT("usr_ada"), 1);
    assert_true(waiter_end(&ada));
    assert_true(waiter_end(&admin));
    struct metric *waiting = metrics_get(metrics, METRIC_GAUGE, "zmart_long_polls", "", "");
    assert_int_equal(metric_value(waiting), 2);
    long_polls_wake(polls, TEXT("usr_bob"), 2);
    assert_true(waiter_end(&bob));
    long_polls_wake(polls, TEXT(""), 7); /* for administrators only */
    assert_int_equal(metric_value(waiting), 1);
    long_polls_wake_all(polls);
    assert_true(waiter_end(&other));
    assert_int_equal(metric_value(waiting), 0);
    long_polls_destroy(&polls);
    metrics_destroy(&metrics);
}

static void what_comes_before_the_wait_is_not_lost(void **state)
{
    (void)state;
    struct metrics *metrics = metrics_new();
    struct long_polls *polls = long_polls_new(1, metrics);
    struct long_poll poll = {.user_id = TEXT("usr_a"), .types = 1}, second = {.everybody = true, .types = 1};
    assert_true(long_polls_enter(polls, &poll));
    assert_false(long_polls_enter(polls, &second)); /* one place only */
    long_polls_wake(polls, TEXT("usr_a"), 1);
    assert_true(long_polls_wait(polls, &poll, LONG_MS));
    int64_t begin_ms = clock_now_ms();
    assert_false(long_polls_wait(polls, &poll, SHORT_MS));
    assert_true(clock_now_ms() - begin_ms >= SHORT_MS - 1);
    assert_false(long_polls_wait(polls, &poll, -5));
    long_polls_leave(polls, &poll);
    assert_true(long_polls_enter(polls, &second));
    long_polls_leave(polls, &second);
    long_polls_destroy(&polls);
    metrics_destroy(&metrics);
}

static void a_drain_lets_go(void **state)
{
    (void)state;
    struct metrics *metrics = metrics_new();
    struct long_polls *polls = long_polls_new(2, metrics);
    struct waiter waiter;
    struct long_poll late = {.everybody = true, .types = 1};
    waiter_start(&waiter, polls, "usr_a", 1);
    long_polls_drain(polls);
    assert_false(waiter_end(&waiter));
    assert_false(long_polls_enter(polls, &late));
    long_polls_destroy(&polls);
    metrics_destroy(&metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_wake_those_that_may_see_them),
        cmocka_unit_test(what_comes_before_the_wait_is_not_lost),
        cmocka_unit_test(a_drain_lets_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
