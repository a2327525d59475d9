#include "broker/backlog.h"

enum { BACKLOG_FIRST_CAPACITY = 16 };

static unsigned key_write(const struct send *send, uint8_t key[BACKLOG_KEY_MAX_SIZE])
{
    key[0] = (uint8_t)send->plane;
    memcpy(key + 1, send->to, send->to_size);
    return 1u + send->to_size;
}

struct backlog *backlog_find(const struct backlogs *self, const struct send *send)
{
    uint8_t key[BACKLOG_KEY_MAX_SIZE];
    struct backlog *found = NULL;
    if (self->by_peer) {
        unsigned size = key_write(send, key);
        HASH_FIND(hh, self->by_peer, key, size, found);
    }
    return found;
}

/* Room for one more: what was sent makes room first. */
static void list_grow(struct backlog *backlog)
{
    if (backlog->first > 0 && backlog->first >= backlog->capacity / 2) {
        for (size_t i = backlog->first; i < backlog->end; i++) {
            send_move(&backlog->list[i - backlog->first], &backlog->list[i]);
        }
        backlog->end -= backlog->first;
        backlog->first = 0;
    }
    if (backlog->end == backlog->capacity) {
        backlog->capacity = backlog->capacity ? 2 * backlog->capacity : BACKLOG_FIRST_CAPACITY;
        backlog->list = mem_grow(backlog->list, backlog->capacity * sizeof *backlog->list);
    }
}

bool backlog_add(struct backlogs *self, struct send *send, int64_t now_us)
{
    struct backlog *backlog = backlog_find(self, send);
    if (!backlog) {
        backlog = mem_alloc(sizeof *backlog);
        unsigned size = key_write(send, backlog->key);
        backlog->moved_us = now_us;
        HASH_ADD(hh, self->by_peer, key, size, backlog);
    }
    if (backlog->end - backlog->first >= self->count_max || backlog->size + send_size(send) > self->size_max) {
        return false;
    }
    if (backlog->end == backlog->capacity) {
        list_grow(backlog);
    }
    backlog->size += send_size(send);
    send_move(&backlog->list[backlog->end++], send);
    return true;
}

struct send *backlog_first(struct backlog *backlog)
{
    return backlog->first < backlog->end ? &backlog->list[backlog->first] : NULL;
}

void backlog_pop(struct backlog *backlog, size_t size, int64_t now_us)
{
    parcel_drop(&backlog->list[backlog->first++].parcel);
    backlog->size -= size;
    backlog->moved_us = now_us;
}

bool backlog_is_stuck(const struct backlogs *self, const struct backlog *backlog, int64_t now_us)
{
    return now_us - backlog->moved_us > self->age_max_us;
}

void backlog_remove(struct backlogs *self, struct backlog *backlog)
{
    HASH_DEL(self->by_peer, backlog);
    for (size_t i = backlog->first; i < backlog->end; i++) {
        parcel_drop(&backlog->list[i].parcel);
    }
    mem_free(backlog->list);
    mem_free(backlog);
}

void backlogs_release(struct backlogs *self)
{
    while (self->by_peer) {
        backlog_remove(self, self->by_peer);
    }
}

size_t backlogs_count(const struct backlogs *self)
{
    return HASH_COUNT(self->by_peer);
}
