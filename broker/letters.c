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

void letter_add(struct letters *self, const struct request *request, int64_t now_us)
{
    if (self->count_max == 0) {
        return;
    }
    struct text route = request->parcel->parts[0];
    struct letter *letter = mem_alloc(sizeof *letter);
    memcpy(letter->request_id, request->caller.request_id, ID_SIZE);
    letter->route = mem_alloc((size_t)route.size + 1);
    memcpy(letter->route, route.data, route.size);
    letter->flags = request->caller.flags;
    letter->priority = request->priority;
    letter->attempts = request->caller.attempt;
    letter->at_us = now_us;
    if (!(letter->flags & FRAME_SECRET) && request->parcel->size <= self->size_max) {
        letter->parcel = parcel_share(request->parcel);
        self->size += letter->parcel->size;
    }
    DL_APPEND(self->list, letter);
    self->count++;
    while (self->count > self->count_max || self->size > self->size_max) {
        letter_remove(self, self->list);
    }
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
