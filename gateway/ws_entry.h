/* How a connection of civetweb's becomes a loop's: the loop gets a descriptor of its own before the answer's head is
 * written; afterwards a dead socket takes the connection's place, so that civetweb lets go of it and of the worker.
 * Thread-safe. */
#ifndef ZMART_GATEWAY_WS_ENTRY_H
#define ZMART_GATEWAY_WS_ENTRY_H

#include <stdatomic.h>

#include "gateway/accept.h"
#include "gateway/ws_loop.h"
#include "gateway/ws_quota.h"
#include "proto/fault.h"

enum { WS_SEND_BUFFER_SIZE = 64 * 1024 }; /* the kernel's part of a client's queue (it doubles the number) */

struct ws_entry {
    struct accept_registry *accepts; /* borrowed, as all three */
    struct ws_loop *loop;
    struct ws_quota *quota;
    atomic_ullong next_id; /* begins at 1 */
};

/* Fills id and fd of peer, takes its place in the quota, and adds it to the loop, held. client is its address. On failure
 * nothing is taken, and peer's filter is the caller's. */
MUST_USE enum err ws_entry_add(struct ws_entry *self, int civetweb_fd, const char *client,
                               struct ws_peer_settings *peer, struct fault *fault);
/* The head is out: civetweb's descriptor is replaced, and the loop begins. */
void ws_entry_start(struct ws_entry *self, int civetweb_fd, int loop_fd, uint64_t peer_id);

#endif
