#include "user-svc/keyring.h"

#include <pthread.h>
#include <string.h>

#include "lib/base/invariant.h"
#include "lib/base/mem.h"
#include "user-svc/opaque.h"

struct keyring {
    struct key_policy policy;
    pthread_rwlock_t lock; /* of what follows: written when the key changes, read by whoever signs */
    int64_t generation;    /* of the key that signs; 0: none yet */
    struct token_signer *signer;
};

struct keyring *keyring_new(const struct key_policy *policy)
{
    struct keyring *self = mem_alloc(sizeof *self);
    self->policy = *policy;
    ASSERT(pthread_rwlock_init(&self->lock, NULL) == 0);
    return self;
}

void keyring_destroy(struct keyring **self)
{
    if (*self) {
        token_signer_destroy(&(*self)->signer);
        pthread_rwlock_destroy(&(*self)->lock);
        mem_free(*self);
        *self = NULL;
    }
}

enum err keyring_take(struct keyring *self, const struct key_rows *rows, int64_t now_ms, struct fault *fault)
{
    int64_t created_ms[SIGNING_KEYS_MAX];
    ASSERT(rows->count <= SIGNING_KEYS_MAX);
    for (uint32_t i = 0; i < rows->count; i++) {
        created_ms[i] = rows->items[i].created_ms;
    }
    int signing = key_that_signs(&self->policy, created_ms, (int)rows->count, now_ms);
    if (signing < 0) {
        return fault_set(fault, ERR_INTERNAL, "there is no signing key in the store");
    }
    const struct key_row *row = &rows->items[signing];
    ASSERT(pthread_rwlock_rdlock(&self->lock) == 0);
    bool known = self->generation == row->generation;
    ASSERT(pthread_rwlock_unlock(&self->lock) == 0);
    if (known) {
        return ERR_NONE;
    }
    struct token_signer *signer = token_signer_new(row->shown.kid, row->private_pem);
    if (!signer) {
        return fault_set(fault, ERR_INTERNAL, "the stored signing key %.*s cannot be used", TEXT_ARG(row->shown.kid));
    }
    ASSERT(pthread_rwlock_wrlock(&self->lock) == 0);
    struct token_signer *old = self->signer;
    self->signer = signer;
    self->generation = row->generation;
    ASSERT(pthread_rwlock_unlock(&self->lock) == 0);
    token_signer_destroy(&old);
    return ERR_NONE;
}

bool keyring_sign(struct keyring *self, const struct token_claims *claims, char out[TOKEN_SIZE])
{
    ASSERT(pthread_rwlock_rdlock(&self->lock) == 0);
    bool made = self->signer && token_sign(self->signer, claims, out);
    ASSERT(pthread_rwlock_unlock(&self->lock) == 0);
    return made;
}

static struct text kept(struct arena *arena, const char *string)
{
    return text_of(arena_copy(arena, string, strlen(string)));
}

enum err keyring_make(int64_t generation, int64_t now_ms, struct arena *arena, struct fault *fault, struct key_row *out)
{
    struct token_key key;
    if (!token_key_make(&key)) {
        fault_cause(fault, "OpenSSL made no P-256 key");
        return fault_set(fault, ERR_INTERNAL, "no signing key could be made");
    }
    *out = (struct key_row){.generation = generation,
                            .shown = {.kid = kept(arena, key.kid),
                                      .public_pem = kept(arena, key.public_pem),
                                      .x = kept(arena, key.x),
                                      .y = kept(arena, key.y)},
                            .private_pem = kept(arena, key.private_pem),
                            .created_ms = now_ms};
    token_key_wipe(&key);
    return ERR_NONE;
}

void key_rows_wipe(struct key_rows *rows)
{
    for (uint32_t i = 0; i < rows->count; i++) {
        secret_wipe(rows->items[i].private_pem);
    }
}
