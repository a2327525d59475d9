/* The signing keys as this process knows them: shared by its loops, which take what the store has, and by the pool's
 * threads, which sign. Which key signs when is decided in rules.h. Thread-safe. */
#ifndef ZMART_USER_KEYRING_H
#define ZMART_USER_KEYRING_H

#include "user-svc/rules.h"
#include "user-svc/store.h"
#include "user-svc/token.h"

struct keyring;

struct keyring *keyring_new(const struct key_policy *policy);
void keyring_destroy(struct keyring **self);
/* Signs with what these rows say from now on. INTERNAL if the key that is to sign cannot be used; then the one before
 * goes on. */
MUST_USE enum err keyring_take(struct keyring *self, const struct key_rows *rows, int64_t now_ms, struct fault *fault);
/* As token_sign. False also before the first key was taken. */
MUST_USE bool keyring_sign(struct keyring *self, const struct token_claims *claims, char out[TOKEN_SIZE]);
/* A new key of this generation, as a row whose texts are in the arena; wipe private_pem. */
MUST_USE enum err keyring_make(int64_t generation, int64_t now_ms, struct arena *arena, struct fault *fault,
                               struct key_row *out);
/* Overwrites the private keys of rows that were read. */
void key_rows_wipe(struct key_rows *rows);

#endif
