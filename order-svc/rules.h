/* What orders may and may not do: pure, without clock, store or allocation. */
#ifndef ZMART_ORDER_RULES_H
#define ZMART_ORDER_RULES_H

#include "proto/event.h"
#include "proto/fault.h"
#include "proto/order.h"

/* ---- moves ---- */

/* One line of the table of moves: what is not listed cannot be done. */
struct order_rule {
    enum order_status from;
    enum order_status to;
    bool by_owner; /* the customer may ask for it; administrators may ask for all */
    enum fulfillment_status fulfillment;
    enum event_type event;
    bool settles;        /* the order's holds change with it */
    enum hold_step step; /* how, if settles */
};

/* NULL if an order cannot go from one to the other. */
const struct order_rule *order_rule_find(enum order_status from, enum order_status to);

struct order_step {
    enum order_status to;
    struct text by; /* the account that asks */
    bool by_admin;
    int64_t now_ms;             /* wall clock */
    struct order_move *history; /* room for one more entry than the order has; out's history lies here */
};

/* The order after the step, in *out; the order as it is if it stands there already (out->version tells).
 * FORBIDDEN for a step that only administrators take; BAD_TRANSITION, with what the asker could do instead. */
MUST_USE enum err order_apply(const struct order *order, const struct order_step *step, struct fault *fault,
                              struct order *out);
/* The order as it was when it was placed. */
void order_as_placed(const struct order *order, struct order *out);

/* ---- placing ---- */

/* Sums the quantities of each product, in the order of first mention. lines and items have room for in->items.count;
 * items[i] is the index of the first item of line i. Returns the number of lines. */
uint32_t order_lines_sum(const struct order_new *in, struct reserve_line *lines, uint32_t *items);
/* Whether the order's own fields make sense beyond their bounds: INVALID_BODY with pointers. */
MUST_USE enum err order_check(const struct order_new *in, struct fault *fault);

struct order_bill {
    struct order_line *lines; /* room for one a line asked */
    uint32_t line_count;
    int64_t total; /* minor units */
    struct text currency;
};

/* Prices what was asked by what was reserved; fills bill->lines, to which the caller gave room. MIXED_CURRENCY;
 * INVALID_BODY when a line or the sum is beyond the largest amount (pointers by items, as order_lines_sum gave them);
 * INTERNAL if the two do not belong together. */
MUST_USE enum err order_price(const struct product_reserve *asked, const struct product_reserved *reserved,
                              const uint32_t *items, struct fault *fault, struct order_bill *bill);

/* "/lines/3/quantity" of a reserve as "/items/5/quantity" of the order: every item of the fault is rewritten.
 * room holds the new pointers and needs ORDER_POINTER_SIZE bytes an item of the fault. */
enum { ORDER_POINTER_SIZE = 64 };
void order_pointers_translate(struct fault *fault, const uint32_t *items, uint32_t line_count, char *room);

#endif
