#include "gateway/token_cache.h"

#include <pthread.h>
#include <sodium.h>

#include "lib/base/invariant.h"

enum { WAYS = 4, LOCK_COUNT = 16 };

struct token_cache {
    pthread_mutex_t locks[LOCK_COUNT];
    struct token_entry *entries;
    uint32_t set_count; /* a power of two, at least LOCK_COUNT */
};

struct token_cache *token_cache_new(int64_t count)
{
    struct token_cache *self = mem_alloc(sizeof *self);
    self->set_count = LOCK_COUNT;
    while ((int64_t)self->set_count * WAYS < count) {
        self->set_count *= 2;
    }
    self->entries = mem_alloc_array((size_t)self->set_count * WAYS, sizeof *self->entries);
    for (int i = 0; i < LOCK_COUNT; i++) {
        ASSERT(pthread_mutex_init(&self->locks[i], NULL) == 0);
    }
    return self;
}

void token_cache_destroy(struct token_cache **self)
{
    if (!*self) {
        return;
    }
    for (int i = 0; i < LOCK_COUNT; i++) {
        pthread_mutex_destroy(&(*self)->locks[i]);
    }
    mem_free((*self)->entries);
    mem_free(*self);
    *self = NULL;
}

void token_hash(struct text token, uint8_t out[TOKEN_HASH_SIZE])
{
    crypto_hash_sha256(out, (const unsigned char *)token.data, token.size);
}

/* Locks the part that the hash belongs to. */
static struct token_entry *set_enter(struct token_cache *self, const uint8_t hash[TOKEN_HASH_SIZE],
                                     pthread_mutex_t **out_lock)
{
    uint32_t number;
    memcpy(&number, hash, sizeof number);
    number &= self->set_count - 1;
    *out_lock = &self->locks[number % LOCK_COUNT];
    ASSERT(pthread_mutex_lock(*out_lock) == 0);
    return &self->entries[(size_t)number * WAYS];
}

bool token_cache_get(struct token_cache *self, const uint8_t hash[TOKEN_HASH_SIZE], int64_t wall_ms,
                     struct token_entry *out)
{
    pthread_mutex_t *lock;
    bool found = false;
    struct token_entry *set = set_enter(self, hash, &lock);
    for (int i = 0; i < WAYS && !found; i++) {
        found = set[i].expires_at_ms > wall_ms && memcmp(set[i].hash, hash, TOKEN_HASH_SIZE) == 0;
        if (found) {
            *out = set[i];
        }
    }
    ASSERT(pthread_mutex_unlock(lock) == 0);
    return found;
}

void token_cache_put(struct token_cache *self, const struct token_entry *entry, int64_t wall_ms)
{
    pthread_mutex_t *lock;
    struct token_entry *set = set_enter(self, entry->hash, &lock);
    struct token_entry *place = &set[0];
    for (int i = 0; i < WAYS; i++) {
        if (memcmp(set[i].hash, entry->hash, TOKEN_HASH_SIZE) == 0 || set[i].expires_at_ms <= wall_ms) {
            place = &set[i];
            break;
        }
        place = set[i].expires_at_ms < place->expires_at_ms ? &set[i] : place;
    }
    *place = *entry;
    ASSERT(pthread_mutex_unlock(lock) == 0);
}

void token_cache_clear(struct token_cache *self)
{
    for (uint32_t i = 0; i < self->set_count; i++) {
        pthread_mutex_t *lock = &self->locks[i % LOCK_COUNT];
        ASSERT(pthread_mutex_lock(lock) == 0);
        memset(&self->entries[(size_t)i * WAYS], 0, WAYS * sizeof *self->entries);
        ASSERT(pthread_mutex_unlock(lock) == 0);
    }
}
