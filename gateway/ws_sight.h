/* Which events a client may see and has asked for. Pure. */
#ifndef ZMART_GATEWAY_WS_SIGHT_H
#define ZMART_GATEWAY_WS_SIGHT_H

#include "gateway/ws_peer.h"

bool ws_filter_has(const struct ws_filter *filter, const char *order_id);
/* By type or by order, whichever it has subscribed to, and never another account's. */
bool ws_settings_show(const struct ws_peer_settings *settings, const struct ws_message *event);

#endif
