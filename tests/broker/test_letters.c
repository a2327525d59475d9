#include "tests/broker/harness.h"

#include "broker/letters.h"

static struct request make(uint8_t id, uint8_t flags, size_t size)
{
    char *body = mem_alloc(size);
    struct request request = {.caller = {.request_id = {id}, .flags = flags, .attempt = 3},
                              .parcel = parcel_of((struct text[]){TEXT("a.b#K"), {0}, {body, (uint32_t)size}}, 3)};
    mem_free(body);
    return request;
}

static void test_bounded_by_count_and_bytes(void **state)
{
    (void)state;
    struct letters letters;
    letters_init(&letters, 3, 300);
    uint32_t lost = 0;
    for (uint8_t i = 1; i <= 5; i++) {
        struct request request = make(i, 0, i == 5 ? 200 : 60);
        lost += letter_add(&letters, &request, i, "why", i);
        parcel_drop(&request.parcel);
    }
    assert_int_equal(lost, 3);
    assert_int_equal(letters.count, 2); /* 205 + 65 bytes; three would be 335 */
    assert_true(letters.size <= 300);
    assert_null(letter_find(&letters, (uint8_t[ID_SIZE]){3}));
    struct letter *letter = letter_find(&letters, (uint8_t[ID_SIZE]){4});
    assert_non_null(letter);
    assert_string_equal(letter->route, "a.b#K");
    assert_string_equal(letter->reason, "why");
    letter_defer(&letters, letter);
    assert_ptr_equal(letters.list->next, letter);
    assert_int_equal(letter->attempts, 3);
    letter_remove(&letters, letter);
    assert_int_equal(letters.count, 1);
    letters_release(&letters);
}

static void test_none_is_kept(void **state)
{
    (void)state;
    struct letters letters;
    letters_init(&letters, 0, 300);
    struct request request = make(1, 0, 10);
    assert_int_equal(letter_add(&letters, &request, 1, "why", 1), 1);
    assert_int_equal(letters.count, 0);
    parcel_drop(&request.parcel);
    letters_release(&letters);
}

static void test_no_secret_is_kept(void **state)
{
    (void)state;
    struct letters letters;
    letters_init(&letters, 3, 300);
    struct request secret = make(1, FRAME_SECRET, 10), huge = make(2, 0, 1000);
    assert_int_equal(letter_add(&letters, &secret, 1, "why", 1), 0);
    assert_int_equal(letter_add(&letters, &huge, 2, "why", 1), 0);
    assert_int_equal(secret.parcel->reference_count, 1);
    parcel_drop(&secret.parcel);
    parcel_drop(&huge.parcel);
    assert_int_equal(letters.count, 2);
    assert_int_equal(letters.size, 0);
    assert_null(letter_find(&letters, (uint8_t[ID_SIZE]){1})->parcel);
    assert_string_equal(letter_find(&letters, (uint8_t[ID_SIZE]){1})->route, "a.b"); /* nor whose it was */
    assert_null(letter_find(&letters, (uint8_t[ID_SIZE]){2})->parcel);
    letters_release(&letters);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bounded_by_count_and_bytes),
                                       cmocka_unit_test(test_no_secret_is_kept),
                                       cmocka_unit_test(test_none_is_kept)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
