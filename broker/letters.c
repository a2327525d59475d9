#include "broker/letters.h"

#include "proto/frame.h"

void letters_init(struct letters *self, uint32_t count_max, size_t size_max)
{
    *self = (struct letters){.count_max = count_max, .size_max = size_max};
}

void letters_release(struct letters *self)
{
    while (self->list) {
        letter_remove(self, self->list);
    }
}

void letter_remove(struct letters *self, struct letter *letter)
{
    DL_DELETE(self->list, letter);
    self->count--;
    self->size -= letter->parcel ? letter->parcel->size : 0;
    parcel_drop(&letter->parcel);
    mem_free(letter->route);
    mem_free(letter);
}

/* A key says whose thing it is about: of a secret request only the operation is kept. */
static char *route_copy(struct text route, bool secret)
{
    const char *key = secret ? memchr(route.data, '#', route.size) : NULL;
    size_t size = key ? (size_t)(key - route.data) : route.size;
    char *copy = mem_alloc(size + 1);
    memcpy(copy, route.data, size);
    return copy;
}

static void letter_put(struct letters *self, struct letter *letter)
{
    DL_APPEND(self->list, letter);
    self->count++;
    self->size += letter->parcel ? letter->parcel->size : 0;
}

uint32_t letter_add(struct letters *self, const struct request *request, uint64_t death, const char *reason,
                    int64_t now_us)
{
    if (self->count_max == 0) {
        return 1;
    }
    struct letter *letter = mem_alloc(sizeof *letter);
    bool secret = (request->caller.flags & FRAME_SECRET) != 0;
    memcpy(letter->request_id, request->caller.request_id, ID_SIZE);
    letter->death = death;
    letter->route = route_copy(request->parcel->parts[0], secret);
    letter->reason = reason;
    letter->flags = request->caller.flags;
    letter->priority = request->priority;
    letter->attempts = request->caller.attempt;
    letter->at_us = now_us;
    if (!secret && request->parcel->size <= self->size_max) {
        letter->parcel = parcel_share(request->parcel);
    }
    letter_put(self, letter);
    uint32_t lost = 0;
    for (; self->count > self->count_max || self->size > self->size_max; lost++) {
        letter_remove(self, self->list);
    }
    return lost;
}

void letter_defer(struct letters *self, struct letter *letter)
{
    DL_DELETE(self->list, letter);
    DL_APPEND(self->list, letter);
}

struct letter *letter_find(const struct letters *self, const uint8_t request_id[ID_SIZE])
{
    struct letter *letter;
    DL_FOREACH(self->list, letter)
    {
        if (memcmp(letter->request_id, request_id, ID_SIZE) == 0) {
            return letter;
        }
    }
    return NULL;
}
