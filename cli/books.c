#include "cli/books.h"

#include "order-svc/archive.h"
#include "order-svc/store.h"
#include "product-svc/archive.h"
#include "product-svc/rules.h"
#include "product-svc/store.h"

/* Of machines of one shop; much less than the time after which ended holds are forgotten. */
enum { CLOCKS_MAX_APART_MS = 3600 * 1000 };
_Static_assert(CLOCKS_MAX_APART_MS * INT64_C(4) < PRODUCT_KEEP_MS, "a newer order's hold is never a forgotten one");

enum books_hold_is books_hold_wanted(int order_status)
{
    switch ((enum order_status)order_status) {
    case ORDER_PENDING:
    case ORDER_CONFIRMED: return BOOKS_CONFIRMED;
    case ORDER_SHIPPED:
    case ORDER_DELIVERED: return BOOKS_COMMITTED;
    case ORDER_CANCELLED: return BOOKS_RELEASED;
    case order_status_count: break;
    }
    return BOOKS_AS_IT_IS;
}

bool books_may_lack(enum books_hold_is wanted, int64_t placed_ms, int64_t begun_ms)
{
    switch (wanted) {
    case BOOKS_CONFIRMED: return false;
    case BOOKS_COMMITTED: return placed_ms < begun_ms - CLOCKS_MAX_APART_MS;
    case BOOKS_RELEASED:
    case BOOKS_AS_IT_IS: break;
    }
    return true; /* it keeps nothing */
}

/* Pieces that a hold keeps from the stock. */
static int64_t kept_by(const struct archived_hold *hold)
{
    return hold->found && hold->state != HOLD_IS_RELEASED ? hold->quantity : 0;
}

static void change_count(const struct archived_hold *before, const struct hold_change *change, int64_t missing,
                         struct books *books)
{
    books->holds_made += !before->found;
    if (before->found && before->state != change->hold.state) {
        books->holds_confirmed += change->hold.state == HOLD_IS_CONFIRMED;
        books->holds_released += change->hold.state == HOLD_IS_RELEASED;
        books->holds_committed += change->hold.state == HOLD_IS_COMMITTED;
    }
    books->pieces_returned += change->stock_delta > 0 ? change->stock_delta : 0;
    books->pieces_taken += change->stock_delta < 0 ? -change->stock_delta - missing : 0;
    books->pieces_short += missing;
}

/* Makes the hold what it is to be, if it is not. */
static enum err hold_make(struct archive *archive, struct hold_change *change, const struct archived_hold *before,
                          struct books *books, struct fault *fault)
{
    int64_t missing = 0;
    change->hold.found = true;
    if (before->found && before->state == change->hold.state && before->quantity == change->hold.quantity) {
        return ERR_NONE;
    }
    change->stock_delta = kept_by(before) - kept_by(&change->hold);
    enum err e = product_archive_change(archive, change, fault, &missing);
    if (e == ERR_NONE) {
        change_count(before, change, missing, books);
    }
    return e;
}

static enum err line_settle(struct archive *archive, const struct order *order, const struct order_line *line,
                            struct hold_change change, struct books *books, struct fault *fault)
{
    AUTO(arena_release) struct arena arena = {0};
    struct archived_hold before;
    enum books_hold_is wanted = books_hold_wanted((int)order->status);
    enum err e = product_archive_hold(archive, order->id, line->product_id, &arena, fault, &before);
    if (e != ERR_NONE || wanted == BOOKS_AS_IT_IS ||
        (!before.found && books_may_lack(wanted, order->created_at, books->begun_ms))) {
        return e;
    }
    change.product_id = line->product_id;
    change.hold.quantity = line->quantity;
    change.hold.state = wanted == BOOKS_CONFIRMED  ? HOLD_IS_CONFIRMED
                        : wanted == BOOKS_RELEASED ? HOLD_IS_RELEASED
                                                   : HOLD_IS_COMMITTED;
    if (wanted == BOOKS_RELEASED) {
        change.hold.quantity = before.quantity;
    }
    return hold_make(archive, &change, &before, books, fault);
}

enum err books_order(struct archive *archive, const struct archive_row *row, int64_t now_ms, struct books *books,
                     struct fault *fault)
{
    AUTO(arena_release) struct arena arena = {0};
    struct hold_change change = {.now_ms = now_ms};
    struct order order;
    struct text kind = {0}, document = {0};
    if (!archive_get_text(row, "kind", &kind) || !text_is(kind, "placed")) {
        return ERR_NONE;
    }
    if (!archive_get_text(row, "document", &document) ||
        !archive_get_text(row, "fingerprint", &change.hold.fingerprint) ||
        record_unpack(&order_record, document, &arena, NULL, &order) != ERR_NONE) {
        fault_cause(fault, "an order of the backup cannot be read");
        return fault_set(fault, ERR_INTERNAL, NULL);
    }
    change.order_id = order.id;
    books->orders_asked++;
    enum err e = ERR_NONE;
    for (uint32_t i = 0; e == ERR_NONE && i < order.lines.count; i++) {
        e = line_settle(archive, &order, &order.lines.items[i], change, books, fault);
    }
    return e;
}

static bool is_ordered(const struct order *order, struct text product_id)
{
    for (uint32_t i = 0; i < order->lines.count; i++) {
        if (text_equal(order->lines.items[i].product_id, product_id)) {
            return true;
        }
    }
    return false;
}

static enum err order_void(struct order_store *orders, struct text order_id, int64_t now_ms, struct books *books,
                           struct fault *fault)
{
    const struct order_entry tombstone = {.kind = ORDER_VOID, .due = HOLDS_NOTHING_DUE};
    bool taken = false;
    enum err e = order_store_refuse(orders, order_id, &tombstone, now_ms, fault, &taken);
    books->orders_voided += e == ERR_NONE && !taken;
    return e;
}

/* What no placed order has goes back. */
enum err books_hold(struct archive *archive, const struct archive_row *row, int64_t now_ms, struct books *books,
                    struct fault *fault)
{
    AUTO(arena_release) struct arena arena = {0};
    struct hold_change change = {.now_ms = now_ms};
    struct archived_hold before;
    struct order_entry entry;
    struct sqlite_db *db = archive_sqlite(archive, &order_archive);
    if (!archive_get_text(row, "order_id", &change.order_id) ||
        !archive_get_text(row, "product_id", &change.product_id)) {
        fault_cause(fault, "a hold of the backup cannot be read");
        return fault_set(fault, ERR_INTERNAL, NULL);
    }
    struct order_store *orders =
        db ? order_store_sqlite_new(db) : order_store_mongo_new(archive_mongo(archive, &order_archive));
    enum err e = order_store_find(orders, change.order_id, &arena, fault, &entry);
    if (e == ERR_NONE) {
        e = product_archive_hold(archive, change.order_id, change.product_id, &arena, fault, &before);
    }
    bool is_placed = e == ERR_NONE && entry.kind == ORDER_PLACED && is_ordered(&entry.order, change.product_id);
    if (e == ERR_NONE && !is_placed && before.found && before.state != HOLD_IS_RELEASED) {
        e = entry.kind == ORDER_ABSENT ? order_void(orders, change.order_id, now_ms, books, fault) : ERR_NONE;
        change.hold = before;
        change.hold.state = HOLD_IS_RELEASED;
        e = e == ERR_NONE ? hold_make(archive, &change, &before, books, fault) : e;
    }
    order_store_destroy(&orders);
    return e;
}

enum err books_pending(struct archive *archive, const struct archive_row *row, int64_t now_ms, struct fault *fault,
                       bool *out_changed)
{
    AUTO(arena_release) struct arena arena = {0};
    struct hold_change change = {.now_ms = now_ms, .hold = {.found = true}};
    struct archived_hold before;
    struct text kind = {0};
    int64_t missing = 0;
    if (!archive_get_text(row, "order_id", &change.order_id) ||
        !archive_get_text(row, "product_id", &change.product_id) || !archive_get_text(row, "kind", &kind) ||
        !archive_get_text(row, "fingerprint", &change.hold.fingerprint) ||
        !archive_get_int(row, "quantity", &change.hold.quantity)) {
        fault_cause(fault, "an entry of a product of the backup cannot be read");
        return fault_set(fault, ERR_INTERNAL, NULL);
    }
    bool undo = text_is(kind, "undo");
    enum err e = product_archive_hold(archive, change.order_id, change.product_id, &arena, fault, &before);
    bool changes = e == ERR_NONE && (undo ? before.found && before.state != HOLD_IS_RELEASED : !before.found);
    if (changes) {
        change.hold.state = undo ? HOLD_IS_RELEASED : HOLD_IS_HELD; /* the stock says so already */
        e = product_archive_change(archive, &change, fault, &missing);
    }
    if (e == ERR_NONE) {
        *out_changed = changes;
    }
    return e;
}
