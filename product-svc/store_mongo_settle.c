/* Settling on MongoDB. What is confirmed or committed changes in the hold's document alone; what is released goes back
 * on the product by compare-and-set, with an entry that says so until the hold's document does. */
#include "lib/base/invariant.h"
#include "product-svc/store_mongo.h"

enum { STALE_SCAN_MAX = 2048 }; /* holds looked at for one list of stale orders */

/* One hold of one of the orders, and what is to become of it. */
struct move {
    const struct hold_order *order;
    struct text product_id;
    struct pending entry; /* as it stands or would stand in the product */
    enum hold_state state, next;
    bool written; /* the hold has a document */
};

struct settling {
    struct product_store *self;
    struct product_act act; /* with an arena of its own */
    const struct hold_order *orders;
    uint32_t order_count;
    struct move *moves;
    uint32_t move_count, move_room;
};

/* ---- what there is ---- */

static const struct hold_order *order_of(const struct settling *all, struct text order_id)
{
    for (uint32_t i = 0; i < all->order_count; i++) {
        if (text_equal(all->orders[i].order_id, order_id)) {
            return &all->orders[i];
        }
    }
    return NULL;
}

static enum hold_state state_after(const struct hold_order *order, enum hold_state state, struct text fingerprint)
{
    bool same = !has(hold_order, order, fingerprint) || text_equal(fingerprint, order->fingerprint);
    return hold_settle(state, order->step, same);
}

static void move_add(struct settling *all, const struct move *move)
{
    if (all->move_count == all->move_room) {
        struct move *grown;
        all->move_room = 2 * all->move_room + 16;
        grown = arena_alloc(all->act.arena, all->move_room * sizeof *grown);
        if (all->move_count > 0) {
            memcpy(grown, all->moves, all->move_count * sizeof *grown);
        }
        all->moves = grown;
    }
    all->moves[all->move_count] = *move;
    all->moves[all->move_count].next = state_after(move->order, move->state, move->entry.fingerprint);
    all->move_count++;
}

static void holds_note(struct settling *all, const struct hold_list *holds)
{
    for (uint32_t i = 0; i < holds->count; i++) {
        const struct hold_seen *hold = &holds->items[i];
        const struct hold_order *order = order_of(all, hold->order_id);
        if (order) {
            move_add(all, &(struct move){.order = order,
                                         .product_id = hold->product_id,
                                         .entry = {.order_id = hold->order_id,
                                                   .quantity = hold->quantity,
                                                   .fingerprint = hold->fingerprint,
                                                   .at = hold->created_at,
                                                   .taken_ver = hold->taken_ver},
                                         .state = hold->state,
                                         .written = true});
        }
    }
}

/* Entries whose hold has no document yet, and undone ones that the document does not know of. */
static void entries_note(struct settling *all, const struct entry_list *entries)
{
    for (uint32_t i = 0; i < entries->count; i++) {
        const struct entry_seen *seen = &entries->items[i];
        const struct hold_order *order = order_of(all, seen->entry.order_id);
        struct move *known = NULL;
        for (uint32_t j = 0; order && j < all->move_count; j++) {
            if (all->moves[j].order == order && text_equal(all->moves[j].product_id, seen->product_id)) {
                known = &all->moves[j];
            }
        }
        if (known && seen->entry.kind == PENDING_UNDO) {
            known->next = HOLD_IS_RELEASED; /* once more: then the document says it, too */
        } else if (order && !known) {
            move_add(all, &(struct move){.order = order,
                                         .product_id = seen->product_id,
                                         .entry = seen->entry,
                                         .state = HOLD_IS_HELD});
        }
    }
}

/* The entries first, then the documents: an entry is dropped only when its document is there. */
static enum err moves_find(struct settling *all)
{
    struct shelf shelf = {.self = all->self, .act = &all->act};
    struct text *ids = arena_alloc(all->act.arena, all->order_count * sizeof *ids);
    struct entry_list entries;
    struct hold_list holds;
    for (uint32_t i = 0; i < all->order_count; i++) {
        ids[i] = all->orders[i].order_id;
    }
    enum err e = entries_of_orders(&shelf, ids, all->order_count, &entries);
    if (e == ERR_NONE) {
        e = holds_of_orders(&shelf, ids, all->order_count, &holds);
    }
    if (e == ERR_NONE) {
        holds_note(all, &holds);
        entries_note(all, &entries);
    }
    return e;
}

/* ---- confirming and committing ---- */

static void move_put(struct mongo_bulk *bulk, const struct settling *all, const struct move *move)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t update = BSON_INITIALIZER;
    static const char *const open_names[] = {"open_at", NULL};
    bson_t set;
    if (!move->written) {
        mirror_put(bulk, move->product_id, &move->entry, all->act.now_ms, all->act.arena);
    }
    bson_put_text(&filter, "_id", hold_id(move->entry.order_id, move->product_id, all->act.arena));
    mongo_put_compare(&filter, "state", "$lte", HOLD_IS_CONFIRMED); /* a rival may have confirmed it meanwhile */
    ASSERT(BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &set));
    bson_put_int(&set, "state", move->next);
    if (move->next == HOLD_IS_COMMITTED) {
        bson_put_int(&set, "ended_at", all->act.now_ms);
    }
    ASSERT(bson_append_document_end(&update, &set));
    mongo_put_unset(&update, open_names);
    mongo_bulk_update(bulk, &filter, &update, false);
}

static enum err moves_write(struct settling *all)
{
    struct mongo_bulk *bulk = mongo_bulk_new(product_db(all->self), hold_collection, true);
    for (uint32_t i = 0; i < all->move_count; i++) {
        const struct move *move = &all->moves[i];
        if (move->next != move->state && move->next != HOLD_IS_RELEASED) {
            move_put(bulk, all, move);
        }
    }
    enum err e = mongo_bulk_run(&bulk, all->act.fault, NULL);
    /* two at once made the same document: what the loser had behind it comes with the next try */
    return e == ERR_CONFLICT ? fault_set(all->act.fault, ERR_SERVICE_UNAVAILABLE, NULL) : e;
}

/* ---- releasing ---- */

static bool is_release(const struct move *move)
{
    return move->next == HOLD_IS_RELEASED && (move->state != HOLD_IS_RELEASED);
}

/* The saga's undo, in memory. True: the hold's document is to say what *out says. */
static bool undo(struct shelf *shelf, const struct move *move, struct pending *out)
{
    struct goods *goods = shelf_goods(shelf, move->product_id);
    const struct hold_seen *hold = shelf_hold(shelf, move->entry.order_id, move->product_id);
    if (!goods) {
        return false; /* a hold on what was never a product: not ours */
    }
    const struct pending *held = goods_pending(goods, move->entry.order_id, PENDING_HOLD);
    const struct pending *undone = goods_pending(goods, move->entry.order_id, PENDING_UNDO);
    if (undone) {
        *out = *undone;
        return true;
    }
    if (!hold && !held) {
        return false;
    }
    enum hold_state state = hold ? hold->state : HOLD_IS_HELD;
    struct text fingerprint = hold ? hold->fingerprint : held->fingerprint;
    if (state == HOLD_IS_RELEASED || state_after(move->order, state, fingerprint) != HOLD_IS_RELEASED) {
        return false;
    }
    struct pending entry = move->entry;
    entry.kind = PENDING_UNDO;
    entry.quantity = hold ? hold->quantity : held->quantity;
    entry.fingerprint = fingerprint;
    entry.taken_ver = hold ? hold->taken_ver : held->taken_ver;
    entry.released_ver = goods->ver + 1;
    shelf_take(shelf, goods, &entry);
    *out = entry;
    return true;
}

static enum err releases_once(struct settling *all, const bool *is_open, struct mongo_bulk **out_mirrors,
                              bool *out_done)
{
    struct shelf shelf = {.self = all->self, .act = &all->act};
    struct text *product_ids = arena_alloc(all->act.arena, (all->move_count + 1) * sizeof *product_ids);
    struct text *hold_ids = arena_alloc(all->act.arena, (all->move_count + 1) * sizeof *hold_ids);
    uint32_t count = 0;
    for (uint32_t i = 0; i < all->move_count; i++) {
        if (is_open[i]) {
            product_ids[count] = all->moves[i].product_id;
            hold_ids[count++] = hold_id(all->moves[i].entry.order_id, all->moves[i].product_id, all->act.arena);
        }
    }
    enum err e = shelf_read(&shelf, product_ids, count, hold_ids, count);
    if (e != ERR_NONE) {
        return e;
    }
    struct mongo_bulk *mirrors = mongo_bulk_new(product_db(all->self), hold_collection, false);
    for (uint32_t i = 0; i < all->move_count; i++) {
        struct pending entry;
        if (is_open[i] && undo(&shelf, &all->moves[i], &entry)) {
            mirror_put(mirrors, all->moves[i].product_id, &entry, all->act.now_ms, all->act.arena);
        }
    }
    e = shelf_write(&shelf, out_done);
    if (e == ERR_NONE && *out_done) {
        *out_mirrors = mirrors;
    } else {
        mongo_bulk_destroy(&mirrors);
    }
    return e;
}

static enum err releases_write(struct settling *all)
{
    bool *is_open = arena_alloc(all->act.arena, (all->move_count + 1) * sizeof *is_open);
    struct mongo_bulk *mirrors = NULL;
    int tries = 0;
    bool any = false, done = false;
    enum err e;
    for (uint32_t i = 0; i < all->move_count; i++) {
        is_open[i] = is_release(&all->moves[i]);
        any = any || is_open[i];
    }
    if (!any) {
        return ERR_NONE;
    }
    do {
        e = releases_once(all, is_open, &mirrors, &done);
    } while (e == ERR_NONE && !done && (e = product_try_again(all->self, all->act.fault, &tries)) == ERR_NONE);
    if (e == ERR_NONE) {
        e = mongo_bulk_run(&mirrors, all->act.fault, NULL);
    }
    return e == ERR_CONFLICT ? fault_set(all->act.fault, ERR_SERVICE_UNAVAILABLE, NULL) : e;
}

/* ---- settling ---- */

/* Orders that are each named once. */
static enum err settle_some(struct product_store *self, struct product_act *act, const struct hold_order *orders,
                            uint32_t count)
{
    AUTO(arena_release) struct arena arena = {0};
    struct settling all = {.self = self, .act = *act, .orders = orders, .order_count = count};
    all.act.arena = &arena;
    enum err e = moves_find(&all);
    if (e == ERR_NONE) {
        e = releases_write(&all);
    }
    return e == ERR_NONE ? moves_write(&all) : e;
}

/* How many of them, from the first on, are of different orders. */
static uint32_t distinct(const struct hold_order *orders, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        for (uint32_t j = 0; j < i; j++) {
            if (text_equal(orders[i].order_id, orders[j].order_id)) {
                return i;
            }
        }
    }
    return count;
}

enum err product_mongo_settle(struct product_store *self, struct product_act *act, const struct product_settle *in)
{
    enum err e = ERR_NONE;
    for (uint32_t at = 0, count; e == ERR_NONE && at < in->orders.count; at += count) {
        count = distinct(in->orders.items + at, in->orders.count - at);
        e = settle_some(self, act, in->orders.items + at, count);
    }
    return e;
}

/* ---- what nobody confirmed ---- */

static bool listed(const struct text_list *list, struct text order_id)
{
    for (uint32_t i = 0; i < list->count; i++) {
        if (text_equal(list->items[i], order_id)) {
            return true;
        }
    }
    return false;
}

enum err product_mongo_stale_holds(struct product_store *self, struct product_act *act, int64_t before_ms,
                                   struct text_list *out_order_ids)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t sort = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t projection = BSON_INITIALIZER;
    struct mongo_rows rows;
    const bson_t *document;
    struct text order_id;
    struct text_list list = {.items = arena_alloc(act->arena, SETTLE_MAX * sizeof(struct text))};
    enum err e = pending_mend(self, act, before_ms);
    if (e != ERR_NONE) {
        return e;
    }
    mongo_put_compare(&filter, "open_at", "$lte", before_ms);
    bson_put_int(&sort, "open_at", 1);
    bson_put_int(&projection, "order", 1);
    const struct mongo_query query = {.collection = hold_collection,
                                      .filter = &filter,
                                      .sort = &sort,
                                      .projection = &projection,
                                      .limit = STALE_SCAN_MAX};
    mongo_find(product_db(self), &query, &rows);
    while (list.count < SETTLE_MAX && mongo_next(&rows, &document)) {
        if (bson_get_text(document, "order", NULL, &order_id) && !listed(&list, order_id)) {
            list.items[list.count++] =
                (struct text){arena_copy(act->arena, order_id.data, order_id.size), order_id.size};
        }
    }
    e = mongo_rows_end(&rows, act->fault);
    if (e == ERR_NONE) {
        *out_order_ids = list;
    }
    return e;
}
