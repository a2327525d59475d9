#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mail-svc/slots.h"

enum { COUNT = 2 };

static void test_each_mail_has_one_slot(void **state)
{
    struct mail_slot slots[COUNT] = {0};
    (void)state;
    assert_int_equal(mail_slots_free(slots, COUNT, 100), 2);
    assert_ptr_equal(mail_slot_take(slots, COUNT, TEXT("evt_1"), 100, 200), &slots[0]);
    assert_null(mail_slot_take(slots, COUNT, TEXT("evt_1"), 199, 300)); /* under way */
    slots[0].begun = true;
    assert_ptr_equal(mail_slot_take(slots, COUNT, TEXT("evt_2"), 100, 200), &slots[1]);
    assert_int_equal(mail_slots_free(slots, COUNT, 199), 0);
    assert_null(mail_slot_take(slots, COUNT, TEXT("evt_3"), 199, 300));
    mail_slot_clear(slots, COUNT, TEXT("evt_3")); /* nobody's */
    mail_slot_clear(slots, COUNT, TEXT("evt_1"));
    assert_ptr_equal(mail_slot_take(slots, COUNT, TEXT("evt_3"), 199, 300), &slots[0]);
    assert_false(slots[0].begun);
}

/* A call may end without a word (the store does not answer when it begins): its mail is not stuck. */
static void test_what_was_not_cleared_begins_anew(void **state)
{
    struct mail_slot slots[COUNT] = {0};
    (void)state;
    assert_ptr_equal(mail_slot_take(slots, COUNT, TEXT("evt_1"), 100, 200), &slots[0]);
    assert_ptr_equal(mail_slot_take(slots, COUNT, TEXT("evt_2"), 100, 200), &slots[1]);
    slots[1].begun = true;
    assert_int_equal(mail_slots_free(slots, COUNT, 200), 2);
    assert_ptr_equal(mail_slot_take(slots, COUNT, TEXT("evt_2"), 200, 300), &slots[1]); /* and not in a second one */
    assert_false(slots[1].begun);
    assert_int_equal(mail_slots_free(slots, COUNT, 200), 1);
    mail_slot_clear(slots, COUNT, TEXT("evt_2"));
    assert_int_equal(mail_slots_free(slots, COUNT, 200), 2);
}

static void test_an_id_that_is_too_long_takes_none(void **state)
{
    struct mail_slot slots[COUNT] = {0};
    (void)state;
    assert_null(mail_slot_take(slots, COUNT, TEXT("evt_45678901234567890123456789012345678901"), 100, 200));
    assert_int_equal(mail_slots_free(slots, COUNT, 100), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_each_mail_has_one_slot),
                                       cmocka_unit_test(test_what_was_not_cleared_begins_anew),
                                       cmocka_unit_test(test_an_id_that_is_too_long_takes_none)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
