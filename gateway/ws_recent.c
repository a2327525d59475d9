#include "gateway/ws_recent.h"

static struct ws_message *item_at(const struct ws_recent *self, uint32_t index)
{
    return self->items[(self->first + index) % WS_RECENT_COUNT];
}

static void oldest_drop(struct ws_recent *self)
{
    struct ws_message *oldest = item_at(self, 0);
    self->since = oldest->seq;
    self->size -= oldest->size;
    self->first = (self->first + 1) % WS_RECENT_COUNT;
    self->count--;
    ws_message_drop(&oldest);
}

void ws_recent_add(struct ws_recent *self, struct ws_message *event)
{
    while (self->count == WS_RECENT_COUNT || (self->count > 0 && self->size + event->size > WS_RECENT_SIZE)) {
        oldest_drop(self);
    }
    self->items[(self->first + self->count) % WS_RECENT_COUNT] = ws_message_keep(event);
    self->count++;
    self->size += event->size;
}

void ws_recent_clear(struct ws_recent *self)
{
    while (self->count > 0) {
        oldest_drop(self);
    }
}

bool ws_recent_reaches(const struct ws_recent *self, int64_t seq)
{
    return seq >= self->since;
}

struct ws_message *ws_recent_next(const struct ws_recent *self, int64_t seq)
{
    uint32_t low = 0, high = self->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (item_at(self, middle)->seq > seq) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low < self->count ? item_at(self, low) : NULL;
}
