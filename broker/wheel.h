/* Deadlines: a ring of lists, one a tick. Adding, removing and (a tick's share of) advancing are O(1); a deadline
 * that is more than one turn away is looked at once a turn. A request comes due at most one tick late. */
#ifndef ZMART_BROKER_WHEEL_H
#define ZMART_BROKER_WHEEL_H

#include "broker/request.h"

enum { WHEEL_SLOT_COUNT = 1024, WHEEL_TICK_US = 10 * 1000 };

struct wheel {
    struct request *slots[WHEEL_SLOT_COUNT + 1]; /* the last one: due, to be given out */
    int64_t tick;                                /* everything due before it has been given out */
    uint32_t count;
};

void wheel_init(struct wheel *self, int64_t now_us);
void wheel_add(struct wheel *self, struct request *request);
/* Does nothing for a request that is not in. */
void wheel_remove(struct wheel *self, struct request *request);
/* Takes out one request whose deadline has passed; NULL when there is none left at this time. */
struct request *wheel_take_due(struct wheel *self, int64_t now_us);

#endif
