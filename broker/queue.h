/* What waits for one service. Served first: what a dead worker left; then by priority, 3 before 0, oldest first.
 * Shed first: the lowest priority, newest first, and never what a service asks for or a worker may have begun. */
#ifndef ZMART_BROKER_QUEUE_H
#define ZMART_BROKER_QUEUE_H

#include "broker/request.h"

enum { QUEUE_PRIORITY_COUNT = 4 };
/* One list for what is sent again, then two a priority: of services, and of all others. */
enum { QUEUE_SHELF_AGAIN = 0, QUEUE_SHELF_COUNT = 1 + 2 * QUEUE_PRIORITY_COUNT };

struct queue {
    struct request *shelves[QUEUE_SHELF_COUNT];
    uint32_t count;
    size_t size; /* bytes of the parcels */
    uint64_t next_order;
};

struct queue_limits {
    uint32_t count;
    size_t size;
    int64_t age_us;
};

/* At the end of its priority. */
void queue_add(struct queue *self, struct request *request, int64_t now_us);
/* Before all that has not been sent yet; behind what was put there before. */
void queue_add_again(struct queue *self, struct request *request, int64_t now_us);
void queue_remove(struct queue *self, struct request *request);
/* What is to be served next; NULL if nothing waits. */
struct request *queue_first(const struct queue *self);
/* Whether one more request of size bytes stays within `times` the limits. */
bool queue_has_room(const struct queue *self, const struct queue_limits *limits, size_t size, uint32_t times);
/* What has to go so that another request, of this priority and from a service or not, can wait instead; NULL if nothing
 * may. */
struct request *queue_victim(const struct queue *self, uint8_t priority, bool service);
/* One request that may be shed and has waited longer than the limit; NULL if there is none. */
struct request *queue_stale(const struct queue *self, const struct queue_limits *limits, int64_t now_us);
/* Since when the oldest one waits; now_us if none does. */
int64_t queue_oldest_us(const struct queue *self, int64_t now_us);

#endif
