/* Taking a product out of the catalogue on MongoDB: what is listed and found of it goes, the document stays. */
#include "lib/base/id.h"
#include "lib/base/invariant.h"
#include "product-svc/news.h"
#include "product-svc/store_mongo.h"

static enum err retire_write(struct product_store *self, struct product_act *act, const struct product *product,
                             int64_t ver, bool *out_written)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t update = BSON_INITIALIZER;
    static const char *const names[] = {"live", "sku_live", "words", "news", NULL};
    char request_id[ID_HEX_SIZE];
    struct event_new event;
    bson_t set;
    id_to_hex((const uint8_t *)act->request_id.data, request_id);
    product_news_make(act, EVENT_PRODUCT_RETIRED, product, &event);
    product_put_seen(&filter, product->id, ver);
    ASSERT(BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &set));
    bson_put_int(&set, "ver", ver + 1);
    bson_put_int(&set, "retired_at", act->now_ms);
    bson_put_text(&set, "retired_by", text_of(request_id));
    bson_put_text(&set, "retired_fingerprint", act->fingerprint);
    ASSERT(bson_append_document_end(&update, &set));
    mongo_put_unset(&update, names);
    outbox_mongo_push(&update, &event);
    enum err e = mongo_update(product_db(self), product_collection, &filter, &update, act->fault, out_written);
    outbox_mongo_wrote(self->outbox, product_collection, product->id);
    return e;
}

/* It is retired already: by this request? */
static enum err retired_already(struct product_act *act, const bson_t *document)
{
    char request_id[ID_HEX_SIZE];
    struct text by, fingerprint;
    id_to_hex((const uint8_t *)act->request_id.data, request_id);
    if (!bson_get_text(document, "retired_by", NULL, &by) || !text_is(by, request_id)) {
        return fault_set(act->fault, ERR_NOT_FOUND, NULL);
    }
    if (!bson_get_text(document, "retired_fingerprint", NULL, &fingerprint) ||
        !text_equal(fingerprint, act->fingerprint)) {
        return fault_set(act->fault, ERR_IDEMPOTENCY_KEY_REUSED, NULL);
    }
    act->repeated = true;
    return ERR_NONE;
}

/* One try. *out_done: it is retired, by this act or an earlier one of the same request. */
static enum err retire_once(struct product_store *self, struct product_act *act, const struct product_removal *removal,
                            bool *out_done)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    bson_t document;
    struct product product;
    int64_t ver = 0;
    bool found = false, live = false;
    bson_put_text(&filter, "_id", removal->id);
    const struct mongo_query query = {.collection = product_collection, .filter = &filter};
    enum err e = mongo_find_one(product_db(self), &query, act->arena, act->fault, &document, &found);
    if (e != ERR_NONE) {
        return e;
    }
    if (!found) {
        return fault_set(act->fault, ERR_NOT_FOUND, NULL);
    }
    if (!bson_get_bool(&document, "live", &live) || !live) {
        *out_done = true;
        return retired_already(act, &document);
    }
    e = product_read(&document, act->arena, act->fault, &product);
    if (e == ERR_NONE && !bson_get_int(&document, "ver", &ver)) {
        e = product_unreadable(act->fault, "ver");
    }
    if (e == ERR_NONE && removal->conditional && !product_tag_matches(removal->if_match, &product, false)) {
        e = fault_set(act->fault, ERR_PRECONDITION_FAILED, NULL);
    }
    return e == ERR_NONE ? retire_write(self, act, &product, ver, out_done) : e;
}

enum err product_mongo_retire(struct product_store *self, struct product_act *act,
                              const struct product_removal *removal)
{
    int tries = 0;
    bool done = false;
    enum err e;
    do {
        e = retire_once(self, act, removal, &done);
    } while (e == ERR_NONE && !done && (e = product_try_again(self, act->fault, &tries)) == ERR_NONE);
    return e;
}
