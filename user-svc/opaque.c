#include "user-svc/opaque.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/invariant.h"

enum { SESSION_PART = ID_SIZE, SECRET_PART = 24, MARK_PART = 16, TOKEN_PARTS = SESSION_PART + SECRET_PART + MARK_PART };

/* HMAC-SHA-256 over a purpose and two parts; the first has a fixed size for each purpose, so they cannot run together.
 */
static void derive(const uint8_t secret[SERVER_SECRET_SIZE], const char *purpose, struct text first, struct text second,
                   uint8_t out[crypto_auth_hmacsha256_BYTES])
{
    crypto_auth_hmacsha256_state state;
    crypto_auth_hmacsha256_init(&state, secret, SERVER_SECRET_SIZE);
    crypto_auth_hmacsha256_update(&state, (const unsigned char *)purpose, strlen(purpose) + 1);
    crypto_auth_hmacsha256_update(&state, (const unsigned char *)first.data, first.size);
    crypto_auth_hmacsha256_update(&state, (const unsigned char *)second.data, second.size);
    crypto_auth_hmacsha256_final(&state, out);
    sodium_memzero(&state, sizeof state);
}

static struct text bytes_of(const uint8_t *bytes, uint32_t size)
{
    return (struct text){(const char *)bytes, size};
}

void opaque_hash(struct text opaque, uint8_t out[OPAQUE_HASH_SIZE])
{
    crypto_hash_sha256(out, (const unsigned char *)opaque.data, opaque.size);
}

static void session_bytes(const uint8_t request_id[ID_SIZE], uint8_t out[SESSION_PART])
{
    request_id_of_step(bytes_of(request_id, ID_SIZE), TEXT("session"), out);
}

static void session_name(const uint8_t bytes[SESSION_PART], char out[IDENT_SIZE])
{
    char base32[ID_BASE32_SIZE];
    id_to_base32(bytes, base32);
    snprintf(out, IDENT_SIZE, "ses_%s", base32);
}

void session_id_make(const uint8_t request_id[ID_SIZE], char out[IDENT_SIZE])
{
    uint8_t session[SESSION_PART];
    session_bytes(request_id, session);
    session_name(session, out);
}

/* Adds the mark to the two other parts and spells all three. */
static void token_finish(const uint8_t secret[SERVER_SECRET_SIZE], uint8_t parts[TOKEN_PARTS],
                         struct refresh_token *out)
{
    uint8_t mark[crypto_auth_hmacsha256_BYTES];
    derive(secret, "refresh mark", bytes_of(parts, SESSION_PART + SECRET_PART), (struct text){0}, mark);
    memcpy(parts + SESSION_PART + SECRET_PART, mark, MARK_PART);
    sodium_bin2base64(out->text, sizeof out->text, parts, TOKEN_PARTS, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    opaque_hash(text_of(out->text), out->hash);
    sodium_memzero(parts, TOKEN_PARTS);
}

void refresh_token_first(const uint8_t secret[SERVER_SECRET_SIZE], const uint8_t request_id[ID_SIZE],
                         struct refresh_token *out)
{
    uint8_t parts[TOKEN_PARTS], derived[crypto_auth_hmacsha256_BYTES];
    session_bytes(request_id, parts);
    derive(secret, "refresh first", bytes_of(request_id, ID_SIZE), (struct text){0}, derived);
    memcpy(parts + SESSION_PART, derived, SECRET_PART);
    token_finish(secret, parts, out);
    sodium_memzero(derived, sizeof derived);
}

static bool parts_read(struct text text, uint8_t parts[TOKEN_PARTS])
{
    size_t size;
    return sodium_base642bin(parts, TOKEN_PARTS, text.data, text.size, NULL, &size, NULL,
                             sodium_base64_VARIANT_URLSAFE_NO_PADDING) == 0 &&
           size == TOKEN_PARTS;
}

void refresh_token_next(const uint8_t secret[SERVER_SECRET_SIZE], const struct refresh_token *spent,
                        const uint8_t request_id[ID_SIZE], struct refresh_token *out)
{
    uint8_t parts[TOKEN_PARTS], derived[crypto_auth_hmacsha256_BYTES];
    ASSERT(parts_read(text_of(spent->text), parts));
    derive(secret, "refresh next", bytes_of(request_id, ID_SIZE), text_of(spent->text), derived);
    memcpy(parts + SESSION_PART, derived, SECRET_PART);
    token_finish(secret, parts, out);
    sodium_memzero(derived, sizeof derived);
}

bool refresh_token_read(const uint8_t secret[SERVER_SECRET_SIZE], struct text text, struct refresh_token *out,
                        char out_session_id[IDENT_SIZE])
{
    uint8_t parts[TOKEN_PARTS], mark[crypto_auth_hmacsha256_BYTES];
    if (!parts_read(text, parts)) {
        return false;
    }
    derive(secret, "refresh mark", bytes_of(parts, SESSION_PART + SECRET_PART), (struct text){0}, mark);
    bool genuine = sodium_memcmp(mark, parts + SESSION_PART + SECRET_PART, MARK_PART) == 0 && text.size < OPAQUE_SIZE;
    if (genuine) {
        memcpy(out->text, text.data, text.size);
        out->text[text.size] = '\0';
        opaque_hash(text, out->hash);
        session_name(parts, out_session_id);
    }
    sodium_memzero(parts, sizeof parts);
    return genuine;
}

void ticket_make(const uint8_t secret[SERVER_SECRET_SIZE], const uint8_t request_id[ID_SIZE], struct text session_id,
                 char out[OPAQUE_SIZE])
{
    uint8_t derived[crypto_auth_hmacsha256_BYTES];
    derive(secret, "ticket", bytes_of(request_id, ID_SIZE), session_id, derived);
    sodium_bin2base64(out, OPAQUE_SIZE, derived, sizeof derived, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    sodium_memzero(derived, sizeof derived);
}

void guess_name_make(const uint8_t secret[SERVER_SECRET_SIZE], struct text name, char out[GUESS_NAME_SIZE])
{
    uint8_t derived[crypto_auth_hmacsha256_BYTES];
    derive(secret, "guesses", name, (struct text){0}, derived);
    sodium_bin2hex(out, GUESS_NAME_SIZE, derived, (GUESS_NAME_SIZE - 1) / 2);
}

void secret_wipe(struct text secret)
{
    if (secret.size > 0) {
        sodium_memzero((void *)(uintptr_t)secret.data, secret.size);
    }
}
