/* The changes that the clients of a loop ask for: one after the other for each client, and those that name orders of
 * customers after a look whose orders they are. On the loop's thread. */
#ifndef ZMART_GATEWAY_WS_CHANGES_H
#define ZMART_GATEWAY_WS_CHANGES_H

#include "gateway/ws_change.h"
#include "gateway/ws_loop_parts.h"

/* A client's message, for ws_hearer; user is the loop. */
void ws_changes_hear(void *user, struct ws_peer *peer, const struct ws_said *said, int64_t now_ms);
/* The oldest change of the peer was looked up. */
void ws_changes_permit(struct ws_loop *loop, struct ws_peer *peer, const struct ws_permit *permit, int64_t now_ms);
/* Before the peer is destroyed. */
void ws_changes_release(struct ws_peer *peer);

#endif
