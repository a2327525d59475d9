/* Events as clients see them: an envelope, and the record of the event's type in it. */
#ifndef ZMART_GATEWAY_EVENT_JSON_H
#define ZMART_GATEWAY_EVENT_JSON_H

#include "lib/base/buffer.h"
#include "proto/event.h"

/* {"id","type","seq","time","subject","data":{...}}; data is null when it cannot be read. False when out is full. */
MUST_USE bool event_json_write(const struct event_view *view, struct buffer *out);
/* {"data":[...],"has_more","head"}. */
MUST_USE bool event_json_list_write(const struct event_list *list, struct buffer *out);

#endif
