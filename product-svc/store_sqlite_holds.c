/* The inventory: what orders hold, and what goes back. Every reserve and settle is one transaction, so an order has all
 * of its lines or none; the primary key of holds (order, product) makes each repeatable, and CHECK(stock >= 0) is the
 * last word on overselling. */
#include "lib/base/invariant.h"
#include "product-svc/news.h"
#include "product-svc/store_sqlite.h"

enum { STALE_SCAN_MAX = 2048 }; /* holds looked at for one list of stale orders */

/* ---- reserving ---- */

static void read_found(sqlite3_stmt *look, const struct product_reserve *in, struct arena *arena,
                       struct reserve_found *out)
{
    *out = (struct reserve_found){
        .stock = sqlite_int_at(look, 0),
        .for_sale = sqlite_int_at(look, 1) != 0,
        .line = {.sku = sqlite_text_at(look, 2, arena),
                 .name = sqlite_text_at(look, 3, arena),
                 .price = sqlite_int_at(look, 4),
                 .currency = sqlite_text_at(look, 5, arena)},
        .has_hold = !sqlite_is_null_at(look, 6),
    };
    out->row = sqlite_int_at(look, 8);
    out->has_news = sqlite_int_at(look, 9) != 0;
    if (out->has_hold) {
        out->state = (enum hold_state)sqlite_int_at(look, 6);
        out->same_request = text_equal(sqlite_text_at(look, 7, NULL), in->fingerprint);
    }
}

/* Product and hold of one line, in one step. */
static enum err look_at(struct product_store *self, struct product_act *act, const struct product_reserve *in,
                        struct text product_id, struct reserve_found *out)
{
    bool row;
    sqlite3_stmt *look = product_prepare(
        self, act,
        "SELECT p.stock, p.active AND p.retired_at IS NULL, p.sku, p.name, p.price, p.currency, h.state,"
        " h.fingerprint, p.row, p.news FROM products p LEFT JOIN holds h ON h.order_id = ?1 AND h.product_id = ?2 "
        "WHERE p.id = ?2");
    if (!look) {
        return act->fault->code;
    }
    sqlite_bind_text_at(look, 1, in->order_id);
    sqlite_bind_text_at(look, 2, product_id);
    enum err e = product_step(self, act, look, &row);
    if (e != ERR_NONE) {
        return e;
    }
    if (row) {
        read_found(look, in, act->arena, out);
        out->line.product_id = product_id;
        (void)sqlite3_reset(look);
    }
    return ERR_NONE;
}

/* Mostly the stock's change is no news but that it changed, and that is marked: then less is to be done. */
static enum err stock_take(struct product_store *self, struct product_act *act, const struct reserve_line *line,
                           const struct reserve_found *found)
{
    enum event_type type;
    if (!found->has_news || stock_news_due(act, found->stock, found->stock - line->quantity, &type)) {
        return product_sqlite_stock_add(self, act, line->product_id, -line->quantity);
    }
    sqlite3_stmt *less = product_prepare(
        self, act, "UPDATE products SET stock = stock - ?2, stock_changes = stock_changes + 1 WHERE row = ?1");
    if (!less) {
        return act->fault->code;
    }
    sqlite_bind_int_at(less, 1, found->row);
    sqlite_bind_int_at(less, 2, line->quantity);
    return product_run(self, act, less);
}

static enum err take(struct product_store *self, struct product_act *act, const struct product_reserve *in,
                     const struct reserve_line *line, const struct reserve_found *found)
{
    enum err e = stock_take(self, act, line, found);
    if (e != ERR_NONE) {
        return e;
    }
    sqlite3_stmt *hold =
        product_prepare(self, act,
                        "INSERT INTO holds(order_id, product_id, quantity, fingerprint, state, created_at, changed_at)"
                        " VALUES(?1, ?2, ?3, ?4, 0, ?5, ?5)");
    if (!hold) {
        return act->fault->code;
    }
    sqlite_bind_text_at(hold, 1, in->order_id);
    sqlite_bind_text_at(hold, 2, line->product_id);
    sqlite_bind_int_at(hold, 3, line->quantity);
    sqlite_bind_text_at(hold, 4, in->fingerprint);
    sqlite_bind_int_at(hold, 5, act->now_ms);
    return product_run(self, act, hold);
}

enum err product_sqlite_reserve(struct product_store *self, struct product_act *act, const struct product_reserve *in,
                                struct product_reserved *out)
{
    uint32_t count = in->lines.count;
    struct reserve_found *found = arena_alloc(act->arena, count * sizeof *found);
    struct reserved_line *lines = arena_alloc(act->arena, count * sizeof *lines);
    for (uint32_t i = 0; i < count; i++) {
        enum err e = look_at(self, act, in, in->lines.items[i].product_id, &found[i]);
        if (e != ERR_NONE) {
            return e;
        }
        lines[i] = found[i].line;
    }
    enum err e = reserve_judge(in, found, act->fault);
    for (uint32_t i = 0; e == ERR_NONE && i < count; i++) {
        if (reserve_takes(&found[i])) {
            e = take(self, act, in, &in->lines.items[i], &found[i]);
        }
    }
    if (e == ERR_NONE) {
        *out = (struct product_reserved){0};
        out->lines.items = lines;
        out->lines.count = count;
    }
    return e;
}

/* ---- settling ---- */

struct hold {
    struct text product_id;
    int64_t quantity;
    enum hold_state state;
    bool same_request;
};

enum { HOLD_PAGE_MAX = 64 }; /* holds of an order that are looked at in one step */

struct hold_page {
    struct hold items[HOLD_PAGE_MAX];
    uint32_t count;
};

/* The holds behind a product's that a step may still move. */
static enum err holds_behind(struct product_store *self, struct product_act *act, const struct hold_order *order,
                             struct text product_id, struct hold_page *out)
{
    bool row;
    sqlite3_stmt *list =
        product_prepare(self, act,
                        "SELECT product_id, quantity, state, fingerprint FROM holds"
                        " WHERE order_id = ?1 AND product_id > ?2 AND state < 2 ORDER BY product_id LIMIT ?3");
    if (!list) {
        return act->fault->code;
    }
    out->count = 0;
    sqlite_bind_text_at(list, 1, order->order_id);
    sqlite_bind_text_at(list, 2, product_id);
    sqlite_bind_int_at(list, 3, HOLD_PAGE_MAX);
    enum err e = product_step(self, act, list, &row);
    while (e == ERR_NONE && row) {
        struct text fingerprint = sqlite_text_at(list, 3, NULL);
        out->items[out->count++] = (struct hold){
            .product_id = sqlite_text_at(list, 0, act->arena),
            .quantity = sqlite_int_at(list, 1),
            .state = (enum hold_state)sqlite_int_at(list, 2),
            .same_request = !has(hold_order, order, fingerprint) || text_equal(fingerprint, order->fingerprint),
        };
        e = product_step(self, act, list, &row);
    }
    return e;
}

static enum err hold_move(struct product_store *self, struct product_act *act, struct text order_id,
                          const struct hold *hold, enum hold_state next)
{
    sqlite3_stmt *move = product_prepare(
        self, act, "UPDATE holds SET state = ?3, changed_at = ?4 WHERE order_id = ?1 AND product_id = ?2");
    if (!move) {
        return act->fault->code;
    }
    sqlite_bind_text_at(move, 1, order_id);
    sqlite_bind_text_at(move, 2, hold->product_id);
    sqlite_bind_int_at(move, 3, next);
    sqlite_bind_int_at(move, 4, act->now_ms);
    enum err e = product_run(self, act, move);
    return e == ERR_NONE && next == HOLD_IS_RELEASED
               ? product_sqlite_stock_add(self, act, hold->product_id, hold->quantity)
               : e;
}

static enum err settle_order(struct product_store *self, struct product_act *act, const struct hold_order *order)
{
    struct hold_page page = {.count = HOLD_PAGE_MAX};
    struct text behind = TEXT("");
    enum err e = ERR_NONE;
    while (e == ERR_NONE && page.count == HOLD_PAGE_MAX) {
        e = holds_behind(self, act, order, behind, &page);
        for (uint32_t i = 0; e == ERR_NONE && i < page.count; i++) {
            const struct hold *hold = &page.items[i];
            enum hold_state next = hold_settle(hold->state, order->step, hold->same_request);
            e = next == hold->state ? ERR_NONE : hold_move(self, act, order->order_id, hold, next);
            behind = hold->product_id;
        }
    }
    return e;
}

enum err product_sqlite_settle(struct product_store *self, struct product_act *act, const struct product_settle *in)
{
    enum err e = ERR_NONE;
    for (uint32_t i = 0; e == ERR_NONE && i < in->orders.count; i++) {
        e = settle_order(self, act, &in->orders.items[i]);
    }
    return e;
}

/* ---- what nobody confirmed ---- */

enum err product_sqlite_stale_holds(struct product_store *self, struct product_act *act, int64_t before_ms,
                                    struct text_list *out_order_ids)
{
    bool row;
    struct text_list list = {.items = arena_alloc(act->arena, SETTLE_MAX * sizeof(struct text))};
    sqlite3_stmt *stale =
        product_prepare(self, act,
                        "SELECT DISTINCT order_id FROM (SELECT order_id FROM holds WHERE state = 0 AND created_at <= ?1"
                        " ORDER BY created_at LIMIT ?2) LIMIT ?3");
    if (!stale) {
        return act->fault->code;
    }
    sqlite_bind_int_at(stale, 1, before_ms);
    sqlite_bind_int_at(stale, 2, STALE_SCAN_MAX);
    sqlite_bind_int_at(stale, 3, SETTLE_MAX);
    enum err e = product_step(self, act, stale, &row);
    while (e == ERR_NONE && row) {
        list.items[list.count++] = sqlite_text_at(stale, 0, act->arena);
        e = product_step(self, act, stale, &row);
    }
    (void)sqlite3_reset(stale);
    if (e == ERR_NONE) {
        *out_order_ids = list;
    }
    return e;
}
