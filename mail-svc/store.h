/* What mail-svc keeps: its position in the event log, and mails that are to be sent. A mail that has ended leaves
 * its event's id, so that it is not written again, and nothing of its content. Every verb is one atomic act within
 * the loop's unit of work; a store belongs to one loop's thread. NOT_FOUND is an answer of the verbs that name it
 * and leaves the fault alone; anything else is the store's own trouble and has set it. */
#ifndef ZMART_MAIL_STORE_H
#define ZMART_MAIL_STORE_H

#include "lib/bus/service.h"
#include "lib/store/mongo.h"
#include "lib/store/sqlite.h"
#include "proto/event.h"

#define MAIL_FIELDS(F, R)                                                                             \
    F(R, TEXT, id,       REQ, 1, 40, none, "the event")                                              \
    F(R, TEXT, type,     REQ, 1, 60, none, "order.placed, ...")                                      \
    F(R, TEXT, user_id,  REQ, 1, 40, none, "whom it is for")                                         \
    F(R, TIME, event_at, REQ, 0, INT64_MAX, none, "when it happened")                                \
    F(R, INT,  tries,    REQ, 0, INT64_MAX, none, "attempts so far")                                 \
    F(R, TIME, next_at,  OPT, 0, INT64_MAX, none, "when the next one is due; absent: it has ended")  \
    F(R, RAW,  data,     OPT, 0, EVENT_PAYLOAD_MAX, none, "the order; absent when it has ended")
RECORD_DECLARE(mail, MAIL_FIELDS);

struct mail_rows {
    struct mail *items;
    uint32_t count;
};

struct mail_claim {
    int64_t now_ms;   /* what is due */
    int64_t until_ms; /* becomes due again then, unless it has ended */
    uint32_t limit;
};

struct mail_store;

struct mail_store_ops {
    /* Where in the event log we are (0 at first), and when this store was made. */
    enum err (*position)(struct mail_store *self, struct fault *fault, int64_t *out, int64_t *out_since_ms);
    enum err (*position_set)(struct mail_store *self, int64_t position, struct fault *fault);
    /* Inserts, unless there is one of this id. */
    enum err (*add)(struct mail_store *self, const struct mail *mail, struct fault *fault);
    /* What is due, longest first; nobody else gets it before claim->until_ms. */
    enum err (*claim)(struct mail_store *self, const struct mail_claim *claim, struct arena *arena, struct fault *fault,
                      struct mail_rows *out);
    /* NOT_FOUND. */
    enum err (*get)(struct mail_store *self, struct text id, struct arena *arena, struct fault *fault,
                    struct mail *out);
    /* Another attempt, or, without next_at, its end. NOT_FOUND. */
    enum err (*put)(struct mail_store *self, const struct mail *mail, struct fault *fault);
    /* Forgets what has ended and happened before, at most limit of it. */
    enum err (*purge)(struct mail_store *self, int64_t before_ms, uint32_t limit, struct fault *fault,
                      uint32_t *out_count);
    void (*destroy)(struct mail_store *self);
};

/* First member of every implementation. */
struct mail_store {
    const struct mail_store_ops *ops;
    const struct unit_of_work *unit;
    void *handle; /* unit's first argument */
};

void mail_store_destroy(struct mail_store **self);

/* "mail.db" in the folder of a sqlite: URL. now_ms is when it was made, if it was not before (writer only). metrics
 * may be NULL. */
MUST_USE enum err mail_store_sqlite_open(const struct store_config *config, bool writer, int64_t now_ms,
                                         struct metrics *metrics, struct fault *fault, struct mail_store **out);
extern const struct mongo_schema mail_mongo_schema;
/* A handle on a pool that was opened with this schema. */
MUST_USE enum err mail_store_mongo_new(struct mongo_pool *pool, int64_t now_ms, struct fault *fault,
                                       struct mail_store **out);

#endif
