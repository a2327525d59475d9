/* Writing the hold documents that products' entries stand for. */
#include "lib/base/invariant.h"
#include "product-svc/store_mongo.h"

enum { MEND_PAGE_MAX = 128, MEND_PAGES_MAX = 64 };

void mirror_put(struct mongo_bulk *bulk, struct text product_id, const struct pending *entry, int64_t now_ms,
                struct arena *arena)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t update = BSON_INITIALIZER;
    static const char *const open_names[] = {"open_at", NULL};
    bson_t set;
    bool undo = entry->kind == PENDING_UNDO;
    bson_put_text(&filter, "_id", hold_id(entry->order_id, product_id, arena));
    ASSERT(BSON_APPEND_DOCUMENT_BEGIN(&update, "$setOnInsert", &set));
    bson_put_text(&set, "order", entry->order_id);
    bson_put_text(&set, "product", product_id);
    bson_put_int(&set, "quantity", entry->quantity);
    bson_put_text(&set, "fingerprint", entry->fingerprint);
    bson_put_int(&set, "created_at", entry->at);
    put_ver(&set, taken_field, entry->taken_ver);
    if (!undo) {
        bson_put_int(&set, "state", HOLD_IS_HELD);
        bson_put_int(&set, "open_at", entry->at);
    }
    ASSERT(bson_append_document_end(&update, &set));
    if (undo) {
        ASSERT(BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &set));
        bson_put_int(&set, "state", HOLD_IS_RELEASED);
        bson_put_int(&set, "ended_at", now_ms);
        put_ver(&set, released_field, entry->released_ver);
        ASSERT(bson_append_document_end(&update, &set));
        mongo_put_unset(&update, open_names);
    }
    mongo_bulk_update(bulk, &filter, &update, true);
}

/* All entries of one product as it was read: their holds are written by now. */
static void mended_put(struct mongo_bulk *bulk, const struct goods *goods)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t update = BSON_INITIALIZER;
    static const char *const names[] = {"pending", "pending_since", NULL};
    bson_t set;
    product_put_seen(&filter, goods->id, goods->ver);
    ASSERT(BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &set));
    bson_put_int(&set, "ver", goods->ver + 1);
    ASSERT(bson_append_document_end(&update, &set));
    mongo_put_unset(&update, names);
    mongo_bulk_update(bulk, &filter, &update, false);
}

static enum err mend_page(struct shelf *shelf, int64_t until_ms)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t sort = BSON_INITIALIZER;
    mongo_put_compare(&filter, "pending_since", "$lte", until_ms);
    bson_put_int(&sort, "pending_since", 1);
    enum err e = shelf_find(shelf, &filter, &sort, MEND_PAGE_MAX);
    if (e != ERR_NONE || shelf->goods.count == 0) {
        return e;
    }
    struct mongo_bulk *holds = mongo_bulk_new(product_db(shelf->self), hold_collection, false);
    for (uint32_t i = 0; i < shelf->goods.count; i++) {
        const struct goods *goods = &shelf->goods.items[i];
        for (uint32_t j = 0; j < goods->pending_count; j++) {
            mirror_put(holds, goods->id, &goods->pending[j], shelf->act->now_ms, shelf->act->arena);
        }
    }
    e = mongo_bulk_run(&holds, shelf->act->fault, NULL);
    if (e != ERR_NONE) {
        return e;
    }
    struct mongo_bulk *products = mongo_bulk_new(product_db(shelf->self), product_collection, false);
    for (uint32_t i = 0; i < shelf->goods.count; i++) {
        mended_put(products, &shelf->goods.items[i]);
    }
    return mongo_bulk_run(&products, shelf->act->fault, NULL);
}

enum err pending_mend(struct product_store *self, struct product_act *act, int64_t until_ms)
{
    enum err e = ERR_NONE;
    struct shelf shelf = {.self = self, .act = act};
    shelf.goods.count = MEND_PAGE_MAX;
    for (int i = 0; e == ERR_NONE && shelf.goods.count == MEND_PAGE_MAX && i < MEND_PAGES_MAX; i++) {
        e = mend_page(&shelf, until_ms);
    }
    return e;
}
