/* Access tokens as somebody else sees them: OpenSSL alone verifies, jansson alone reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <sodium.h>
#include <string.h>

#include "user-svc/token.h"

static const struct token_claims claims = {.issuer = "shop",
                                           .user_id = "usr_1",
                                           .role = ROLE_ADMIN,
                                           .session_id = "ses_1",
                                           .now_ms = INT64_C(1795400000123),
                                           .at_ms = INT64_C(1795403600456),
                                           .ttl_s = 900};

/* One part of the token, decoded; size 0 if it is not strict base64url. */
static size_t part_decode(const char *token, int index, uint8_t *out, size_t out_size)
{
    struct text rest = text_of(token), part;
    size_t size = 0;
    for (int i = 0; i <= index; i++) {
        assert_true(text_cut(&rest, '.', &part));
    }
    return sodium_base642bin(out, out_size, part.data, part.size, NULL, &size, NULL,
                             sodium_base64_VARIANT_URLSAFE_NO_PADDING) == 0 ? size : 0;
}

static json_t *part_json(const char *token, int index)
{
    uint8_t bytes[2048];
    size_t size = part_decode(token, index, bytes, sizeof bytes);
    json_t *json = json_loadb((const char *)bytes, size, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(json);
    return json;
}

static bool signature_is_good(const char *token, const char *public_pem)
{
    uint8_t raw[80], der[80];
    assert_int_equal(part_decode(token, 2, raw, sizeof raw), 64);
    ECDSA_SIG *pair = ECDSA_SIG_new();
    assert_int_equal(ECDSA_SIG_set0(pair, BN_bin2bn(raw, 32, NULL), BN_bin2bn(raw + 32, 32, NULL)), 1);
    uint8_t *at = der;
    int der_size = i2d_ECDSA_SIG(pair, &at);
    ECDSA_SIG_free(pair);
    BIO *bio = BIO_new_mem_buf(public_pem, -1);
    EVP_PKEY *key = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
    assert_non_null(key);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key), 1);
    size_t signed_size = (size_t)(strrchr(token, '.') - token);
    bool good = EVP_DigestVerify(context, der, (size_t)der_size, (const unsigned char *)token, signed_size) == 1;
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
    BIO_free(bio);
    return good;
}

static void make(struct token_key *key, char token[TOKEN_SIZE])
{
    assert_true(token_key_make(key));
    struct token_signer *signer = token_signer_new(text_of(key->kid), text_of(key->private_pem));
    assert_non_null(signer);
    assert_true(token_sign(signer, &claims, token));
    token_signer_destroy(&signer);
    assert_null(signer);
}

static void only_its_own_key_verifies(void **state)
{
    struct token_key key, other;
    char token[TOKEN_SIZE];
    (void)state;
    make(&key, token);
    assert_true(signature_is_good(token, key.public_pem));
    assert_true(token_key_make(&other));
    assert_false(signature_is_good(token, other.public_pem));
    token[60] = token[60] == 'A' ? 'B' : 'A';
    assert_false(signature_is_good(token, key.public_pem));
}

static void header_says_what_it_is(void **state)
{
    struct token_key key;
    char token[TOKEN_SIZE];
    (void)state;
    make(&key, token);
    json_t *header = part_json(token, 0);
    assert_int_equal(json_object_size(header), 3);
    assert_string_equal(json_string_value(json_object_get(header, "alg")), "ES256");
    assert_string_equal(json_string_value(json_object_get(header, "typ")), "at+jwt");
    assert_string_equal(json_string_value(json_object_get(header, "kid")), key.kid);
    json_decref(header);
    /* what gateways take: header at most 128 characters, payload 1,024 */
    assert_true(strchr(token, '.') - token <= 128);
    assert_true(strrchr(token, '.') - strchr(token, '.') <= 1024);
}

static void claims_are_all_there(void **state)
{
    static const char *const texts[][2] = {{"iss", "shop"},      {"aud", "shop"},  {"sub", "usr_1"},
                                           {"role", "admin"},    {"sid", "ses_1"}, {"client_id", "zmart"}};
    struct token_key key;
    char token[TOKEN_SIZE], second[TOKEN_SIZE];
    (void)state;
    make(&key, token);
    json_t *payload = part_json(token, 1);
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        assert_string_equal(json_string_value(json_object_get(payload, texts[i][0])), texts[i][1]);
    }
    assert_int_equal(json_integer_value(json_object_get(payload, "iat")), 1795400000);
    assert_int_equal(json_integer_value(json_object_get(payload, "exp")), 1795400900);
    assert_int_equal(json_integer_value(json_object_get(payload, "at")),
                     INT64_C(1795403600456)); /* the clock was set back */
    make(&key, second);
    json_t *other = part_json(second, 1);
    const char *jti = json_string_value(json_object_get(payload, "jti"));
    assert_int_equal(strlen(jti), 26);
    assert_string_not_equal(jti, json_string_value(json_object_get(other, "jti")));
    json_decref(other);
    json_decref(payload);
}

static void thumbprint_is_of_the_point(void **state)
{
    struct token_key key;
    uint8_t hash[32], kid[32], x[32], y[32];
    size_t size;
    char json[200];
    (void)state;
    assert_true(token_key_make(&key));
    assert_int_equal(strlen(key.x), 43);
    assert_int_equal(strlen(key.y), 43);
    snprintf(json, sizeof json, "{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"%s\",\"y\":\"%s\"}", key.x, key.y);
    crypto_hash_sha256(hash, (const unsigned char *)json, strlen(json));
    assert_int_equal(sodium_base642bin(kid, sizeof kid, key.kid, strlen(key.kid), NULL, &size, NULL,
                                       sodium_base64_VARIANT_URLSAFE_NO_PADDING), 0);
    assert_memory_equal(hash, kid, 32);
    assert_int_equal(sodium_base642bin(x, sizeof x, key.x, 43, NULL, &size, NULL,
                                       sodium_base64_VARIANT_URLSAFE_NO_PADDING), 0);
    assert_int_equal(sodium_base642bin(y, sizeof y, key.y, 43, NULL, &size, NULL,
                                       sodium_base64_VARIANT_URLSAFE_NO_PADDING), 0);
    /* the PEM holds the same point: its DER ends in 04, x, y */
    BIO *bio = BIO_new_mem_buf(key.public_pem, -1);
    EVP_PKEY *pkey = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
    unsigned char *der = NULL;
    int der_size = i2d_PUBKEY(pkey, &der);
    assert_true(der_size > 65);
    assert_int_equal(der[der_size - 65], 4);
    assert_memory_equal(der + der_size - 64, x, 32);
    assert_memory_equal(der + der_size - 32, y, 32);
    OPENSSL_free(der);
    EVP_PKEY_free(pkey);
    BIO_free(bio);
}

static void other_keys_do_not_sign(void **state)
{
    char *pem;
    struct token_key key;
    (void)state;
    assert_null(token_signer_new(TEXT("kid"), TEXT("no key")));
    EVP_PKEY *wrong = EVP_EC_gen("P-384");
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, wrong, NULL, NULL, 0, NULL, NULL), 1);
    long size = BIO_get_mem_data(bio, &pem);
    assert_null(token_signer_new(TEXT("kid"), (struct text){pem, (uint32_t)size}));
    BIO_free(bio);
    EVP_PKEY_free(wrong);
    assert_true(token_key_make(&key));
    assert_null(token_signer_new(TEXT("a kid that is longer than any thumbprint can be"), text_of(key.private_pem)));
    token_key_wipe(&key);
    assert_int_equal(key.private_pem[0], 0);
}

static int start(void **state)
{
    (void)state;
    return sodium_init() >= 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_its_own_key_verifies), cmocka_unit_test(header_says_what_it_is),
        cmocka_unit_test(claims_are_all_there),      cmocka_unit_test(thumbprint_is_of_the_point),
        cmocka_unit_test(other_keys_do_not_sign),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
