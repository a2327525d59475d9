#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/id.h"

static void new_ids_are_uuids_of_version_7(void **state)
{
    (void)state;
    uint8_t id[ID_SIZE], other[ID_SIZE];
    int64_t before = clock_wall_ms();
    id_new(id);
    int64_t ms = 0;
    for (int i = 0; i < 6; i++) {
        ms = ms << 8 | id[i];
    }
    assert_true(ms >= before && ms <= clock_wall_ms());
    assert_int_equal(id[6] >> 4, 7);
    assert_int_equal(id[8] >> 6, 2);
    id_new(other);
    assert_memory_not_equal(id, other, ID_SIZE);
}

static void hex_goes_there_and_back(void **state)
{
    (void)state;
    uint8_t id[ID_SIZE], back[ID_SIZE];
    char hex[ID_HEX_SIZE];
    id_random(id, sizeof id);
    id_to_hex(id, hex);
    assert_int_equal(strlen(hex), 32);
    assert_true(id_from_hex(text_of(hex), back));
    assert_memory_equal(id, back, ID_SIZE);
    assert_true(id_from_hex(TEXT("00112233445566778899AABBCCDDEEFF"), back));
    assert_int_equal(back[15], 0xff);
    static const char *const bad[] = {"",
                                      "0",
                                      "0011223344556677889900aabbccddee0",
                                      "0011223344556677889900aabbccddeg",
                                      "0011223344556677889900aabbccddeee",
                                      " 011223344556677889900aabbccddee"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(id_from_hex(text_of(bad[i]), back));
    }
    assert_int_equal(back[15], 0xff); /* untouched */
}

static void base32_is_crockfords(void **state)
{
    (void)state;
    uint8_t id[ID_SIZE];
    char out[ID_BASE32_SIZE];
    memset(id, 0, sizeof id);
    id_to_base32(id, out);
    assert_string_equal(out, "00000000000000000000000000");
    memset(id, 0xff, sizeof id);
    id_to_base32(id, out);
    assert_string_equal(out, "zzzzzzzzzzzzzzzzzzzzzzzzzw"); /* 128 bits end in the middle of a letter */
    for (int i = 0; i < ID_SIZE; i++) {
        id[i] = (uint8_t)(17 * i);
    }
    id_to_base32(id, out);
    assert_string_equal(out, "008j4ct4ank7f24snaxwsqfezw");
}

static void random_bytes_differ(void **state)
{
    (void)state;
    uint8_t a[4096], b[4096];
    id_random(a, sizeof a);
    id_random(b, sizeof b);
    assert_memory_not_equal(a, b, sizeof a);
    id_random(a, 0);
}

static void test_ids_from_a_source(void **state)
{
    (void)state;
    enum { COUNT = 200 }; /* several fillings */
    struct id_source source = {.left_size = 0};
    uint8_t ids[COUNT][ID_SIZE];
    for (int i = 0; i < COUNT; i++) {
        id_next(&source, ids[i]);
        assert_int_equal(ids[i][6] >> 4, 7);
        assert_int_equal(ids[i][8] >> 6, 2);
        for (int j = 0; j < i; j++) {
            assert_memory_not_equal(ids[i], ids[j], ID_SIZE);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ids_from_a_source), cmocka_unit_test(new_ids_are_uuids_of_version_7),
        cmocka_unit_test(hex_goes_there_and_back),
        cmocka_unit_test(base32_is_crockfords),
        cmocka_unit_test(random_bytes_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
