/* The entries that a handle has stored lately, so that they can be published without reading them back. Copies of its
 * own; only whoever stores knows whether all of them are durable. */
#ifndef ZMART_EVENT_TAIL_H
#define ZMART_EVENT_TAIL_H

#include "proto/event.h"

enum { EVENT_TAIL_MAX_SIZE = 1024 * 1024 }; /* of payload; EVENT_BATCH_MAX entries, too */

struct event_tail {
    struct arena arena;
    uint32_t count;
    size_t size;
    bool torn;  /* more was stored than fits, or something was taken back: it says nothing */
    bool taken; /* what comes next begins a new one */
    struct event_entry items[EVENT_BATCH_MAX];
};

void tail_add(struct event_tail *self, const struct event_new *event, int64_t seq, int64_t tseq);
/* What it has is not to be relied upon, until it has been taken. */
void tail_tear(struct event_tail *self);
/* How many entries it has, in items; 0 when it was torn. They stay until the next one is added. */
uint32_t tail_take(struct event_tail *self);
void tail_release(struct event_tail *self);

#endif
