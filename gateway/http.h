/* civetweb 1.15 with its sharp edges off: the only file that talks HTTP to it (WebSockets aside).
 *
 * Everything is answered in begin_request; civetweb's own handlers, files, form parser, CGI, TLS and CORS are never
 * reached. One worker thread a connection, 100 KiB of stack each: nothing here is deep or large on the stack. */
#ifndef ZMART_GATEWAY_HTTP_H
#define ZMART_GATEWAY_HTTP_H

#include "gateway/accept.h"
#include "gateway/gateway.h"

struct http;
struct mg_connection;
struct mg_context;

/* Listens and answers from now on. All arguments are borrowed. NULL if it cannot (message says why). */
struct http *http_new(struct gateway *gateway, struct accept_registry *accepts, char *message, size_t message_size);
/* Ends idle connections, waits up to wait_ms for the requests that are being answered, then stops listening and all
 * workers. Takes well under a second when nothing is being answered. */
void http_destroy(struct http **self, int64_t wait_ms);
int http_port(const struct http *self);
struct mg_context *http_context(const struct http *self);
/* Answers a WebSocket handshake that was refused (live_settings.refuse; user is the struct http). */
void http_refuse(void *user, struct mg_connection *connection, const struct fault *fault);

#endif
