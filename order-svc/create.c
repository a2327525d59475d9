/* order.create, the saga's first half.
 *
 *   look      The order's id follows from the request, so a repeat finds what there is: an order, or a refusal, is the
 *             answer again. A try that the sweeper gave up without an answer moves everybody on to the next id. A request
 *             without a key that comes for the first time has an id that nobody had: it does not look.
 *   reserve   product-svc holds the pieces under the order's id, or refuses. No answer: nothing is decided here, the
 *             client may ask again, and what may be held is settled by product-svc's sweeper.
 *   place     The insert under the unique id decides every race. Lost: what is there is the answer.
 *   refuse    The refusal is stored under the same id before anything is released: it can never be placed any more. */
#include <inttypes.h>
#include <stdio.h>

#include "lib/base/clock.h"
#include "order-svc/desk.h"
#include "order-svc/rules.h"
#include "proto/ident.h"

enum {
    ORDER_TRIES_MAX = 1024, /* ids that one request may use up; each takes the sweeper's patience */
    RETRY_AFTER_S = 1
};

struct create {
    struct order_new in;
    char fingerprint[FINGERPRINT_SIZE];
    uint32_t try_count; /* n of the present id */
    char id[IDENT_SIZE];
    struct product_reserve reserve;
    uint32_t *items; /* by line: the request's first item of the product */
};

static enum err try_next(struct call *call, struct create *create, struct order *out);

static struct order_store *store_of(struct call *call)
{
    struct order_desk *desk = call_state(call);
    return desk->store;
}

static enum err ask_again(struct fault *fault, const char *what, enum err because)
{
    fault_cause(fault, "%s: %s", what, err_info(because)->slug);
    enum err e = fault_set(fault, ERR_SERVICE_UNAVAILABLE, NULL);
    fault->retry_after_s = RETRY_AFTER_S;
    return e;
}

/* ---- answering what was answered before ---- */

static enum err refuse_again(struct call *call, const struct order_entry *entry)
{
    struct problem problem;
    struct fault *fault = call_fault(call);
    if (record_unpack(&problem_record, entry->answer, call_arena(call), fault, &problem) != ERR_NONE) {
        fault_init(fault, call_arena(call));
        fault_cause(fault, "a stored refusal cannot be read");
        return fault_set(fault, ERR_INTERNAL, NULL);
    }
    fault_from_problem(fault, &problem);
    call_mark_replayed(call);
    return fault->code;
}

static enum err answer_again(struct call *call, const struct create *create, const struct order_entry *entry,
                             struct order *out)
{
    if (!text_is(entry->fingerprint, create->fingerprint)) {
        return fault_set(call_fault(call), ERR_IDEMPOTENCY_KEY_REUSED, NULL);
    }
    if (entry->kind == ORDER_REFUSED) {
        return refuse_again(call, entry);
    }
    order_as_placed(&entry->order, out);
    call_mark_replayed(call);
    return ERR_NONE;
}

/* Our id has a document since we looked. held: we may hold pieces for it. */
static enum err answer_taken(struct call *call, struct create *create, bool held, struct order *out)
{
    struct order_entry entry;
    struct fault *fault = call_fault(call);
    fault_init(fault, call_arena(call));
    enum err e = order_store_find(store_of(call), text_of(create->id), call_arena(call), fault, &entry);
    if (e != ERR_NONE) {
        return e;
    }
    if (entry.kind == ORDER_ABSENT) { /* a tombstone that was purged this very moment */
        return ask_again(fault, "the order's id", ERR_CONFLICT);
    }
    if (held && entry.kind != ORDER_PLACED) {
        e = order_store_release(store_of(call), text_of(create->id), fault);
        if (e != ERR_NONE) {
            return e;
        }
        call_keep(call); /* an error follows, perhaps, but the pieces go back */
    }
    return entry.kind == ORDER_VOID ? try_next(call, create, out) : answer_again(call, create, &entry, out);
}

/* ---- refusing ---- */

/* The fault is the answer; it is stored, and the id is used up, before anything that may be held is released. */
static enum err refuse(struct call *call, struct create *create, struct order *out)
{
    struct fault *fault = call_fault(call), store_fault;
    struct problem problem;
    bool taken;
    fault_to_problem(fault, &problem);
    fault_init(&store_fault, call_arena(call));
    struct order_entry tombstone = {.kind = ORDER_REFUSED,
                                    .due = HOLDS_RELEASE_DUE,
                                    .fingerprint = text_of(create->fingerprint),
                                    .answer = record_pack_in(&problem_record, &problem, call_arena(call))};
    enum err e =
        order_store_refuse(store_of(call), text_of(create->id), &tombstone, clock_wall_ms(), &store_fault, &taken);
    if (e != ERR_NONE) {
        *fault = store_fault;
        return e;
    }
    if (taken) { /* a reserve that was refused may have left pieces of its first products held */
        return answer_taken(call, create, true, out);
    }
    call_keep(call);
    return fault->code;
}

/* ---- placing ---- */

static void order_fill(struct call *call, const struct create *create, const struct order_bill *bill, struct order *out)
{
    struct arena *arena = call_arena(call);
    char number[ORDER_NUMBER_SIZE];
    order_number_make(text_of(create->id), number);
    int64_t now_ms = clock_wall_ms();
    *out = (struct order){.id = text_of(create->id),
                          .number = text_of(arena_copy(arena, number, strlen(number))),
                          .user_id = call_meta(call)->user_id,
                          .subtotal = bill->total,
                          .total = bill->total,
                          .currency = bill->currency,
                          .version = 1,
                          .created_at = now_ms,
                          .updated_at = now_ms};
    out->lines.items = bill->lines;
    out->lines.count = bill->line_count;
    out->history.items = arena_alloc(arena, sizeof *out->history.items);
    out->history.items[0] = (struct order_move){.status = ORDER_PENDING, .at = now_ms, .by = out->user_id};
    out->history.count = 1;
    if (has(order_new, &create->in, shipping_address)) {
        out->shipping_address = create->in.shipping_address;
        set_has(order, out, shipping_address);
    }
    if (has(order_new, &create->in, note)) {
        out->note = create->in.note;
        set_has(order, out, note);
    }
}

static enum err place(struct call *call, struct create *create, const struct product_reserved *reserved,
                      struct order *out)
{
    struct fault *fault = call_fault(call);
    struct order_bill bill = {0};
    struct order order;
    bool taken;
    fault_init(fault, call_arena(call));
    bill.lines = arena_alloc(call_arena(call), create->reserve.lines.count * sizeof *bill.lines);
    enum err e = order_price(&create->reserve, reserved, create->items, fault, &bill);
    if (e == ERR_INVALID_BODY || e == ERR_MIXED_CURRENCY) {
        return refuse(call, create, out);
    }
    if (e != ERR_NONE) {
        return e;
    }
    order_fill(call, create, &bill, &order);
    struct event_new event = order_event_make(&order, EVENT_ORDER_PLACED, call_meta(call), call_arena(call));
    e = order_store_place(store_of(call), &order, text_of(create->fingerprint), &event, fault, &taken);
    if (e != ERR_NONE) {
        return e;
    }
    if (taken) {
        return answer_taken(call, create, true, out);
    }
    *out = order;
    return ERR_NONE;
}

/* ---- reserving ---- */

/* product-svc has holds under our id that are another request's, or are released: our document knows which. */
static enum err answer_conflict(struct call *call, struct create *create, enum err status, struct order *out)
{
    struct order_entry entry;
    struct fault *fault = call_fault(call);
    enum err e = order_store_find(store_of(call), text_of(create->id), call_arena(call), fault, &entry);
    if (e != ERR_NONE) {
        return e;
    }
    if (entry.kind != ORDER_ABSENT) {
        return answer_taken(call, create, false, out);
    }
    fault_init(fault, call_arena(call));
    return status == ERR_IDEMPOTENCY_KEY_REUSED ? fault_set(fault, status, NULL)
                                                : ask_again(fault, "product.reserve", status);
}

static enum err create_reserved(struct call *call, enum err status, const void *reply, void *state, void *out)
{
    struct create *create = state;
    struct fault *fault = call_fault(call);
    if (status == ERR_NONE) {
        return place(call, create, reply, out);
    }
    char *room = arena_alloc(call_arena(call), (fault->item_count + 1) * (size_t)ORDER_POINTER_SIZE);
    order_pointers_translate(fault, create->items, create->reserve.lines.count, room);
    if (status == ERR_OUT_OF_STOCK || status == ERR_UNAVAILABLE || status == ERR_MIXED_CURRENCY) {
        return refuse(call, create, out);
    }
    if (status == ERR_CONFLICT || status == ERR_IDEMPOTENCY_KEY_REUSED) {
        return answer_conflict(call, create, status, out);
    }
    if (status == ERR_INVALID_BODY || err_info(status)->http >= 500) {
        return status;
    }
    return ask_again(fault, "product.reserve", status);
}

static enum err reserve_send(struct call *call, struct create *create)
{
    char step[24];
    struct text product_id = create->reserve.lines.items[0].product_id;
    snprintf(step, sizeof step, "reserve-%" PRIu32, create->try_count);
    create->reserve.order_id = text_of(create->id);
    create->reserve.fingerprint = text_of(create->fingerprint);
    /* a client's text is part of a route only if it is an id of ours */
    struct text key = ident_is(product_id, "prd") ? product_id : (struct text){0};
    return call_send(call, OP_product_reserve, step, key, &create->reserve, create_reserved, create);
}

static enum err try_next(struct call *call, struct create *create, struct order *out)
{
    for (; create->try_count < ORDER_TRIES_MAX; create->try_count++) {
        struct order_entry entry;
        ident_make("ord", call_request_id(call), create->try_count, create->id);
        enum err e = order_store_find(store_of(call), text_of(create->id), call_arena(call), call_fault(call), &entry);
        if (e != ERR_NONE) {
            return e;
        }
        if (entry.kind == ORDER_ABSENT) {
            return reserve_send(call, create);
        }
        if (entry.kind != ORDER_VOID) {
            return answer_again(call, create, &entry, out);
        }
    }
    return fault_set(call_fault(call), ERR_SERVICE_UNAVAILABLE, "This request was given up too often; make a new one");
}

/* Nobody had this request's id before, so nothing is under the order's: what looking at the moment at which the id was
 * made would have found. Whatever happens meanwhile (the request is sent again while this attempt stands still) is
 * decided by the insert, as for everybody who looked and then stood still. */
static bool is_first(struct call *call)
{
    const struct call_meta *meta = call_meta(call);
    bool keyed = has(call_meta, meta, keyed) && meta->keyed;
    return !keyed && !call_is_redelivered(call);
}

enum err create_begin(struct call *call, const struct order_new *in, struct order *out)
{
    struct arena *arena = call_arena(call);
    if (!has(call_meta, call_meta(call), user_id)) {
        return fault_set(call_fault(call), ERR_UNAUTHENTICATED, NULL);
    }
    enum err e = order_check(in, call_fault(call));
    if (e != ERR_NONE) {
        return e;
    }
    struct create *create = arena_alloc(arena, sizeof *create);
    create->in = *in;
    create->items = arena_alloc(arena, in->items.count * sizeof *create->items);
    create->reserve.lines.items = arena_alloc(arena, in->items.count * sizeof *create->reserve.lines.items);
    create->reserve.lines.count = order_lines_sum(in, create->reserve.lines.items, create->items);
    fingerprint_make(call_body(call), create->fingerprint);
    if (is_first(call)) {
        ident_make("ord", call_request_id(call), create->try_count, create->id);
        return reserve_send(call, create);
    }
    return try_next(call, create, out);
}
