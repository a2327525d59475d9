/* The parts of the SQLite store, for one another and for product_store_open. */
#ifndef ZMART_PRODUCT_STORE_SQLITE_H
#define ZMART_PRODUCT_STORE_SQLITE_H

#include "lib/store/outbox_sqlite.h"
#include "product-svc/store.h"

MUST_USE enum err product_sqlite_open(const struct store_config *config, bool writer, struct metrics *metrics,
                                      struct fault *fault, struct product_store **out);

struct product_sqlite {
    struct product_store store;
    struct sqlite_db *db; /* owned */
};

/* Prepared as sqlite_prepare does; NULL with the act's fault set. */
sqlite3_stmt *product_prepare(struct product_store *self, struct product_act *act, const char *sql);
/* Runs to the end. A broken constraint is INTERNAL: what may break one is looked at before. */
MUST_USE enum err product_run(struct product_store *self, struct product_act *act, sqlite3_stmt *statement);
/* One step of a query: *out_row says whether there is a row. Reset it after the last row that is read. */
MUST_USE enum err product_step(struct product_store *self, struct product_act *act, sqlite3_stmt *statement,
                               bool *out_row);

/* Stores an event with the running transaction. */
MUST_USE enum err product_event_add(struct product_store *self, struct product_act *act, const struct event_new *event);

/* store_sqlite_answers.c: what was answered, so that a repeat is known. */
enum product_answer { ANSWER_NONE, ANSWER_DONE, ANSWER_REFUSED };
/* IDEMPOTENCY_KEY_REUSED if the request id had another fingerprint. body: packed product or problem, or empty. */
MUST_USE enum err product_answer_find(struct product_store *self, struct product_act *act, enum product_answer *out,
                                      struct text *out_body);
MUST_USE enum err product_answer_keep(struct product_store *self, struct product_act *act, enum product_answer kind,
                                      struct text body);
MUST_USE enum err product_sqlite_purge(struct product_store *self, struct product_act *act, int64_t before_ms,
                                       int64_t *out_count);

/* store_sqlite_products.c */
MUST_USE enum err product_sqlite_insert(struct product_store *self, struct product_act *act,
                                        const struct product *product, struct product *out);
MUST_USE enum err product_sqlite_edit(struct product_store *self, struct product_act *act,
                                      const struct product_change *change, struct product *out);
MUST_USE enum err product_sqlite_retire(struct product_store *self, struct product_act *act,
                                        const struct product_removal *removal);
MUST_USE enum err product_sqlite_get(struct product_store *self, struct product_act *act, struct text id,
                                     bool inactive_too, struct product *out);

/* store_sqlite_stock.c */
/* Adds pieces, which may be negative, marks the product as having news, and stores what else is news. */
MUST_USE enum err product_sqlite_stock_add(struct product_store *self, struct product_act *act, struct text product_id,
                                           int64_t pieces);
MUST_USE enum err product_sqlite_tell_stock(struct product_store *self, struct product_act *act, bool *out_more);

/* store_sqlite_page.c */
/* Teaches the connection product_rank(name words, sku words, query words). */
MUST_USE enum err product_sqlite_rank(struct product_store *self, struct fault *fault);
MUST_USE enum err product_sqlite_page(struct product_store *self, struct product_act *act,
                                      const struct product_view *view, struct product_list *out);

/* store_sqlite_holds.c */
MUST_USE enum err product_sqlite_reserve(struct product_store *self, struct product_act *act,
                                         const struct product_reserve *in, struct product_reserved *out);
MUST_USE enum err product_sqlite_settle(struct product_store *self, struct product_act *act,
                                        const struct product_settle *in);
MUST_USE enum err product_sqlite_stale_holds(struct product_store *self, struct product_act *act, int64_t before_ms,
                                             struct text_list *out_order_ids);

#endif
