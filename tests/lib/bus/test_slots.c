#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bounds_and_generations)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
