/* Tokens that were verified, by their SHA-256, until they expire: a verification costs a hundred times a look-up.
 * Bounded, in sets of four; the one that expires first makes room. Thread-safe, with a lock for each part. */
#ifndef ZMART_GATEWAY_TOKEN_CACHE_H
#define ZMART_GATEWAY_TOKEN_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "gateway/token.h"

enum { TOKEN_HASH_SIZE = 32, TOKEN_ID_SIZE = 41 };

struct token_entry {
    uint8_t hash[TOKEN_HASH_SIZE];
    char user_id[TOKEN_ID_SIZE];
    char session_id[TOKEN_ID_SIZE];
    enum role role;
    int64_t issued_at_ms;
    int64_t expires_at_ms; /* 0: the place is free */
    int64_t asked_ms;      /* clock_now_ms() when user-svc last called it good; 0: never */
};

struct token_cache;

/* Room for at least count tokens. */
struct token_cache *token_cache_new(int64_t count);
void token_cache_destroy(struct token_cache **self);
void token_hash(struct text token, uint8_t out[TOKEN_HASH_SIZE]);
/* False if it is not there or has expired. */
bool token_cache_get(struct token_cache *self, const uint8_t hash[TOKEN_HASH_SIZE], int64_t wall_ms,
                     struct token_entry *out);
void token_cache_put(struct token_cache *self, const struct token_entry *entry, int64_t wall_ms);
/* Forgets all (the keys have changed). */
void token_cache_clear(struct token_cache *self);

#endif
