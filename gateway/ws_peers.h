/* The sockets of one loop, by whose they are, so that an event finds its readers without looking at the others.
 * Owned by one loop's thread; the peers stay the loop's. */
#ifndef ZMART_GATEWAY_WS_PEERS_H
#define ZMART_GATEWAY_WS_PEERS_H

#include "gateway/ws_peer.h"

enum { WS_BUCKET_COUNT = 1024, WS_ADMIN_BUCKET = WS_BUCKET_COUNT };

/* All zero is none. */
struct ws_peers {
    struct ws_peer *buckets[WS_BUCKET_COUNT + 1]; /* customers by account; the last one: administrators */
    struct ws_peer *held;                         /* added, not started */
    struct ws_peer *done;                         /* listed to be destroyed */
    int64_t count;
};

/* Whose bucket; several accounts may share one. */
uint32_t ws_peers_bucket(const struct ws_identity *identity);
/* A held peer. */
void ws_peers_add(struct ws_peers *self, struct ws_peer *peer);
/* The held peer with this id, which is not held any more; NULL if there is none. */
struct ws_peer *ws_peers_take_held(struct ws_peers *self, uint64_t id);
/* Lists it for ws_peers_take_done; a second call changes nothing. It stays in its bucket until it is taken. */
void ws_peers_list_done(struct ws_peers *self, struct ws_peer *peer);
/* Takes one that was listed out of everything; NULL if none is left. */
struct ws_peer *ws_peers_take_done(struct ws_peers *self);

#endif
