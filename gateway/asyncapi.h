/* The event stream as AsyncAPI 3.0, printed from the tables: events, records. Three ways to the same events: the PUB
 * socket (msgpack), WebSockets and Server-Sent Events (JSON). */
#ifndef ZMART_GATEWAY_ASYNCAPI_H
#define ZMART_GATEWAY_ASYNCAPI_H

#include "lib/base/buffer.h"

void asyncapi_print(struct buffer *out);

#endif
