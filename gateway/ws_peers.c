#include "gateway/ws_peers.h"

uint32_t ws_peers_bucket(const struct ws_identity *identity)
{
    if (identity->role == ROLE_ADMIN) {
        return WS_ADMIN_BUCKET;
    }
    uint32_t hash = 2166136261U;
    for (const char *at = identity->user_id; *at; at++) {
        hash = (hash ^ (uint8_t)*at) * 16777619U;
    }
    return (hash ^ hash >> 16) % WS_BUCKET_COUNT;
}

void ws_peers_add(struct ws_peers *self, struct ws_peer *peer)
{
    struct ws_peer **head = &self->buckets[ws_peers_bucket(ws_peer_identity(peer))];
    struct ws_links *links = ws_peer_links(peer);
    links->next = *head;
    if (*head) {
        ws_peer_links(*head)->previous = peer;
    }
    *head = peer;
    links->next_held = self->held;
    self->held = peer;
    self->count++;
}

static void unlink_peer(struct ws_peers *self, struct ws_peer *peer)
{
    struct ws_links *links = ws_peer_links(peer);
    if (links->previous) {
        ws_peer_links(links->previous)->next = links->next;
    } else {
        self->buckets[ws_peers_bucket(ws_peer_identity(peer))] = links->next;
    }
    if (links->next) {
        ws_peer_links(links->next)->previous = links->previous;
    }
    self->count--;
}

struct ws_peer *ws_peers_take_held(struct ws_peers *self, uint64_t id)
{
    struct ws_peer *before = NULL, *at = self->held;
    while (at && ws_peer_id(at) != id) {
        before = at;
        at = ws_peer_links(at)->next_held;
    }
    if (at && before) {
        ws_peer_links(before)->next_held = ws_peer_links(at)->next_held;
    } else if (at) {
        self->held = ws_peer_links(at)->next_held;
    }
    return at;
}

void ws_peers_list_done(struct ws_peers *self, struct ws_peer *peer)
{
    struct ws_links *links = ws_peer_links(peer);
    if (!links->listed_done) {
        links->listed_done = true;
        links->next_done = self->done;
        self->done = peer;
    }
}

struct ws_peer *ws_peers_take_done(struct ws_peers *self)
{
    struct ws_peer *peer = self->done;
    if (peer) {
        self->done = ws_peer_links(peer)->next_done;
        unlink_peer(self, peer);
        if (ws_peer_is_held(peer)) {
            (void)ws_peers_take_held(self, ws_peer_id(peer));
        }
    }
    return peer;
}
