#include "gateway/limit.h"

#include <pthread.h>
#include <sodium.h>

#include "lib/base/id.h"
#include "lib/base/invariant.h"
#include "lib/base/mem.h"

enum { SET_COUNT = 1024, WAYS = 8 };

struct bucket {
    uint64_t name;       /* keyed hash; 0: free */
    int64_t tokens_1000; /* thousandths */
    int64_t at_ms;
};

struct limit {
    pthread_mutex_t lock;
    unsigned char key[crypto_shorthash_KEYBYTES]; /* so that nobody can choose names that collide */
    int64_t count;
    int64_t window_ms;
    struct bucket buckets[SET_COUNT][WAYS];
};

struct limit *limit_new(int64_t count, int64_t window_ms)
{
    struct limit *self = mem_alloc(sizeof *self);
    ASSERT(count > 0 && window_ms > 0);
    ASSERT(pthread_mutex_init(&self->lock, NULL) == 0);
    id_random(self->key, sizeof self->key);
    self->count = count;
    self->window_ms = window_ms;
    return self;
}

void limit_destroy(struct limit **self)
{
    if (*self) {
        pthread_mutex_destroy(&(*self)->lock);
        mem_free(*self);
        *self = NULL;
    }
}

static uint64_t name_of(const struct limit *self, struct text name)
{
    unsigned char hash[crypto_shorthash_BYTES];
    uint64_t number;
    crypto_shorthash(hash, (const unsigned char *)name.data, name.size, self->key);
    memcpy(&number, hash, sizeof number);
    return number ? number : 1;
}

static struct bucket *bucket_find(struct limit *self, uint64_t name, int64_t now_ms)
{
    struct bucket *set = self->buckets[name % SET_COUNT];
    struct bucket *place = &set[0];
    for (int i = 0; i < WAYS; i++) {
        if (set[i].name == name) {
            return &set[i];
        }
        if (set[i].name == 0 || (place->name != 0 && set[i].at_ms < place->at_ms)) {
            place = &set[i];
        }
    }
    *place = (struct bucket){.name = name, .tokens_1000 = self->count * 1000, .at_ms = now_ms};
    return place;
}

static void refill(const struct limit *self, struct bucket *bucket, int64_t now_ms)
{
    int64_t passed_ms = now_ms - bucket->at_ms;
    if (passed_ms <= 0) {
        return;
    }
    if (passed_ms >= self->window_ms) {
        bucket->tokens_1000 = self->count * 1000;
    } else {
        int64_t gained_1000 = passed_ms * self->count * 1000 / self->window_ms;
        int64_t tokens_1000 = bucket->tokens_1000 + gained_1000;
        bucket->tokens_1000 = tokens_1000 < self->count * 1000 ? tokens_1000 : self->count * 1000;
        if (gained_1000 == 0) {
            return; /* the moments that were too short count together later */
        }
    }
    bucket->at_ms = now_ms;
}

bool limit_take(struct limit *self, struct text name, int64_t cost, int64_t now_ms, struct limit_state *out)
{
    int64_t needed_1000 = (cost > 0 ? cost : 1) * 1000;
    ASSERT(pthread_mutex_lock(&self->lock) == 0);
    struct bucket *bucket = bucket_find(self, name_of(self, name), now_ms);
    refill(self, bucket, now_ms);
    bool enough = bucket->tokens_1000 >= needed_1000;
    if (enough) {
        bucket->tokens_1000 -= cost * 1000;
    }
    int64_t missing_1000 = enough ? 0 : needed_1000 - bucket->tokens_1000;
    int64_t per_s_1000 = self->count * 1000 * 1000 / self->window_ms; /* thousandths of a token a second */
    *out = (struct limit_state){
        .quota = self->count, .left = bucket->tokens_1000 / 1000, .window_s = (self->window_ms + 999) / 1000};
    out->wait_s = missing_1000 ? 1 + missing_1000 / (per_s_1000 ? per_s_1000 : 1) : 0;
    ASSERT(pthread_mutex_unlock(&self->lock) == 0);
    return enough;
}
