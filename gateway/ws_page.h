/* What a client has missed: asked for by a loop, found in the log by somebody else, given back as frames. */
#ifndef ZMART_GATEWAY_WS_PAGE_H
#define ZMART_GATEWAY_WS_PAGE_H

#include "gateway/ws_message.h"

enum { WS_PAGE_COUNT = 64 };

struct ws_loop;

/* What a loop wants to know for a client: a page of the log, or whether the client may follow an order. */
struct ws_ask {
    struct ws_loop *loop; /* that asks, and gets the answer */
    uint64_t peer_id;
    uint32_t bucket; /* of the peer, for the loop */
    uint32_t order_count; /* 0: a page is wanted */
    char (*order_ids)[WS_ID_SIZE]; /* borrowed during the call; whoever keeps the ask copies them */
    int64_t after;            /* only what is newer */
    uint64_t types;           /* as in event_types.h */
    char user_id[WS_ID_SIZE]; /* whose; empty: everybody's */
    char session_id[WS_ID_SIZE];
};

struct ws_page {
    struct ws_message *messages[WS_PAGE_COUNT]; /* references of its own */
    uint32_t count;
    bool has_more; /* the log had more when it was asked */
    int64_t last;  /* nothing up to here is missing to whoever gets this page */
};

/* Owns its array. */
struct ws_ask *ws_ask_copy(const struct ws_ask *ask);
void ws_ask_destroy(struct ws_ask **self);
struct ws_page *ws_page_new(void);
/* Fit for AUTO. */
void ws_page_destroy(struct ws_page **self);

#endif
