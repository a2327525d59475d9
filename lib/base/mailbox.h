/* A bounded queue of pointers from many threads to one or more, in order. The takers either wait in
 * mailbox_take, or poll mailbox_fd beside their sockets and take with a wait of 0. */
#ifndef ZMART_BASE_MAILBOX_H
#define ZMART_BASE_MAILBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/auto.h"

struct mailbox;

/* capacity: 1 to 1,048,576 items. */
struct mailbox *mailbox_new(size_t capacity);
/* The items still inside are the caller's: take them first. */
void mailbox_destroy(struct mailbox **self);
/* False when full (the item stays the caller's). Thread-safe. */
MUST_USE bool mailbox_put(struct mailbox *self, void *item);
/* Moves up to max items out; waits up to wait_ms for the first one (0: not at all, -1: for ever).
 * Returns how many; 0 after the time, or after mailbox_wake. Thread-safe. */
size_t mailbox_take(struct mailbox *self, void **out, size_t max, int wait_ms);
/* Readable (POLLIN) when there may be items; a taker must call mailbox_take until it gives less than max. */
int mailbox_fd(struct mailbox *self);
/* Lets one waiting taker return with 0 items. */
void mailbox_wake(struct mailbox *self);
size_t mailbox_count(struct mailbox *self);

#endif
