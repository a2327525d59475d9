/* What webhook-svc keeps: its position in the event log, webhooks with their secrets, and deliveries.
 * Every verb is one atomic act within the loop's unit of work; a store belongs to one loop's thread. NOT_FOUND and
 * CONFLICT are answers of the verbs that name them and leave the fault alone; anything else is the store's own trouble
 * and has set it. Texts that come out lie in the arena; out is untouched on failure. */
#ifndef ZMART_WEBHOOK_STORE_H
#define ZMART_WEBHOOK_STORE_H

#include "lib/bus/service.h"
#include "lib/store/mongo.h"
#include "lib/store/sqlite.h"
#include "proto/webhook.h"

#define WEBHOOK_KEY_FIELDS(F, R)                                                                    \
    F(R, TEXT, secret,  REQ | SECRET, 1, 120, none, "whsec_ and base64")                           \
    F(R, TIME, until,   OPT, 0, INT64_MAX, none, "signs up to then; absent in the newest")         \
    F(R, TEXT, request, REQ, 1, 32, none, "the request that made it, in hex")
RECORD_DECLARE(webhook_key, WEBHOOK_KEY_FIELDS);

#define WEBHOOK_KEPT_FIELDS(F, R)                                                                   \
    WEBHOOK_FIELDS(F, R)                                                                            \
    F(R, INT,  waited,      REQ, 0, INT64_MAX, none, "deliveries that waited when it was last made active") \
    F(R, LIST, keys,        REQ, 1, 8, webhook_key, "newest first")                                \
    F(R, TEXT, fingerprint, REQ, 1, 40, none, "of the request that made it")
RECORD_DECLARE(webhook_kept, WEBHOOK_KEPT_FIELDS);

#define DELIVERY_KEPT_FIELDS(F, R)                                                                  \
    WEBHOOK_DELIVERY_FIELDS(F, R)                                                                   \
    F(R, INT,  seq,     REQ, 0, INT64_MAX, none, "the event's position in the log; 0 for a test")  \
    F(R, TEXT, body,    REQ, 1, 2 * 1024 * 1024, none, "what is posted, byte for byte")            \
    F(R, TEXT, request, OPT, 1, 32, none, "the request that asked for it last, in hex")
RECORD_DECLARE(delivery_kept, DELIVERY_KEPT_FIELDS);

enum {
    ANSWER_MAX_SIZE = 256 * 1024,
    ANSWER_KEEP_MS = 48 * 3600 * 1000 /* longer than the day that clients were promised */
};

#define ANSWER_KEPT_FIELDS(F, R)                                                                    \
    F(R, TEXT, id,          REQ, 1, 32, none, "the request, in hex")                               \
    F(R, TEXT, fingerprint, REQ, 1, 40, none, "of the request")                                    \
    F(R, TIME, at,          REQ, 0, INT64_MAX, none, "when it was answered")                       \
    F(R, RAW,  reply,       OPT, 1, ANSWER_MAX_SIZE, none, "what was answered first")              \
    F(R, RAW,  refusal,     OPT, 1, ANSWER_MAX_SIZE, none, "the problem that was answered instead")
RECORD_DECLARE(answer_kept, ANSWER_KEPT_FIELDS);

enum { WEBHOOK_ROWS_MAX = WEBHOOK_MAX + 1 }; /* one more than are kept, so that who is too many is seen */

struct webhook_rows {
    struct webhook_kept *items; /* newest first */
    uint32_t count;
};

struct delivery_rows {
    struct delivery_kept *items;
    uint32_t count;
};

struct delivery_page_query {
    struct text webhook_id;
    int state;             /* enum delivery_state; -1: any */
    int64_t before_at;     /* only what sorts after (before_at, before_id), newest first; */
    struct text before_id; /* INT64_MAX and "" for the first page */
    uint32_t limit;
};

struct delivery_claim {
    struct text webhook_id;
    int64_t now_ms;   /* what is due */
    int64_t until_ms; /* becomes due again then, unless it has ended */
    uint32_t limit;
};

struct webhook_store;

struct webhook_store_ops {
    /* Where in the event log we are; 0 at first. */
    enum err (*position)(struct webhook_store *self, struct fault *fault, int64_t *out);
    enum err (*position_set)(struct webhook_store *self, int64_t position, struct fault *fault);
    enum err (*webhooks)(struct webhook_store *self, struct arena *arena, struct fault *fault,
                         struct webhook_rows *out);
    /* NOT_FOUND. */
    enum err (*webhook)(struct webhook_store *self, struct text id, struct arena *arena, struct fault *fault,
                        struct webhook_kept *out);
    /* Version 1 is inserted, another takes the place of the version before. CONFLICT if that is not what is there. */
    enum err (*webhook_put)(struct webhook_store *self, const struct webhook_kept *webhook, struct fault *fault);
    /* With its deliveries. NOT_FOUND. */
    enum err (*webhook_remove)(struct webhook_store *self, struct text id, struct fault *fault);
    /* Inserts, unless there is one of this id: then *out_new is false. */
    enum err (*delivery_add)(struct webhook_store *self, const struct delivery_kept *delivery, struct fault *fault,
                             bool *out_new);
    /* How many are pending; counts no further than max. */
    enum err (*deliveries_pending)(struct webhook_store *self, struct text webhook_id, uint32_t max,
                                   struct fault *fault, uint32_t *out);
    /* What is pending and due, in the order in which it became so; nobody else gets it before claim->until_ms. */
    enum err (*deliveries_claim)(struct webhook_store *self, const struct delivery_claim *claim, struct arena *arena,
                                 struct fault *fault, struct delivery_rows *out);
    /* NOT_FOUND. */
    enum err (*delivery)(struct webhook_store *self, struct text id, struct arena *arena, struct fault *fault,
                         struct delivery_kept *out);
    /* Replaces what is under its id; the body stays. NOT_FOUND. */
    enum err (*delivery_put)(struct webhook_store *self, const struct delivery_kept *delivery, struct fault *fault);
    /* Bodies are left out (empty). */
    enum err (*deliveries)(struct webhook_store *self, const struct delivery_page_query *query, struct arena *arena,
                           struct fault *fault, struct delivery_rows *out);
    /* Deletes what was made before, at most limit of them: also what waits for a webhook that is not active. */
    enum err (*deliveries_purge)(struct webhook_store *self, int64_t before_ms, uint32_t limit, struct fault *fault,
                                 uint32_t *out_count);
    /* NOT_FOUND. */
    enum err (*answer)(struct webhook_store *self, struct text id, struct arena *arena, struct fault *fault,
                       struct answer_kept *out);
    /* CONFLICT if there is one of this id. */
    enum err (*answer_add)(struct webhook_store *self, const struct answer_kept *answer, struct fault *fault);
    /* Deletes what was answered before, at most limit of it. */
    enum err (*answers_purge)(struct webhook_store *self, int64_t before_ms, uint32_t limit, struct fault *fault,
                              uint32_t *out_count);
    void (*destroy)(struct webhook_store *self);
};

/* First member of every implementation. */
struct webhook_store {
    const struct webhook_store_ops *ops;
    const struct unit_of_work *unit;
    void *handle; /* unit's first argument */
};

void webhook_store_destroy(struct webhook_store **self);

/* "webhook.db" in the folder of a sqlite: URL. metrics may be NULL. */
MUST_USE enum err webhook_store_sqlite_open(const struct store_config *config, bool writer, struct metrics *metrics,
                                            struct fault *fault, struct webhook_store **out);
extern const struct mongo_schema webhook_mongo_schema;
/* A handle on a pool that was opened with this schema. */
struct webhook_store *webhook_store_mongo_new(struct mongo_pool *pool);

#endif
