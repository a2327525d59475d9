/* Order events for the tests of what goes to WebSockets. */
#ifndef ZMART_TESTS_GATEWAY_WS_ORDER_H
#define ZMART_TESTS_GATEWAY_WS_ORDER_H

#include "lib/base/mem.h"
#include "lib/bus/subscriber.h"

#define ORDER_A "ord_00000000000000000000000001"
#define ORDER_B "ord_00000000000000000000000002"
#define ORDER_C "ord_00000000000000000000000003"

/* An order.placed event with one line of 29.99 and a note of note_size bytes; meta and packed order live in arena. */
struct subscriber_event ws_order_event(int64_t seq, const char *user_id, const char *order_id, uint32_t note_size,
                                       struct arena *arena);

#endif
