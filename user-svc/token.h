/* Access tokens (RFC 9068): ES256 JWTs of type at+jwt, and the P-256 keys that sign them.
 * libjwt 1.10 builds the claims; the header and the signature are made here, because libjwt writes typ "JWT" whatever
 * it is told, and refuses to read another. Signing is for threads of the pool. */
#ifndef ZMART_USER_TOKEN_H
#define ZMART_USER_TOKEN_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/auto.h"
#include "lib/base/text.h"
#include "proto/user.h"

enum { TOKEN_SIZE = 2049, TOKEN_KID_SIZE = 44, TOKEN_COORDINATE_SIZE = 44, TOKEN_PEM_SIZE = 512 }; /* with NUL */

/* A key pair as the store keeps it. private_pem is a secret: wipe it with token_key_wipe. */
struct token_key {
    char kid[TOKEN_KID_SIZE];       /* RFC 7638 thumbprint */
    char x[TOKEN_COORDINATE_SIZE];  /* base64url of the point's coordinates */
    char y[TOKEN_COORDINATE_SIZE];
    char public_pem[TOKEN_PEM_SIZE];
    char private_pem[TOKEN_PEM_SIZE];
};

/* False if OpenSSL cannot make one. */
MUST_USE bool token_key_make(struct token_key *out);
void token_key_wipe(struct token_key *key);

/* A key ready to sign. Thread-safe. */
struct token_signer;
/* NULL if the PEM is not a P-256 key. */
struct token_signer *token_signer_new(struct text kid, struct text private_pem);
void token_signer_destroy(struct token_signer **self);

struct token_claims {
    const char *issuer; /* iss and aud */
    const char *user_id;
    enum role role;
    const char *session_id;
    int64_t now_ms; /* the wall clock: iat, and exp after it */
    int64_t at_ms;  /* the issue time that denials go by; later than now_ms where the clock has been set back */
    int64_t ttl_s;
};

/* Signs into out, NUL-terminated; with a random jti. False if a library fails or the token would be too long. */
MUST_USE bool token_sign(const struct token_signer *signer, const struct token_claims *claims, char out[TOKEN_SIZE]);

#endif
