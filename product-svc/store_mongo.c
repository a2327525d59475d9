/* The MongoDB store: its collections, and opening it. The verbs are in store_mongo_*.c. */
#include "product-svc/store_mongo.h"

#include <time.h>

#include "lib/base/clock.h"
#include "lib/base/invariant.h"
#include "lib/base/mem.h"

const char product_collection[] = "products";
const char hold_collection[] = "holds";
const char taken_field[] = "taken", released_field[] = "released";
const char answer_collection[] = "answers";

/* Sparse indexes hold only what they are asked for: a field is there while it applies. `live` is there until a product
 * is retired, so that the lists walk over what can be listed. */
static const struct mongo_index indexes[] = {
    {product_collection, "sku", {"sku_live"}, .unique = true, .sparse = true},
    {product_collection, "newest", {"live", "product.created_at", "_id"}, .sparse = false},
    {product_collection, "price", {"live", "price_decimal", "_id"}, .sparse = false},
    {product_collection, "name", {"live", "name_key", "_id"}, .sparse = false},
    {product_collection, "categories", {"product.categories", "live", "product.created_at", "_id"}, .sparse = false},
    {product_collection, "words", {"words"}, .sparse = false},
    {product_collection, "pending", {"pending.order"}, .sparse = true},
    {product_collection, "pending_since", {"pending_since"}, .sparse = true},
    {product_collection, "news", {"news"}, .sparse = true},
    {product_collection, "answered", {"answered_at"}, .sparse = true},
    OUTBOX_MONGO_INDEX(product_collection),
    {hold_collection, "order", {"order"}, .sparse = false},
    {hold_collection, "open", {"open_at"}, .sparse = true},
    {hold_collection, "ended", {"ended_at"}, .sparse = true},
    {answer_collection, "age", {"at"}, .sparse = false},
};
static const char *const with_outbox[] = {product_collection, NULL};

const struct mongo_schema product_mongo_schema = {"product", 1, indexes, ARRAY_COUNT(indexes)};

/* ---- parts ---- */

void product_put_seen(bson_t *filter, struct text id, int64_t ver)
{
    bson_put_text(filter, "_id", id);
    bson_put_int(filter, "ver", ver);
}

enum err product_fault_share(struct product_act *act, const struct fault *why)
{
    fault_init(act->fault, act->arena);
    (void)fault_set(act->fault, why->code, NULL);
    act->fault->retry_after_s = why->retry_after_s;
    fault_cause(act->fault, "%s", why->cause);
    return why->code;
}

enum err product_unreadable(struct fault *fault, const char *what)
{
    fault_cause(fault, "a product's document has an unreadable %s", what);
    return fault_set(fault, ERR_INTERNAL, NULL);
}

void product_put_stock(bson_t *set, int64_t stock, int64_t change_count)
{
    bson_put_int(set, "stock", stock);
    bson_put_int(set, "changes", change_count);
    bson_put_bool(set, "news", true);
}

/* The stock of the record inside is not kept up to date. */
enum err product_read(const bson_t *document, struct arena *arena, struct fault *fault, struct product *out)
{
    int64_t stock;
    struct product product;
    enum err e = bson_read_record_at(document, "product", &product_record, arena, fault, &product);
    if (e != ERR_NONE) {
        return e;
    }
    if (!bson_get_int(document, "stock", &stock)) {
        return product_unreadable(fault, "stock");
    }
    product.stock = stock < STOCK_MAX ? stock : STOCK_MAX;
    *out = product;
    return ERR_NONE;
}

void product_put_shown(bson_t *projection)
{
    static const char *const paths[] = {"product.sku",    "product.name",    "product.price", "product.currency",
                                        "product.active", "product.version", "stock",         "changes",
                                        "live"};
    for (size_t i = 0; i < ARRAY_COUNT(paths); i++) {
        bson_put_int(projection, paths[i], 1);
    }
}

enum err product_read_shown(const bson_t *document, struct arena *arena, struct fault *fault, struct product *out)
{
    int64_t stock;
    struct product product = {0};
    if (!bson_get_text(document, "_id", arena, &product.id) ||
        !bson_get_text(document, "product.sku", arena, &product.sku) ||
        !bson_get_text(document, "product.name", arena, &product.name) ||
        !bson_get_int(document, "product.price", &product.price) ||
        !bson_get_text(document, "product.currency", arena, &product.currency) ||
        !bson_get_bool(document, "product.active", &product.active) ||
        !bson_get_int(document, "product.version", &product.version) || !bson_get_int(document, "stock", &stock)) {
        return product_unreadable(fault, "product");
    }
    product.stock = stock < STOCK_MAX ? stock : STOCK_MAX;
    *out = product;
    return ERR_NONE;
}

enum err product_try_again(struct product_store *self, struct fault *fault, int *tries)
{
    enum { WAIT_FIRST_US = 500, WAIT_MAX_US = 20000, RETRY_AFTER_S = 1 };
    struct product_mongo *mongo = (struct product_mongo *)self;
    if (++*tries >= PRODUCT_TRIES_MAX) {
        fault_cause(fault, "others changed the product %d times meanwhile", *tries);
        (void)fault_set(fault, ERR_SERVICE_UNAVAILABLE, NULL);
        fault->retry_after_s = RETRY_AFTER_S;
        return ERR_SERVICE_UNAVAILABLE;
    }
    mongo->random = mongo->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    uint64_t bound_us = *tries < 5 ? (uint64_t)WAIT_FIRST_US << *tries : WAIT_MAX_US;
    uint64_t wait_us = (mongo->random >> 33) % (bound_us < WAIT_MAX_US ? bound_us : WAIT_MAX_US);
    struct timespec wait = {.tv_nsec = (long)wait_us * 1000};
    (void)nanosleep(&wait, NULL); /* shorter is fine */
    return ERR_NONE;
}

/* ---- opening ---- */

static void mongo_destroy(struct product_store *store)
{
    struct product_mongo *self = (struct product_mongo *)store;
    outbox_source_destroy(&self->store.outbox);
    mongo_db_destroy(&self->db);
    mongo_pool_destroy(&self->own);
    mem_free(self);
}

static const struct product_store_ops mongo_ops = {
    .insert = product_mongo_insert,
    .edit = product_mongo_edit,
    .retire = product_mongo_retire,
    .get = product_mongo_get,
    .get_all = product_mongo_get_all,
    .page = product_mongo_page,
    .reserve = product_mongo_reserve,
    .reserve_all = product_mongo_reserve_all,
    .settle = product_mongo_settle,
    .stale_holds = product_mongo_stale_holds,
    .purge = product_mongo_purge,
    .tell_stock = product_mongo_tell_stock,
    .destroy = mongo_destroy,
};

enum err product_mongo_open(const struct store_config *config, struct mongo_pool *shared, struct metrics *metrics,
                            struct fault *fault, struct product_store **out)
{
    struct mongo_pool *own = NULL;
    if (!shared) {
        enum err e = mongo_pool_open(config, &product_mongo_schema, metrics, fault, &own);
        if (e != ERR_NONE) {
            return e;
        }
    }
    struct product_mongo *self = mem_alloc(sizeof *self);
    self->own = own;
    self->db = mongo_db_new(shared ? shared : own);
    self->random = (uint64_t)clock_now_us() ^ (uint64_t)(uintptr_t)self;
    self->store = (struct product_store){&mongo_ops, NULL, NULL, outbox_mongo_new(self->db, with_outbox)};
    *out = &self->store;
    return ERR_NONE;
}
