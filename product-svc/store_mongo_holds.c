/* Reserving on MongoDB: the products are read, then the holds; what is decided in memory is written by one
 * compare-and-set a product, however many orders it is for. What others changed meanwhile is read and decided again:
 * what was taken by then is found as an entry of the product. Hold documents are written last, and what is not, is
 * later. */
#include "product-svc/store_mongo.h"

struct reserving {
    struct shelf shelf; /* of this try; its act has what all items share */
    struct reserve_item *items;
    size_t count;
    struct entry_seen *mirrors; /* entries without a hold document */
    uint32_t mirror_count;
};

/* ---- reading ---- */

static uint32_t lines_of(const struct reserving *all)
{
    uint32_t count = 0;
    for (size_t i = 0; i < all->count; i++) {
        count += all->items[i].in->lines.count;
    }
    return count;
}

static enum err shelf_fill(struct reserving *all)
{
    struct arena *arena = all->shelf.act->arena;
    uint32_t room = lines_of(all), count = 0;
    struct text *product_ids = arena_alloc(arena, (room + 1) * sizeof *product_ids);
    struct text *hold_ids = arena_alloc(arena, (room + 1) * sizeof *hold_ids);
    for (size_t i = 0; i < all->count; i++) {
        const struct product_reserve *in = all->items[i].in;
        for (uint32_t j = 0; j < in->lines.count; j++) {
            product_ids[count] = in->lines.items[j].product_id;
            hold_ids[count++] = hold_id(in->order_id, in->lines.items[j].product_id, arena);
        }
    }
    all->mirrors = arena_alloc(arena, (room + 1) * sizeof *all->mirrors);
    all->mirror_count = 0;
    return shelf_read(&all->shelf, product_ids, count, hold_ids, count);
}

/* ---- deciding ---- */

static void mirror_note(struct reserving *all, struct text product_id, const struct pending *entry)
{
    all->mirrors[all->mirror_count++] = (struct entry_seen){product_id, *entry};
}

/* What the product and the order's hold on it say. */
static void line_look(struct reserving *all, const struct product_reserve *in, const struct goods *goods,
                      struct reserve_found *out)
{
    const struct hold_seen *hold = shelf_hold(&all->shelf, in->order_id, goods->id);
    const struct pending *held = goods_pending(goods, in->order_id, PENDING_HOLD);
    const struct pending *undone = goods_pending(goods, in->order_id, PENDING_UNDO);
    *out = (struct reserve_found){.for_sale = goods->live && goods->shown.active,
                                  .has_hold = hold || held || undone,
                                  .stock = goods->stock,
                                  .line = {.product_id = goods->id,
                                           .sku = goods->shown.sku,
                                           .name = goods->shown.name,
                                           .price = goods->shown.price,
                                           .currency = goods->shown.currency}};
    if (undone) {
        out->state = HOLD_IS_RELEASED;
        out->same_request = text_equal(undone->fingerprint, in->fingerprint);
    } else if (hold) {
        out->state = hold->state;
        out->same_request = text_equal(hold->fingerprint, in->fingerprint);
    } else if (held) {
        out->state = HOLD_IS_HELD;
        out->same_request = text_equal(held->fingerprint, in->fingerprint);
    }
}

static void item_take(struct reserving *all, const struct reserve_item *item, const struct reserve_found *found)
{
    const struct product_reserve *in = item->in;
    for (uint32_t i = 0; i < in->lines.count; i++) {
        struct goods *goods = shelf_goods(&all->shelf, in->lines.items[i].product_id);
        if (reserve_takes(&found[i])) {
            const struct pending entry = {.order_id = in->order_id,
                                          .kind = PENDING_HOLD,
                                          .quantity = in->lines.items[i].quantity,
                                          .fingerprint = in->fingerprint,
                                          .at = item->act->now_ms,
                                          .taken_ver = goods->ver + 1};
            shelf_take(&all->shelf, goods, &entry);
            mirror_note(all, goods->id, &entry);
        } else if (!shelf_hold(&all->shelf, in->order_id, goods->id)) {
            mirror_note(all, goods->id, goods_pending(goods, in->order_id, PENDING_HOLD));
        }
    }
}

static struct text keep(struct text text, struct arena *arena)
{
    return (struct text){arena_copy(arena, text.data, text.size), text.size};
}

static void item_answer(const struct reserve_item *item, const struct reserve_found *found)
{
    uint32_t count = item->in->lines.count;
    struct arena *arena = item->act->arena;
    *item->out = (struct product_reserved){0};
    item->out->lines.items = arena_alloc(arena, count * sizeof *item->out->lines.items);
    item->out->lines.count = count;
    for (uint32_t i = 0; i < count; i++) {
        const struct reserved_line *line = &found[i].line;
        item->out->lines.items[i] = (struct reserved_line){.product_id = item->in->lines.items[i].product_id,
                                                           .sku = keep(line->sku, arena),
                                                           .name = keep(line->name, arena),
                                                           .price = line->price,
                                                           .currency = keep(line->currency, arena)};
    }
}

/* Against what the items before it have left. */
static enum err item_judge(struct reserving *all, struct reserve_item *item)
{
    const struct product_reserve *in = item->in;
    struct arena scratch = {0};
    struct reserve_found *found = arena_alloc(&scratch, (in->lines.count + 1) * sizeof *found);
    for (uint32_t i = 0; i < in->lines.count; i++) {
        const struct goods *goods = shelf_goods(&all->shelf, in->lines.items[i].product_id);
        found[i] = (struct reserve_found){0};
        if (goods) {
            line_look(all, in, goods, &found[i]);
        }
    }
    enum err e = reserve_judge(in, found, item->act->fault);
    if (e == ERR_NONE) {
        item_take(all, item, found);
        item_answer(item, found);
    }
    arena_release(&scratch);
    return e;
}

/* ---- all of them ---- */

static void items_fail(struct reserving *all, const struct fault *why)
{
    for (size_t i = 0; i < all->count; i++) {
        all->items[i].status = product_fault_share(all->items[i].act, why);
    }
}

/* What is not written here is found as an entry, and written by whoever looks next. */
static void mirrors_write(struct reserving *all)
{
    struct fault ignored;
    struct mongo_bulk *bulk = mongo_bulk_new(product_db(all->shelf.self), hold_collection, false);
    fault_init(&ignored, NULL);
    for (uint32_t i = 0; i < all->mirror_count; i++) {
        mirror_put(bulk, all->mirrors[i].product_id, &all->mirrors[i].entry, all->shelf.act->now_ms,
                   all->shelf.act->arena);
    }
    (void)!mongo_bulk_run(&bulk, &ignored, NULL);
}

/* One reading, one decision, one writing. *out_done: nobody came between. */
static enum err reserve_once(struct reserving *all, bool *out_done)
{
    enum err e = shelf_fill(all);
    for (size_t i = 0; e == ERR_NONE && i < all->count; i++) {
        struct product_act *act = all->items[i].act;
        fault_init(act->fault, act->arena); /* a try before this one may have refused it */
        all->items[i].status = item_judge(all, &all->items[i]);
    }
    return e == ERR_NONE ? shelf_write(&all->shelf, out_done) : e;
}

void product_mongo_reserve_all(struct product_store *self, struct reserve_item *items, size_t count)
{
    AUTO(arena_release) struct arena arena = {0};
    struct fault fault;
    struct product_act act = *items[0].act;
    fault_init(&fault, &arena);
    act.arena = &arena;
    act.fault = &fault;
    struct reserving all = {.shelf = {.self = self, .act = &act},
                            .items = items,
                            .count = count};
    int tries = 0;
    bool done = false;
    enum err e;
    do {
        e = reserve_once(&all, &done);
    } while (e == ERR_NONE && !done && (e = product_try_again(self, &fault, &tries)) == ERR_NONE);
    if (e != ERR_NONE) {
        items_fail(&all, &fault);
        return;
    }
    mirrors_write(&all);
}

enum err product_mongo_reserve(struct product_store *self, struct product_act *act, const struct product_reserve *in,
                               struct product_reserved *out)
{
    struct reserve_item item = {.act = act, .in = in, .out = out};
    product_mongo_reserve_all(self, &item, 1);
    return item.status;
}
