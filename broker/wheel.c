#include "broker/wheel.h"

enum { NOT_IN_WHEEL = 0 }; /* wheel_slot is the index + 1 */

void wheel_init(struct wheel *self, int64_t now_us)
{
    *self = (struct wheel){.tick = now_us / WHEEL_TICK_US};
}

static void slot_add(struct wheel *self, struct request *request, uint32_t slot)
{
    DL_APPEND2(self->slots[slot], request, wheel_prev, wheel_next);
    request->wheel_slot = slot + 1;
    self->count++;
}

void wheel_add(struct wheel *self, struct request *request)
{
    int64_t tick = request->deadline_us / WHEEL_TICK_US;
    tick = tick < self->tick ? self->tick : tick;
    slot_add(self, request, (uint32_t)(tick % WHEEL_SLOT_COUNT));
}

void wheel_remove(struct wheel *self, struct request *request)
{
    if (request->wheel_slot == NOT_IN_WHEEL) {
        return;
    }
    struct request **slot = &self->slots[request->wheel_slot - 1];
    DL_DELETE2(*slot, request, wheel_prev, wheel_next);
    request->wheel_slot = NOT_IN_WHEEL;
    self->count--;
}

static void slot_collect_due(struct wheel *self, uint32_t slot, int64_t now_us)
{
    struct request *request, *next;
    DL_FOREACH_SAFE2(self->slots[slot], request, next, wheel_next)
    {
        if (request->deadline_us <= now_us) {
            wheel_remove(self, request);
            slot_add(self, request, WHEEL_SLOT_COUNT);
        }
    }
}

struct request *wheel_take_due(struct wheel *self, int64_t now_us)
{
    int64_t now_tick = now_us / WHEEL_TICK_US;
    if (now_tick - self->tick > WHEEL_SLOT_COUNT) {
        self->tick = now_tick - WHEEL_SLOT_COUNT; /* one whole turn looks at every slot */
    }
    while (self->count && !self->slots[WHEEL_SLOT_COUNT] && self->tick < now_tick) {
        slot_collect_due(self, (uint32_t)(self->tick++ % WHEEL_SLOT_COUNT), now_us);
    }
    if (self->count == 0 && self->tick < now_tick) {
        self->tick = now_tick;
    }
    struct request *due = self->slots[WHEEL_SLOT_COUNT];
    if (due) {
        wheel_remove(self, due);
    }
    return due;
}
