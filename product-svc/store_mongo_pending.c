/* Products with their pending entries, and holds: reading them in the order that the saga needs, and changing products
 * by compare-and-set. */
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/invariant.h"
#include "product-svc/news.h"
#include "product-svc/store_mongo.h"

static const char *const kind_names[] = {[PENDING_HOLD] = "hold", [PENDING_UNDO] = "undo"};

/* ---- texts as keys ---- */

static int text_order(struct text a, struct text b)
{
    int order = memcmp(a.data, b.data, a.size < b.size ? a.size : b.size);
    return order ? order : (a.size > b.size) - (a.size < b.size);
}

static int by_text(const void *a, const void *b)
{
    return text_order(*(const struct text *)a, *(const struct text *)b);
}

static int by_goods(const void *a, const void *b)
{
    return text_order(((const struct goods *)a)->id, ((const struct goods *)b)->id);
}

static int by_hold(const void *a, const void *b)
{
    return text_order(((const struct hold_seen *)a)->id, ((const struct hold_seen *)b)->id);
}

/* Sorted, each once. */
static uint32_t texts_sort(struct text *texts, uint32_t count)
{
    uint32_t kept = 0;
    if (count > 0) {
        qsort(texts, count, sizeof *texts, by_text);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (kept == 0 || !text_equal(texts[i], texts[kept - 1])) {
            texts[kept++] = texts[i];
        }
    }
    return kept;
}

struct text hold_id(struct text order_id, struct text product_id, struct arena *arena)
{
    char id[HOLD_ID_SIZE];
    int size = snprintf(id, sizeof id, "%.*s/%.*s", TEXT_ARG(order_id), TEXT_ARG(product_id));
    ASSERT(size > 0 && size < (int)sizeof id);
    return (struct text){arena_copy(arena, id, (size_t)size), (uint32_t)size};
}

/* ---- entries ---- */

int64_t get_ver(const bson_t *document, const char *field)
{
    int64_t ver = 0;
    return bson_get_int(document, field, &ver) ? ver : 0;
}

void put_ver(bson_t *document, const char *field, int64_t ver)
{
    if (ver > 0) {
        bson_put_int(document, field, ver);
    }
}

static void pending_put(bson_t *array, uint32_t index, const struct pending *entry)
{
    char room[16];
    const char *key;
    bson_t document;
    bson_uint32_to_string(index, &key, room, sizeof room);
    ASSERT(bson_append_document_begin(array, key, -1, &document));
    bson_put_text(&document, "order", entry->order_id);
    bson_put_text(&document, "kind", text_of(kind_names[entry->kind]));
    bson_put_int(&document, "quantity", entry->quantity);
    bson_put_text(&document, "fingerprint", entry->fingerprint);
    bson_put_int(&document, "at", entry->at);
    put_ver(&document, taken_field, entry->taken_ver);
    put_ver(&document, released_field, entry->released_ver);
    ASSERT(bson_append_document_end(array, &document));
}

static bool pending_read(const bson_t *entry, struct arena *arena, struct pending *out)
{
    struct text kind;
    if (!bson_get_text(entry, "order", arena, &out->order_id) || !bson_get_text(entry, "kind", NULL, &kind) ||
        !bson_get_int(entry, "quantity", &out->quantity) ||
        !bson_get_text(entry, "fingerprint", arena, &out->fingerprint) || !bson_get_int(entry, "at", &out->at)) {
        return false;
    }
    out->kind = text_is(kind, kind_names[PENDING_UNDO]) ? PENDING_UNDO : PENDING_HOLD;
    out->taken_ver = get_ver(entry, taken_field);
    out->released_ver = get_ver(entry, released_field);
    return true;
}

static bool pendings_read(const bson_t *document, struct arena *arena, struct goods *out)
{
    bson_t array, entry;
    bson_iter_t iter;
    if (!bson_get_document(document, "pending", &array)) {
        return true;
    }
    out->pending_room = bson_count_keys(&array);
    out->pending = arena_alloc(arena, (out->pending_room + 1) * sizeof *out->pending);
    if (!bson_iter_init(&iter, &array)) {
        return false;
    }
    while (bson_iter_next(&iter)) {
        const uint8_t *data;
        uint32_t size;
        if (!BSON_ITER_HOLDS_DOCUMENT(&iter)) {
            return false;
        }
        bson_iter_document(&iter, &size, &data);
        if (!bson_init_static(&entry, data, size) ||
            !pending_read(&entry, arena, &out->pending[out->pending_count++])) {
            return false;
        }
    }
    return true;
}

static void pending_add(struct goods *goods, const struct pending *entry, struct arena *arena)
{
    if (goods->pending_count == goods->pending_room) {
        struct pending *grown;
        goods->pending_room = 2 * goods->pending_room + 4;
        grown = arena_alloc(arena, goods->pending_room * sizeof *grown);
        if (goods->pending_count > 0) {
            memcpy(grown, goods->pending, goods->pending_count * sizeof *grown);
        }
        goods->pending = grown;
    }
    goods->pending[goods->pending_count++] = *entry;
}

/* ---- reading products ---- */

static enum err goods_read(const bson_t *document, struct shelf *shelf, struct goods *out)
{
    struct goods goods = {.known = true};
    enum err e = product_read_shown(document, shelf->act->arena, shelf->act->fault, &goods.shown);
    if (e != ERR_NONE) {
        return e;
    }
    if (!bson_get_int(document, "ver", &goods.ver) || !bson_get_int(document, "changes", &goods.change_count) ||
        !bson_get_int(document, "stock", &goods.stock) || !pendings_read(document, shelf->act->arena, &goods)) {
        return product_unreadable(shelf->act->fault, "entry");
    }
    goods.id = goods.shown.id;
    goods.stock_before = goods.stock;
    goods.live = bson_get_bool(document, "live", &goods.live) && goods.live;
    *out = goods;
    return ERR_NONE;
}

static void put_goods_projection(bson_t *projection)
{
    product_put_shown(projection);
    bson_put_int(projection, "ver", 1);
    bson_put_int(projection, "pending", 1);
}

static void goods_grow(struct goods_list *list, uint32_t *room, struct arena *arena)
{
    struct goods *grown = arena_alloc(arena, 2 * *room * sizeof *grown);
    memcpy(grown, list->items, *room * sizeof *grown);
    list->items = grown;
    *room *= 2;
}

/* A refused request's tombstone is no product. */
enum err shelf_find(struct shelf *shelf, const bson_t *filter, const bson_t *sort, uint32_t limit)
{
    uint32_t room = limit > 0 ? limit : 16;
    struct mongo_rows rows;
    const bson_t *document;
    enum err bad = ERR_NONE;
    AUTO(bson_destroy) bson_t projection = BSON_INITIALIZER;
    put_goods_projection(&projection);
    const struct mongo_query query = {.collection = product_collection,
                                      .filter = filter,
                                      .sort = sort,
                                      .projection = &projection,
                                      .limit = limit};
    shelf->goods = (struct goods_list){.items = arena_alloc(shelf->act->arena, room * sizeof(struct goods))};
    mongo_find(product_db(shelf->self), &query, &rows);
    while (bad == ERR_NONE && mongo_next(&rows, &document)) {
        bson_t product;
        if (bson_get_document(document, "product", &product)) {
            if (shelf->goods.count == room) {
                goods_grow(&shelf->goods, &room, shelf->act->arena);
            }
            bad = goods_read(document, shelf, &shelf->goods.items[shelf->goods.count]);
            shelf->goods.count += bad == ERR_NONE;
        }
    }
    enum err e = mongo_rows_end(&rows, bad == ERR_NONE ? shelf->act->fault : NULL);
    if (shelf->goods.count > 1) {
        qsort(shelf->goods.items, shelf->goods.count, sizeof(struct goods), by_goods);
    }
    return bad == ERR_NONE ? e : bad;
}

struct goods *shelf_goods(const struct shelf *shelf, struct text product_id)
{
    const struct goods key = {.id = product_id};
    return shelf->goods.count > 0
               ? bsearch(&key, shelf->goods.items, shelf->goods.count, sizeof key, by_goods)
               : NULL;
}

const struct pending *goods_pending(const struct goods *goods, struct text order_id, enum pending_kind kind)
{
    for (uint32_t i = 0; i < goods->pending_count; i++) {
        if (goods->pending[i].kind == kind && text_equal(goods->pending[i].order_id, order_id)) {
            return &goods->pending[i];
        }
    }
    return NULL;
}

/* ---- reading holds ---- */

static enum err hold_read(const bson_t *document, struct product_act *act, struct hold_seen *out)
{
    int64_t state;
    struct hold_seen hold;
    struct arena *arena = act->arena;
    if (!bson_get_text(document, "_id", arena, &hold.id) || !bson_get_text(document, "order", arena, &hold.order_id) ||
        !bson_get_text(document, "product", arena, &hold.product_id) ||
        !bson_get_text(document, "fingerprint", arena, &hold.fingerprint) ||
        !bson_get_int(document, "quantity", &hold.quantity) ||
        !bson_get_int(document, "created_at", &hold.created_at) || !bson_get_int(document, "state", &state) ||
        state < HOLD_IS_HELD || state > HOLD_IS_COMMITTED) {
        fault_cause(act->fault, "a hold's document cannot be read");
        return fault_set(act->fault, ERR_INTERNAL, NULL);
    }
    hold.state = (enum hold_state)state;
    hold.taken_ver = get_ver(document, taken_field);
    *out = hold;
    return ERR_NONE;
}

static enum err holds_find(struct shelf *shelf, const bson_t *filter, struct hold_list *out)
{
    struct mongo_rows rows;
    const bson_t *document;
    enum err bad = ERR_NONE;
    uint32_t room = 64;
    struct arena *arena = shelf->act->arena;
    struct hold_list list = {.items = arena_alloc(arena, room * sizeof *list.items)};
    const struct mongo_query query = {.collection = hold_collection, .filter = filter};
    mongo_find(product_db(shelf->self), &query, &rows);
    while (bad == ERR_NONE && mongo_next(&rows, &document)) {
        if (list.count == room) {
            struct hold_seen *grown = arena_alloc(arena, 2 * room * sizeof *grown);
            memcpy(grown, list.items, room * sizeof *grown);
            list.items = grown;
            room *= 2;
        }
        bad = hold_read(document, shelf->act, &list.items[list.count]);
        list.count += bad == ERR_NONE;
    }
    enum err e = mongo_rows_end(&rows, bad == ERR_NONE ? shelf->act->fault : NULL);
    if (bad != ERR_NONE || e != ERR_NONE) {
        return bad != ERR_NONE ? bad : e;
    }
    if (list.count > 1) {
        qsort(list.items, list.count, sizeof *list.items, by_hold);
    }
    *out = list;
    return ERR_NONE;
}

enum err holds_of_orders(struct shelf *shelf, const struct text *order_ids, uint32_t count, struct hold_list *out)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    mongo_put_in(&filter, "order", order_ids, count);
    return holds_find(shelf, &filter, out);
}

const struct hold_seen *shelf_hold(const struct shelf *shelf, struct text order_id, struct text product_id)
{
    if (shelf->holds.count == 0) {
        return NULL;
    }
    const struct hold_seen key = {.id = hold_id(order_id, product_id, shelf->act->arena)};
    return bsearch(&key, shelf->holds.items, shelf->holds.count, sizeof key, by_hold);
}

/* ---- both, in this order ---- */

static enum err shelf_holds_read(struct shelf *shelf, const struct text *hold_ids, uint32_t hold_count)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    uint32_t count = hold_count;
    for (uint32_t i = 0; i < shelf->goods.count; i++) {
        count += shelf->goods.items[i].pending_count;
    }
    struct text *ids = arena_alloc(shelf->act->arena, count * sizeof *ids + 1);
    if (hold_count > 0) {
        memcpy(ids, hold_ids, hold_count * sizeof *ids);
    }
    count = hold_count;
    for (uint32_t i = 0; i < shelf->goods.count; i++) {
        const struct goods *goods = &shelf->goods.items[i];
        for (uint32_t j = 0; j < goods->pending_count; j++) {
            ids[count++] = hold_id(goods->pending[j].order_id, goods->id, shelf->act->arena);
        }
    }
    count = texts_sort(ids, count);
    shelf->holds = (struct hold_list){0};
    if (count == 0) {
        return ERR_NONE;
    }
    mongo_put_in(&filter, "_id", ids, count);
    return holds_find(shelf, &filter, &shelf->holds);
}

enum err shelf_read(struct shelf *shelf, struct text *product_ids, uint32_t product_count, const struct text *hold_ids,
                    uint32_t hold_count)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    uint32_t count = texts_sort(product_ids, product_count);
    mongo_put_in(&filter, "_id", product_ids, count);
    enum err e = count > 0 ? shelf_find(shelf, &filter, NULL, count) : ERR_NONE;
    return e == ERR_NONE ? shelf_holds_read(shelf, hold_ids, hold_count) : e;
}

enum err entries_of_orders(struct shelf *shelf, const struct text *order_ids, uint32_t count, struct entry_list *out)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    uint32_t room = 0;
    mongo_put_in(&filter, "pending.order", order_ids, count);
    enum err e = shelf_find(shelf, &filter, NULL, 0);
    if (e != ERR_NONE) {
        return e;
    }
    for (uint32_t i = 0; i < shelf->goods.count; i++) {
        room += shelf->goods.items[i].pending_count;
    }
    struct entry_list list = {.items = arena_alloc(shelf->act->arena, room * sizeof *list.items + 1)};
    for (uint32_t i = 0; i < shelf->goods.count; i++) {
        const struct goods *goods = &shelf->goods.items[i];
        for (uint32_t j = 0; j < goods->pending_count; j++) {
            list.items[list.count++] = (struct entry_seen){goods->id, goods->pending[j]};
        }
    }
    *out = list;
    return ERR_NONE;
}

/* ---- changing products ---- */

void shelf_take(struct shelf *shelf, struct goods *goods, const struct pending *entry)
{
    goods->stock += entry->kind == PENDING_HOLD ? -entry->quantity : entry->quantity;
    goods->changed = true;
    for (uint32_t i = 0; entry->kind == PENDING_UNDO && i < goods->pending_count; i++) {
        if (goods->pending[i].kind == PENDING_HOLD && text_equal(goods->pending[i].order_id, entry->order_id)) {
            goods->pending[i--] = goods->pending[--goods->pending_count];
        }
    }
    pending_add(goods, entry, shelf->act->arena);
}

/* The hold document says already what the entry says. */
static bool is_mirrored(const struct shelf *shelf, const struct goods *goods, const struct pending *entry)
{
    const struct hold_seen *hold = shelf_hold(shelf, entry->order_id, goods->id);
    return hold && (entry->kind == PENDING_HOLD || hold->state == HOLD_IS_RELEASED);
}

static void put_pending(bson_t *set, const struct shelf *shelf, const struct goods *goods)
{
    bson_t array;
    uint32_t count = 0;
    int64_t since = shelf->act->now_ms;
    ASSERT(BSON_APPEND_ARRAY_BEGIN(set, "pending", &array));
    for (uint32_t i = 0; i < goods->pending_count; i++) {
        if (!is_mirrored(shelf, goods, &goods->pending[i])) {
            pending_put(&array, count++, &goods->pending[i]);
            since = goods->pending[i].at < since ? goods->pending[i].at : since;
        }
    }
    ASSERT(bson_append_array_end(set, &array));
    bson_put_int(set, "pending_since", since);
}

static void goods_write(struct mongo_bulk *bulk, const struct shelf *shelf, const struct goods *goods)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t update = BSON_INITIALIZER;
    bson_t set;
    enum event_type type;
    struct event_new event;
    product_put_seen(&filter, goods->id, goods->ver);
    ASSERT(BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &set));
    bson_put_int(&set, "ver", goods->ver + 1);
    put_pending(&set, shelf, goods);
    if (goods->live) {
        product_put_stock(&set, goods->stock, goods->change_count + 1);
    } else {
        bson_put_int(&set, "stock", goods->stock);
    }
    ASSERT(bson_append_document_end(&update, &set));
    if (goods->live && stock_news_due(shelf->act, goods->stock_before, goods->stock, &type)) {
        struct product shown = goods->shown;
        shown.stock = goods->stock;
        stock_news_make(shelf->act, type, &shown, goods->change_count + 1, &event);
        outbox_mongo_push(&update, &event);
        outbox_mongo_wrote(shelf->self->outbox, product_collection, goods->id);
    }
    mongo_bulk_update(bulk, &filter, &update, false);
}

enum err shelf_write(struct shelf *shelf, bool *out_all)
{
    int64_t count = 0;
    struct mongo_changes changes = {0};
    struct mongo_bulk *bulk = mongo_bulk_new(product_db(shelf->self), product_collection, false);
    for (uint32_t i = 0; i < shelf->goods.count; i++) {
        if (shelf->goods.items[i].changed) {
            goods_write(bulk, shelf, &shelf->goods.items[i]);
            count++;
        }
    }
    enum err e = mongo_bulk_run(&bulk, shelf->act->fault, &changes);
    if (e == ERR_NONE) {
        *out_all = changes.matched == count;
    }
    return e;
}
