/* Access tokens (RFC 9068): the whole check of one JWT against given keys. jansson and OpenSSL see only what passed the
 * limits: sizes, strict base64url, depth, exactly the header members and claims that our tokens have. libjwt 1.10 is
 * not asked: it refuses typ at+jwt, parses JSON of any depth first, and takes a missing key for a good signature. */
#ifndef ZMART_GATEWAY_TOKEN_H
#define ZMART_GATEWAY_TOKEN_H

#include "lib/base/buffer.h"
#include "lib/base/mem.h"
#include "proto/fault.h"
#include "proto/user.h"

enum { TOKEN_MAX_SIZE = 2048, TOKEN_MAX_HEADER_SIZE = 256, TOKEN_MAX_PAYLOAD_SIZE = 1536, TOKEN_MAX_DEPTH = 3 };

struct token_claims {
    struct text user_id;    /* sub */
    struct text session_id; /* sid */
    enum role role;
    int64_t issued_at_ms;  /* at, or iat in ms */
    int64_t expires_at_ms; /* exp */
};

/* Public keys, parsed once. Thread-safe for reading. */
struct token_keys;
/* Keys that are no P-256 points are left out. */
struct token_keys *token_keys_new(const struct signing_keys *from);
void token_keys_destroy(struct token_keys **self);
uint32_t token_keys_count(const struct token_keys *self);
/* Whether both have a key. */
bool token_keys_share(const struct token_keys *a, const struct token_keys *b);
/* Appends {"keys":[...]} (RFC 7517). */
bool token_keys_write(const struct token_keys *self, struct buffer *out);

/* ES256 by the key that kid names, typ at+jwt, iss and aud of the keys' issuer, not expired, not from the future.
 * UNAUTHENTICATED otherwise (the detail says nothing that helps a forger, the cause says why).
 * NOT_FOUND: no key has this kid. Texts of out are in arena; out is untouched on failure. */
MUST_USE enum err token_verify(struct text token, const struct token_keys *keys, int64_t wall_ms, int64_t leeway_s,
                               struct arena *arena, struct fault *fault, struct token_claims *out);

#endif
