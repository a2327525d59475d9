/* Which socket belongs to which client. civetweb never says, so this file defines accept(): the executable's own
 * definition goes before libc's for every library of the process (ELF preemption).
 *
 * Only a thread that has said accept_enter() is recorded: call it from civetweb's init_thread callback when the type is
 * 0 (its master thread, the only one that accepts). On every other thread accept() is the system call and nothing else,
 * so libzmq in the same process does not notice. The thread's own pointer is the one mutable variable with static
 * storage; two gateways of one process do not meet in it.
 *
 * Recorded sockets get close-on-exec, TCP keepalive and TCP_USER_TIMEOUT, and count against a cap per client address.
 */
#ifndef ZMART_GATEWAY_ACCEPT_H
#define ZMART_GATEWAY_ACCEPT_H

#include <stdint.h>

#include "lib/base/auto.h"
#include "lib/base/metrics.h"

enum { ACCEPT_MAX_FD = 1 << 20 };

struct accept_settings {
    int64_t client_max;      /* open connections of one client address; 0: no cap */
    int64_t user_timeout_ms; /* unacknowledged bytes for so long end a connection; 0: the kernel's own */
};

struct accept_registry;

/* Thread-safe, except new and destroy. metrics is borrowed: zmart_http_accepted_total, zmart_http_capped_total. */
struct accept_registry *accept_registry_new(const struct accept_settings *settings, struct metrics *metrics);
/* After mg_stop: no thread may be in accept() with it any more. The sockets are not its own and stay open. */
void accept_registry_destroy(struct accept_registry **self);
/* From now on this thread's accept() records into registry (borrowed); NULL ends that. */
void accept_enter(struct accept_registry *registry);

/* The open descriptor of the connection from remote_addr:remote_port to our local_port (mg_request_info: remote_addr,
 * remote_port, server_port). Asks the registry, then all descriptors of the process. -1 when there is none, or more
 * than one (two of our addresses with one port): a wrong one is never given out. Only while that connection's handler
 * runs is the descriptor certain to stay the same. */
int accept_find(struct accept_registry *self, const char *remote_addr, int remote_port, int local_port);
/* The connection lives on in another descriptor (after dup): it still counts against its client's cap. */
void accept_moved(struct accept_registry *self, int old_fd, int new_fd);

#endif
