/* Catalogue and inventory as product-svc sees them. A store belongs to one loop's thread; every verb is one atomic act
 * within the loop's unit of work, and may be repeated: what was done for the same request is found, not done twice.
 *
 * Verbs write the events of what they do in the same act (news.h): created, updated and retired with the change, low
 * and back in stock when the stock crosses the level. That stock changed is only marked, so that a busy product has one
 * event in a while and not one a sale; tell_stock turns marks into events.
 *
 * All verbs: SERVICE_UNAVAILABLE when the store does not answer (nothing was done, as far as is known), INTERNAL when
 * it holds what it should not. */
#ifndef ZMART_PRODUCT_STORE_H
#define ZMART_PRODUCT_STORE_H

#include "lib/bus/service.h"
#include "lib/store/outbox.h"
#include "lib/store/sqlite.h"
#include "product-svc/rules.h"

enum {
    PRODUCT_PURGE_MAX = 500,            /* rows that one purge drops of a kind */
    PRODUCT_KEEP_MS = 48 * 3600 * 1000, /* answers and ended holds are kept so long */
    PRODUCT_PAGE_DEFAULT = 20,
    PRODUCT_TELL_MAX = EVENT_BATCH_MAX /* products whose stock one tell_stock tells */
};

/* One act on the store: on whose behalf, when, and where results and errors go. */
struct product_act {
    struct arena *arena; /* what is found is copied here */
    struct fault *fault;
    int64_t now_ms;          /* wall clock */
    int64_t low_stock;       /* stock at this level or below is low; 0: none is */
    struct text traceparent; /* of the cause, for its events; may be empty */
    /* Of acts that change the catalogue (insert, edit, retire): */
    struct text request_id;  /* ID_SIZE bytes, the same on every retry */
    struct text fingerprint; /* of the request's body */
    bool keyed;              /* the client asked for the first answer again: refusals are kept too */
    bool repeated;           /* out, on success and on a kept refusal: the answer is an earlier one's */
};

struct product_view {
    const struct product_query *query;
    bool inactive_too; /* an administrator asks */
};

struct product_removal {
    struct text id;
    bool conditional; /* there was a header If-Match */
    struct text if_match;
};

/* One of several reserves that are done together. */
struct reserve_item {
    struct product_act *act;
    const struct product_reserve *in;
    struct product_reserved *out;
    enum err status; /* out; with act's fault */
};

struct product_store;

/* One of several products that are read together. */
struct get_item {
    struct product_act *act;
    struct text id;
    bool inactive_too;
    struct product *out;
    enum err status; /* out */
};

struct product_store_ops {
    /* Adds a product. SKU_TAKEN (the refusal of a keyed request is kept with the running unit of work);
     * IDEMPOTENCY_KEY_REUSED if the request id had another body. A repeat gets the first answer. */
    enum err (*insert)(struct product_store *self, struct product_act *act, const struct product *product,
                       struct product *out);
    /* product_apply on what is stored. NOT_FOUND (retired ones too), SKU_TAKEN, and what product_apply refuses.
     * A repeat gets the product as it is now. */
    enum err (*edit)(struct product_store *self, struct product_act *act, const struct product_change *change,
                     struct product *out);
    /* Takes a product out of the catalogue for good; its holds and its place in old orders stay, its SKU is free.
     * NOT_FOUND, PRECONDITION_FAILED. */
    enum err (*retire)(struct product_store *self, struct product_act *act, const struct product_removal *removal);
    /* NOT_FOUND if unknown, retired, or inactive and not inactive_too. */
    enum err (*get)(struct product_store *self, struct product_act *act, struct text id, bool inactive_too,
                    struct product *out);
    /* The same for many, in one look. NULL: there is nothing to be gained. */
    void (*get_all)(struct product_store *self, struct get_item *items, size_t count);
    /* A page. A row whose sort value stays the same is on exactly one page. BAD_CURSOR. */
    enum err (*page)(struct product_store *self, struct product_act *act, const struct product_view *view,
                     struct product_list *out);
    /* Takes all lines from stock and holds them for the order, or none, as reserve_judge says. The lines of in are of
     * different products. A repeat takes nothing. On a store that changes one document at a time, a refusal may come
     * when a rival took a piece after some lines were taken: those are held until the order, which is void then, is
     * released. */
    enum err (*reserve)(struct product_store *self, struct product_act *act, const struct product_reserve *in,
                        struct product_reserved *out);
    /* The same for many, with what they have in common done once. NULL: there is nothing to be gained. */
    void (*reserve_all)(struct product_store *self, struct reserve_item *items, size_t count);
    /* hold_settle on every hold of each order. Orders without holds are no error. */
    enum err (*settle)(struct product_store *self, struct product_act *act, const struct product_settle *in);
    /* Up to SETTLE_MAX orders with holds that have been HELD since before_ms or longer, oldest first. */
    enum err (*stale_holds)(struct product_store *self, struct product_act *act, int64_t before_ms,
                            struct text_list *out_order_ids);
    /* Drops answers and ended holds that are older than before_ms, at most PRODUCT_PURGE_MAX of each. */
    enum err (*purge)(struct product_store *self, struct product_act *act, int64_t before_ms, int64_t *out_count);
    /* One STOCK_CHANGED with the stock as it is now for each product whose stock has changed since the last, at most
     * PRODUCT_TELL_MAX of them. */
    enum err (*tell_stock)(struct product_store *self, struct product_act *act, bool *out_more);
    void (*destroy)(struct product_store *self);
};

struct product_store { /* first member of every implementation */
    const struct product_store_ops *ops;
    const struct unit_of_work *unit;
    void *handle;                 /* unit's first argument */
    struct outbox_source *outbox; /* where the events wait */
};

struct mongo_pool;

/* How a handle is opened. */
struct product_access {
    bool writer;               /* on SQLite one handle writes; readers open after it. On MongoDB all do */
    struct mongo_pool *shared; /* of the program's loops, borrowed; NULL: the handle has its own, or needs none */
    struct metrics *metrics;   /* may be NULL */
};
/* Opens the store that config->store names: sqlite:DIR or mongodb://... Other schemes are refused with one clear fault.
 */
MUST_USE enum err product_store_open(const struct store_config *config, const struct product_access *access,
                                     struct fault *fault, struct product_store **out);
void product_store_destroy(struct product_store **self);

#endif
