/* Where orders are kept. One document (row) an order id, and it is the only arbiter of the saga: an id is placed, or
 * refused (a tombstone with the answer), or void (a tombstone without one), and whoever inserts first decides.
 *
 * Each verb is one atomic act, inside the running unit of work where there is one. There is no generic update. An event
 * (NULL: none) goes into the outbox with what caused it. Texts that come out lie in the arena. On failure the fault is
 * set and out is untouched. */
#ifndef ZMART_ORDER_STORE_H
#define ZMART_ORDER_STORE_H

#include "lib/store/outbox.h"
#include "proto/fault.h"
#include "proto/order.h"

enum order_kind { ORDER_ABSENT, ORDER_PLACED, ORDER_REFUSED, ORDER_VOID };

/* What product-svc has not yet been told about an order's holds. */
enum holds_due { HOLDS_NOTHING_DUE, HOLDS_CONFIRM_DUE, HOLDS_RELEASE_DUE, HOLDS_COMMIT_DUE };

struct order_entry {
    enum order_kind kind;
    enum holds_due due;
    struct text fingerprint; /* of the request; empty for ABSENT and VOID */
    struct text answer;      /* REFUSED: the packed problem */
    struct order order;      /* PLACED */
};

struct order_page_query {
    struct text user_id;   /* empty: everybody's */
    int status;            /* enum order_status; -1: any */
    int64_t created_gte;   /* wall ms */
    int64_t before_at;     /* only what sorts after (before_at, before_id), newest first, */
    struct text before_id; /* so (created_lt, "") for the first page */
    int limit;
};

struct order_row_list {
    struct order *items;
    uint32_t count;
};

struct due_list {
    struct hold_order *items; /* as product.settle takes them */
    uint32_t count;
};

struct order_store;

struct order_store_ops {
    enum err (*find)(struct order_store *self, struct text id, struct arena *arena, struct fault *fault,
                     struct order_entry *out);
    enum err (*place)(struct order_store *self, const struct order *order, struct text fingerprint,
                      const struct event_new *event, struct fault *fault, bool *out_taken);
    enum err (*refuse)(struct order_store *self, struct text id, const struct order_entry *tombstone, int64_t now_ms,
                       struct fault *fault, bool *out_taken);
    enum err (*change)(struct order_store *self, const struct order *order, enum holds_due due,
                       const struct event_new *event, struct fault *fault);
    enum err (*release)(struct order_store *self, struct text id, struct fault *fault);
    enum err (*page)(struct order_store *self, const struct order_page_query *query, struct arena *arena,
                     struct fault *fault, struct order_row_list *out);
    enum err (*due)(struct order_store *self, int limit, struct arena *arena, struct fault *fault,
                    struct due_list *out);
    enum err (*settled)(struct order_store *self, const struct due_list *list, struct fault *fault);
    enum err (*purge)(struct order_store *self, int64_t before_ms, int limit, struct fault *fault, int *out_count);
    void (*destroy)(struct order_store *self);
};

/* The first member of every implementation. */
struct order_store {
    const struct order_store_ops *ops;
    struct outbox_source *outbox; /* where the events of its verbs wait; owned */
};

/* What is under this id; kind ABSENT if nothing is. */
MUST_USE enum err order_store_find(struct order_store *self, struct text id, struct arena *arena, struct fault *fault,
                                   struct order_entry *out);
/* Inserts a new order, whose holds are to be confirmed, with its event. taken: the id has a document already, nothing
 * was done. */
MUST_USE enum err order_store_place(struct order_store *self, const struct order *order, struct text fingerprint,
                                    const struct event_new *event, struct fault *fault, bool *out_taken);
/* Inserts a tombstone, so that the id can never be placed. REFUSED (fingerprint and answer) or VOID; due is NOTHING or
 * RELEASE. taken as above. */
MUST_USE enum err order_store_refuse(struct order_store *self, struct text id, const struct order_entry *tombstone,
                                     int64_t now_ms, struct fault *fault, bool *out_taken);
/* Puts the order's next version in the place of the one before it, with its event; CONFLICT if that is not what is
 * there. due: what its holds are to become; NOTHING leaves that as it is. */
MUST_USE enum err order_store_change(struct order_store *self, const struct order *order, enum holds_due due,
                                     const struct event_new *event, struct fault *fault);
/* A tombstone's holds, if there are any, are to be released (again). Does nothing to a placed order. */
MUST_USE enum err order_store_release(struct order_store *self, struct text id, struct fault *fault);
/* Placed orders, newest first, ties broken by id. */
MUST_USE enum err order_store_page(struct order_store *self, const struct order_page_query *query, struct arena *arena,
                                   struct fault *fault, struct order_row_list *out);
/* Orders and tombstones about whose holds product-svc is to be told something, oldest first. */
MUST_USE enum err order_store_due(struct order_store *self, int limit, struct arena *arena, struct fault *fault,
                                  struct due_list *out);
/* It was told that: what is due is so no more, unless it has become another step meanwhile. */
MUST_USE enum err order_store_settled(struct order_store *self, const struct due_list *list, struct fault *fault);
/* Deletes tombstones made before a time, at most limit of them, none with something due. */
MUST_USE enum err order_store_purge(struct order_store *self, int64_t before_ms, int limit, struct fault *fault,
                                    int *out_count);
void order_store_destroy(struct order_store **self);

/* For implementations. */
extern const struct enum_names order_kind_names; /* of what is stored */
extern const struct enum_names holds_due_names;  /* as hold_step_names, so NOTHING has none */
enum hold_step holds_due_step(enum holds_due due);

struct sqlite_db;
struct sqlite_schema;
/* In "order.db", with the outbox. The handle is borrowed. */
extern const struct sqlite_schema order_sqlite_schema;
struct order_store *order_store_sqlite_new(struct sqlite_db *db);

struct mongo_db;
struct mongo_schema;
/* In the collection "orders". The handle is borrowed. */
extern const struct mongo_schema order_mongo_schema;
struct order_store *order_store_mongo_new(struct mongo_db *db);

#endif
