/* One HTTP request as the guard has let it pass: plain values, so that everything behind the guard is free of civetweb.
 * All texts point into the connection's buffer and are good until the request has been answered. */
#ifndef ZMART_GATEWAY_REQUEST_H
#define ZMART_GATEWAY_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/text.h"

/* The fields that the gateway looks at; the others are only checked for their form. */
#define REQUEST_HEADERS(X)                                                                                             \
    X(HOST, "Host")                                                                                                    \
    X(CONTENT_LENGTH, "Content-Length")                                                                                \
    X(TRANSFER_ENCODING, "Transfer-Encoding")                                                                          \
    X(CONTENT_TYPE, "Content-Type")                                                                                    \
    X(CONTENT_ENCODING, "Content-Encoding")                                                                            \
    X(AUTHORIZATION, "Authorization")                                                                                  \
    X(IF_MATCH, "If-Match")                                                                                            \
    X(IF_NONE_MATCH, "If-None-Match")                                                                                  \
    X(IDEMPOTENCY_KEY, "Idempotency-Key")                                                                              \
    X(EXPECT, "Expect")                                                                                                \
    X(LAST_EVENT_ID, "Last-Event-ID")                                                                                  \
    X(ORIGIN, "Origin")                                                                                                \
    X(ACCESS_CONTROL_REQUEST_METHOD, "Access-Control-Request-Method")                                                  \
    X(TRACEPARENT, "traceparent")                                                                                      \
    X(CONNECTION, "Connection")                                                                                        \
    X(UPGRADE, "Upgrade")                                                                                              \
    X(SEC_WEBSOCKET_VERSION, "Sec-WebSocket-Version")

enum request_header {
#define REQUEST_HEADER_ENUM(name, spelling) HEADER_##name,
    REQUEST_HEADERS(REQUEST_HEADER_ENUM)
#undef REQUEST_HEADER_ENUM
        HEADER_COUNT
};

enum verb { VERB_GET, VERB_HEAD, VERB_POST, VERB_PUT, VERB_DELETE, VERB_OPTIONS, VERB_OTHER };

/* The only version of the WebSocket protocol. */
#define WS_VERSION "13"

struct http_request {
    enum verb verb;
    struct text method;                /* as sent */
    struct text path;                  /* before '?', still percent-encoded */
    struct text query;                 /* behind '?', still percent-encoded */
    struct text headers[HEADER_COUNT]; /* values; data is NULL for a field that was not sent */
    struct text client;                /* address of the peer */
    int64_t content_length;            /* -1: none given */
    bool chunked;
    bool keep_alive; /* the client would go on with this connection */
    bool http_1_0;
    bool upgrade; /* asks for the WebSocket protocol */
};

/* The same spelling as the API uses; for messages. */
const char *request_header_name(enum request_header header);

#endif
