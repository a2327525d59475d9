#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "proto/ident.h"

static const uint8_t request[ID_SIZE] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

static void a_repeat_names_the_same_thing(void **state)
{
    (void)state;
    char first[IDENT_SIZE], second[IDENT_SIZE];
    ident_make("ord", request, 0, first);
    ident_make("ord", request, 0, second);
    assert_string_equal(first, second);
    assert_int_equal(strlen(first), 30);
    assert_memory_equal(first, "ord_", 4);
    /* Ids are stored for ever: what made them must never change. */
    assert_string_equal(first, "ord_4wy04tdbcb75qt4bhwsy0v65sw");
}

static void anything_else_names_another(void **state)
{
    (void)state;
    char ids[4][IDENT_SIZE];
    uint8_t other[ID_SIZE];
    memcpy(other, request, ID_SIZE);
    other[15] ^= 1;
    ident_make("ord", request, 0, ids[0]);
    ident_make("ord", request, 1, ids[1]);
    ident_make("prd", request, 0, ids[2]);
    ident_make("ord", other, 0, ids[3]);
    for (int i = 0; i < 4; i++) {
        for (int j = 0; j < i; j++) {
            assert_string_not_equal(ids[i] + 4, ids[j] + 4);
        }
    }
}

static void shapes_are_known(void **state)
{
    (void)state;
    char id[IDENT_SIZE];
    ident_make("prd", request, 0, id);
    assert_true(ident_is(text_of(id), "prd"));
    assert_false(ident_is(text_of(id), "ord"));
    assert_false(ident_is(text_of(id), "pr"));
    id[29] = 'u'; /* not of Crockford's letters */
    assert_false(ident_is(text_of(id), "prd"));
    id[29] = '\0';
    assert_false(ident_is(text_of(id), "prd"));
    static const char *const bad[] = {"",
                                      "prd",
                                      "prd_",
                                      "prd_0000000000000000000000000",
                                      "prd-00000000000000000000000000",
                                      "PRD_00000000000000000000000000",
                                      "prd_0000000000000000000000000A",
                                      "prd_000000000000000000000000000"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(ident_is(text_of(bad[i]), "prd"));
    }
    assert_true(ident_is(TEXT("prd_00000000000000000000000000"), "prd"));
}

static void parts_do_not_run_into_each_other(void **state)
{
    (void)state;
    uint8_t a[ID_SIZE], b[ID_SIZE];
    request_id_from_key(TEXT("usr_1"), TEXT("order.create"), TEXT("key"), a);
    request_id_from_key(TEXT("usr_1"), TEXT("order.create"), TEXT("key"), b);
    assert_memory_equal(a, b, ID_SIZE);
    request_id_from_key(TEXT("usr_1"), TEXT("order.createk"), TEXT("ey"), b);
    assert_memory_not_equal(a, b, ID_SIZE);
    request_id_from_key(TEXT("usr_"), TEXT("1order.create"), TEXT("key"), b);
    assert_memory_not_equal(a, b, ID_SIZE);
    request_id_of_step(TEXT("ord_1"), TEXT("event:1"), a);
    request_id_of_step(TEXT("ord_1"), TEXT("event:2"), b);
    assert_memory_not_equal(a, b, ID_SIZE);
    request_id_of_step(TEXT("ord_1event:1"), TEXT(""), b);
    assert_memory_not_equal(a, b, ID_SIZE);
    request_id_of_step(text_of(NULL), text_of(NULL), b); /* empty is allowed */
}

static void fingerprints_tell_bodies_apart(void **state)
{
    (void)state;
    char a[FINGERPRINT_SIZE], b[FINGERPRINT_SIZE];
    fingerprint_make(TEXT("body"), a);
    fingerprint_make(TEXT("body"), b);
    assert_string_equal(a, b);
    assert_int_equal(strlen(a), 32);
    fingerprint_make(TEXT("bodz"), b);
    assert_string_not_equal(a, b);
    fingerprint_make(text_of(NULL), b);
    assert_string_not_equal(a, b);
}

static void order_numbers_are_short(void **state)
{
    (void)state;
    char a[ORDER_NUMBER_SIZE], b[ORDER_NUMBER_SIZE];
    order_number_make(TEXT("ord_1"), a);
    order_number_make(TEXT("ord_2"), b);
    assert_string_not_equal(a, b);
    assert_int_equal(strlen(a), 11);
    assert_int_equal(a[5], '-');
    assert_int_equal(strspn(a, "0123456789ABCDEFGHJKMNPQRSTVWXYZ-"), 11);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_repeat_names_the_same_thing),
        cmocka_unit_test(anything_else_names_another),
        cmocka_unit_test(shapes_are_known),
        cmocka_unit_test(parts_do_not_run_into_each_other),
        cmocka_unit_test(fingerprints_tell_bodies_apart),
        cmocka_unit_test(order_numbers_are_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
