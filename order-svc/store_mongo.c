/* Orders in one MongoDB collection, one document an order id:
 *
 *     {_id, kind: "placed", fingerprint, order: {...}, due, due_at, outbox: [...]}
 *     {_id, kind: "refused" or "void", void_at, fingerprint, answer, due, due_at}
 *
 * Each verb is one atomic act on one document; the id is the shard key, and unique without an index of its own. due (the
 * step that product-svc is to be told), due_at and outbox are there only while something waits, so their indexes stay
 * small. */
#include "lib/base/clock.h"
#include "lib/base/invariant.h"
#include "lib/base/mem.h"
#include "lib/store/outbox_mongo.h"
#include "order-svc/store.h"

static const char orders[] = "orders";
static const char *const with_outbox[] = {orders, NULL};

static const struct mongo_index indexes[] = {
    {orders, "by_time", {"-order.created_at", "-_id"}, false, false},
    {orders, "by_user", {"order.user_id", "-order.created_at", "-_id"}, false, false},
    {orders, "by_status", {"order.status", "-order.created_at", "-_id"}, false, false},
    {orders, "due", {"due_at"}, false, true},
    {orders, "tombstones", {"void_at"}, false, true},
    OUTBOX_MONGO_INDEX(orders),
};
const struct mongo_schema order_mongo_schema = {"order", 1, indexes, ARRAY_COUNT(indexes)};

struct order_store_mongo {
    struct order_store base;
    struct mongo_db *db;
};

static struct mongo_db *db_of(struct order_store *self)
{
    return ((struct order_store_mongo *)self)->db;
}

static struct text kind_text(enum order_kind kind)
{
    return text_of(enum_name(&order_kind_names, (int)kind));
}

static void put_due(bson_t *to, enum holds_due due, int64_t due_at)
{
    if (due != HOLDS_NOTHING_DUE) {
        bson_put_text(to, "due", text_of(enum_name(&holds_due_names, (int)due)));
        bson_put_int(to, "due_at", due_at);
    }
}

/* ---- reading one ---- */

static enum err unreadable(struct fault *fault, const char *what)
{
    fault_cause(fault, "an order's document has an unreadable %s", what);
    return fault_set(fault, ERR_INTERNAL, NULL);
}

static bool read_due(const bson_t *document, enum holds_due *out)
{
    struct text name;
    int value;
    if (!bson_has_field(document, "due")) {
        *out = HOLDS_NOTHING_DUE;
        return true;
    }
    if (!bson_get_text(document, "due", NULL, &name) || !enum_find(&holds_due_names, name, &value)) {
        return false;
    }
    *out = (enum holds_due)value;
    return true;
}

static enum err entry_read(const bson_t *document, struct arena *arena, struct fault *fault, struct order_entry *out)
{
    struct order_entry entry = {0};
    struct text name;
    int kind;
    if (!bson_get_text(document, "kind", NULL, &name) || !enum_find(&order_kind_names, name, &kind)) {
        return unreadable(fault, "kind");
    }
    entry.kind = (enum order_kind)kind;
    if (!read_due(document, &entry.due)) {
        return unreadable(fault, "step");
    }
    if (entry.kind != ORDER_VOID && !bson_get_text(document, "fingerprint", arena, &entry.fingerprint)) {
        return unreadable(fault, "fingerprint");
    }
    if (entry.kind == ORDER_REFUSED && !bson_get_bytes(document, "answer", arena, &entry.answer)) {
        return unreadable(fault, "answer");
    }
    if (entry.kind == ORDER_PLACED) {
        enum err e = bson_read_record_at(document, "order", &order_record, arena, fault, &entry.order);
        if (e != ERR_NONE) {
            return e;
        }
    }
    *out = entry;
    return ERR_NONE;
}

static enum err mongo_store_find(struct order_store *self, struct text id, struct arena *arena, struct fault *fault,
                                 struct order_entry *out)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    bson_t document;
    bool found = false;
    bson_put_text(&filter, "_id", id);
    const struct mongo_query query = {.collection = orders, .filter = &filter};
    enum err e = mongo_find_one(db_of(self), &query, arena, fault, &document, &found);
    if (e != ERR_NONE) {
        return e;
    }
    if (!found) {
        *out = (struct order_entry){.kind = ORDER_ABSENT};
        return ERR_NONE;
    }
    return entry_read(&document, arena, fault, out);
}

/* ---- writing one ---- */

/* The first document under an id decides. */
static enum err insert_first(struct order_store *self, const bson_t *document, struct fault *fault, bool *out_taken)
{
    enum err e = mongo_insert(db_of(self), orders, document, fault);
    if (e == ERR_NONE || e == ERR_CONFLICT) {
        *out_taken = e == ERR_CONFLICT;
        return ERR_NONE;
    }
    return e;
}

static enum err mongo_store_place(struct order_store *self, const struct order *order, struct text fingerprint,
                                  const struct event_new *event, struct fault *fault, bool *out_taken)
{
    AUTO(bson_destroy) bson_t document = BSON_INITIALIZER;
    bson_put_text(&document, "_id", order->id);
    bson_put_text(&document, "kind", kind_text(ORDER_PLACED));
    bson_put_text(&document, "fingerprint", fingerprint);
    bson_put_record(&document, "order", &order_record, order);
    put_due(&document, HOLDS_CONFIRM_DUE, order->created_at);
    outbox_mongo_put(&document, event);
    enum err e = insert_first(self, &document, fault, out_taken);
    if (event && e == ERR_NONE && !*out_taken) {
        outbox_mongo_inserted(self->outbox, orders, order->id, event);
    } else if (event) {
        outbox_mongo_wrote(self->outbox, orders, order->id); /* also when nobody knows whether it is there */
    }
    return e;
}

static enum err mongo_store_refuse(struct order_store *self, struct text id, const struct order_entry *tombstone,
                                   int64_t now_ms, struct fault *fault, bool *out_taken)
{
    AUTO(bson_destroy) bson_t document = BSON_INITIALIZER;
    ASSERT(tombstone->kind == ORDER_REFUSED || tombstone->kind == ORDER_VOID);
    bson_put_text(&document, "_id", id);
    bson_put_text(&document, "kind", kind_text(tombstone->kind));
    bson_put_int(&document, "void_at", now_ms);
    put_due(&document, tombstone->due, now_ms);
    if (tombstone->kind == ORDER_REFUSED) {
        bson_put_text(&document, "fingerprint", tombstone->fingerprint);
        bson_put_bytes(&document, "answer", tombstone->answer);
    }
    return insert_first(self, &document, fault, out_taken);
}

static enum err mongo_store_change(struct order_store *self, const struct order *order, enum holds_due due,
                                   const struct event_new *event, struct fault *fault)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t update = BSON_INITIALIZER;
    bson_t set;
    bool found = false;
    bson_put_text(&filter, "_id", order->id);
    bson_put_text(&filter, "kind", kind_text(ORDER_PLACED));
    bson_put_int(&filter, "order.version", order->version - 1);
    ASSERT(BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &set));
    bson_put_record(&set, "order", &order_record, order);
    put_due(&set, due, order->updated_at);
    ASSERT(bson_append_document_end(&update, &set));
    outbox_mongo_push(&update, event);
    enum err e = mongo_update(db_of(self), orders, &filter, &update, fault, &found);
    if (event && (e != ERR_NONE || found)) {
        outbox_mongo_wrote(self->outbox, orders, order->id);
    }
    return e == ERR_NONE && !found ? fault_set(fault, ERR_CONFLICT, NULL) : e;
}

static enum err mongo_store_release(struct order_store *self, struct text id, struct fault *fault)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t update = BSON_INITIALIZER;
    bson_t part;
    bool found;
    bson_put_text(&filter, "_id", id);
    ASSERT(BSON_APPEND_DOCUMENT_BEGIN(&filter, "kind", &part));
    bson_put_text(&part, "$ne", kind_text(ORDER_PLACED));
    ASSERT(bson_append_document_end(&filter, &part));
    ASSERT(BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &part));
    put_due(&part, HOLDS_RELEASE_DUE, clock_wall_ms());
    ASSERT(bson_append_document_end(&update, &part));
    return mongo_update(db_of(self), orders, &filter, &update, fault, &found);
}

/* ---- pages ---- */

static void put_range(bson_t *to, int64_t gte, const char *below, int64_t value)
{
    bson_t part;
    ASSERT(BSON_APPEND_DOCUMENT_BEGIN(to, "order.created_at", &part));
    bson_put_int(&part, "$gte", gte);
    bson_put_int(&part, below, value);
    ASSERT(bson_append_document_end(to, &part));
}

/* (created_at, _id) < (before_at, before_id), with a range that an index can walk around it. */
static void put_before(bson_t *to, const struct order_page_query *query)
{
    bson_t list, one, part;
    if (query->before_id.size == 0) {
        put_range(to, query->created_gte, "$lt", query->before_at);
        return;
    }
    put_range(to, query->created_gte, "$lte", query->before_at);
    ASSERT(BSON_APPEND_ARRAY_BEGIN(to, "$or", &list));
    ASSERT(BSON_APPEND_DOCUMENT_BEGIN(&list, "0", &one));
    mongo_put_compare(&one, "order.created_at", "$lt", query->before_at);
    ASSERT(bson_append_document_end(&list, &one));
    ASSERT(BSON_APPEND_DOCUMENT_BEGIN(&list, "1", &one));
    bson_put_int(&one, "order.created_at", query->before_at);
    ASSERT(BSON_APPEND_DOCUMENT_BEGIN(&one, "_id", &part));
    bson_put_text(&part, "$lt", query->before_id);
    ASSERT(bson_append_document_end(&one, &part));
    ASSERT(bson_append_document_end(&list, &one));
    ASSERT(bson_append_array_end(to, &list));
}

static enum err rows_read(struct mongo_rows *rows, struct arena *arena, struct fault *fault,
                          struct order_row_list *list)
{
    const bson_t *document;
    enum err bad = ERR_NONE;
    while (bad == ERR_NONE && mongo_next(rows, &document)) {
        bad = bson_read_record_at(document, "order", &order_record, arena, fault, &list->items[list->count++]);
    }
    enum err e = mongo_rows_end(rows, bad == ERR_NONE ? fault : NULL);
    return bad == ERR_NONE ? e : bad;
}

static enum err mongo_store_page(struct order_store *self, const struct order_page_query *query, struct arena *arena,
                                 struct fault *fault, struct order_row_list *out)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t sort = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t projection = BSON_INITIALIZER;
    struct mongo_rows rows;
    if (query->user_id.size > 0) {
        bson_put_text(&filter, "order.user_id", query->user_id);
    }
    if (query->status >= 0) {
        bson_put_text(&filter, "order.status", text_of(enum_name(&order_status_names, query->status)));
    }
    put_before(&filter, query);
    bson_put_int(&sort, "order.created_at", -1);
    bson_put_int(&sort, "_id", -1);
    bson_put_int(&projection, "order", 1);
    const struct mongo_query of_page = {
        .collection = orders, .filter = &filter, .sort = &sort, .projection = &projection, .limit = query->limit};
    struct order_row_list list = {.items = arena_alloc(arena, (size_t)query->limit * sizeof *list.items)};
    mongo_find(db_of(self), &of_page, &rows);
    enum err e = rows_read(&rows, arena, fault, &list);
    if (e == ERR_NONE) {
        *out = list;
    }
    return e;
}

/* ---- what is due ---- */

static enum err due_read(const bson_t *document, struct arena *arena, struct fault *fault, struct hold_order *out)
{
    enum holds_due due;
    struct hold_order item = {0};
    if (!read_due(document, &due) || due == HOLDS_NOTHING_DUE ||
        !bson_get_text(document, "_id", arena, &item.order_id)) {
        return unreadable(fault, "step");
    }
    item.step = holds_due_step(due);
    if (bson_get_text(document, "fingerprint", arena, &item.fingerprint)) {
        set_has(hold_order, &item, fingerprint);
    }
    *out = item;
    return ERR_NONE;
}

static enum err mongo_store_due(struct order_store *self, int limit, struct arena *arena, struct fault *fault,
                                struct due_list *out)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t sort = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t projection = BSON_INITIALIZER;
    struct mongo_rows rows;
    const bson_t *document;
    enum err bad = ERR_NONE;
    mongo_put_compare(&filter, "due_at", "$gte", 0); /* so that the index over what is due will do */
    bson_put_int(&sort, "due_at", 1);
    bson_put_int(&projection, "due", 1);
    bson_put_int(&projection, "fingerprint", 1);
    const struct mongo_query query = {
        .collection = orders, .filter = &filter, .sort = &sort, .projection = &projection, .limit = limit};
    struct due_list list = {.items = arena_alloc(arena, (size_t)limit * sizeof *list.items)};
    mongo_find(db_of(self), &query, &rows);
    while (bad == ERR_NONE && mongo_next(&rows, &document)) {
        bad = due_read(document, arena, fault, &list.items[list.count++]);
    }
    enum err e = mongo_rows_end(&rows, bad == ERR_NONE ? fault : NULL);
    if (bad == ERR_NONE && e == ERR_NONE) {
        *out = list;
    }
    return bad == ERR_NONE ? e : bad;
}

/* Those that were told this step, in one update. */
static void settled_step(struct mongo_bulk *bulk, const struct due_list *list, enum hold_step step, struct arena *arena)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t update = BSON_INITIALIZER;
    static const char *const names[] = {"due", "due_at", NULL};
    struct text *ids = arena_alloc(arena, list->count * sizeof *ids);
    uint32_t count = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        if (list->items[i].step == step) {
            ids[count++] = list->items[i].order_id;
        }
    }
    if (count > 0) {
        mongo_put_in(&filter, "_id", ids, count);
        bson_put_text(&filter, "due", text_of(enum_name(&hold_step_names, (int)step)));
        mongo_put_unset(&update, names);
        mongo_bulk_update_all(bulk, &filter, &update);
    }
}

static enum err mongo_store_settled(struct order_store *self, const struct due_list *list, struct fault *fault)
{
    AUTO(arena_release) struct arena arena = {0};
    struct mongo_bulk *bulk = mongo_bulk_new(db_of(self), orders, true);
    for (int step = 0; step < (int)hold_step_count; step++) {
        settled_step(bulk, list, (enum hold_step)step, &arena);
    }
    return mongo_bulk_run(&bulk, fault, NULL);
}

/* ---- purging ---- */

static enum err old_tombstones(struct order_store *self, int64_t before_ms, int limit, struct arena *arena,
                               struct fault *fault, struct text *ids, uint32_t *out_count)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t sort = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t projection = BSON_INITIALIZER;
    struct mongo_rows rows;
    const bson_t *document;
    uint32_t count = 0;
    mongo_put_compare(&filter, "void_at", "$lt", before_ms);
    mongo_put_exists(&filter, "due", false);
    bson_put_int(&sort, "void_at", 1);
    bson_put_int(&projection, "_id", 1);
    const struct mongo_query query = {
        .collection = orders, .filter = &filter, .sort = &sort, .projection = &projection, .limit = limit};
    mongo_find(db_of(self), &query, &rows);
    while (mongo_next(&rows, &document)) {
        count += bson_get_text(document, "_id", arena, &ids[count]);
    }
    *out_count = count;
    return mongo_rows_end(&rows, fault);
}

static enum err mongo_store_purge(struct order_store *self, int64_t before_ms, int limit, struct fault *fault,
                                  int *out_count)
{
    AUTO(arena_release) struct arena arena = {0};
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    struct text *ids = arena_alloc(&arena, (size_t)limit * sizeof *ids);
    uint32_t count = 0;
    int64_t deleted = 0;
    enum err e = old_tombstones(self, before_ms, limit, &arena, fault, ids, &count);
    if (e == ERR_NONE && count > 0) {
        mongo_put_in(&filter, "_id", ids, count);
        mongo_put_exists(&filter, "due", false); /* still */
        e = mongo_delete_all(db_of(self), orders, &filter, fault, &deleted);
    }
    if (e == ERR_NONE) {
        *out_count = (int)deleted;
    }
    return e;
}

static void mongo_store_destroy(struct order_store *self)
{
    outbox_source_destroy(&self->outbox);
    mem_free(self);
}

static const struct order_store_ops mongo_ops = {
    .find = mongo_store_find,
    .place = mongo_store_place,
    .refuse = mongo_store_refuse,
    .change = mongo_store_change,
    .release = mongo_store_release,
    .page = mongo_store_page,
    .due = mongo_store_due,
    .settled = mongo_store_settled,
    .purge = mongo_store_purge,
    .destroy = mongo_store_destroy,
};

struct order_store *order_store_mongo_new(struct mongo_db *db)
{
    struct order_store_mongo *self = mem_alloc(sizeof *self);
    self->base = (struct order_store){&mongo_ops, outbox_mongo_new(db, with_outbox)};
    self->db = db;
    return &self->base;
}
