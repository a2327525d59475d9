/* From an event of the bus to the frame that clients get. */
#ifndef ZMART_GATEWAY_WS_EVENT_H
#define ZMART_GATEWAY_WS_EVENT_H

#include "gateway/ws_message.h"
#include "lib/bus/subscriber.h"
#include "proto/event.h"
#include "proto/fault.h"

/* {"id","type","seq","time","order":{...}} from an order's event, {"id","type","seq","time","subject","data":{...}}
 * from others, which only administrators may see; NONE with *out NULL for events that are not for clients. The caller
 * owns *out. */
MUST_USE enum err ws_event_make(const struct subscriber_event *event, struct fault *fault, struct ws_message **out);
/* The same from what the log has; INTERNAL if it has nothing for clients. */
MUST_USE enum err ws_event_of_view(const struct event_view *view, struct fault *fault, struct ws_message **out);

#endif
