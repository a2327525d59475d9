#include "tests/broker/harness.h"

static void count_release(struct parcel *self)
{
    self->part_count = -1;
}

static void test_the_last_reference_releases(void **state)
{
    (void)state;
    struct parcel parcel;
    parcel_init(&parcel, count_release);
    struct parcel *one = &parcel, *two = parcel_share(&parcel);
    parcel_drop(&one);
    assert_null(one);
    assert_int_equal(parcel.part_count, 0);
    parcel_drop(&two);
    assert_int_equal(parcel.part_count, -1);
    parcel_drop(&two); /* NULL is allowed */
}

static void test_own_parcels_hold_copies(void **state)
{
    (void)state;
    char bytes[] = "abc";
    struct parcel *parcel = parcel_of((struct text[]){{bytes, 3}, {0}, TEXT("de")}, 3);
    bytes[0] = 'x';
    assert_true(parcel_is_own(parcel));
    assert_true(text_is(parcel->parts[0], "abc") && parcel->parts[1].size == 0 && text_is(parcel->parts[2], "de"));
    assert_int_equal(parcel->size, 5);
    parcel_drop(&parcel);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_the_last_reference_releases),
                                       cmocka_unit_test(test_own_parcels_hold_copies)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
