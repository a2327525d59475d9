#include "lib/store/outbox.h"

#include "lib/base/clock.h"
#include "lib/base/mem.h"

enum {
    OUTBOX_APPEND_MAX_SIZE = 1024 * 1024, /* packed events in one append, so that it fits a request's body */
    OUTBOX_APPEND_BUDGET_MS = 10000,
    OUTBOX_RETRY_MS = 500
};

struct outbox {
    struct sqlite_db *db;
    int64_t relaying_until_ms; /* an append is under way, or was given up after this; 0: none */
    bool waiting;              /* there may be rows that nobody has handed over */
    int64_t retry_at_ms;       /* not before */
};

/* One append: which rows it covers. */
struct relay {
    struct outbox *outbox;
    int64_t last_position;
};

struct outbox *outbox_new(struct sqlite_db *db)
{
    struct outbox *self = mem_alloc(sizeof *self);
    self->db = db;
    self->waiting = true;
    return self;
}

void outbox_destroy(struct outbox **self)
{
    mem_free(*self);
    *self = NULL;
}

enum err outbox_add(struct outbox *self, struct call *call, const struct event_new *event)
{
    sqlite3_stmt *insert = sqlite_prepare(self->db, "INSERT INTO outbox(event) VALUES(?1)", call_fault(call));
    if (!insert) {
        return call_fault(call)->code;
    }
    sqlite_bind_blob_at(insert, 1, record_pack_in(&event_new_record, event, call_arena(call)));
    enum err e = sqlite_run(self->db, insert, call_fault(call));
    self->waiting = self->waiting || e == ERR_NONE;
    return e;
}

/* Reads the oldest rows, as many as fit one append; *out_more says whether others are left. */
static enum err rows_read(struct outbox *self, struct call *call, struct event_append *out, int64_t *out_last, bool *out_more)
{
    struct arena *arena = call_arena(call);
    struct fault *fault = call_fault(call);
    /* one row more than an append takes says that more is waiting */
    sqlite3_stmt *select = sqlite_prepare(self->db, "SELECT position, event FROM outbox ORDER BY position LIMIT 257", fault);
    if (!select) {
        return fault->code;
    }
    enum sqlite_step_result step;
    size_t size = 0;
    out->events.items = arena_alloc(arena, EVENT_BATCH_MAX * sizeof *out->events.items);
    while ((step = sqlite_step(self->db, select, fault)) == SQLITE_STEP_ROW) {
        struct text row = sqlite_text_at(select, 1, arena);
        size += row.size;
        *out_more = out->events.count == EVENT_BATCH_MAX || (out->events.count > 0 && size > OUTBOX_APPEND_MAX_SIZE);
        if (*out_more) {
            (void)sqlite3_reset(select);
            return ERR_NONE;
        }
        enum err e = record_unpack(&event_new_record, row, arena, fault, &out->events.items[out->events.count]);
        if (e != ERR_NONE) {
            (void)sqlite3_reset(select);
            fault_cause(fault, "outbox row %lld cannot be read", (long long)sqlite_int_at(select, 0));
            return fault_set(fault, ERR_INTERNAL, NULL);
        }
        *out_last = sqlite_int_at(select, 0);
        out->events.count++;
    }
    return step == SQLITE_STEP_DONE ? ERR_NONE : fault->code;
}

static enum err failed_once(struct outbox *self, enum err e)
{
    self->relaying_until_ms = 0;
    self->waiting = true;
    self->retry_at_ms = clock_now_ms() + OUTBOX_RETRY_MS;
    return e;
}

static enum err rows_appended(struct call *call, enum err status, const void *reply, void *state, void *out)
{
    struct relay *relay = state;
    struct outbox *self = relay->outbox;
    (void)reply;
    (void)out;
    if (status != ERR_NONE) {
        return failed_once(self, status);
    }
    sqlite3_stmt *erase = sqlite_prepare(self->db, "DELETE FROM outbox WHERE position <= ?1", call_fault(call));
    if (!erase) {
        return failed_once(self, call_fault(call)->code);
    }
    sqlite_bind_int_at(erase, 1, relay->last_position);
    enum err e = sqlite_run(self->db, erase, call_fault(call));
    if (e != ERR_NONE) {
        return failed_once(self, e);
    }
    self->relaying_until_ms = 0;
    return ERR_NONE;
}

static enum err rows_hand_over(struct call *call, void *argument)
{
    struct outbox *self = argument;
    struct relay *relay = arena_alloc(call_arena(call), sizeof *relay);
    struct event_append append = {0};
    bool more = false;
    relay->outbox = self;
    enum err e = rows_read(self, call, &append, &relay->last_position, &more);
    if (e != ERR_NONE) {
        return failed_once(self, e);
    }
    self->waiting = more;
    if (append.events.count == 0) {
        self->relaying_until_ms = 0;
        return ERR_NONE;
    }
    return call_send(call, OP_event_append, "append", (struct text){0}, &append, rows_appended, relay);
}

void outbox_relay(struct service_loop *loop, struct outbox *self)
{
    int64_t now_ms = clock_now_ms();
    if (now_ms < self->relaying_until_ms || !self->waiting || now_ms < self->retry_at_ms) {
        return;
    }
    /* an append whose answer never comes is sent again: the log skips what it has */
    self->relaying_until_ms = now_ms + 2 * OUTBOX_APPEND_BUDGET_MS;
    service_start(loop, "outbox", OUTBOX_APPEND_BUDGET_MS, rows_hand_over, self);
}
