#include "event-svc/tail.h"

#include "lib/base/mem.h"

static struct text copied(struct event_tail *self, struct text text)
{
    return (struct text){arena_copy(&self->arena, text.data, text.size), text.size};
}

static void tail_empty(struct event_tail *self)
{
    arena_reset(&self->arena);
    self->count = 0;
    self->size = 0;
    self->torn = self->taken = false;
}

static void entry_fill(struct event_tail *self, const struct event_new *event, struct event_entry *out)
{
    *out = (struct event_entry){.id = copied(self, event->id),
                                .type = copied(self, event->type),
                                .subject = copied(self, event->subject),
                                .source = copied(self, event->source),
                                .time = event->time};
    if (has(event_new, event, user_id)) {
        out->user_id = copied(self, event->user_id);
        set_has(event_entry, out, user_id);
    }
    if (has(event_new, event, traceparent)) {
        out->traceparent = copied(self, event->traceparent);
        set_has(event_entry, out, traceparent);
    }
    if (has(event_new, event, data)) {
        out->data = copied(self, event->data);
        set_has(event_entry, out, data);
    }
    if (has(event_new, event, private_data)) {
        out->private_data = copied(self, event->private_data);
        set_has(event_entry, out, private_data);
    }
}

void tail_add(struct event_tail *self, const struct event_new *event, int64_t seq, int64_t tseq)
{
    if (self->taken) {
        tail_empty(self);
    }
    self->size += event->data.size + event->private_data.size;
    self->torn = self->torn || self->count == EVENT_BATCH_MAX || self->size > EVENT_TAIL_MAX_SIZE;
    if (!self->torn) {
        struct event_entry *entry = &self->items[self->count++];
        entry_fill(self, event, entry);
        entry->seq = seq;
        entry->tseq = tseq;
    }
}

void tail_tear(struct event_tail *self)
{
    self->torn = true;
}

uint32_t tail_take(struct event_tail *self)
{
    uint32_t count = self->torn || self->taken ? 0 : self->count;
    self->taken = true;
    return count;
}

void tail_release(struct event_tail *self)
{
    arena_release(&self->arena);
}
