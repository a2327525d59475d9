#include "broker/sends.h"

#include "lib/base/invariant.h"
#include "lib/base/mem.h"

enum { SENDS_FIRST_CAPACITY = 64 };

void sends_add(struct sends *self, enum plane plane, struct text to, const struct frame_head *head,
               struct parcel *parcel)
{
    ASSERT(to.size >= 1 && to.size <= ROUTING_ID_MAX_SIZE);
    if (self->count == self->capacity) {
        self->capacity = self->capacity ? 2 * self->capacity : SENDS_FIRST_CAPACITY;
        self->list = mem_grow(self->list, self->capacity * sizeof *self->list);
    }
    struct send *send = &self->list[self->count++];
    send->parcel = parcel;
    send->plane = plane;
    send->to_size = (uint8_t)to.size;
    memcpy(send->to, to.data, to.size);
    frame_head_write(head, send->head);
}

void send_move(struct send *to, struct send *from)
{
    memcpy(to, from, offsetof(struct send, to) + from->to_size);
    from->parcel = NULL;
}

size_t send_size(const struct send *send)
{
    return send->parcel ? send->parcel->size : 0;
}

void sends_clear(struct sends *self)
{
    for (size_t i = 0; i < self->count; i++) {
        parcel_drop(&self->list[i].parcel);
    }
    self->count = 0;
}

void sends_release(struct sends *self)
{
    sends_clear(self);
    mem_free(self->list);
    *self = (struct sends){0};
}
