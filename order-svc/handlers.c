/* The operations of order-svc. */
#include <stdio.h>

#include "lib/base/clock.h"
#include "lib/store/cursor.h"
#include "order-svc/desk.h"
#include "order-svc/rules.h"
#include "proto/tag.h"

#define BIND_OPS "proto/ops/order.def"
#include "lib/bus/bind_ops.h"

const struct op_handler *const order_handlers = bound_ops;
const size_t order_handler_count = ARRAY_COUNT(bound_ops);

enum { PAGE_DEFAULT = 20, MOVE_TRIES_MAX = 5 };

static enum err order_create(struct call *call, const struct order_new *in, struct order *out)
{
    return create_begin(call, in, out);
}

/* A stranger's order does not exist. */
static enum err entry_of(struct call *call, struct text id, struct order_entry *out)
{
    struct order_desk *desk = call_state(call);
    struct order_entry entry;
    enum err e = order_store_find(desk->store, id, call_arena(call), call_fault(call), &entry);
    if (e != ERR_NONE) {
        return e;
    }
    if (entry.kind != ORDER_PLACED || !call_may_act_for(call, entry.order.user_id)) {
        return fault_set(call_fault(call), ERR_NOT_FOUND, NULL);
    }
    *out = entry;
    return ERR_NONE;
}

static enum err order_get(struct call *call, const struct order_ref *in, struct order *out)
{
    struct order_entry entry;
    enum err e = entry_of(call, in->id, &entry);
    if (e == ERR_NONE) {
        *out = entry.order;
    }
    return e;
}

/* ---- moving ---- */

static enum err precondition_check(struct call *call, const struct order *order)
{
    const struct call_meta *meta = call_meta(call);
    if (has(call_meta, meta, if_match) && !version_tag_matches(meta->if_match, order->version)) {
        return fault_set(call_fault(call), ERR_PRECONDITION_FAILED, NULL);
    }
    return ERR_NONE;
}

static enum err step_store(struct call *call, const struct order *before, const struct order *after)
{
    struct order_desk *desk = call_state(call);
    const struct order_rule *rule = order_rule_find(before->status, after->status);
    enum holds_due due = HOLDS_NOTHING_DUE;
    if (rule->settles) {
        due = rule->step == HOLD_RELEASE ? HOLDS_RELEASE_DUE : HOLDS_COMMIT_DUE;
    }
    struct event_new event = order_event_make(after, rule->event, call_meta(call), call_arena(call));
    return order_store_change(desk->store, after, due, &event, call_fault(call));
}

/* Cancelled first, durably; then the pieces go back; then the client hears of it. */
static enum err cancel_finish(struct call *call, const struct order *order, struct order *out)
{
    struct order *kept = arena_alloc(call_arena(call), sizeof *kept);
    *kept = *order;
    enum err e = settle_cancelled(call, kept);
    if (e != ERR_LATER) { /* the timer will tell product-svc */
        *out = *order;
        return ERR_NONE;
    }
    return e;
}

/* One try; CONFLICT if somebody else has moved it between our read and our write. */
static enum err move_try(struct call *call, const struct order_status_set *in, struct order *out)
{
    struct order_entry entry;
    struct order moved;
    enum err e = entry_of(call, in->id, &entry);
    if (e != ERR_NONE) {
        return e;
    }
    struct order_step step = {
        .to = in->status,
        .by = call_meta(call)->user_id,
        .by_admin = call_is_admin(call),
        .now_ms = clock_wall_ms(),
        .history = arena_alloc(call_arena(call), (entry.order.history.count + 1) * sizeof *step.history)};
    e = order_apply(&entry.order, &step, call_fault(call), &moved);
    if (e != ERR_NONE) {
        return e;
    }
    if (moved.version != entry.order.version) { /* a step already taken is no change, so If-Match cannot stop it */
        e = precondition_check(call, &entry.order);
        e = e == ERR_NONE ? step_store(call, &entry.order, &moved) : e;
        if (e != ERR_NONE) {
            return e;
        }
        entry.due = moved.status == ORDER_CANCELLED ? HOLDS_RELEASE_DUE : entry.due;
    }
    if (moved.status == ORDER_CANCELLED && entry.due == HOLDS_RELEASE_DUE) {
        return cancel_finish(call, &moved, out);
    }
    *out = moved;
    return ERR_NONE;
}

static enum err order_move(struct call *call, const struct order_status_set *in, struct order *out)
{
    enum err e;
    int try_count = 0;
    do {
        fault_init(call_fault(call), call_arena(call));
        e = move_try(call, in, out);
    } while (e == ERR_CONFLICT && ++try_count < MOVE_TRIES_MAX);
    return e;
}

/* ---- listing ---- */

/* Whose orders: a customer's own, and asking for another's is refused rather than answered with nothing. */
static enum err page_owner(struct call *call, const struct order_query *in, struct text *out)
{
    const struct call_meta *meta = call_meta(call);
    if (call_is_admin(call)) {
        *out = has(order_query, in, user_id) ? in->user_id : (struct text){0};
        return ERR_NONE;
    }
    if (!has(call_meta, meta, user_id)) {
        return fault_set(call_fault(call), ERR_UNAUTHENTICATED, NULL);
    }
    if (has(order_query, in, user_id) && !text_equal(in->user_id, meta->user_id)) {
        fault_add(call_fault(call), "/user_id", "forbidden", -1, "is for administrators");
        return fault_set(call_fault(call), ERR_FORBIDDEN, "Only administrators list others' orders");
    }
    *out = meta->user_id;
    return ERR_NONE;
}

/* The query with whose orders it is about, also where that goes without saying: a cursor belongs to it. */
static struct order_query owned(const struct order_query *in, struct text user_id)
{
    struct order_query query = *in;
    query.user_id = user_id;
    if (user_id.size > 0) {
        set_has(order_query, &query, user_id);
    }
    return query;
}

static enum err page_query(struct call *call, const struct order_query *in, struct order_page_query *out)
{
    struct order_page_query query = {.status = has(order_query, in, status) ? (int)in->status : -1,
                                     .created_gte = has(order_query, in, created_gte) ? in->created_gte : 0,
                                     .before_at = has(order_query, in, created_lt) ? in->created_lt : INT64_MAX,
                                     .limit = has(order_query, in, limit) ? (int)in->limit : PAGE_DEFAULT};
    enum err e = page_owner(call, in, &query.user_id);
    if (e == ERR_NONE && has(order_query, in, cursor)) {
        struct cursor_key keys[CURSOR_MAX_KEYS];
        struct order_query asked = owned(in, query.user_id);
        e = cursor_read(&order_query_record, &asked, in->cursor, "it", call_arena(call), call_fault(call), keys);
        if (e == ERR_NONE) {
            query.before_at = keys[0].number;
            query.before_id = keys[1].text;
        }
    }
    if (e == ERR_NONE) {
        *out = query;
    }
    return e;
}

static enum err order_list(struct call *call, const struct order_query *in, struct order_list *out)
{
    struct order_desk *desk = call_state(call);
    struct order_page_query query;
    struct order_row_list rows;
    enum err e = page_query(call, in, &query);
    if (e != ERR_NONE) {
        return e;
    }
    uint32_t limit = (uint32_t)query.limit++; /* one row more says whether there is another page */
    e = order_store_page(desk->store, &query, call_arena(call), call_fault(call), &rows);
    if (e != ERR_NONE) {
        return e;
    }
    out->data.items = rows.items;
    out->data.count = records_fit(&order_record, rows.items, rows.count > limit ? limit : rows.count);
    out->has_more = rows.count > out->data.count;
    if (out->has_more) {
        const struct order *last = &rows.items[out->data.count - 1];
        struct cursor_key keys[] = {{.number = last->created_at}, {.is_text = true, .text = last->id}};
        struct order_query asked = owned(in, query.user_id);
        out->next_cursor = cursor_make(&order_query_record, &asked, keys, ARRAY_COUNT(keys), call_arena(call));
        set_has(order_list, out, next_cursor);
    }
    return ERR_NONE;
}

/* ---- arbitrating ---- */

static enum order_outcome outcome_of(const struct order *order)
{
    switch (order->status) {
    case ORDER_CANCELLED: return ORDER_OUTCOME_CANCELLED;
    case ORDER_SHIPPED:
    case ORDER_DELIVERED: return ORDER_OUTCOME_SHIPPED;
    case ORDER_PENDING:
    case ORDER_CONFIRMED:
    case order_status_count: break;
    }
    return ORDER_OUTCOME_PLACED;
}

static enum err arbitrate_one(struct call *call, struct text id, struct order_verdict *out)
{
    struct order_desk *desk = call_state(call);
    struct order_entry entry, tombstone = {.kind = ORDER_VOID};
    bool taken;
    *out = (struct order_verdict){.order_id = id, .outcome = ORDER_OUTCOME_VOID};
    enum err e = order_store_find(desk->store, id, call_arena(call), call_fault(call), &entry);
    if (e == ERR_NONE && entry.kind == ORDER_ABSENT) {
        e = order_store_refuse(desk->store, id, &tombstone, clock_wall_ms(), call_fault(call), &taken);
        if (e == ERR_NONE && taken) { /* somebody was faster: what is there decides */
            e = order_store_find(desk->store, id, call_arena(call), call_fault(call), &entry);
        }
    }
    if (e == ERR_NONE && entry.kind == ORDER_PLACED) {
        out->outcome = outcome_of(&entry.order);
        out->fingerprint = entry.fingerprint;
        set_has(order_verdict, out, fingerprint);
    }
    return e;
}

static enum err order_arbitrate(struct call *call, const struct order_arbitrate *in, struct order_arbitrated *out)
{
    out->verdicts.count = in->order_ids.count;
    out->verdicts.items = arena_alloc(call_arena(call), in->order_ids.count * sizeof *out->verdicts.items);
    for (uint32_t i = 0; i < in->order_ids.count; i++) {
        enum err e = arbitrate_one(call, in->order_ids.items[i], &out->verdicts.items[i]);
        if (e != ERR_NONE) {
            return e;
        }
    }
    return ERR_NONE;
}
