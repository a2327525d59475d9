#include "tests/gateway/check.h"

#include <stdio.h>

#include "gateway/token_cache.h"

static struct token_entry entry_of(int number, int64_t expires_ms)
{
    struct token_entry entry = {.expires_at_ms = expires_ms, .issued_at_ms = number};
    char name[24];
    snprintf(name, sizeof name, "token %d", number);
    token_hash(text_of(name), entry.hash);
    return entry;
}

static void test_remembers_until_the_end(void **state)
{
    struct token_cache *cache = token_cache_new(64);
    struct token_entry entry = entry_of(1, 1000), found;
    (void)state;
    assert_false(token_cache_get(cache, entry.hash, 0, &found));
    token_cache_put(cache, &entry, 0);
    assert_true(token_cache_get(cache, entry.hash, 999, &found));
    assert_int_equal(found.issued_at_ms, 1);
    assert_false(token_cache_get(cache, entry.hash, 1000, &found));
    token_cache_clear(cache);
    assert_false(token_cache_get(cache, entry.hash, 0, &found));
    token_cache_destroy(&cache);
}

static void test_is_bounded_and_never_wrong(void **state)
{
    struct token_cache *cache = token_cache_new(64);
    int kept = 0;
    (void)state;
    for (int i = 0; i < 10000; i++) {
        struct token_entry entry = entry_of(i, 100000 + i), found;
        token_cache_put(cache, &entry, 0);
        assert_true(token_cache_get(cache, entry.hash, 0, &found));
    }
    for (int i = 0; i < 10000; i++) {
        struct token_entry entry = entry_of(i, 0), found;
        if (token_cache_get(cache, entry.hash, 0, &found)) {
            assert_int_equal(found.issued_at_ms, i);
            kept++;
        }
    }
    assert_true(kept > 0 && kept <= 64);
    token_cache_destroy(&cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_remembers_until_the_end),
        cmocka_unit_test(test_is_bounded_and_never_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
