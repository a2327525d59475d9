#include "user-svc/throttle.h"

#include <pthread.h>
#include <sodium.h>

#include "lib/base/invariant.h"
#include "lib/base/mem.h"

enum { PLACES_PER_SET = 8, SET_COUNT = THROTTLE_NAME_COUNT / PLACES_PER_SET, NAME_HASH_SIZE = 16 };

struct place {
    uint8_t name[NAME_HASH_SIZE];
    struct attempts attempts; /* failures 0: free */
};

struct throttle {
    struct attempt_policy policy;
    uint8_t key[crypto_generichash_KEYBYTES]; /* of this process, so that nobody can aim at another name's places */
    pthread_mutex_t lock;                     /* guards places */
    struct place places[SET_COUNT][PLACES_PER_SET];
};

struct throttle *throttle_new(const struct attempt_policy *policy)
{
    struct throttle *self = mem_alloc(sizeof *self);
    self->policy = *policy;
    randombytes_buf(self->key, sizeof self->key);
    ASSERT(pthread_mutex_init(&self->lock, NULL) == 0);
    return self;
}

void throttle_destroy(struct throttle **self)
{
    if (*self) {
        pthread_mutex_destroy(&(*self)->lock);
        mem_free(*self);
        *self = NULL;
    }
}

static struct place *set_of(struct throttle *self, struct text name, uint8_t out_hash[NAME_HASH_SIZE])
{
    ASSERT(crypto_generichash(out_hash, NAME_HASH_SIZE, (const unsigned char *)name.data, name.size, self->key,
                              sizeof self->key) == 0);
    return self->places[((size_t)out_hash[0] | (size_t)out_hash[1] << 8) % SET_COUNT];
}

static struct place *place_find(struct place *set, const uint8_t hash[NAME_HASH_SIZE])
{
    for (int i = 0; i < PLACES_PER_SET; i++) {
        if (set[i].attempts.failures > 0 && memcmp(set[i].name, hash, NAME_HASH_SIZE) == 0) {
            return &set[i];
        }
    }
    return NULL;
}

/* A free place, or the one that failed longest ago. */
static struct place *place_take(struct place *set, const uint8_t hash[NAME_HASH_SIZE])
{
    struct place *best = &set[0];
    for (int i = 0; i < PLACES_PER_SET && best->attempts.failures > 0; i++) {
        if (set[i].attempts.failures == 0 || set[i].attempts.last_ms < best->attempts.last_ms) {
            best = &set[i];
        }
    }
    best->attempts = (struct attempts){0};
    memcpy(best->name, hash, NAME_HASH_SIZE);
    return best;
}

int64_t throttle_wait_ms(struct throttle *self, struct text name, int64_t now_ms)
{
    uint8_t hash[NAME_HASH_SIZE];
    pthread_mutex_lock(&self->lock);
    struct place *place = place_find(set_of(self, name, hash), hash);
    int64_t wait_ms = place ? attempts_wait_ms(&place->attempts, now_ms) : 0;
    pthread_mutex_unlock(&self->lock);
    return wait_ms;
}

void throttle_fail(struct throttle *self, struct text name, int64_t now_ms)
{
    uint8_t hash[NAME_HASH_SIZE];
    pthread_mutex_lock(&self->lock);
    struct place *set = set_of(self, name, hash);
    struct place *place = place_find(set, hash);
    place = place ? place : place_take(set, hash);
    attempts_fail(&place->attempts, &self->policy, now_ms);
    pthread_mutex_unlock(&self->lock);
}

void throttle_clear(struct throttle *self, struct text name)
{
    uint8_t hash[NAME_HASH_SIZE];
    pthread_mutex_lock(&self->lock);
    struct place *place = place_find(set_of(self, name, hash), hash);
    if (place) {
        place->attempts = (struct attempts){0};
    }
    pthread_mutex_unlock(&self->lock);
}
