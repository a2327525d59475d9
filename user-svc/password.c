#include "user-svc/password.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>

#include "lib/base/invariant.h"

_Static_assert(PASSWORD_HASH_SIZE == crypto_pwhash_STRBYTES, "room for every hash");

bool password_start(void)
{
    return sodium_init() >= 0;
}

static size_t memory_size(const struct password_cost *cost)
{
    return (size_t)cost->memory_kib * 1024;
}

bool password_hash(const struct password_cost *cost, struct text password, char out[PASSWORD_HASH_SIZE])
{
    return crypto_pwhash_str_alg(out, password.data, password.size, (unsigned long long)cost->passes,
                                 memory_size(cost), crypto_pwhash_ALG_ARGON2ID13) == 0;
}

bool password_verify(struct text password, const char hash[PASSWORD_HASH_SIZE])
{
    return crypto_pwhash_str_verify(hash, password.data, password.size) == 0;
}

bool password_is_dated(const struct password_cost *cost, const char hash[PASSWORD_HASH_SIZE])
{
    return crypto_pwhash_str_needs_rehash(hash, (unsigned long long)cost->passes, memory_size(cost)) != 0;
}

void password_dummy(const struct password_cost *cost, char out[PASSWORD_HASH_SIZE])
{
    enum { SALT_SIZE = 16, DIGEST_SIZE = 32, TEXT_SIZE = 48 }; /* as libsodium makes them */
    uint8_t salt[SALT_SIZE], digest[DIGEST_SIZE];
    char salt_text[TEXT_SIZE], digest_text[TEXT_SIZE];
    randombytes_buf(salt, sizeof salt);
    randombytes_buf(digest, sizeof digest);
    sodium_bin2base64(salt_text, sizeof salt_text, salt, sizeof salt, sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
    sodium_bin2base64(digest_text, sizeof digest_text, digest, sizeof digest,
                      sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
    int length = snprintf(out, PASSWORD_HASH_SIZE, "$argon2id$v=19$m=%" PRId64 ",t=%" PRId64 ",p=1$%s$%s",
                          cost->memory_kib, cost->passes, salt_text, digest_text);
    ASSERT(length > 0 && length < PASSWORD_HASH_SIZE);
}
