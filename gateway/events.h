/* The event log over HTTP: pages and long polls, and what begins a stream of Server-Sent Events. */
#ifndef ZMART_GATEWAY_EVENTS_H
#define ZMART_GATEWAY_EVENTS_H

#include "gateway/exchange.h"

/* GET /api/events. NONE: the reply is filled; else the fault is. May keep its thread for EVENT_WAIT_MAX_S. */
MUST_USE enum err events_handle(struct exchange *exchange);
/* GET /api/events/stream. NONE: the reply is a head without an end, and reply.stream says what is to follow it. */
MUST_USE enum err events_stream_handle(struct exchange *exchange);

#endif
