/* Who may open a WebSocket, and what it begins with: the same for civetweb's upgrades and for a port of our own. */
#ifndef ZMART_GATEWAY_WS_HANDSHAKE_H
#define ZMART_GATEWAY_WS_HANDSHAKE_H

#include "gateway/forwarded.h"
#include "gateway/ws_access.h"
#include "gateway/ws_peer.h"
#include "gateway/ws_replay.h"
#include "gateway/ws_upgrade.h"

/* All borrowed. */
struct ws_doorman {
    struct ws_access access;
    struct ws_replay *replay;
    const struct ws_limits *limits;
    const struct forwarded *forwarded; /* proxies in front; NULL: none */
    const char *origins; /* "https://a.example,https://b.example": pages that may connect; empty: all */
};

/* May block up to some calls' budgets; any thread. Fills out but for id and fd; the filter's array is then the
 * caller's. UNAUTHENTICATED, FORBIDDEN, NOT_FOUND, INVALID_PARAMETER, POSITION_LOST, SERVICE_UNAVAILABLE. */
MUST_USE enum err ws_handshake_check(const struct ws_doorman *self, const struct ws_handshake *handshake,
                                     struct fault *fault, struct ws_peer_settings *out);

#endif
