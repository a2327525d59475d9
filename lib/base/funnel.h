/* Many threads put, one takes everything at once: a lock-free list through a link inside the items. The taker polls
 * funnel_fd beside its sockets; only the put that finds the funnel empty writes to it, so that a burst costs one
 * wake-up. */
#ifndef ZMART_BASE_FUNNEL_H
#define ZMART_BASE_FUNNEL_H

#include <stdatomic.h>
#include <stdbool.h>

#include "lib/base/auto.h"

struct funnel_link { /* inside an item; an item is in one funnel at a time */
    struct funnel_link *next;
};

struct funnel {
    _Atomic(struct funnel_link *) newest;
    int fd;
};

void funnel_init(struct funnel *funnel);
/* Takes nothing out: what is left inside stays its owner's. */
void funnel_release(struct funnel *funnel);
/* Never blocks, never fails: the number of items is bounded by whoever makes them. Thread-safe. */
void funnel_put(struct funnel *funnel, struct funnel_link *item);
/* Everything put so far, oldest first, linked by next; NULL if there is nothing. readable: the poll said so of
 * funnel_fd (a take without it may leave it readable once more). The taker's thread only. */
struct funnel_link *funnel_take(struct funnel *funnel, bool readable);
/* Readable (POLLIN) when something was put since the last take. */
int funnel_fd(const struct funnel *funnel);
/* Makes funnel_fd readable without an item. Thread-safe. */
void funnel_wake(struct funnel *funnel);

#endif
