/* The frames that wait for one client, sent in order and whole. Counts what waits; knows no limits. One thread. */
#ifndef ZMART_GATEWAY_WS_QUEUE_H
#define ZMART_GATEWAY_WS_QUEUE_H

#include "gateway/ws_message.h"
#include "lib/base/auto.h"

struct ws_queued;

/* All zero is an empty queue. */
struct ws_queue {
    struct ws_queued *first, *last;
    bool bare;             /* chunks are sent without what makes them chunks: HTTP/1.0 knows none; set by the owner */
    uint32_t sent_size;    /* of the first; so many of its bytes are gone */
    int64_t event_count;   /* events that wait */
    int64_t event_size;    /* their bytes, gone ones included */
    int64_t control_count; /* other frames that wait */
    int64_t last_seq;      /* of the last event of which anything was handed to the kernel; the owner may set it */
};

static inline bool ws_queue_is_empty(const struct ws_queue *self)
{
    return !self->first;
}

/* Takes over the caller's reference. */
void ws_queue_add(struct ws_queue *self, struct ws_message *message);
/* The message that leaves next; NULL if none. */
const struct ws_message *ws_queue_first(const struct ws_queue *self);
/* Drops what waits. With keep_started the first stays when some of its bytes are gone already: half a frame would make
 * all that follows garbage. */
void ws_queue_clear(struct ws_queue *self, bool keep_started);
/* Sends what the socket takes without waiting. False when the connection is broken. */
MUST_USE bool ws_queue_send(struct ws_queue *self, int fd);

#endif
