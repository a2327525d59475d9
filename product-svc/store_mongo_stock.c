/* Telling of changed stock, and dropping what is kept no longer, on MongoDB. */
#include "lib/base/invariant.h"
#include "product-svc/news.h"
#include "product-svc/store_mongo.h"

/* ---- telling ---- */

struct seen {
    struct product shown;
    int64_t change_count;
};

static enum err news_read(struct product_store *self, struct product_act *act, struct seen *seen, uint32_t *out_count)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t projection = BSON_INITIALIZER;
    struct mongo_rows rows;
    const bson_t *document;
    enum err bad = ERR_NONE;
    uint32_t count = 0;
    bson_put_bool(&filter, "news", true);
    product_put_shown(&projection);
    const struct mongo_query query = {
        .collection = product_collection, .filter = &filter, .projection = &projection, .limit = PRODUCT_TELL_MAX};
    mongo_find(product_db(self), &query, &rows);
    while (bad == ERR_NONE && count < PRODUCT_TELL_MAX && mongo_next(&rows, &document)) {
        bad = product_read_shown(document, act->arena, act->fault, &seen[count].shown);
        if (bad == ERR_NONE && !bson_get_int(document, "changes", &seen[count].change_count)) {
            bad = product_unreadable(act->fault, "changes");
        }
        count++;
    }
    enum err e = mongo_rows_end(&rows, bad == ERR_NONE ? act->fault : NULL);
    *out_count = count;
    return bad == ERR_NONE ? e : bad;
}

/* settled: only if nothing has changed since it was read, and then there is no news any more. Otherwise the event is
 * one that lies between, the mark stays, and it is never older than what was told already. */
static void tell_put(struct mongo_bulk *bulk, const struct product_act *act, const struct seen *seen, bool settled)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t update = BSON_INITIALIZER;
    static const char *const names[] = {"news", NULL};
    struct event_new event;
    bson_t set;
    bson_put_text(&filter, "_id", seen->shown.id);
    bson_put_bool(&filter, "live", true);
    mongo_put_compare(&filter, "told", "$lt", seen->change_count);
    if (settled) {
        bson_put_int(&filter, "changes", seen->change_count);
    }
    ASSERT(BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &set));
    bson_put_int(&set, "told", seen->change_count);
    ASSERT(bson_append_document_end(&update, &set));
    if (settled) {
        mongo_put_unset(&update, names);
    }
    stock_news_make(act, EVENT_PRODUCT_STOCK_CHANGED, &seen->shown, seen->change_count, &event);
    outbox_mongo_push(&update, &event);
    mongo_bulk_update(bulk, &filter, &update, false);
}

static enum err tell(struct product_store *self, struct product_act *act, const struct seen *seen, uint32_t count,
                     bool settled, int64_t *out_told)
{
    struct mongo_changes changes = {0};
    struct mongo_bulk *bulk = mongo_bulk_new(product_db(self), product_collection, false);
    for (uint32_t i = 0; i < count; i++) {
        tell_put(bulk, act, &seen[i], settled);
        outbox_mongo_wrote(self->outbox, product_collection, seen[i].shown.id);
    }
    enum err e = mongo_bulk_run(&bulk, act->fault, &changes);
    *out_told = changes.matched;
    return e;
}

/* A mark that was told of already, by another process: nothing has changed since. */
static enum err marks_drop(struct product_store *self, struct product_act *act, const struct seen *seen, uint32_t count)
{
    static const char *const names[] = {"news", NULL};
    struct mongo_bulk *bulk = mongo_bulk_new(product_db(self), product_collection, false);
    for (uint32_t i = 0; i < count; i++) {
        AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
        AUTO(bson_destroy) bson_t update = BSON_INITIALIZER;
        bson_put_text(&filter, "_id", seen[i].shown.id);
        bson_put_int(&filter, "changes", seen[i].change_count);
        bson_put_int(&filter, "told", seen[i].change_count);
        mongo_put_unset(&update, names);
        mongo_bulk_update(bulk, &filter, &update, false);
    }
    return mongo_bulk_run(&bulk, act->fault, NULL);
}

enum err product_mongo_tell_stock(struct product_store *self, struct product_act *act, bool *out_more)
{
    uint32_t count = 0;
    int64_t told = 0;
    struct seen *seen = arena_alloc(act->arena, PRODUCT_TELL_MAX * sizeof *seen);
    enum err e = news_read(self, act, seen, &count);
    if (e == ERR_NONE && count > 0) {
        e = tell(self, act, seen, count, true, &told);
    }
    if (e == ERR_NONE && told < count) { /* some were sold meanwhile */
        e = tell(self, act, seen, count, false, &told);
        if (e == ERR_NONE) {
            e = marks_drop(self, act, seen, count);
        }
    }
    if (e == ERR_NONE) {
        *out_more = count == PRODUCT_TELL_MAX;
    }
    return e;
}

/* ---- dropping ---- */

struct old {
    const char *collection, *field; /* what is older by this field */
    int64_t before_ms;
    const char *extra; /* one more field to read; may be NULL */
};

struct old_list {
    struct text ids[PRODUCT_PURGE_MAX];
    struct text extras[PRODUCT_PURGE_MAX]; /* empty where there is none */
    uint32_t count;
};

static enum err old_find(struct product_store *self, struct product_act *act, const struct old *old,
                         struct old_list *out)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t sort = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t projection = BSON_INITIALIZER;
    struct mongo_rows rows;
    const bson_t *document;
    mongo_put_compare(&filter, old->field, "$lt", old->before_ms);
    bson_put_int(&sort, old->field, 1);
    bson_put_int(&projection, old->extra ? old->extra : old->field, 1);
    const struct mongo_query query = {.collection = old->collection,
                                      .filter = &filter,
                                      .sort = &sort,
                                      .projection = &projection,
                                      .limit = PRODUCT_PURGE_MAX};
    out->count = 0;
    mongo_find(product_db(self), &query, &rows);
    while (out->count < PRODUCT_PURGE_MAX && mongo_next(&rows, &document)) {
        struct text *extra = &out->extras[out->count];
        *extra = (struct text){0};
        if (old->extra && !bson_get_text(document, old->extra, act->arena, extra)) {
            (void)!bson_get_bytes(document, old->extra, act->arena, extra);
        }
        out->count += bson_get_text(document, "_id", act->arena, &out->ids[out->count]);
    }
    return mongo_rows_end(&rows, act->fault);
}

static enum err old_delete(struct product_store *self, struct product_act *act, const char *collection,
                       const struct text *ids, uint32_t count, int64_t *total)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    int64_t deleted = 0;
    if (count == 0) {
        return ERR_NONE;
    }
    mongo_put_in(&filter, "_id", ids, count);
    enum err e = mongo_delete_all(product_db(self), collection, &filter, act->fault, &deleted);
    *total += deleted;
    return e;
}

/* A refusal goes with its document; of a product only the first answer goes. */
static enum err first_answers_purge(struct product_store *self, struct product_act *act, int64_t before_ms,
                                    struct old_list *list, int64_t *total)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t update = BSON_INITIALIZER;
    static const char *const names[] = {"answer", "answered_at", NULL};
    const struct old old = {product_collection, "answered_at", before_ms, "refusal"};
    struct text *refusals = arena_alloc(act->arena, PRODUCT_PURGE_MAX * sizeof *refusals);
    uint32_t refusal_count = 0, product_count = 0;
    int64_t changed = 0;
    enum err e = old_find(self, act, &old, list);
    for (uint32_t i = 0; e == ERR_NONE && i < list->count; i++) {
        if (list->extras[i].size > 0) {
            refusals[refusal_count++] = list->ids[i];
        } else {
            list->ids[product_count++] = list->ids[i];
        }
    }
    if (e == ERR_NONE && product_count > 0) {
        mongo_put_in(&filter, "_id", list->ids, product_count);
        mongo_put_unset(&update, names);
        e = mongo_update_all(product_db(self), product_collection, &filter, &update, act->fault, &changed);
        *total += changed;
    }
    return e == ERR_NONE ? old_delete(self, act, product_collection, refusals, refusal_count, total) : e;
}

static enum err answers_purge(struct product_store *self, struct product_act *act, int64_t before_ms,
                              struct old_list *list, int64_t *total)
{
    const struct old old = {answer_collection, "at", before_ms, NULL};
    enum err e = old_find(self, act, &old, list);
    return e == ERR_NONE ? old_delete(self, act, answer_collection, list->ids, list->count, total) : e;
}

/* Ended holds, but for those that an entry still speaks of: it would make them again. */
static enum err holds_purge(struct product_store *self, struct product_act *act, int64_t before_ms,
                            struct old_list *list, int64_t *total)
{
    const struct old old = {hold_collection, "ended_at", before_ms, "order"};
    struct shelf shelf = {.self = self, .act = act};
    struct entry_list entries = {0};
    uint32_t count = 0;
    enum err e = old_find(self, act, &old, list);
    if (e == ERR_NONE && list->count > 0) {
        e = entries_of_orders(&shelf, list->extras, list->count, &entries);
    }
    for (uint32_t i = 0; e == ERR_NONE && i < list->count; i++) {
        bool spoken_of = false;
        for (uint32_t j = 0; j < entries.count && !spoken_of; j++) {
            struct text id = hold_id(entries.items[j].entry.order_id, entries.items[j].product_id, act->arena);
            spoken_of = text_equal(id, list->ids[i]);
        }
        if (!spoken_of) {
            list->ids[count++] = list->ids[i];
        }
    }
    return e == ERR_NONE ? old_delete(self, act, hold_collection, list->ids, count, total) : e;
}

enum err product_mongo_purge(struct product_store *self, struct product_act *act, int64_t before_ms, int64_t *out_count)
{
    struct old_list *list = arena_alloc(act->arena, sizeof *list);
    int64_t count = 0;
    enum err e = pending_mend(self, act, before_ms - 1);
    if (e == ERR_NONE) {
        e = first_answers_purge(self, act, before_ms, list, &count);
    }
    if (e == ERR_NONE) {
        e = answers_purge(self, act, before_ms, list, &count);
    }
    if (e == ERR_NONE) {
        e = holds_purge(self, act, before_ms, list, &count);
    }
    if (e == ERR_NONE) {
        *out_count = count;
    }
    return e;
}
