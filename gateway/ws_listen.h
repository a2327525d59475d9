/* A port of our own for WebSockets, without civetweb: one thread accepts and reads heads, a few more check them (which
 * may mean to ask services), then the socket is a loop's. Bounded: so many handshakes at a time, so many bytes of head,
 * so long for it. */
#ifndef ZMART_GATEWAY_WS_LISTEN_H
#define ZMART_GATEWAY_WS_LISTEN_H

#include "gateway/ws_entry.h"
#include "gateway/ws_upgrade.h"

enum { WS_HANDSHAKES_MAX = 1024, WS_HANDSHAKE_THREADS = 4, WS_ARRIVAL_MS = 10 * 1000 };

struct ws_listen_settings {
    const char *address; /* HOST:PORT; port 0 takes a free one */
    struct ws_entry *entry; /* borrowed, as everything here */
    /* Decides about a handshake, on any of the threads; may block. As ws_handshake_check. */
    enum err (*admit)(void *user, const struct ws_handshake *handshake, struct fault *fault,
                      struct ws_peer_settings *out);
    void *user;
    int64_t arrival_ms; /* 0: WS_ARRIVAL_MS */
};

struct ws_listen;

/* Listens from now on. NULL if it cannot (message says why). */
struct ws_listen *ws_listen_new(const struct ws_listen_settings *settings, char *message, size_t message_size);
/* Stops listening, and drops handshakes that have not been answered. Before the loops are destroyed. */
void ws_listen_destroy(struct ws_listen **self);
int ws_listen_port(const struct ws_listen *self);

#endif
