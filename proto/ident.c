#include "proto/ident.h"

#include <sodium.h>
#include <stdio.h>

#include "lib/base/invariant.h"

static void hash_part(crypto_generichash_state *state, struct text part)
{
    /* each part's size goes first, so that parts cannot run into each other */
    uint8_t size[4] = {(uint8_t)(part.size >> 24), (uint8_t)(part.size >> 16), (uint8_t)(part.size >> 8),
                       (uint8_t)part.size};
    crypto_generichash_update(state, size, sizeof size);
    if (part.size) {
        crypto_generichash_update(state, (const unsigned char *)part.data, part.size);
    }
}

static void hash_parts(const char *purpose, const struct text *parts, size_t count, uint8_t out[ID_SIZE])
{
    crypto_generichash_state state;
    ASSERT(crypto_generichash_init(&state, NULL, 0, ID_SIZE) == 0);
    hash_part(&state, text_of(purpose));
    for (size_t i = 0; i < count; i++) {
        hash_part(&state, parts[i]);
    }
    ASSERT(crypto_generichash_final(&state, out, ID_SIZE) == 0);
}

void ident_make(const char *prefix, const uint8_t request_id[ID_SIZE], uint32_t n, char out[IDENT_SIZE])
{
    char try_text[16];
    uint8_t hash[ID_SIZE];
    char base32[ID_BASE32_SIZE];
    snprintf(try_text, sizeof try_text, "%u", n);
    struct text parts[] = {text_of(prefix), {(const char *)request_id, ID_SIZE}, text_of(try_text)};
    hash_parts("ident", parts, ARRAY_COUNT(parts), hash);
    id_to_base32(hash, base32);
    snprintf(out, IDENT_SIZE, "%.4s_%s", prefix, base32);
}

bool ident_is(struct text ident, const char *prefix)
{
    size_t size = strlen(prefix);
    if (ident.size != size + 1 + (ID_BASE32_SIZE - 1) || !text_starts_with(ident, prefix) || ident.data[size] != '_') {
        return false;
    }
    for (uint32_t i = (uint32_t)size + 1; i < ident.size; i++) {
        if (!memchr("0123456789abcdefghjkmnpqrstvwxyz", ident.data[i], 32)) {
            return false;
        }
    }
    return true;
}

void request_id_from_key(struct text account, struct text route, struct text key, uint8_t out[ID_SIZE])
{
    struct text parts[] = {account, route, key};
    hash_parts("key", parts, ARRAY_COUNT(parts), out);
}

void request_id_of_step(struct text ident, struct text step, uint8_t out[ID_SIZE])
{
    struct text parts[] = {ident, step};
    hash_parts("step", parts, ARRAY_COUNT(parts), out);
}

void fingerprint_make(struct text body, char out[FINGERPRINT_SIZE])
{
    uint8_t hash[ID_SIZE];
    hash_parts("body", &body, 1, hash);
    id_to_hex(hash, out);
}

void order_number_make(struct text order_id, char out[ORDER_NUMBER_SIZE])
{
    uint8_t hash[ID_SIZE];
    char base32[ID_BASE32_SIZE];
    hash_parts("number", &order_id, 1, hash);
    id_to_base32(hash, base32);
    for (int i = 0; base32[i]; i++) {
        base32[i] = base32[i] >= 'a' ? (char)(base32[i] - 'a' + 'A') : base32[i];
    }
    snprintf(out, ORDER_NUMBER_SIZE, "%.5s-%.5s", base32, base32 + 5);
}
