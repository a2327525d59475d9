/* Which types of events clients get, as bits by enum event_type: those whose private payload is an order. What is only
 * for gateways (sessions that end) is never among them. */
#ifndef ZMART_GATEWAY_EVENT_TYPES_H
#define ZMART_GATEWAY_EVENT_TYPES_H

#include <stdint.h>

#include "lib/base/mem.h"
#include "proto/event.h"
#include "proto/fault.h"

/* Set for a choice that nothing matches, so that it differs from no choice. */
#define EVENT_TYPES_NONE (UINT64_C(1) << 63)

/* All that clients get. */
uint64_t event_types_all(void);
/* The bit of one type; 0 for those that clients do not get, and for unknown ones. */
uint64_t event_types_bit(struct text type);
/* A list such as "order.placed,order.c*". A pattern may match nothing (EVENT_TYPES_NONE if all do); a whole name must be one that clients get.
 * INVALID_PARAMETER, with an item for each bad part. */
MUST_USE enum err event_types_read(struct text list, struct fault *fault, uint64_t *out);
/* The names; the array is in the arena. */
struct text_list event_types_names(uint64_t types, struct arena *arena);

#endif
