/* Ends connections whose request takes too long to arrive: civetweb 1.15 starts its own time again with every byte.
 * One thread; shutdown() wakes the worker that waits for the rest. */
#ifndef ZMART_GATEWAY_REAPER_H
#define ZMART_GATEWAY_REAPER_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/auto.h"

struct reaper;

/* One connection being watched; the caller's memory, from reaper_watch to reaper_release. */
struct reaper_watch {
    struct reaper_watch *next, *previous;
    int fd;
    int64_t deadline_ms; /* clock_now_ms() */
    bool cut;
};

/* NULL when the system gives no thread. */
struct reaper *reaper_new(void);
void reaper_destroy(struct reaper **self);
/* fd stays the caller's and must be open until reaper_release. Thread-safe. */
void reaper_watch(struct reaper *self, struct reaper_watch *watch, int fd, int64_t deadline_ms);
/* True if the connection was cut meanwhile. */
bool reaper_release(struct reaper *self, struct reaper_watch *watch);

#endif
