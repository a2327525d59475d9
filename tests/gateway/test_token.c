#include "tests/gateway/check.h"

#include <stdio.h>

#include "gateway/token.h"
#include "tests/gateway/jwt_maker.h"

#define GOOD_HEADER "{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"kid\":\"k1\"}"
#define GOOD_PAYLOAD                                                                                                   \
    "{\"iss\":\"zmart\",\"aud\":\"zmart\",\"sub\":\"usr_1\",\"role\":\"admin\",\"sid\":\"ses_1\",\"jti\":\"j\","       \
    "\"iat\":1000,\"exp\":1900,\"at\":1000123}"

enum { NOW_MS = 1500 * 1000, LEEWAY_S = 5 };

static struct jwt_maker *maker, *stranger;
static struct token_keys *keys;

static int make(void **state)
{
    (void)state;
    maker = jwt_maker_new("k1");
    stranger = jwt_maker_new("k1");
    struct signing_key key = jwt_maker_key(maker);
    struct signing_keys list = {.issuer = TEXT("zmart")};
    list.keys.items = &key;
    list.keys.count = 1;
    keys = token_keys_new(&list);
    return 0;
}

static int drop(void **state)
{
    (void)state;
    token_keys_destroy(&keys);
    jwt_maker_destroy(&maker);
    jwt_maker_destroy(&stranger);
    return 0;
}

static enum err verify(struct text token, struct arena *arena, struct token_claims *out)
{
    struct fault fault;
    fault_init(&fault, arena);
    return token_verify(token, keys, NOW_MS, LEEWAY_S, arena, &fault, out);
}

static enum err verify_made(const struct jwt_maker *by, const char *header, const char *payload)
{
    struct arena arena = {0};
    struct token_claims claims;
    enum err e = verify(jwt_make(by, header, payload, &arena), &arena, &claims);
    arena_release(&arena);
    return e;
}

static void test_accepts_ours(void **state)
{
    struct arena arena = {0};
    struct token_claims claims;
    (void)state;
    assert_int_equal(token_keys_count(keys), 1);
    assert_int_equal(verify(jwt_make(maker, GOOD_HEADER, GOOD_PAYLOAD, &arena), &arena, &claims), ERR_NONE);
    assert_true(text_is(claims.user_id, "usr_1"));
    assert_true(text_is(claims.session_id, "ses_1"));
    assert_int_equal(claims.role, ROLE_ADMIN);
    assert_int_equal(claims.issued_at_ms, 1000123);
    assert_int_equal(claims.expires_at_ms, 1900000);
    arena_release(&arena);
}

static void test_refuses_other_headers(void **state)
{
    static const char *const headers[] = {
        "{\"alg\":\"none\",\"typ\":\"at+jwt\",\"kid\":\"k1\"}",
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"k1\"}",
        "{\"alg\":\"ES384\",\"typ\":\"at+jwt\",\"kid\":\"k1\"}",
        "{\"alg\":\"es256\",\"typ\":\"at+jwt\",\"kid\":\"k1\"}",
        "{\"alg\":\"ES256\",\"typ\":\"JWT\",\"kid\":\"k1\"}",
        "{\"alg\":\"ES256\",\"kid\":\"k1\"}",
        "{\"alg\":\"ES256\",\"typ\":\"at+jwt\"}",
        "{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"kid\":7}",
        "{\"alg\":[\"ES256\"],\"typ\":\"at+jwt\",\"kid\":\"k1\"}",
        "{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"kid\":\"k1\",\"crit\":[\"x\"]}",
        "{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"kid\":\"k1\",\"jku\":\"https://e\"}",
        "{\"alg\":\"ES256\",\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"kid\":\"k1\"}",
        "{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"kid\":\"k1\"} ", /* fine: blanks behind JSON are JSON */
        "[]",
        "",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(headers); i++) {
        bool fine = headers[i][0] && headers[i][strlen(headers[i]) - 1] == ' ';
        assert_int_equal(verify_made(maker, headers[i], GOOD_PAYLOAD), fine ? ERR_NONE : ERR_UNAUTHENTICATED);
    }
    assert_int_equal(verify_made(maker, "{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"kid\":\"k2\"}", GOOD_PAYLOAD),
                     ERR_NOT_FOUND);
}

static void test_refuses_other_claims(void **state)
{
    static const char *const payloads[] = {
        /* iss, aud */
        "{\"iss\":\"x\",\"aud\":\"zmart\",\"sub\":\"u\",\"role\":\"admin\",\"sid\":\"s\",\"jti\":\"j\",\"iat\":1000,"
        "\"exp\":1900}",
        "{\"iss\":\"zmart\",\"aud\":\"x\",\"sub\":\"u\",\"role\":\"admin\",\"sid\":\"s\",\"jti\":\"j\",\"iat\":1000,"
        "\"exp\":1900}",
        "{\"iss\":\"zmart\",\"sub\":\"u\",\"role\":\"admin\",\"sid\":\"s\",\"jti\":\"j\",\"iat\":1000,\"exp\":1900}",
        "{\"iss\":\"zmart\",\"aud\":[1],\"sub\":\"u\",\"role\":\"admin\",\"sid\":\"s\",\"jti\":\"j\",\"iat\":1000,"
        "\"exp\":1900}",
        /* sub, role, sid, jti */
        "{\"iss\":\"zmart\",\"aud\":\"zmart\",\"sub\":5,\"role\":\"admin\",\"sid\":\"s\",\"jti\":\"j\",\"iat\":1000,"
        "\"exp\":1900}",
        "{\"iss\":\"zmart\",\"aud\":\"zmart\",\"sub\":\"u\",\"role\":\"king\",\"sid\":\"s\",\"jti\":\"j\",\"iat\":1000,"
        "\"exp\":1900}",
        "{\"iss\":\"zmart\",\"aud\":\"zmart\",\"sub\":\"u\",\"role\":\"admin\",\"jti\":\"j\",\"iat\":1000,\"exp\":"
        "1900}",
        "{\"iss\":\"zmart\",\"aud\":\"zmart\",\"sub\":\"u\",\"role\":\"admin\",\"sid\":\"s\",\"iat\":1000,\"exp\":"
        "1900}",
        "{\"iss\":\"zmart\",\"aud\":\"zmart\",\"sub\":\"12345678901234567890123456789012345678901\",\"role\":\"admin\","
        "\"sid\":\"s\",\"jti\":\"j\",\"iat\":1000,\"exp\":1900}",
        /* iat, exp, nbf, at */
        "{\"iss\":\"zmart\",\"aud\":\"zmart\",\"sub\":\"u\",\"role\":\"admin\",\"sid\":\"s\",\"jti\":\"j\",\"iat\":"
        "1000,\"exp\":1500}",
        "{\"iss\":\"zmart\",\"aud\":\"zmart\",\"sub\":\"u\",\"role\":\"admin\",\"sid\":\"s\",\"jti\":\"j\",\"iat\":"
        "1000}",
        "{\"iss\":\"zmart\",\"aud\":\"zmart\",\"sub\":\"u\",\"role\":\"admin\",\"sid\":\"s\",\"jti\":\"j\",\"iat\":"
        "1000,\"exp\":\"1900\"}",
        "{\"iss\":\"zmart\",\"aud\":\"zmart\",\"sub\":\"u\",\"role\":\"admin\",\"sid\":\"s\",\"jti\":\"j\",\"iat\":"
        "1000,\"exp\":1900.5}",
        "{\"iss\":\"zmart\",\"aud\":\"zmart\",\"sub\":\"u\",\"role\":\"admin\",\"sid\":\"s\",\"jti\":\"j\",\"iat\":"
        "1506,\"exp\":1900}",
        "{\"iss\":\"zmart\",\"aud\":\"zmart\",\"sub\":\"u\",\"role\":\"admin\",\"sid\":\"s\",\"jti\":\"j\",\"iat\":"
        "1000,\"exp\":1900,\"nbf\":1600}",
        "{\"iss\":\"zmart\",\"aud\":\"zmart\",\"sub\":\"u\",\"role\":\"admin\",\"sid\":\"s\",\"jti\":\"j\",\"iat\":"
        "1000,\"exp\":1900,\"at\":\"x\"}",
        "{\"a\":{\"a\":{\"a\":{\"a\":1}}}}",
        "5",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(payloads); i++) {
        assert_int_equal(verify_made(maker, GOOD_HEADER, payloads[i]), ERR_UNAUTHENTICATED);
    }
}

static void test_refuses_other_signatures(void **state)
{
    struct arena arena = {0};
    struct token_claims claims;
    (void)state;
    assert_int_equal(verify_made(stranger, GOOD_HEADER, GOOD_PAYLOAD), ERR_UNAUTHENTICATED);
    struct text token = jwt_make(maker, GOOD_HEADER, GOOD_PAYLOAD, &arena);
    for (uint32_t at = 0; at < token.size; at++) {
        char *copy = arena_copy(&arena, token.data, token.size);
        copy[at] = copy[at] == 'A' ? 'B' : 'A';
        assert_int_not_equal(verify((struct text){copy, token.size}, &arena, &claims), ERR_NONE);
    }
    for (uint32_t cut = 0; cut < token.size; cut++) {
        char *copy = mem_alloc(cut ? cut : 1);
        memcpy(copy, token.data, cut);
        assert_int_equal(verify((struct text){copy, cut}, &arena, &claims), ERR_UNAUTHENTICATED);
        mem_free(copy);
    }
    static const char *const tails[] = {"=", "\n", ".", ".e30", " "};
    for (size_t i = 0; i < ARRAY_COUNT(tails); i++) {
        struct buffer longer;
        buffer_init(&longer, 4000);
        (void)(buffer_add_text(&longer, token) && buffer_add_string(&longer, tails[i]));
        assert_int_equal(verify(buffer_text(&longer), &arena, &claims), ERR_UNAUTHENTICATED);
        buffer_release(&longer);
    }
    arena_release(&arena);
}

/* 1,340 characters once were enough to end a process. */
/* This JSON and blanks, so many bytes together. */
static const char *padded(const char *json, size_t size, struct arena *arena)
{
    size_t length = strlen(json);
    char *out = arena_alloc(arena, size + 1);
    memset(out, ' ', size);
    memcpy(out, json, length);
    return out;
}

/* Sizes are counted in base64: three bytes are four characters. */
static void test_parts_have_a_size(void **state)
{
    enum { HEADER = TOKEN_MAX_HEADER_SIZE / 4 * 3, PAYLOAD = TOKEN_MAX_PAYLOAD_SIZE / 4 * 3 };
    AUTO(arena_release) struct arena arena = {0};
    (void)state;
    assert_int_equal(verify_made(maker, padded(GOOD_HEADER, HEADER, &arena), padded(GOOD_PAYLOAD, PAYLOAD, &arena)),
                     ERR_NONE);
    assert_int_equal(verify_made(maker, padded(GOOD_HEADER, HEADER + 1, &arena), GOOD_PAYLOAD), ERR_UNAUTHENTICATED);
    assert_int_equal(verify_made(maker, GOOD_HEADER, padded(GOOD_PAYLOAD, PAYLOAD + 1, &arena)), ERR_UNAUTHENTICATED);
}

static void test_survives_depth_and_size(void **state)
{
    (void)state;
    for (int depth = 10; depth <= 100000; depth *= 10) {
        struct buffer json;
        buffer_init(&json, 1024 * 1024);
        (void)buffer_add_string(&json, "{\"a\":");
        for (int i = 0; i < depth; i++) {
            (void)buffer_add_char(&json, '[');
        }
        (void)buffer_add_char(&json, '\0');
        assert_int_equal(verify_made(maker, json.data, GOOD_PAYLOAD), ERR_UNAUTHENTICATED);
        assert_int_equal(verify_made(maker, GOOD_HEADER, json.data), ERR_UNAUTHENTICATED);
        buffer_release(&json);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepts_ours),
        cmocka_unit_test(test_refuses_other_headers),
        cmocka_unit_test(test_refuses_other_claims),
        cmocka_unit_test(test_refuses_other_signatures),
        cmocka_unit_test(test_parts_have_a_size),
        cmocka_unit_test(test_survives_depth_and_size),
    };
    return cmocka_run_group_tests(tests, make, drop);
}
