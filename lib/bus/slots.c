#include "lib/bus/slots.h"

#include <pthread.h>

#include "lib/base/invariant.h"
#include "lib/base/lock.h"
#include "lib/base/mem.h"

struct slots {
    pthread_mutex_t lock;
    bool closed;
    int count;
    int used_count;
    int fresh_count; /* slots from here on were never used */
    int free_count;
    uint32_t *free; /* the last one freed is the next one used: it is warm in the cache */
    uint32_t *generations;
};

struct slots *slots_new(int slot_count)
{
    ASSERT(slot_count >= 1 && slot_count <= SLOTS_MAX);
    struct slots *self = mem_alloc(sizeof *self);
    self->count = slot_count;
    self->free = mem_alloc_array((size_t)slot_count, sizeof *self->free);
    self->generations = mem_alloc_array((size_t)slot_count, sizeof *self->generations);
    lock_init(&self->lock);
    return self;
}

void slots_destroy(struct slots **self)
{
    if (!*self) {
        return;
    }
    pthread_mutex_destroy(&(*self)->lock);
    mem_free((*self)->free);
    mem_free((*self)->generations);
    mem_free(*self);
    *self = NULL;
}

bool slots_claim(struct slots *self, uint64_t *out_corr)
{
    ASSERT(pthread_mutex_lock(&self->lock) == 0);
    bool given = !self->closed && self->used_count < self->count;
    if (given) {
        uint32_t slot = self->free_count > 0 ? self->free[--self->free_count] : (uint32_t)self->fresh_count++;
        uint32_t generation = ++self->generations[slot] ? self->generations[slot] : ++self->generations[slot];
        *out_corr = (uint64_t)slot << 32 | generation;
        self->used_count++;
    }
    ASSERT(pthread_mutex_unlock(&self->lock) == 0);
    return given;
}

void slots_release(struct slots *self, uint64_t corr)
{
    ASSERT(pthread_mutex_lock(&self->lock) == 0);
    ASSERT(slot_of(corr) < (uint32_t)self->count && self->used_count > 0);
    self->free[self->free_count++] = slot_of(corr);
    self->used_count--;
    ASSERT(pthread_mutex_unlock(&self->lock) == 0);
}

void slots_close(struct slots *self)
{
    ASSERT(pthread_mutex_lock(&self->lock) == 0);
    self->closed = true;
    ASSERT(pthread_mutex_unlock(&self->lock) == 0);
}

int slots_count(const struct slots *self)
{
    return self->count;
}

int slots_used(struct slots *self)
{
    ASSERT(pthread_mutex_lock(&self->lock) == 0);
    int used = self->used_count;
    ASSERT(pthread_mutex_unlock(&self->lock) == 0);
    return used;
}
