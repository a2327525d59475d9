/* From an event of the bus to the frame that clients get. */
#ifndef ZMART_GATEWAY_WS_EVENT_H
#define ZMART_GATEWAY_WS_EVENT_H

#include "gateway/ws_message.h"
#include "lib/bus/subscriber.h"
#include "proto/event.h"
#include "proto/fault.h"

/* {"id","type","seq","time","order":{...}} from an order's event; NONE with *out NULL for events of other kinds, which
 * are not for WebSockets. The caller owns *out. */
MUST_USE enum err ws_event_make(const struct subscriber_event *event, struct fault *fault, struct ws_message **out);
/* The same from what the log has; INTERNAL if it has no order. */
MUST_USE enum err ws_event_of_view(const struct event_view *view, struct fault *fault, struct ws_message **out);

#endif
