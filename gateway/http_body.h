/* The bodies of requests, as they come out of civetweb: read whole, within a size and a time, or got rid of. */
#ifndef ZMART_GATEWAY_HTTP_BODY_H
#define ZMART_GATEWAY_HTTP_BODY_H

#include "gateway/exchange.h"
#include "gateway/reaper.h"

struct mg_connection;

/* Where the body of the present request comes from: what exchange->connection points to. */
struct body_source {
    struct mg_connection *connection;
    struct reaper *reaper; /* cuts what does not arrive in time */
    int fd;                /* of the connection; -1: not known, and nothing is cut */
};

/* exchange->read_body. */
enum err http_body_read(struct exchange *exchange, size_t max_size, struct text *out);
/* A body that nobody wanted: a small one is read, so that the next request can follow; else the reply closes. */
void http_body_skip(struct exchange *exchange);
/* After the reply, before the connection ends: throws away what still comes, for a second at most. Closing with unread
 * bytes would reset the connection, and the client might never see the reply. */
void http_linger(int fd);

#endif
