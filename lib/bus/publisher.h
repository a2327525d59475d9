/* The publishing side: one PUB socket connected to every broker's publish address. Owned by one thread. */
#ifndef ZMART_BUS_PUBLISHER_H
#define ZMART_BUS_PUBLISHER_H

#include "lib/base/process.h"
#include "lib/bus/address.h"
#include "proto/event.h"

struct publisher;

/* NULL if an address is unusable (message says why). */
struct publisher *publisher_new(struct env *env, const struct bus_config *bus, char *message, size_t message_size);
void publisher_destroy(struct publisher **self);
/* topic ends in a dot. data empty: the broker keeps it from the outside. Never blocks; what does not fit a
 * subscriber's queue is lost to it, and the log repairs that. */
void publisher_send(struct publisher *self, struct text topic, const struct event_meta *meta, struct text data,
                    struct text private_data);

#endif
