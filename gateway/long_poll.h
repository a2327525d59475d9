/* Requests that wait for an event on their worker: how many there may be, and who is woken by what. Thread-safe. */
#ifndef ZMART_GATEWAY_LONG_POLL_H
#define ZMART_GATEWAY_LONG_POLL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/auto.h"
#include "lib/base/metrics.h"
#include "lib/base/text.h"

struct long_polls;

/* One that waits; lives on its worker's stack. Filled by the caller down to types. */
struct long_poll {
    struct text user_id; /* whose events wake it */
    bool everybody;      /* an administrator: everybody's do */
    uint64_t types;      /* as in event_types.h */
    bool woken;          /* guarded by the lock of long_polls, as all below */
    pthread_cond_t wake;
    struct long_poll *next, *previous;
};

/* max: how many may wait at a time; 0: nobody. metrics is borrowed. */
struct long_polls *long_polls_new(int64_t max, struct metrics *metrics);
/* Nobody may wait any more. */
void long_polls_destroy(struct long_polls **self);

/* Enter first, then look for events, then wait: what comes in between wakes the wait. False, and not entered, when all
 * places are taken or the gateway drains. */
MUST_USE bool long_polls_enter(struct long_polls *self, struct long_poll *poll);
/* Waits until it is woken, at most wait_ms. True if there may be something new since the last wait; then it may wait
 * again. False after the time, and at once when the gateway drains. */
MUST_USE bool long_polls_wait(struct long_polls *self, struct long_poll *poll, int64_t wait_ms);
void long_polls_leave(struct long_polls *self, struct long_poll *poll);

/* An event of these types (bits) has come; user_id is empty for one that only administrators see. */
void long_polls_wake(struct long_polls *self, struct text user_id, uint64_t types);
/* Events were missed, or sessions have ended: everybody looks. */
void long_polls_wake_all(struct long_polls *self);
/* Lets go of everybody and takes nobody. */
void long_polls_drain(struct long_polls *self);

#endif
