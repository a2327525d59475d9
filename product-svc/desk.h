/* What each loop of product-svc works with. */
#ifndef ZMART_PRODUCT_DESK_H
#define ZMART_PRODUCT_DESK_H

#include "product-svc/program.h"
#include "product-svc/store.h"

struct product_desk {
    struct product_store *store;
    const struct product_settings *settings; /* borrowed */
    struct outbox *outbox;
    struct metric *swept;                    /* orders whose holds the sweeper has settled */
};

/* handlers.c */
extern const struct op_handler *const product_handlers;
extern const size_t product_handler_count;
/* Handlers of several calls at once, as far as the store gains by them. */
void product_groups(const struct product_store *store, struct loop_store *out);
/* An act of now with the call's arena and fault. */
struct product_act product_act_of(struct call *call);

/* sweeper.c: settles holds that no placed order has confirmed in time, and drops what is kept no longer. For a timer.
 */
enum err sweeper_run(struct call *call, void *argument);

/* teller.c: turns what has been marked as changed into events. For a timer. */
enum err teller_run(struct call *call, void *argument);

#endif
