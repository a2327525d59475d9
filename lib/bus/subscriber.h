/* The receiving side inside the shop: a thread that holds SUB sockets to every broker's internal events address and
 * hands each event on once (two brokers relay the same seq). A broker silent for 3 beacons gets a new socket. */
#ifndef ZMART_BUS_SUBSCRIBER_H
#define ZMART_BUS_SUBSCRIBER_H

#include "lib/base/process.h"
#include "lib/bus/address.h"
#include "proto/event.h"

struct subscriber;

struct subscriber_event {
    struct text topic;
    const struct event_meta *meta;
    struct text data;         /* public payload, may be empty */
    struct text private_data; /* may be empty */
    bool gap;                 /* entries between this one and the last one handed on were missed */
};
/* Called on the subscriber's thread; must not block long. Everything is good only during the call.
 * _head. beacons are not handed on, but one that shows a subscriber to everything that it has missed something. */
typedef void subscriber_receive(void *user, const struct subscriber_event *event);

/* topics: NULL-terminated prefixes, each ending in a dot, _head. is always subscribed; NULL: everything, so that no
 * loss stays unseen while events of other topics are handed on. NULL on a bad address. */
struct subscriber *subscriber_new(struct env *env, const struct bus_config *bus, const char *const *topics,
                                  subscriber_receive *receive, void *user, char *message, size_t message_size);
void subscriber_destroy(struct subscriber **self);
/* Milliseconds since the newest _head. beacon; INT64_MAX before the first. Thread-safe. */
int64_t subscriber_silence_ms(struct subscriber *self);
/* Newest position seen; 0 before the first beacon. Thread-safe. */
int64_t subscriber_seq(struct subscriber *self);
int64_t subscriber_epoch(struct subscriber *self);

#endif
