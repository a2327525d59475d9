#include "broker/queue.h"

#include "lib/base/invariant.h"
#include "proto/frame.h"

/* Shelves of services are odd, of all others even; a lower number is served earlier. */
static uint8_t shelf_of(uint8_t priority, bool service)
{
    return (uint8_t)(1 + 2 * (QUEUE_PRIORITY_COUNT - 1 - priority) + !service);
}

static bool request_of_service(const struct request *request)
{
    return (request->caller.flags & FRAME_SERVICE) != 0;
}

static void shelf_add(struct queue *self, struct request *request, uint8_t shelf, int64_t now_us)
{
    request->shelf = shelf;
    request->state = REQUEST_QUEUED;
    request->queued_us = now_us;
    request->order = self->next_order++;
    DL_APPEND(self->shelves[shelf], request);
    self->count++;
    self->size += request->parcel->size;
}

void queue_add(struct queue *self, struct request *request, int64_t now_us)
{
    ASSERT(request->priority < QUEUE_PRIORITY_COUNT);
    shelf_add(self, request, shelf_of(request->priority, request_of_service(request)), now_us);
}

void queue_add_again(struct queue *self, struct request *request, int64_t now_us)
{
    shelf_add(self, request, QUEUE_SHELF_AGAIN, now_us);
}

void queue_remove(struct queue *self, struct request *request)
{
    ASSERT(request->state == REQUEST_QUEUED);
    DL_DELETE(self->shelves[request->shelf], request);
    self->count--;
    self->size -= request->parcel->size;
}

struct request *queue_first(const struct queue *self)
{
    if (self->count == 0 || self->shelves[QUEUE_SHELF_AGAIN]) {
        return self->shelves[QUEUE_SHELF_AGAIN];
    }
    for (uint8_t shelf = 1; shelf < QUEUE_SHELF_COUNT; shelf += 2) {
        struct request *a = self->shelves[shelf], *b = self->shelves[shelf + 1];
        if (a || b) {
            return !b || (a && a->order < b->order) ? a : b;
        }
    }
    return NULL;
}

bool queue_has_room(const struct queue *self, const struct queue_limits *limits, size_t size, uint32_t times)
{
    return self->count < (uint64_t)limits->count * times && self->size + size <= limits->size * times;
}

struct request *queue_victim(const struct queue *self, uint8_t priority, bool service)
{
    uint8_t lowest_safe = service ? QUEUE_PRIORITY_COUNT : priority;
    for (uint8_t lower = 0; lower < lowest_safe; lower++) {
        struct request *head = self->shelves[shelf_of(lower, false)];
        if (head) {
            return head->prev; /* utlist: the head's prev is the tail */
        }
    }
    return NULL;
}

struct request *queue_stale(const struct queue *self, const struct queue_limits *limits, int64_t now_us)
{
    for (uint8_t priority = 0; priority < QUEUE_PRIORITY_COUNT; priority++) {
        struct request *head = self->shelves[shelf_of(priority, false)];
        if (head && now_us - head->queued_us > limits->age_us) {
            return head;
        }
    }
    return NULL;
}

int64_t queue_oldest_us(const struct queue *self, int64_t now_us)
{
    int64_t oldest = now_us;
    for (uint8_t shelf = 0; shelf < QUEUE_SHELF_COUNT; shelf++) {
        const struct request *head = self->shelves[shelf];
        oldest = head && head->queued_us < oldest ? head->queued_us : oldest;
    }
    return oldest;
}
