/* Which types of events clients get, as bits by enum event_type. Customers get what has an order as private payload,
 * administrators all that has a public payload too; what is only for gateways (sessions that end) is never among them.
 */
#ifndef ZMART_GATEWAY_EVENT_TYPES_H
#define ZMART_GATEWAY_EVENT_TYPES_H

#include <stdint.h>

#include "lib/base/mem.h"
#include "proto/event.h"
#include "proto/fault.h"

/* A choice of no type at all, which differs from no choice. */
#define EVENT_TYPES_NONE (UINT64_C(1) << 63)

/* All that anybody gets. */
uint64_t event_types_all(void);
/* Those of orders, which have an owner. */
uint64_t event_types_orders(void);
/* All that accounts of this role may see. */
uint64_t event_types_of(enum role role);
/* The bit of one type; 0 for those that nobody gets, and for unknown ones. */
uint64_t event_types_bit(struct text type);
/* Adds what one name or pattern ("order.placed", "product.*", "*") means to an account of this role. INVALID_PARAMETER,
 * with an item at pointer that names those that there are, if it means no type that clients get; FORBIDDEN, with an
 * item, if all that it means is for administrators only. */
MUST_USE enum err event_types_add(struct text name, enum role role, const char *pointer, struct fault *fault,
                                  uint64_t *types);
/* A list such as "order.placed,order.c*" (parameter types). Errors as above, with an item for each bad part; out is
 * then untouched. */
MUST_USE enum err event_types_read(struct text list, enum role role, struct fault *fault, uint64_t *out);
/* The names; the array is in the arena. */
struct text_list event_types_names(uint64_t types, struct arena *arena);

#endif
