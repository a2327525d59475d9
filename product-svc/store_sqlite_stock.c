/* Changes of a product's stock, and telling them. */
#include "lib/base/invariant.h"
#include "product-svc/news.h"
#include "product-svc/store_sqlite.h"

_Static_assert(STOCK_MAX == 1000000000, "spelled out below");
#define NEWS_COLUMNS "id, sku, price, currency, min(stock, 1000000000), active, version, stock_changes"
enum { NEWS_COLUMN_COUNT = 8 };

/* What an event shows of a product, and the count that names it. */
struct stock_seen {
    struct product product;
    int64_t change_count;
};

/* Columns: NEWS_COLUMNS. */
static void seen_read(sqlite3_stmt *row, struct arena *arena, struct stock_seen *out)
{
    *out = (struct stock_seen){.product = {.id = sqlite_text_at(row, 0, arena),
                                           .sku = sqlite_text_at(row, 1, arena),
                                           .price = sqlite_int_at(row, 2),
                                           .currency = sqlite_text_at(row, 3, arena),
                                           .stock = sqlite_int_at(row, 4),
                                           .active = sqlite_int_at(row, 5) != 0,
                                           .version = sqlite_int_at(row, 6)},
                               .change_count = sqlite_int_at(row, 7)};
}

static enum err seen_tell(struct product_store *self, struct product_act *act, enum event_type type,
                          const struct stock_seen *seen)
{
    struct event_new event;
    stock_news_make(act, type, &seen->product, seen->change_count, &event);
    return product_event_add(self, act, &event);
}

enum err product_sqlite_stock_add(struct product_store *self, struct product_act *act, struct text product_id,
                                  int64_t pieces)
{
    bool row;
    enum event_type type;
    struct stock_seen seen = {0};
    sqlite3_stmt *add = product_prepare(self, act,
                                        "UPDATE products SET stock = stock + ?2, stock_changes = stock_changes + 1,"
                                        " news = retired_at IS NULL WHERE id = ?1"
                                        " RETURNING " NEWS_COLUMNS ", stock, news");
    if (!add) {
        return act->fault->code;
    }
    sqlite_bind_text_at(add, 1, product_id);
    sqlite_bind_int_at(add, 2, pieces);
    enum err e = product_step(self, act, add, &row);
    if (e != ERR_NONE || !row) {
        return e;
    }
    int64_t stock = sqlite_int_at(add, NEWS_COLUMN_COUNT);
    bool due = sqlite_int_at(add, NEWS_COLUMN_COUNT + 1) != 0 && stock_news_due(act, stock - pieces, stock, &type);
    if (due) {
        seen_read(add, act->arena, &seen);
    }
    (void)sqlite3_reset(add);
    return due ? seen_tell(self, act, type, &seen) : ERR_NONE;
}

/* The oldest products with news, as many as may be told, and the last one's row. */
static enum err news_read(struct product_store *self, struct product_act *act, struct stock_seen *seen,
                          uint32_t *out_count, int64_t *out_last)
{
    bool row;
    sqlite3_stmt *list = product_prepare(
        self, act, "SELECT " NEWS_COLUMNS ", row FROM products WHERE news = 1 ORDER BY row LIMIT ?1");
    if (!list) {
        return act->fault->code;
    }
    sqlite_bind_int_at(list, 1, PRODUCT_TELL_MAX);
    enum err e = product_step(self, act, list, &row);
    for (*out_count = 0; e == ERR_NONE && row; e = product_step(self, act, list, &row)) {
        seen_read(list, act->arena, &seen[(*out_count)++]);
        *out_last = sqlite_int_at(list, NEWS_COLUMN_COUNT);
    }
    return e;
}

enum err product_sqlite_tell_stock(struct product_store *self, struct product_act *act, bool *out_more)
{
    uint32_t count = 0;
    int64_t last = 0;
    struct stock_seen *seen = arena_alloc(act->arena, PRODUCT_TELL_MAX * sizeof *seen);
    enum err e = news_read(self, act, seen, &count, &last);
    for (uint32_t i = 0; e == ERR_NONE && i < count; i++) {
        e = seen_tell(self, act, EVENT_PRODUCT_STOCK_CHANGED, &seen[i]);
    }
    if (e == ERR_NONE && count > 0) {
        sqlite3_stmt *told =
            product_prepare(self, act, "UPDATE products SET news = 0 WHERE news = 1 AND row <= ?1");
        if (!told) {
            return act->fault->code;
        }
        sqlite_bind_int_at(told, 1, last);
        e = product_run(self, act, told);
    }
    if (e == ERR_NONE) {
        *out_more = count == PRODUCT_TELL_MAX;
    }
    return e;
}
