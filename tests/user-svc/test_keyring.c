/* Which key signs: the newest that has been shown for long enough, and never none while there was one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/mem.h"
#include "user-svc/keyring.h"

enum { LEAD = 1000 };

struct bench {
    struct keyring *keyring;
    struct arena arena;
    struct fault fault;
    struct key_row items[3];
    struct key_rows rows;
};

static int bench_open(void **state)
{
    struct bench *bench = mem_alloc(sizeof *bench);
    bench->keyring = keyring_new(&(struct key_policy){.lead_ms = LEAD, .token_ms = 60000});
    fault_init(&bench->fault, &bench->arena);
    for (int i = 0; i < 3; i++) { /* newest first */
        assert_int_equal(keyring_make(3 - i, (3 - i) * 10000, &bench->arena, &bench->fault, &bench->items[i]),
                         ERR_NONE);
    }
    *state = bench;
    return 0;
}

static int bench_close(void **state)
{
    struct bench *bench = *state;
    keyring_destroy(&bench->keyring);
    arena_release(&bench->arena);
    mem_free(bench);
    return 0;
}

static bool signs(struct bench *bench, char token[TOKEN_SIZE])
{
    struct token_claims claims = {
        .issuer = "zmart", .user_id = "usr_1", .session_id = "ses_1", .at_ms = 1, .ttl_s = 60};
    return keyring_sign(bench->keyring, &claims, token);
}

/* The header of a token holds the kid: two keys' headers differ, one key's are the same. */
static struct text header_of(struct bench *bench)
{
    char token[TOKEN_SIZE];
    assert_true(signs(bench, token));
    return text_of(arena_copy(&bench->arena, token, strcspn(token, ".")));
}

static void rows_take(struct bench *bench, int from, int64_t now_ms)
{
    bench->rows = (struct key_rows){bench->items + from, (uint32_t)(3 - from)};
    assert_int_equal(keyring_take(bench->keyring, &bench->rows, now_ms, &bench->fault), ERR_NONE);
}

static void nothing_is_signed_without_a_key(void **state)
{
    struct bench *bench = *state;
    char token[TOKEN_SIZE];
    assert_false(signs(bench, token));
    assert_int_equal(keyring_take(bench->keyring, &bench->rows, 0, &bench->fault), ERR_INTERNAL);
    assert_false(signs(bench, token));
}

static void a_key_is_shown_before_it_signs(void **state)
{
    struct bench *bench = *state;
    rows_take(bench, 2, 10000); /* the shop's first key signs at once */
    struct text first = header_of(bench);
    rows_take(bench, 1, 20000);
    assert_true(text_equal(header_of(bench), first));
    rows_take(bench, 1, 20000 + LEAD - 1);
    assert_true(text_equal(header_of(bench), first));
    rows_take(bench, 1, 20000 + LEAD);
    struct text second = header_of(bench);
    assert_false(text_equal(second, first));
    rows_take(bench, 0, 30000 + LEAD);
    assert_false(text_equal(header_of(bench), second));
}

static void a_key_that_cannot_be_used_changes_nothing(void **state)
{
    struct bench *bench = *state;
    rows_take(bench, 2, 10000);
    struct text first = header_of(bench);
    bench->items[1].private_pem = TEXT("no key");
    bench->rows = (struct key_rows){bench->items + 1, 2};
    assert_int_equal(keyring_take(bench->keyring, &bench->rows, 30000, &bench->fault), ERR_INTERNAL);
    assert_true(text_equal(header_of(bench), first));
}

static void private_keys_are_wiped(void **state)
{
    struct bench *bench = *state;
    bench->rows = (struct key_rows){bench->items, 3};
    key_rows_wipe(&bench->rows);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(bench->items[i].private_pem.data[0], 0);
    }
}

#define ON_BENCH(name) cmocka_unit_test_setup_teardown(name, bench_open, bench_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BENCH(nothing_is_signed_without_a_key), ON_BENCH(a_key_is_shown_before_it_signs),
        ON_BENCH(a_key_that_cannot_be_used_changes_nothing), ON_BENCH(private_keys_are_wiped)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
