/* What product-svc has to be told about holds: confirmed when placed, released when cancelled, committed when shipped.
 *
 * The order's own document says what is due, so nothing is forgotten by a crash. Telling is repeatable, and lazy: many
 * orders in one request, one commit on either side. Nothing waits for it but a cancellation, whose caller may
 * count on the pieces being back on stock. */
#include <inttypes.h>
#include <stdio.h>

#include "lib/base/clock.h"
#include "order-svc/desk.h"

enum {
    SETTLE_ROUNDS_MAX = 64, /* rounds of SETTLE_MAX orders in one run of the timer */
    SETTLE_RETRY_MS = 2000, /* pause after product-svc did not answer */
    CANCEL_WAIT_MS = 1500,  /* a cancellation waits so long for its pieces to be back on stock */
    PURGE_MAX_COUNT = 500   /* tombstones deleted in one run */
};

struct settle_round {
    struct due_list list;
    int number;
};

static enum err round_begin(struct call *call, struct settle_round *round);

static enum err round_ended(struct call *call, enum err status, const void *reply, void *state, void *out)
{
    struct order_desk *desk = call_state(call);
    struct settle_round *round = state;
    (void)reply;
    (void)out;
    enum err e = status != ERR_NONE ? status : order_store_settled(desk->store, &round->list, call_fault(call));
    if (e != ERR_NONE) {
        desk->settle_after_ms = clock_now_ms() + SETTLE_RETRY_MS;
        return e;
    }
    bool more = round->list.count == SETTLE_MAX && ++round->number < SETTLE_ROUNDS_MAX;
    return more ? round_begin(call, round) : ERR_NONE;
}

static enum err round_begin(struct call *call, struct settle_round *round)
{
    struct order_desk *desk = call_state(call);
    enum err e = order_store_due(desk->store, SETTLE_MAX, call_arena(call), call_fault(call), &round->list);
    if (e != ERR_NONE || round->list.count == 0) {
        return e;
    }
    char step[24];
    struct product_settle request = {0};
    request.orders.items = round->list.items;
    request.orders.count = round->list.count;
    snprintf(step, sizeof step, "settle-%d", round->number);
    return call_send(call, OP_product_settle, step, (struct text){0}, &request, round_ended, round);
}

enum err settle_run(struct call *call, void *argument)
{
    struct order_desk *desk = call_state(call);
    (void)argument;
    if (clock_now_ms() < desk->settle_after_ms) {
        return ERR_NONE;
    }
    return round_begin(call, arena_alloc(call_arena(call), sizeof(struct settle_round)));
}

/* ---- cancelling ---- */

struct cancelled {
    const struct order *order;
    struct hold_order item;
};

static enum err cancel_settled(struct call *call, enum err status, const void *reply, void *state, void *out)
{
    struct order_desk *desk = call_state(call);
    struct cancelled *cancelled = state;
    struct due_list list = {&cancelled->item, 1};
    (void)reply;
    /* Cancelled it is in any case; what could not be told, or not be written down, stays due for the timer. */
    if (status == ERR_NONE) {
        enum err e = order_store_settled(desk->store, &list, call_fault(call));
        if (e != ERR_NONE) {
            desk->settle_after_ms = clock_now_ms() + SETTLE_RETRY_MS;
        }
    }
    *(struct order *)out = *cancelled->order;
    return ERR_NONE;
}

enum err settle_cancelled(struct call *call, const struct order *order)
{
    struct cancelled *cancelled = arena_alloc(call_arena(call), sizeof *cancelled);
    struct product_settle request = {0};
    cancelled->order = order;
    cancelled->item = (struct hold_order){.order_id = order->id, .step = HOLD_RELEASE};
    request.orders.items = &cancelled->item;
    request.orders.count = 1;
    enum err e = call_send(call, OP_product_settle, "release", (struct text){0}, &request, cancel_settled, cancelled);
    if (e == ERR_LATER) {
        call_wait_at_most(call, CANCEL_WAIT_MS);
    }
    return e;
}

/* ---- tombstones ---- */

enum err tombstones_purge(struct call *call, void *argument)
{
    struct order_desk *desk = call_state(call);
    int count;
    (void)argument;
    int64_t keep_ms = desk->settings->order.order_void_hours * 3600 * 1000;
    return order_store_purge(desk->store, clock_wall_ms() - keep_ms, PURGE_MAX_COUNT, call_fault(call), &count);
}
