/* The sessions that have ended lately, for clients that were checked before and come after. One thread. */
#ifndef ZMART_GATEWAY_WS_ENDED_H
#define ZMART_GATEWAY_WS_ENDED_H

#include "gateway/ws_peer.h"

enum { WS_ENDED_COUNT = 256 };

/* An owned copy of a denial, which can be copied itself. */
struct ws_ended {
    char session_id[WS_ID_SIZE], user_id[WS_ID_SIZE], except_session_id[WS_ID_SIZE];
    uint64_t present; /* of the denial */
    int64_t before;
    int64_t at_ms; /* when it came */
};

/* All zero is none. */
struct ws_ends {
    struct ws_ended items[WS_ENDED_COUNT]; /* a ring of the newest */
    uint32_t next;
    uint32_t count;
};

struct ws_ended ws_ended_of(const struct denial *denial);
/* Its texts are ended's. */
struct denial ws_ended_denial(const struct ws_ended *ended);
void ws_ends_add(struct ws_ends *self, const struct ws_ended *ended, int64_t now_ms);
/* Whether one that came since it was checked ends this client's session. */
bool ws_ends_hit(const struct ws_ends *self, const struct ws_identity *identity);

#endif
