#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>

#include "lib/bus/slots.h"

static void test_bounds_and_generations(void **state)
{
    (void)state;
    struct slots *slots = slots_new(2);
    uint64_t a, b, c;
    assert_true(slots_claim(slots, &a));
    assert_true(slots_claim(slots, &b));
    assert_int_not_equal(slot_of(a), slot_of(b));
    assert_false(slots_claim(slots, &c));
    assert_int_equal(slots_used(slots), 2);
    slots_release(slots, a);
    assert_true(slots_claim(slots, &c));
    assert_int_equal(slot_of(c), slot_of(a));
    assert_true(c != a && c != 0);
    slots_release(slots, b);
    slots_close(slots);
    assert_false(slots_claim(slots, &a));
    slots_release(slots, c);
    assert_int_equal(slots_used(slots), 0);
    assert_int_equal(slots_count(slots), 2);
    slots_destroy(&slots);
    assert_null(slots);
}

/* Threads that claim and release as fast as they can: no slot is ever two threads' at once. */
enum { THREADS = 4, SLOTS = 3, TURNS = 50000 };

struct crowd {
    struct slots *slots;
    atomic_int holders[SLOTS];
    atomic_int got;
};

static void *claim_often(void *argument)
{
    struct crowd *crowd = argument;
    for (int i = 0; i < TURNS; i++) {
        uint64_t corr;
        if (slots_claim(crowd->slots, &corr)) {
            assert_int_equal(atomic_fetch_add(&crowd->holders[slot_of(corr)], 1), 0);
            atomic_fetch_sub(&crowd->holders[slot_of(corr)], 1);
            atomic_fetch_add(&crowd->got, 1);
            slots_release(crowd->slots, corr);
        }
    }
    return NULL;
}

static void test_crowd(void **state)
{
    (void)state;
    struct crowd crowd = {.slots = slots_new(SLOTS)};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, claim_often, &crowd), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_true(atomic_load(&crowd.got) >= TURNS);
    assert_int_equal(slots_used(crowd.slots), 0);
    slots_destroy(&crowd.slots);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bounds_and_generations), cmocka_unit_test(test_crowd)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
