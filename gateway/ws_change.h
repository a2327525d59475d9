/* What a client of an open WebSocket asks for, one JSON text each:
 *
 *     {"subscribe": {"types": ["product.*"], "orders": ["ord_..."]}}      {"unsubscribe": {...}}
 *
 * A client gets an event when it has subscribed to its type or to its order. A change that is refused changes nothing. */
#ifndef ZMART_GATEWAY_WS_CHANGE_H
#define ZMART_GATEWAY_WS_CHANGE_H

#include "gateway/ws_peer.h"
#include "proto/fault.h"

enum { WS_CHANGE_SIZE = 4096, WS_CHANGES_MAX = 8 }; /* bytes of one; changes of a client that wait for a look-up */

/* Both lists are empty if not given. */
#define WS_TOPICS_FIELDS(F, R)                                                                                             \
    F(R, STRS, types,  OPT, 1, 60, 20, "types of events; a closing * matches any rest")                                   \
    F(R, STRS, orders, OPT, 1, 40, WS_FILTER_MAX, "order ids")
RECORD_DECLARE(ws_topics, WS_TOPICS_FIELDS);

/* One of the two. */
#define WS_COMMAND_FIELDS(F, R)                                                                                            \
    F(R, REC, subscribe,   OPT | NOT_NULL, 0, 0, ws_topics, "wanted from now on, besides the others")                     \
    F(R, REC, unsubscribe, OPT | NOT_NULL, 0, 0, ws_topics, "not wanted any more")
RECORD_DECLARE(ws_command, WS_COMMAND_FIELDS);

/* The answer: all that is subscribed to now. */
#define WS_SUBSCRIBED_FIELDS(F, R) F(R, REC, subscribed, REQ, 0, 0, ws_topics, "all that is subscribed to now")
RECORD_DECLARE(ws_subscribed, WS_SUBSCRIBED_FIELDS);

struct ws_change {
    struct ws_change *next; /* the next one of the same client */
    bool subscribe;
    uint64_t types; /* as in event_types.h; 0: none */
    struct ws_filter orders;
};

/* INVALID_BODY with pointers, or FORBIDDEN for types that this role never sees. The caller owns *out, untouched on
 * failure. */
MUST_USE enum err ws_change_read(const struct ws_said *said, enum role role, struct arena *arena, struct fault *fault,
                                 struct ws_change **out);
void ws_change_destroy(struct ws_change **self);
/* INVALID_BODY, and nothing changed, when there would be more than WS_FILTER_MAX orders. */
MUST_USE enum err ws_change_apply(const struct ws_change *self, struct ws_peer_settings *peer, struct fault *fault);
/* A copy whose array is the caller's; its count may be 0. */
struct ws_filter ws_filter_copy(const struct ws_filter *filter);

/* {"subscribed":{"types":[...],"orders":[...]}} as a frame. */
struct ws_message *ws_change_answer(const struct ws_peer_settings *peer);
/* {"error":{"code","detail","errors":[{"pointer","code","message"}]}} as a frame. */
struct ws_message *ws_change_refusal(const struct fault *fault);

#endif
