#include "broker/peers.h"

#include "lib/base/invariant.h"

enum { DELAY_WINDOW_US = 30 * 1000 * 1000 };

/* A clock that shows more than a hundred thousand years has nothing to say (and must not overflow ours). */
static bool sent_is_sane(int64_t sent_us)
{
    return sent_us > 0 && sent_us < INT64_MAX / 4;
}

void delay_note(struct delay *self, int64_t sent_us, int64_t now_us)
{
    if (!sent_is_sane(sent_us)) {
        return;
    }
    int64_t raw_us = now_us - sent_us;
    if (!self->known) {
        *self = (struct delay){.this_us = raw_us, .last_us = raw_us, .since_us = now_us, .known = true};
    } else if (now_us - self->since_us > DELAY_WINDOW_US) {
        self->last_us = self->this_us;
        self->this_us = raw_us;
        self->since_us = now_us;
    } else if (raw_us < self->this_us) {
        self->this_us = raw_us;
    }
}

int64_t delay_age_us(const struct delay *self, int64_t sent_us, int64_t now_us)
{
    int64_t least_us = self->this_us < self->last_us ? self->this_us : self->last_us;
    if (!self->known || !sent_is_sane(sent_us)) {
        return 0;
    }
    return now_us - sent_us > least_us ? now_us - sent_us - least_us : 0;
}

struct peer *peer_find(const struct peers *self, enum plane plane, struct text id)
{
    struct peer *found = NULL;
    HASH_FIND(hh, self->by_id[plane], id.data, id.size, found);
    return found;
}

static char *string_of(struct text text)
{
    char *string = mem_alloc((size_t)text.size + 1);
    if (text.size > 0) { /* or data may be NULL */
        memcpy(string, text.data, text.size);
    }
    return string;
}

struct peer *peer_add(struct peers *self, enum plane plane, struct text id, const struct hello *hello, int64_t now_us)
{
    struct peer *peer = mem_alloc(sizeof *peer);
    ASSERT(id.size >= 1 && id.size <= ROUTING_ID_MAX_SIZE);
    peer->plane = plane;
    peer->id_size = (uint8_t)id.size;
    memcpy(peer->id, id.data, id.size);
    peer->epoch = self->next_epoch;
    self->next_epoch += self->next_epoch == UINT32_MAX ? 2 : 1; /* 0 means none */
    peer->heard_us = now_us;
    peer->instance = string_of(hello->instance);
    peer->version = string_of(hello->version);
    peer->role = string_of(hello->role);
    HASH_ADD(hh, self->by_id[plane], id, peer->id_size, peer);
    return peer;
}

void peer_remove(struct peers *self, struct peer *peer)
{
    ASSERT(peer->station_count == 0 && peer->requests == NULL);
    HASH_DEL(self->by_id[peer->plane], peer);
    parcel_drop(&peer->metrics);
    mem_free(peer->instance);
    mem_free(peer->version);
    mem_free(peer->role);
    mem_free(peer);
}

struct text peer_id(const struct peer *peer)
{
    return (struct text){(const char *)peer->id, peer->id_size};
}

uint32_t peers_count(const struct peers *self)
{
    return (uint32_t)(HASH_COUNT(self->by_id[PLANE_CLIENTS]) + HASH_COUNT(self->by_id[PLANE_WORKERS]));
}
