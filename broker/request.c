#include "broker/request.h"

#include "lib/base/invariant.h"

enum { REQUESTS_FIRST_CAPACITY = 256 };
enum { CALLER_KEY_SIZE = sizeof(struct peer *) + sizeof(uint64_t) };

_Static_assert(offsetof(struct caller, corr) == sizeof(struct peer *), "the key has no gap");

void requests_init(struct requests *self, uint32_t max)
{
    *self = (struct requests){.max = max};
}

void requests_release(struct requests *self)
{
    ASSERT(self->live == 0 && self->by_caller == NULL);
    for (uint32_t i = 0; i < self->count; i++) {
        mem_free(self->slots[i]);
    }
    mem_free(self->slots);
    *self = (struct requests){0};
}

static struct request *request_make(struct requests *self)
{
    if (self->count >= REQUESTS_FIRST_CAPACITY ? (self->count & (self->count - 1)) == 0 : self->count == 0) {
        size_t capacity = self->count ? 2 * (size_t)self->count : REQUESTS_FIRST_CAPACITY;
        self->slots = mem_grow(self->slots, capacity * sizeof *self->slots);
    }
    struct request *request = mem_alloc(sizeof *request);
    request->slot = self->count;
    self->slots[self->count++] = request;
    return request;
}

struct request *request_take(struct requests *self)
{
    if (self->live >= self->max) {
        return NULL;
    }
    struct request *request = self->free_list;
    if (request) {
        self->free_list = request->next;
        uint32_t slot = request->slot, generation = request->generation;
        memset(request, 0, sizeof *request);
        request->slot = slot;
        request->generation = generation;
    } else {
        request = request_make(self);
    }
    self->live++;
    request_renumber(request);
    return request;
}

void request_free(struct requests *self, struct request *request)
{
    ASSERT(request->state != REQUEST_FREE && request->parcel == NULL);
    request->state = REQUEST_FREE;
    request_renumber(request);
    request->next = self->free_list;
    self->free_list = request;
    self->live--;
}

uint64_t request_dispatch_id(const struct request *request)
{
    return (uint64_t)request->generation << 32 | request->slot;
}

void request_renumber(struct request *request)
{
    request->generation += request->generation == UINT32_MAX ? 2 : 1; /* 0 is skipped */
}

struct request *request_by_dispatch(const struct requests *self, uint64_t dispatch_id)
{
    uint32_t slot = (uint32_t)dispatch_id;
    if (slot >= self->count || self->slots[slot]->generation != dispatch_id >> 32 ||
        self->slots[slot]->state == REQUEST_FREE) {
        return NULL;
    }
    return self->slots[slot];
}

struct request *request_by_caller(const struct requests *self, struct peer *client, uint64_t corr)
{
    uint8_t key[CALLER_KEY_SIZE];
    struct request *found = NULL;
    memcpy(key, &client, sizeof client);
    memcpy(key + sizeof client, &corr, sizeof corr);
    HASH_FIND(hh, self->by_caller, key, CALLER_KEY_SIZE, found);
    return found;
}

void request_index(struct requests *self, struct request *request)
{
    unsigned hash;
    struct request *found = NULL;
    HASH_VALUE(&request->caller, CALLER_KEY_SIZE, hash);
    HASH_FIND_BYHASHVALUE(hh, self->by_caller, &request->caller, CALLER_KEY_SIZE, hash, found);
    if (!found) {
        HASH_ADD_KEYPTR_BYHASHVALUE(hh, self->by_caller, &request->caller, CALLER_KEY_SIZE, hash, request);
    }
}

void request_unindex(struct requests *self, struct request *request)
{
    if (request->hh.tbl) {
        HASH_DELETE(hh, self->by_caller, request);
        request->hh.tbl = NULL;
    }
}
