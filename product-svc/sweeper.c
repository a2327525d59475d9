/* The sweeper: a hold that no placed order has confirmed in time belongs to an order that was refused, given up, or
 * whose confirmation was lost. Only the order's own document knows which; order-svc is asked, and the holds follow.
 *
 * Ages are by the wall clock, because they must outlive a restart of the machine. A clock that jumps lets the sweeper
 * ask early or late, which changes when an unfinished order ends, never what becomes of a placed one. */
#include "product-svc/desk.h"

static enum err sweeper_judged(struct call *call, enum err status, const void *reply, void *state, void *out)
{
    (void)state;
    (void)out;
    const struct order_arbitrated *judged = reply;
    struct product_desk *desk = call_state(call);
    struct product_act act = product_act_of(call);
    if (status != ERR_NONE || judged->verdicts.count == 0) {
        return status; /* the next run asks again */
    }
    struct product_settle settle = {0};
    settle.orders.count = judged->verdicts.count;
    settle.orders.items = arena_alloc(act.arena, settle.orders.count * sizeof *settle.orders.items);
    for (uint32_t i = 0; i < judged->verdicts.count; i++) {
        const struct order_verdict *verdict = &judged->verdicts.items[i];
        struct hold_order *order = &settle.orders.items[i];
        order->order_id = verdict->order_id;
        order->step = hold_step_of(verdict->outcome);
        if (has(order_verdict, verdict, fingerprint)) {
            order->fingerprint = verdict->fingerprint;
            set_has(hold_order, order, fingerprint);
        }
    }
    enum err e = desk->store->ops->settle(desk->store, &act, &settle);
    if (e == ERR_NONE) {
        metric_add(desk->swept, settle.orders.count);
    }
    return e;
}

enum err sweeper_run(struct call *call, void *argument)
{
    (void)argument;
    struct product_desk *desk = call_state(call);
    struct product_act act = product_act_of(call);
    struct text_list stale;
    int64_t purged;
    enum err e = desk->store->ops->purge(desk->store, &act, act.now_ms - PRODUCT_KEEP_MS, &purged);
    if (e == ERR_NONE) {
        e = desk->store->ops->stale_holds(desk->store, &act, act.now_ms - desk->settings->product.hold_patience_ms,
                                          &stale);
    }
    if (e != ERR_NONE || stale.count == 0) {
        return e;
    }
    struct order_arbitrate *question = arena_alloc(act.arena, sizeof *question);
    question->order_ids = stale;
    return call_send(call, OP_order_arbitrate, "arbitrate", (struct text){0}, question, sweeper_judged, NULL);
}
