/* Who opens a WebSocket: asked through a table of functions, so that the gate knows neither tokens nor the bus. */
#ifndef ZMART_GATEWAY_WS_ACCESS_H
#define ZMART_GATEWAY_WS_ACCESS_H

#include "gateway/auth.h"
#include "lib/base/mem.h"
#include "lib/bus/client.h"
#include "proto/fault.h"
#include "proto/user.h"

/* Both may block up to a call's budget, are called from any thread, and put the texts of out into arena.
 * UNAUTHENTICATED, or SERVICE_UNAVAILABLE when it cannot be found out. */
struct ws_access {
    /* Spends the ticket. client: address of who brings it. */
    enum err (*redeem)(void *user, struct text ticket, struct text client, struct arena *arena, struct fault *fault,
                       struct identity *out);
    /* authorization: value of the header. */
    enum err (*check)(void *user, struct text authorization, struct arena *arena, struct fault *fault,
                      struct identity *out);
    /* NONE if the order is the account's, else NOT_FOUND. */
    enum err (*sees)(void *user, struct text user_id, struct text session_id, struct text order_id,
                     struct fault *fault);
    void *user;
};

/* The shop's own: tickets are redeemed by user-svc, headers are checked by auth, orders are asked of order-svc. */
struct ws_access_parts {
    struct auth *auth;      /* borrowed */
    struct bus_client *bus; /* borrowed */
};
struct ws_access ws_access_of(struct ws_access_parts *parts);

#endif
