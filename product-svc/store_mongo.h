/* The parts of the MongoDB store, for one another and for product_store_open.
 *
 * Three collections. `products`: one document a product, which changes by compare-and-set on `ver` alone wherever
 * something is decided by what it says. `holds`: one a (order, product). `answers`: the edits that have been done, by
 * request. What an edit or a reserve does is in the product's document first, as an entry in `edits` or `pending`; the
 * other document is written after it, and the entry goes with a later change of the product that has seen the other
 * document. tests/model/order_saga.py tries every interleaving of it. */
#ifndef ZMART_PRODUCT_STORE_MONGO_H
#define ZMART_PRODUCT_STORE_MONGO_H

#include "lib/store/outbox_mongo.h"
#include "product-svc/store.h"

extern const struct mongo_schema product_mongo_schema;

/* shared: the program's pool, borrowed; NULL: the handle opens one of its own. */
MUST_USE enum err product_mongo_open(const struct store_config *config, struct mongo_pool *shared,
                                     struct metrics *metrics, struct fault *fault, struct product_store **out);

enum {
    PRODUCT_TRIES_MAX = 200, /* compare-and-sets of one act that others may spoil */
    HOLD_ID_SIZE = 96        /* "<order>/<product>", both at most 40 */
};

struct product_mongo {
    struct product_store store;
    struct mongo_pool *own; /* NULL: it is shared */
    struct mongo_db *db;
    uint64_t random; /* for waits between tries */
};

extern const char product_collection[], hold_collection[], answer_collection[];

static inline struct mongo_db *product_db(struct product_store *self)
{
    return ((struct product_mongo *)self)->db;
}

/* {_id, ver} into a filter. */
void product_put_seen(bson_t *filter, struct text id, int64_t ver);
/* Waits a moment, longer after more tries; SERVICE_UNAVAILABLE when there were too many. */
MUST_USE enum err product_try_again(struct product_store *self, struct fault *fault, int *tries);
/* What failed for several acts at once, told in each one's fault. -> its code */
enum err product_fault_share(struct product_act *act, const struct fault *why);
MUST_USE enum err product_unreadable(struct fault *fault, const char *what);
/* Reads the document's product, its stock as it can be told. */
MUST_USE enum err product_read(const bson_t *document, struct arena *arena, struct fault *fault, struct product *out);
/* What an event shows of a document that was read with product_put_shown. */
MUST_USE enum err product_read_shown(const bson_t *document, struct arena *arena, struct fault *fault,
                                     struct product *out);
void product_put_shown(bson_t *projection);
/* The record, and all that follows from a product that can be found (store_mongo_products.c). */
void product_put_all(bson_t *to, const struct product *product, struct arena *arena);
/* A changed stock, into a $set: marks the product as having news. change_count counts this change too. */
void product_put_stock(bson_t *set, int64_t stock, int64_t change_count);

/* store_mongo_products.c */
MUST_USE enum err product_mongo_insert(struct product_store *self, struct product_act *act,
                                       const struct product *product, struct product *out);
MUST_USE enum err product_mongo_edit(struct product_store *self, struct product_act *act,
                                     const struct product_change *change, struct product *out);
MUST_USE enum err product_mongo_get(struct product_store *self, struct product_act *act, struct text id,
                                    bool inactive_too, struct product *out);

void product_mongo_get_all(struct product_store *self, struct get_item *items, size_t count);

/* store_mongo_retire.c */
MUST_USE enum err product_mongo_retire(struct product_store *self, struct product_act *act,
                                       const struct product_removal *removal);

/* store_mongo_page.c */
MUST_USE enum err product_mongo_page(struct product_store *self, struct product_act *act,
                                     const struct product_view *view, struct product_list *out);

/* store_mongo_pending.c: products with their pending entries, and holds. */

enum pending_kind { PENDING_HOLD, PENDING_UNDO };

struct pending {
    struct text order_id;
    enum pending_kind kind;
    int64_t quantity;
    struct text fingerprint;
    int64_t at; /* when it was made */
    /* The product's ver that its pieces were taken with, and (UNDO) given back with; 0: a program took them that did
     * not say so yet. Hold documents say the same, so that a backup can tell what a product of an older ver stood for.
     */
    int64_t taken_ver, released_ver;
};

/* A product as it was read, and what this act makes of it. */
struct goods {
    struct text id;
    bool known, live;
    struct product shown; /* what lines and events need */
    int64_t ver, change_count;
    int64_t stock_before, stock; /* as read; as it is to become */
    struct pending *pending;
    uint32_t pending_count, pending_room;
    bool changed;
};

struct goods_list {
    struct goods *items; /* by id */
    uint32_t count;
};

struct hold_seen {
    struct text id; /* of the document */
    struct text order_id, product_id, fingerprint;
    int64_t quantity, created_at, taken_ver;
    enum hold_state state;
};

struct hold_list {
    struct hold_seen *items; /* by id */
    uint32_t count;
};

/* Everything that one act looks at: first the products, then the holds, so that what a product's entry is dropped for
 * has been seen. */
struct shelf {
    struct product_store *self;
    struct product_act *act; /* arena, fault, time of it all */
    struct goods_list goods;
    struct hold_list holds;
};

struct text hold_id(struct text order_id, struct text product_id, struct arena *arena);
/* Reads these products (sorts ids, drops doubles), then these holds and those of all pending entries. */
MUST_USE enum err shelf_read(struct shelf *shelf, struct text *product_ids, uint32_t product_count,
                             const struct text *hold_ids, uint32_t hold_count);
/* Products that the filter finds, into shelf->goods; limit 0: all. */
MUST_USE enum err shelf_find(struct shelf *shelf, const bson_t *filter, const bson_t *sort, uint32_t limit);
struct goods *shelf_goods(const struct shelf *shelf, struct text product_id); /* NULL if not asked for */
const struct hold_seen *shelf_hold(const struct shelf *shelf, struct text order_id, struct text product_id);
const struct pending *goods_pending(const struct goods *goods, struct text order_id, enum pending_kind kind);
/* Takes pieces (negative: gives them back) for an order, in memory. */
void shelf_take(struct shelf *shelf, struct goods *goods, const struct pending *entry);
/* One compare-and-set for each product that was changed. *out_all: every one of them was as it had been read. */
MUST_USE enum err shelf_write(struct shelf *shelf, bool *out_all);
/* The holds of these orders. */
MUST_USE enum err holds_of_orders(struct shelf *shelf, const struct text *order_ids, uint32_t count,
                                  struct hold_list *out);
/* The products with entries of these orders: their ids, and each entry of theirs. */
struct entry_seen {
    struct text product_id;
    struct pending entry;
};
struct entry_list {
    struct entry_seen *items;
    uint32_t count;
};
MUST_USE enum err entries_of_orders(struct shelf *shelf, const struct text *order_ids, uint32_t count,
                                    struct entry_list *out);
/* When a hold was taken, and when released, in vers of its product: in entries and in hold documents. 0: it is not
 * said. */
extern const char taken_field[], released_field[];
int64_t get_ver(const bson_t *document, const char *field);
void put_ver(bson_t *document, const char *field, int64_t ver);

/* store_mongo_mend.c */
/* Makes the hold document say what the entry says. Two at once may be a CONFLICT: then one of them has done it. */
void mirror_put(struct mongo_bulk *bulk, struct text product_id, const struct pending *entry, int64_t now_ms,
                struct arena *arena);
/* Writes the hold documents of all entries that are as old as that, and drops those entries. */
MUST_USE enum err pending_mend(struct product_store *self, struct product_act *act, int64_t until_ms);

/* store_mongo_holds.c */
MUST_USE enum err product_mongo_reserve(struct product_store *self, struct product_act *act,
                                        const struct product_reserve *in, struct product_reserved *out);
void product_mongo_reserve_all(struct product_store *self, struct reserve_item *items, size_t count);

/* store_mongo_settle.c */
MUST_USE enum err product_mongo_settle(struct product_store *self, struct product_act *act,
                                       const struct product_settle *in);
MUST_USE enum err product_mongo_stale_holds(struct product_store *self, struct product_act *act, int64_t before_ms,
                                            struct text_list *out_order_ids);

/* store_mongo_stock.c */
MUST_USE enum err product_mongo_tell_stock(struct product_store *self, struct product_act *act, bool *out_more);
MUST_USE enum err product_mongo_purge(struct product_store *self, struct product_act *act, int64_t before_ms,
                                      int64_t *out_count);

#endif
