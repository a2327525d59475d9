/* What a client has missed: asked for by a loop, found in the log by somebody else, given back as frames. */
#ifndef ZMART_GATEWAY_WS_PAGE_H
#define ZMART_GATEWAY_WS_PAGE_H

#include "gateway/ws_message.h"

enum { WS_PAGE_COUNT = 64 };

struct ws_ask {
    uint64_t peer_id;
    uint32_t bucket;          /* of the peer, for the loop that asks */
    int64_t after;            /* only what is newer */
    uint64_t types;           /* as in event_types.h */
    char user_id[WS_ID_SIZE]; /* whose; empty: everybody's */
};

struct ws_page {
    struct ws_message *messages[WS_PAGE_COUNT]; /* references of its own */
    uint32_t count;
    bool has_more; /* the log had more when it was asked */
    int64_t last;  /* nothing up to here is missing to whoever gets this page */
};

struct ws_page *ws_page_new(void);
/* Fit for AUTO. */
void ws_page_destroy(struct ws_page **self);

#endif
