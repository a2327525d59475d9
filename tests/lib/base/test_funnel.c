/* Many threads put, one polls and takes: nothing is lost, each thread's order is kept, the taker is always woken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>

#include "lib/base/funnel.h"

enum { THREADS = 4, ITEMS = 20000 };

struct item {
    struct funnel_link link; /* first, so that a link is its item */
    int thread, number;
};

struct putter {
    struct funnel *funnel;
    struct item *items;
    pthread_t thread;
};

static bool readable(struct funnel *funnel, int wait_ms)
{
    struct pollfd poll_fd = {.fd = funnel_fd(funnel), .events = POLLIN};
    return poll(&poll_fd, 1, wait_ms) == 1;
}

static void *put_all(void *argument)
{
    struct putter *putter = argument;
    for (int i = 0; i < ITEMS; i++) {
        funnel_put(putter->funnel, &putter->items[i].link);
    }
    return NULL;
}

static void test_order_and_emptiness(void **state)
{
    (void)state;
    struct funnel funnel;
    struct item items[3] = {{.number = 1}, {.number = 2}, {.number = 3}};
    funnel_init(&funnel);
    assert_null(funnel_take(&funnel, readable(&funnel, 0)));
    for (int i = 0; i < 3; i++) {
        funnel_put(&funnel, &items[i].link);
    }
    assert_true(readable(&funnel, 0));
    struct funnel_link *link = funnel_take(&funnel, true);
    for (int i = 0; i < 3; i++, link = link->next) {
        assert_ptr_equal(link, &items[i].link);
    }
    assert_null(link);
    assert_false(readable(&funnel, 0));
    funnel_wake(&funnel);
    assert_true(readable(&funnel, 0));
    assert_null(funnel_take(&funnel, true));
    assert_false(readable(&funnel, 0));
    /* a take that nobody announced leaves a wake-up behind, and no more than that */
    funnel_put(&funnel, &items[0].link);
    assert_non_null(funnel_take(&funnel, false));
    assert_true(readable(&funnel, 0));
    assert_null(funnel_take(&funnel, true));
    assert_false(readable(&funnel, 0));
    funnel_release(&funnel);
}

static void test_many_threads(void **state)
{
    (void)state;
    struct funnel funnel;
    struct putter putters[THREADS];
    int next[THREADS] = {0};
    funnel_init(&funnel);
    for (int t = 0; t < THREADS; t++) {
        putters[t] = (struct putter){.funnel = &funnel, .items = calloc(ITEMS, sizeof(struct item))};
        for (int i = 0; i < ITEMS; i++) {
            putters[t].items[i].thread = t;
            putters[t].items[i].number = i;
        }
        assert_int_equal(pthread_create(&putters[t].thread, NULL, put_all, &putters[t]), 0);
    }
    for (int taken = 0; taken < THREADS * ITEMS;) {
        assert_true(readable(&funnel, 30000)); /* a lost wake-up would wait here for ever */
        for (struct funnel_link *link = funnel_take(&funnel, true); link; link = link->next, taken++) {
            struct item *item = (struct item *)link;
            assert_int_equal(item->number, next[item->thread]++);
        }
    }
    for (int t = 0; t < THREADS; t++) {
        pthread_join(putters[t].thread, NULL);
        free(putters[t].items);
    }
    funnel_release(&funnel);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_order_and_emptiness), cmocka_unit_test(test_many_threads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
