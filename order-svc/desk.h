/* What each loop of order-svc works with, and the parts of it that are shared by several files. */
#ifndef ZMART_ORDER_DESK_H
#define ZMART_ORDER_DESK_H

#include "lib/bus/service.h"
#include "lib/store/outbox.h"
#include "order-svc/program.h"
#include "order-svc/store.h"

struct order_desk {
    struct sqlite_db *sqlite; /* one of these two, by --store */
    struct mongo_db *mongo;
    struct order_store *store;
    struct outbox *outbox;
    const struct order_settings *settings; /* borrowed */
    int64_t settle_after_ms;               /* product-svc did not answer: not before this (clock_now_ms) */
};

/* ---- handlers.c ---- */

extern const struct op_handler *const order_handlers;
extern const size_t order_handler_count;

/* ---- create.c ---- */

/* Handles order.create: see the head of create.c. */
enum err create_begin(struct call *call, const struct order_new *in, struct order *out);

/* ---- settle.c ---- */

/* Tells product-svc what is due, in rounds of SETTLE_MAX orders. For a timer. */
enum err settle_run(struct call *call, void *argument);
/* Tells it that this cancelled order's holds are released, then answers the call with the order, whatever came of it.
 * The order must live in the call's arena. */
enum err settle_cancelled(struct call *call, const struct order *order);
/* Deletes tombstones that are old enough. For a timer. */
enum err tombstones_purge(struct call *call, void *argument);

/* ---- events.c ---- */

/* The event of the order's present version; its texts lie in the order and in the arena. */
struct event_new order_event_make(const struct order *order, enum event_type type, const struct call_meta *meta,
                                  struct arena *arena);

#endif
