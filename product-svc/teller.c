/* The teller: a product whose stock has changed since its last event gets one with the stock as it is now. */
#include "product-svc/desk.h"

enum { TELL_BUDGET_MS = 5000 };

enum err teller_run(struct call *call, void *argument)
{
    (void)argument;
    bool more = false;
    struct product_desk *desk = call_state(call);
    struct product_act act = product_act_of(call);
    enum err e = desk->store->ops->tell_stock(desk->store, &act, &more);
    if (e == ERR_NONE && more) { /* in another batch, so that requests come between */
        service_start(call_loop(call), "stock-news", TELL_BUDGET_MS, teller_run, NULL);
    }
    return e;
}
