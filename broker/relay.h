/* Events: what publishers send to the publish address goes to the internal events address whole (topic, meta, data,
 * private data), and to the outside without the private data, if there is data at all. Lossy: a subscriber that does
 * not read loses frames and nobody waits for it. Runs on a thread of its own, so that events and requests do not wait
 * for each other. */
#ifndef ZMART_BROKER_RELAY_H
#define ZMART_BROKER_RELAY_H

#include <stddef.h>

#include "lib/base/metrics.h"

struct relay;

struct relay_settings {
    void *context;           /* libzmq's */
    const char *publish;     /* address that publishers connect to */
    const char *events;      /* of the subscribers inside */
    const char *outside;     /* of all others; "": none */
    int hwm;                 /* messages a subscriber */
    struct guard *guard;     /* of those on TCP; NULL: none */
    struct metrics *metrics; /* borrowed for the relay's life */
};

/* Binds and runs; NULL (and a message) if it cannot. */
struct relay *relay_new(const struct relay_settings *settings, char *message, size_t message_size);
void relay_destroy(struct relay **self);

#endif
