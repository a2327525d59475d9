/* Answers without an end: their heads are written here, then the connection is a loop's (Server-Sent Events). */
#ifndef ZMART_GATEWAY_HTTP_STREAM_H
#define ZMART_GATEWAY_HTTP_STREAM_H

#include "gateway/exchange.h"

struct mg_connection;

/* For a reply with stream.on: gives the connection fd to gateway->live. head is room for the head. False, and nothing
 * written, when it cannot be had: then the reply is a problem like any other. */
MUST_USE bool http_stream_begin(struct exchange *exchange, struct mg_connection *connection, int fd,
                                struct buffer *head);

#endif
