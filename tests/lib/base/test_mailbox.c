#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

#include "lib/base/clock.h"
#include "lib/base/mailbox.h"
#include "lib/base/mem.h"

static void *item(intptr_t n)
{
    return (void *)n;
}

static bool readable(struct mailbox *box, int wait_ms)
{
    struct pollfd fd = {.fd = mailbox_fd(box), .events = POLLIN};
    return poll(&fd, 1, wait_ms) == 1;
}

static void items_come_in_order_and_no_more_than_fit(void **state)
{
    (void)state;
    struct mailbox *box = mailbox_new(3);
    void *out[5];
    for (int round = 0; round < 10; round++) {
        assert_true(mailbox_put(box, item(1)) && mailbox_put(box, item(2)) && mailbox_put(box, item(3)));
        assert_false(mailbox_put(box, item(4)));
        assert_int_equal(mailbox_count(box), 3);
        assert_int_equal(mailbox_take(box, out, 2, 0), 2);
        assert_ptr_equal(out[0], item(1));
        assert_ptr_equal(out[1], item(2));
        assert_true(mailbox_put(box, item(5)));
        assert_int_equal(mailbox_take(box, out, 5, -1), 2);
        assert_ptr_equal(out[0], item(3));
        assert_ptr_equal(out[1], item(5));
        assert_int_equal(mailbox_take(box, out, 5, 0), 0);
    }
    mailbox_destroy(&box);
    assert_null(box);
    mailbox_destroy(&box);
}

static void the_descriptor_tells(void **state)
{
    (void)state;
    struct mailbox *box = mailbox_new(10);
    void *out[10];
    assert_true(mailbox_put(box, item(1))); /* before anybody asked for the descriptor */
    assert_true(readable(box, 0));
    assert_true(mailbox_put(box, item(2)));
    assert_int_equal(mailbox_take(box, out, 1, 0), 1);
    assert_true(readable(box, 0)); /* one is left */
    assert_int_equal(mailbox_take(box, out, 10, 0), 1);
    assert_false(readable(box, 0));
    mailbox_wake(box);
    assert_true(readable(box, 0));
    assert_int_equal(mailbox_take(box, out, 10, 0), 0);
    assert_false(readable(box, 0));
    assert_true(mailbox_put(box, item(3)));
    assert_true(readable(box, 0));
    assert_int_equal(mailbox_take(box, out, 10, 0), 1);
    mailbox_destroy(&box);
}

static void waiting_ends_in_time(void **state)
{
    (void)state;
    struct mailbox *box = mailbox_new(10);
    void *out[10];
    int64_t before = clock_now_ms();
    assert_int_equal(mailbox_take(box, out, 10, 20), 0);
    assert_true(clock_now_ms() - before >= 19);
    mailbox_destroy(&box);
}

static void *wake(void *box)
{
    mailbox_wake(box);
    return NULL;
}

static void a_waiter_is_woken(void **state)
{
    (void)state;
    struct mailbox *box = mailbox_new(10);
    void *out[10];
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, wake, box), 0);
    assert_int_equal(mailbox_take(box, out, 10, -1), 0);
    pthread_join(thread, NULL);
    mailbox_destroy(&box);
}

enum { PUTTERS = 4, TAKERS = 3, EACH = 20000 };

struct crowd {
    struct mailbox *box;
    atomic_llong sum, taken;
};

static void *put_many(void *argument)
{
    struct crowd *crowd = argument;
    for (intptr_t i = 1; i <= EACH; i++) {
        while (!mailbox_put(crowd->box, item(i))) {
            sched_yield();
        }
    }
    return NULL;
}

static void *take_many(void *argument)
{
    struct crowd *crowd = argument;
    void *out[16];
    while (atomic_load(&crowd->taken) < (long long)PUTTERS * EACH) {
        size_t count = mailbox_take(crowd->box, out, 16, 20);
        for (size_t i = 0; i < count; i++) {
            atomic_fetch_add(&crowd->sum, (intptr_t)out[i]);
        }
        atomic_fetch_add(&crowd->taken, (long long)count);
    }
    return NULL;
}

static void nothing_is_lost_between_threads(void **state)
{
    (void)state;
    struct crowd crowd = {.box = mailbox_new(64)};
    pthread_t threads[PUTTERS + TAKERS];
    for (int i = 0; i < PUTTERS + TAKERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, i < PUTTERS ? put_many : take_many, &crowd), 0);
    }
    for (int i = 0; i < PUTTERS + TAKERS; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_true(atomic_load(&crowd.sum) == (long long)PUTTERS * EACH * (EACH + 1) / 2);
    assert_int_equal(mailbox_count(crowd.box), 0);
    mailbox_destroy(&crowd.box);
}

/* A taker that only polls: the descriptor must never stay silent over a full box. */
static void polling_misses_nothing(void **state)
{
    (void)state;
    struct crowd crowd = {.box = mailbox_new(8)};
    pthread_t thread;
    void *out[3];
    intptr_t next = 1;
    assert_int_equal(mailbox_fd(crowd.box) >= 0, 1);
    assert_int_equal(pthread_create(&thread, NULL, put_many, &crowd), 0);
    while (next <= EACH) {
        assert_true(readable(crowd.box, 5000));
        size_t count;
        do {
            count = mailbox_take(crowd.box, out, 3, 0);
            for (size_t i = 0; i < count; i++) {
                assert_ptr_equal(out[i], item(next++));
            }
        } while (count == 3);
    }
    pthread_join(thread, NULL);
    mailbox_destroy(&crowd.box);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_come_in_order_and_no_more_than_fit),
        cmocka_unit_test(the_descriptor_tells),
        cmocka_unit_test(waiting_ends_in_time),
        cmocka_unit_test(a_waiter_is_woken),
        cmocka_unit_test(nothing_is_lost_between_threads),
        cmocka_unit_test(polling_misses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
