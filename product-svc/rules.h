/* What products and holds may and may not do: pure, without clock, store or allocation. */
#ifndef ZMART_PRODUCT_RULES_H
#define ZMART_PRODUCT_RULES_H

#include "proto/fault.h"
#include "proto/order.h"
#include "proto/product.h"

/* ---- the catalogue ---- */

struct product_terms {
    struct text id;       /* of the new product */
    struct text currency; /* the shop's, when none is given; known */
    int64_t now_ms;       /* wall clock */
};
enum { SKU_MADE_SIZE = 17 }; /* "SKU-" and 12 characters of the id, with NUL */

/* The product that a request makes. Texts point into in, terms and sku_room (used when no SKU is given).
 * INVALID_BODY names every field that cannot be accepted. */
MUST_USE enum err product_draft(const struct product_new *in, const struct product_terms *terms,
                                char sku_room[SKU_MADE_SIZE], struct fault *fault, struct product *out);

struct product_change {
    const struct product_edit *edit;
    bool conditional;     /* there was a header If-Match */
    struct text if_match; /* as sent */
};

/* The product after an edit, in *out; with nothing given, the product as it is (out->version tells). Texts point into
 * product and edit. PRECONDITION_FAILED; INVALID_BODY; OUT_OF_STOCK when stock_delta takes more than there is. */
MUST_USE enum err product_apply(const struct product *product, const struct product_change *change, int64_t now_ms,
                                struct fault *fault, struct product *out);

/* True if a header If-Match names the product: *, or a list with the strong tag "<version>-<stock>". The stock part is
 * compared when with_stock; weak and malformed tags never match. */
bool product_tag_matches(struct text if_match, const struct product *product, bool with_stock);

/* The order that a list is asked for in. */
enum product_sort product_sort_of(const struct product_query *query);

/* ---- holds ---- */

enum hold_state {
    HOLD_IS_HELD,      /* by an order that may yet be placed or refused */
    HOLD_IS_CONFIRMED, /* a placed order has it */
    HOLD_IS_RELEASED,  /* back on stock; never held again */
    HOLD_IS_COMMITTED  /* has left the house */
};

/* What a store found for one line of a reserve. */
struct reserve_found {
    bool for_sale;             /* known, active, not retired */
    bool has_hold;             /* this order has a hold on this product already, */
    enum hold_state state;     /* in this state, */
    bool same_request;         /* made by a request with the same fingerprint */
    int64_t stock;             /* can be sold now */
    int64_t row;               /* the store's own name for the product */
    bool has_news;             /* the store's own: that its stock has changed is marked already */
    struct reserved_line line; /* set if the product is known */
};

/* Whether a line takes pieces from stock now: not when its hold exists already. */
bool reserve_takes(const struct reserve_found *found);

/* All lines or none. found[i] belongs to in->lines.items[i]. Every line that fails is named: "/lines/<i>", with what is
 * left of it.
 *   CONFLICT                a hold was released: the order is void or cancelled already; look at it again
 *   IDEMPOTENCY_KEY_REUSED  the order has holds of a request with another fingerprint
 *   UNAVAILABLE, OUT_OF_STOCK, MIXED_CURRENCY */
MUST_USE enum err reserve_judge(const struct product_reserve *in, const struct reserve_found *found,
                                struct fault *fault);
/* INVALID_BODY if a product is in two lines. */
MUST_USE enum err reserve_check(const struct product_reserve *in, struct fault *fault);

/* The state after a step; pieces go back on stock when it becomes RELEASED and was not. Confirming or committing what
 * another request holds releases it: the order was placed without it. */
enum hold_state hold_settle(enum hold_state state, enum hold_step step, bool same_request);
/* What a verdict on an order means for its holds. */
enum hold_step hold_step_of(enum order_outcome outcome);

/* ---- what is news (rules_news.c) ---- */

enum { LOW_STOCK_MAX = 1000000 };

enum stock_news {
    STOCK_IS_NO_NEWS, /* but that it changed */
    STOCK_RUNS_LOW,   /* it was above the level, and is at it or below */
    STOCK_IS_BACK     /* there was none */
};
/* What a change of the stock is to people. low_level 0: nothing is low. */
enum stock_news stock_news_of(int64_t before, int64_t after, int64_t low_level);

#endif
