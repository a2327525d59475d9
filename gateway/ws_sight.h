/* Which events a client may see and has asked for. Pure. */
#ifndef ZMART_GATEWAY_WS_SIGHT_H
#define ZMART_GATEWAY_WS_SIGHT_H

#include "gateway/ws_peer.h"

bool ws_settings_show(const struct ws_peer_settings *settings, const struct ws_message *event);

#endif
