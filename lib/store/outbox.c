#include "lib/store/outbox.h"

#include "lib/base/clock.h"
#include "lib/base/mem.h"

enum { OUTBOX_APPEND_BUDGET_MS = 10000, OUTBOX_RETRY_MS = 500 };

struct outbox {
    struct outbox_source *source;
    int64_t relaying_until_ms; /* an append is under way, or was given up after this; 0: none */
    int64_t retry_at_ms;       /* not before */
};

/* One append. */
struct relay {
    struct outbox *outbox;
    struct outbox_page page;
};

struct outbox *outbox_new(struct outbox_source *source)
{
    struct outbox *self = mem_alloc(sizeof *self);
    self->source = source;
    source->waiting = true;
    return self;
}

void outbox_destroy(struct outbox **self)
{
    mem_free(*self);
    *self = NULL;
}

void outbox_source_destroy(struct outbox_source **self)
{
    if (*self) {
        (*self)->ops->destroy(self);
    }
}

bool outbox_page_add(struct outbox_page *page, size_t *size, struct text packed, struct arena *arena,
                     struct fault *fault, enum err *out_err)
{
    uint32_t *count = &page->append.events.count;
    if (!page->append.events.items) {
        page->append.events.items = arena_alloc(arena, EVENT_BATCH_MAX * sizeof *page->append.events.items);
    }
    *size += packed.size;
    page->more = *count == EVENT_BATCH_MAX || (*count > 0 && *size > OUTBOX_PAGE_MAX_SIZE);
    if (page->more) {
        return false;
    }
    if (record_unpack(&event_new_record, packed, arena, fault, &page->append.events.items[*count]) != ERR_NONE) {
        fault_cause(fault, "an event in the outbox cannot be read");
        *out_err = fault_set(fault, ERR_INTERNAL, NULL);
        return false;
    }
    ++*count;
    return true;
}

/* ---- handing over ---- */

static enum err failed_once(struct outbox *self, enum err e)
{
    self->relaying_until_ms = 0;
    self->source->waiting = true;
    self->retry_at_ms = clock_now_ms() + OUTBOX_RETRY_MS;
    return e;
}

static enum err page_appended(struct call *call, enum err status, const void *reply, void *state, void *out)
{
    struct relay *relay = state;
    struct outbox *self = relay->outbox;
    (void)reply;
    (void)out;
    if (status != ERR_NONE) {
        return failed_once(self, status);
    }
    enum err e = self->source->ops->clear(self->source, &relay->page, call_fault(call));
    if (e != ERR_NONE) {
        return failed_once(self, e);
    }
    self->relaying_until_ms = 0;
    return ERR_NONE;
}

static enum err page_get(struct outbox_source *source, struct call *call, struct outbox_page *out)
{
    if (source->ops->recall && source->ops->recall(source, call_arena(call), call_fault(call), out)) {
        return ERR_NONE;
    }
    return source->ops->look(source, call_arena(call), call_fault(call), out);
}

static enum err page_hand_over(struct call *call, void *argument)
{
    struct outbox *self = argument;
    struct relay *relay = arena_alloc(call_arena(call), sizeof *relay);
    relay->outbox = self;
    enum err e = page_get(self->source, call, &relay->page);
    if (e != ERR_NONE) {
        return failed_once(self, e);
    }
    self->source->waiting = relay->page.more;
    if (relay->page.append.events.count == 0) {
        self->relaying_until_ms = 0;
        return ERR_NONE;
    }
    e = call_send(call, OP_event_append, "append", (struct text){0}, &relay->page.append, page_appended, relay);
    return e == ERR_LATER ? e : failed_once(self, e);
}

void outbox_relay(struct service_loop *loop, struct outbox *self)
{
    int64_t now_ms = clock_now_ms();
    if (now_ms < self->relaying_until_ms || !self->source->waiting || now_ms < self->retry_at_ms) {
        return;
    }
    /* an append whose answer never comes is sent again: the log skips what it has */
    self->relaying_until_ms = now_ms + 2 * OUTBOX_APPEND_BUDGET_MS;
    service_start(loop, "outbox", OUTBOX_APPEND_BUDGET_MS, page_hand_over, self);
}

void outbox_sweep(struct service_loop *loop, struct outbox *self)
{
    if (self->source->ops->sweep) {
        self->source->ops->sweep(self->source);
        self->source->waiting = true;
    }
    outbox_relay(loop, self);
}
