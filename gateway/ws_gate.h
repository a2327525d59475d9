/* civetweb's side of a WebSocket: checks the handshake, gives the loop a descriptor of the connection (held, so events
 * are queued already), lets civetweb answer 101, then puts a dead socket in the place of civetweb's descriptor, so that
 * its worker sees the end and is free, and starts the loop's.
 * No mg_connection outlives its callback. */
#ifndef ZMART_GATEWAY_WS_GATE_H
#define ZMART_GATEWAY_WS_GATE_H

#include "gateway/ws_entry.h"
#include "gateway/ws_handshake.h"

struct mg_connection;
struct mg_context;

struct ws_gate_settings {
    struct ws_entry *entry; /* borrowed, as everything here */
    struct ws_doorman doorman;
    /* Answers a handshake that is refused; NULL: the gate writes a problem+json itself. */
    void (*refuse)(void *user, struct mg_connection *connection, const struct fault *fault);
    void *refuse_user;
};

struct ws_gate;

struct ws_gate *ws_gate_new(const struct ws_gate_settings *settings);
/* After mg_stop. */
void ws_gate_destroy(struct ws_gate **self);
/* Registers /ws. */
void ws_gate_attach(struct ws_gate *self, struct mg_context *context);

#endif
