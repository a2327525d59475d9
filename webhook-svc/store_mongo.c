/* Webhooks in MongoDB:
 *
 *     webhooks    {_id, webhook: {...}}
 *     deliveries  {_id, due_at, delivery: {...}}     due_at only while it is pending, so its index stays small
 *     webhook_answers {_id, answer: {...}}
 *     log_readers {_id: "webhook", position}
 *
 * Each verb is one act on one document, or can be repeated. Deliveries are named after event and webhook, so that a
 * page of the log that is taken twice makes none twice; the position is stored after what follows from the page. */
#include "lib/base/invariant.h"
#include "lib/base/mem.h"
#include "lib/store/due_mongo.h"
#include "webhook-svc/store.h"

static const char webhooks[] = "webhooks";
static const char deliveries[] = "deliveries";
static const char answers[] = "webhook_answers";
static const char reader[] = "webhook";
static const struct due_kind delivery_kind = {deliveries, "delivery", &delivery_kept_record};

static const struct mongo_index indexes[] = {
    {deliveries, "due", {"delivery.webhook_id", "due_at", "delivery.seq"}, false, false},
    {deliveries, "newest", {"delivery.webhook_id", "-delivery.created_at", "-_id"}, false, false},
    {deliveries, "age", {"delivery.created_at"}, false, false},
    {answers, "age", {"answer.at"}, false, false},
};
const struct mongo_schema webhook_mongo_schema = {"webhook", 1, indexes, ARRAY_COUNT(indexes)};

struct mongo_webhook_store {
    struct webhook_store base; /* first: the two are cast into each other */
    struct mongo_db *db;       /* owned */
};

static struct mongo_db *db_of(struct webhook_store *self)
{
    return ((struct mongo_webhook_store *)self)->db;
}

static enum err store_position(struct webhook_store *self, struct fault *fault, int64_t *out)
{
    return log_reader_position(db_of(self), reader, fault, out, NULL);
}

static enum err store_position_set(struct webhook_store *self, int64_t position, struct fault *fault)
{
    return log_reader_position_set(db_of(self), reader, position, fault);
}

/* ---- webhooks ---- */

static enum err store_webhooks(struct webhook_store *self, struct arena *arena, struct fault *fault,
                               struct webhook_rows *out)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t sort = BSON_INITIALIZER;
    struct webhook_rows rows = {.items = arena_alloc(arena, WEBHOOK_ROWS_MAX * sizeof *rows.items)};
    bson_put_int(&sort, "webhook.created_at", -1);
    bson_put_int(&sort, "_id", -1);
    const struct mongo_query query = {
        .collection = webhooks, .filter = &filter, .sort = &sort, .limit = WEBHOOK_ROWS_MAX};
    enum err e = mongo_find_records(db_of(self), &query, "webhook", &webhook_kept_record, arena, fault, rows.items,
                                    &rows.count);
    if (e == ERR_NONE) {
        *out = rows;
    }
    return e;
}

static enum err store_webhook(struct webhook_store *self, struct text id, struct arena *arena, struct fault *fault,
                              struct webhook_kept *out)
{
    return mongo_find_record(db_of(self), webhooks, id, "webhook", &webhook_kept_record, arena, fault, out);
}

static enum err webhook_insert(struct webhook_store *self, const struct webhook_kept *webhook, struct fault *fault)
{
    AUTO(bson_destroy) bson_t document = BSON_INITIALIZER;
    bson_put_text(&document, "_id", webhook->id);
    bson_put_record(&document, "webhook", &webhook_kept_record, webhook);
    return mongo_insert(db_of(self), webhooks, &document, fault);
}

static enum err store_webhook_put(struct webhook_store *self, const struct webhook_kept *webhook, struct fault *fault)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t update = BSON_INITIALIZER;
    bson_t set;
    bool found = false;
    if (webhook->version == 1) {
        return webhook_insert(self, webhook, fault);
    }
    bson_put_text(&filter, "_id", webhook->id);
    bson_put_int(&filter, "webhook.version", webhook->version - 1);
    ASSERT(BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &set));
    bson_put_record(&set, "webhook", &webhook_kept_record, webhook);
    ASSERT(bson_append_document_end(&update, &set));
    enum err e = mongo_update(db_of(self), webhooks, &filter, &update, fault, &found);
    return e == ERR_NONE && !found ? ERR_CONFLICT : e;
}

static enum err store_webhook_remove(struct webhook_store *self, struct text id, struct fault *fault)
{
    AUTO(bson_destroy) bson_t of_webhook = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t itself = BSON_INITIALIZER;
    int64_t count = 0;
    bson_put_text(&of_webhook, "delivery.webhook_id", id);
    bson_put_text(&itself, "_id", id);
    enum err e = mongo_delete_all(db_of(self), deliveries, &of_webhook, fault, &count);
    e = e == ERR_NONE ? mongo_delete_all(db_of(self), webhooks, &itself, fault, &count) : e;
    return e == ERR_NONE && count == 0 ? ERR_NOT_FOUND : e;
}

/* ---- deliveries ---- */

static enum err store_delivery_add(struct webhook_store *self, const struct delivery_kept *delivery,
                                   struct fault *fault, bool *out_new)
{
    return due_add(db_of(self), &delivery_kind, delivery, fault, out_new);
}

static enum err store_deliveries_pending(struct webhook_store *self, struct text webhook_id, uint32_t max,
                                         struct fault *fault, uint32_t *out)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t projection = BSON_INITIALIZER;
    struct mongo_rows rows;
    const bson_t *document;
    uint32_t count = 0;
    bson_put_text(&filter, "delivery.webhook_id", webhook_id);
    mongo_put_compare(&filter, "due_at", "$gte", 0);
    bson_put_int(&projection, "_id", 1);
    const struct mongo_query query = {
        .collection = deliveries, .filter = &filter, .projection = &projection, .limit = max};
    mongo_find(db_of(self), &query, &rows);
    while (mongo_next(&rows, &document)) {
        count++;
    }
    enum err e = mongo_rows_end(&rows, fault);
    if (e == ERR_NONE) {
        *out = count;
    }
    return e;
}

static enum err store_deliveries_claim(struct webhook_store *self, const struct delivery_claim *claim,
                                       struct arena *arena, struct fault *fault, struct delivery_rows *out)
{
    AUTO(bson_destroy) bson_t of = BSON_INITIALIZER;
    struct delivery_rows rows = {.items = arena_alloc(arena, claim->limit * sizeof *rows.items)};
    bson_put_text(&of, "delivery.webhook_id", claim->webhook_id);
    const struct due_claim due = {.of = &of,
                                  .then_by = "delivery.seq",
                                  .now_ms = claim->now_ms,
                                  .until_ms = claim->until_ms,
                                  .limit = claim->limit};
    enum err e = due_claim(db_of(self), &delivery_kind, &due, arena, fault, rows.items, &rows.count);
    if (e == ERR_NONE) {
        *out = rows;
    }
    return e;
}

static enum err store_delivery(struct webhook_store *self, struct text id, struct arena *arena, struct fault *fault,
                               struct delivery_kept *out)
{
    return mongo_find_record(db_of(self), deliveries, id, "delivery", &delivery_kept_record, arena, fault, out);
}

static enum err store_delivery_put(struct webhook_store *self, const struct delivery_kept *delivery,
                                   struct fault *fault)
{
    return due_put(db_of(self), &delivery_kind, delivery, fault);
}

/* (created_at, _id) < (before_at, before_id), with a range that an index can walk around it. */
static void put_before(bson_t *to, const struct delivery_page_query *query)
{
    bson_t list, one, part;
    if (query->before_id.size == 0) {
        return;
    }
    mongo_put_compare(to, "delivery.created_at", "$lte", query->before_at);
    ASSERT(BSON_APPEND_ARRAY_BEGIN(to, "$or", &list));
    ASSERT(BSON_APPEND_DOCUMENT_BEGIN(&list, "0", &one));
    mongo_put_compare(&one, "delivery.created_at", "$lt", query->before_at);
    ASSERT(bson_append_document_end(&list, &one));
    ASSERT(BSON_APPEND_DOCUMENT_BEGIN(&list, "1", &one));
    ASSERT(BSON_APPEND_DOCUMENT_BEGIN(&one, "_id", &part));
    bson_put_text(&part, "$lt", query->before_id);
    ASSERT(bson_append_document_end(&one, &part));
    ASSERT(bson_append_document_end(&list, &one));
    ASSERT(bson_append_array_end(to, &list));
}

static enum err store_deliveries(struct webhook_store *self, const struct delivery_page_query *query,
                                 struct arena *arena, struct fault *fault, struct delivery_rows *out)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t sort = BSON_INITIALIZER;
    struct delivery_rows rows = {.items = arena_alloc(arena, query->limit * sizeof *rows.items)};
    bson_put_text(&filter, "delivery.webhook_id", query->webhook_id);
    if (query->state >= 0) {
        bson_put_text(&filter, "delivery.state", text_of(enum_name(&delivery_state_names, query->state)));
    }
    put_before(&filter, query);
    bson_put_int(&sort, "delivery.created_at", -1);
    bson_put_int(&sort, "_id", -1);
    const struct mongo_query of_page = {
        .collection = deliveries, .filter = &filter, .sort = &sort, .limit = query->limit};
    enum err e = mongo_find_records(db_of(self), &of_page, "delivery", &delivery_kept_record, arena, fault, rows.items,
                                    &rows.count);
    for (uint32_t i = 0; e == ERR_NONE && i < rows.count; i++) {
        rows.items[i].body = (struct text){0};
    }
    if (e == ERR_NONE) {
        *out = rows;
    }
    return e;
}

/* What is older than that by the time at this path. */
struct old {
    const char *collection, *path;
    int64_t before_ms;
    uint32_t limit;
};

static enum err old_purge(struct webhook_store *self, const struct old *old, struct fault *fault, uint32_t *out_count)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t sort = BSON_INITIALIZER;
    mongo_put_compare(&filter, old->path, "$lt", old->before_ms);
    bson_put_int(&sort, old->path, 1);
    const struct mongo_query query = {
        .collection = old->collection, .filter = &filter, .sort = &sort, .limit = old->limit};
    return mongo_delete_found(db_of(self), &query, fault, out_count);
}

static enum err store_deliveries_purge(struct webhook_store *self, int64_t before_ms, uint32_t limit,
                                       struct fault *fault, uint32_t *out_count)
{
    const struct old old = {deliveries, "delivery.created_at", before_ms, limit};
    return old_purge(self, &old, fault, out_count);
}

/* ---- answers ---- */

static enum err store_answer(struct webhook_store *self, struct text id, struct arena *arena, struct fault *fault,
                             struct answer_kept *out)
{
    return mongo_find_record(db_of(self), answers, id, "answer", &answer_kept_record, arena, fault, out);
}

static enum err store_answer_add(struct webhook_store *self, const struct answer_kept *answer, struct fault *fault)
{
    AUTO(bson_destroy) bson_t document = BSON_INITIALIZER;
    bson_put_text(&document, "_id", answer->id);
    bson_put_record(&document, "answer", &answer_kept_record, answer);
    return mongo_insert(db_of(self), answers, &document, fault);
}

static enum err store_answers_purge(struct webhook_store *self, int64_t before_ms, uint32_t limit, struct fault *fault,
                                    uint32_t *out_count)
{
    const struct old old = {answers, "answer.at", before_ms, limit};
    return old_purge(self, &old, fault, out_count);
}

/* ---- the store ---- */

static void store_destroy(struct webhook_store *self)
{
    struct mongo_webhook_store *store = (struct mongo_webhook_store *)self;
    mongo_db_destroy(&store->db);
    mem_free(store);
}

static const struct webhook_store_ops store_ops = {
    .position = store_position,
    .position_set = store_position_set,
    .webhooks = store_webhooks,
    .webhook = store_webhook,
    .webhook_put = store_webhook_put,
    .webhook_remove = store_webhook_remove,
    .delivery_add = store_delivery_add,
    .deliveries_pending = store_deliveries_pending,
    .deliveries_claim = store_deliveries_claim,
    .delivery = store_delivery,
    .delivery_put = store_delivery_put,
    .deliveries = store_deliveries,
    .deliveries_purge = store_deliveries_purge,
    .answer = store_answer,
    .answer_add = store_answer_add,
    .answers_purge = store_answers_purge,
    .destroy = store_destroy,
};

struct webhook_store *webhook_store_mongo_new(struct mongo_pool *pool)
{
    struct mongo_webhook_store *store = mem_alloc(sizeof *store);
    *store = (struct mongo_webhook_store){{&store_ops, NULL, NULL}, mongo_db_new(pool)};
    return &store->base;
}
