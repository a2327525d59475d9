/* A lock-free stack of free slots: the head is slot + 1 and a tag that changes at every turn, so that a head seen
 * before somebody else's pop and push is not mistaken for the present one. */
#include "lib/bus/slots.h"

#include <stdatomic.h>
#include <stddef.h>

#include "lib/base/invariant.h"
#include "lib/base/mem.h"

struct slots {
    int count;
    atomic_bool closed;
    atomic_int used_count;
    atomic_uint fresh_count;        /* slots from here on were never used */
    _Atomic uint64_t free;          /* tag << 32 | slot + 1 of the one freed last; low half 0: none */
    _Atomic uint32_t *next;         /* by slot: slot + 1 of the one freed before it */
    uint32_t *generations;          /* by slot; its holder's */
};

struct slots *slots_new(int slot_count)
{
    ASSERT(slot_count >= 1 && slot_count <= SLOTS_MAX);
    struct slots *self = mem_alloc(sizeof *self);
    self->count = slot_count;
    self->next = mem_alloc_array((size_t)slot_count, sizeof *self->next);
    self->generations = mem_alloc_array((size_t)slot_count, sizeof *self->generations);
    return self;
}

void slots_destroy(struct slots **self)
{
    if (!*self) {
        return;
    }
    mem_free((void *)(*self)->next);
    mem_free((*self)->generations);
    mem_free(*self);
    *self = NULL;
}

/* False if none was ever freed and is free still. */
static bool free_pop(struct slots *self, uint32_t *out_slot)
{
    uint64_t head = atomic_load_explicit(&self->free, memory_order_acquire);
    while ((uint32_t)head != 0) {
        uint32_t slot = (uint32_t)head - 1;
        uint32_t below = atomic_load_explicit(&self->next[slot], memory_order_relaxed);
        uint64_t turned = ((head >> 32) + 1) << 32 | below;
        if (atomic_compare_exchange_weak_explicit(&self->free, &head, turned, memory_order_acquire,
                                                  memory_order_acquire)) {
            *out_slot = slot;
            return true;
        }
    }
    return false;
}

static void free_push(struct slots *self, uint32_t slot)
{
    uint64_t head = atomic_load_explicit(&self->free, memory_order_relaxed);
    uint64_t turned;
    do {
        atomic_store_explicit(&self->next[slot], (uint32_t)head, memory_order_relaxed);
        turned = ((head >> 32) + 1) << 32 | (slot + 1);
    } while (!atomic_compare_exchange_weak_explicit(&self->free, &head, turned, memory_order_release,
                                                    memory_order_relaxed));
}

static bool fresh_take(struct slots *self, uint32_t *out_slot)
{
    unsigned fresh = atomic_load(&self->fresh_count);
    while (fresh < (unsigned)self->count) {
        if (atomic_compare_exchange_weak(&self->fresh_count, &fresh, fresh + 1)) {
            *out_slot = fresh;
            return true;
        }
    }
    return false;
}

bool slots_claim(struct slots *self, uint64_t *out_corr)
{
    uint32_t slot;
    if (atomic_fetch_add(&self->used_count, 1) >= self->count || atomic_load(&self->closed)) {
        atomic_fetch_sub(&self->used_count, 1);
        return false;
    }
    /* counted as ours, so there is one: whoever frees a slot pushes it before it uncounts itself */
    while (!free_pop(self, &slot) && !fresh_take(self, &slot)) {
    }
    uint32_t generation = ++self->generations[slot] ? self->generations[slot] : ++self->generations[slot];
    *out_corr = (uint64_t)slot << 32 | generation;
    return true;
}

void slots_release(struct slots *self, uint64_t corr)
{
    ASSERT(slot_of(corr) < (uint32_t)self->count);
    free_push(self, slot_of(corr));
    ASSERT(atomic_fetch_sub(&self->used_count, 1) > 0);
}

void slots_close(struct slots *self)
{
    atomic_store(&self->closed, true);
}

int slots_count(const struct slots *self)
{
    return self->count;
}

int slots_used(struct slots *self)
{
    return atomic_load(&self->used_count);
}
