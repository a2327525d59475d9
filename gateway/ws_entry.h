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
    struct accept_registry *accepts; /* borrowed, as all up to next_id */
    struct ws_loop *const *loops;
    uint32_t loop_count;
    struct ws_quota *quota;
    atomic_ullong next_id; /* begins at 1 */
};

/* Fills id and fd of peer, takes its place in the quota, and adds it to one of the loops, held. On failure nothing is
 * taken, and peer's filter is the caller's. */
MUST_USE enum err ws_entry_add(struct ws_entry *self, int civetweb_fd, struct ws_peer_settings *peer,
                               struct fault *fault);
/* The same for a socket that is peer->fd already, and stays the caller's on failure. */
MUST_USE enum err ws_entry_give(struct ws_entry *self, struct ws_peer_settings *peer, struct fault *fault);
/* Options of a client's socket. */
void ws_entry_prepare(int fd);
/* The loop that has the peer. */
struct ws_loop *ws_entry_loop(const struct ws_entry *self, uint64_t peer_id);
/* The head is out: civetweb reads the end of the connection from now on, once it has used what it had read. */
void ws_entry_detach(struct ws_entry *self, int civetweb_fd, int loop_fd);

#endif
