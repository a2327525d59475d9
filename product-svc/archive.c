/* Products, holds and kept answers as rows; on SQLite. What is searched is made anew. */
#include "product-svc/archive.h"

#include "product-svc/words.h"
#include "proto/product.h"
#include "proto/wire.h"

extern const struct sqlite_schema product_sqlite_schema;

/* ---- what is searched ---- */

static enum err words_write(struct sqlite_db *db, const struct archive_row *row, int64_t number, struct fault *fault)
{
    static const char *const columns[] = {"name", "sku", "description"};
    struct buffer words[ARRAY_COUNT(columns)];
    sqlite3_stmt *write =
        sqlite_prepare(db, "INSERT INTO product_words(rowid, name, sku, description) VALUES(?1, ?2, ?3, ?4)", fault);
    if (!write) {
        return ERR_SERVICE_UNAVAILABLE;
    }
    sqlite_bind_int_at(write, 1, number);
    for (size_t i = 0; i < ARRAY_COUNT(columns); i++) {
        struct text text = {0};
        buffer_init(&words[i], WORDS_MAX_SIZE);
        if (archive_get_text(row, columns[i], &text) && text_is_utf8(text)) {
            words_fold(text, &words[i]);
        }
        sqlite_bind_text_at(write, (int)i + 2, buffer_text(&words[i]));
    }
    enum err e = sqlite_run(db, write, fault);
    for (size_t i = 0; i < ARRAY_COUNT(columns); i++) {
        buffer_release(&words[i]);
    }
    return e;
}

/* {"categories": [...]}, as the column has it. */
static enum err categories_write(struct sqlite_db *db, struct text packed, int64_t number, struct fault *fault)
{
    struct wire wire = wire_of(packed);
    struct text text;
    uint32_t count;
    enum err e = ERR_NONE;
    if (!wire_read_map(&wire, &count) || count != 1 || !wire_read_text(&wire, &text) || !wire_read_array(&wire, &count)) {
        fault_cause(fault, "the categories of an archived product cannot be read");
        return fault_set(fault, ERR_INTERNAL, NULL);
    }
    for (uint32_t i = 0; e == ERR_NONE && i < count && wire_read_text(&wire, &text); i++) {
        sqlite3_stmt *write =
            sqlite_prepare(db, "INSERT OR IGNORE INTO product_categories(category, product) VALUES(?1, ?2)", fault);
        if (!write) {
            return ERR_SERVICE_UNAVAILABLE;
        }
        sqlite_bind_text_at(write, 1, text);
        sqlite_bind_int_at(write, 2, number);
        e = sqlite_run(db, write, fault);
    }
    return e;
}

static enum err product_inserted(struct sqlite_db *db, const struct archive_row *row, struct fault *fault)
{
    struct text id = {0}, categories = {0};
    int64_t number = 0;
    sqlite3_stmt *find = sqlite_prepare(db, "SELECT row FROM products WHERE id = ?1", fault);
    if (archive_find(row, "retired_at")) {
        return ERR_NONE; /* nobody finds it any more */
    }
    if (!find || !archive_get_text(row, "id", &id) || !archive_get_text(row, "categories", &categories)) {
        return fault_set(fault, ERR_INTERNAL, NULL);
    }
    sqlite_bind_text_at(find, 1, id);
    while (sqlite_step(db, find, fault) == SQLITE_STEP_ROW) {
        number = sqlite_int_at(find, 0);
    }
    enum err e = words_write(db, row, number, fault);
    return e == ERR_NONE ? categories_write(db, categories, number, fault) : e;
}

/* ---- kinds ---- */

static const struct archive_kind kinds[] = {
    {.name = "products",
     .select = "SELECT id, name, description, sku, price, currency, price_decimal, stock, categories, images, active, version,"
               " created_at, updated_at, retired_at, name_key, sku_key, fingerprint, stock_changes, news FROM products"
               " ORDER BY id",
     .inserts = {"INSERT INTO products(id, name, description, sku, price, currency, price_decimal, stock, categories, images,"
                 " active, version, created_at, updated_at, retired_at, name_key, sku_key, fingerprint, stock_changes, news)"
                 " VALUES(:id, :name, :description, :sku, :price, :currency, :price_decimal, :stock, :categories, :images,"
                 " :active, :version, :created_at, :updated_at, :retired_at, :name_key, :sku_key, :fingerprint,"
                 " :stock_changes, :news)"},
     .inserted = product_inserted},
    {.name = "holds",
     .select = "SELECT order_id, product_id, quantity, fingerprint, state, created_at, changed_at FROM holds"
               " ORDER BY order_id, product_id",
     .inserts = {"INSERT INTO holds(order_id, product_id, quantity, fingerprint, state, created_at, changed_at)"
                 " VALUES(:order_id, :product_id, :quantity, :fingerprint, :state, :created_at, :changed_at)"}},
    {.name = "answers",
     .select = "SELECT request_id, fingerprint, kind, body, created_at FROM answers ORDER BY request_id",
     .inserts = {"INSERT INTO answers(request_id, fingerprint, kind, body, created_at)"
                 " VALUES(:request_id, :fingerprint, :kind, :body, :created_at)"}},
    {.name = "outbox", .select = "SELECT event FROM outbox ORDER BY position", .is_outbox = true},
};

const struct archive_part product_archive = {"product", &product_sqlite_schema, NULL, kinds, ARRAY_COUNT(kinds)};

/* ---- settling ---- */

enum err product_archive_hold(struct archive *archive, struct text order_id, struct text product_id, struct arena *arena,
                              struct fault *fault, struct archived_hold *out)
{
    struct sqlite_db *db = archive_sqlite(archive, &product_archive);
    sqlite3_stmt *find = sqlite_prepare(
        db, "SELECT quantity, state, fingerprint FROM holds WHERE order_id = ?1 AND product_id = ?2", fault);
    struct archived_hold hold = {0};
    enum sqlite_step_result step = SQLITE_STEP_FAILED;
    if (find) {
        sqlite_bind_text_at(find, 1, order_id);
        sqlite_bind_text_at(find, 2, product_id);
    }
    while (find && (step = sqlite_step(db, find, fault)) == SQLITE_STEP_ROW) {
        hold = (struct archived_hold){.found = true,
                                      .quantity = sqlite_int_at(find, 0),
                                      .state = sqlite_int_at(find, 1),
                                      .fingerprint = sqlite_text_at(find, 2, arena)};
    }
    if (step != SQLITE_STEP_DONE) {
        return ERR_SERVICE_UNAVAILABLE;
    }
    *out = hold;
    return ERR_NONE;
}

/* How much of a delta the stock allows. */
static enum err stock_change(struct sqlite_db *db, const struct hold_change *change, struct fault *fault, int64_t *out_short)
{
    sqlite3_stmt *find = sqlite_prepare(db, "SELECT stock FROM products WHERE id = ?1", fault);
    sqlite3_stmt *write = sqlite_prepare(db,
                                         "UPDATE products SET stock = ?2, stock_changes = stock_changes + 1,"
                                         " news = retired_at IS NULL WHERE id = ?1", fault);
    int64_t stock = 0;
    if (!find || !write) {
        return ERR_SERVICE_UNAVAILABLE;
    }
    sqlite_bind_text_at(find, 1, change->product_id);
    while (sqlite_step(db, find, fault) == SQLITE_STEP_ROW) {
        stock = sqlite_int_at(find, 0);
    }
    int64_t next = stock + change->stock_delta;
    *out_short = next < 0 ? -next : 0;
    sqlite_bind_text_at(write, 1, change->product_id);
    sqlite_bind_int_at(write, 2, next < 0 ? 0 : next);
    return sqlite_run(db, write, fault);
}

enum err product_archive_change(struct archive *archive, const struct hold_change *change, struct fault *fault,
                                int64_t *out_short)
{
    struct sqlite_db *db = archive_sqlite(archive, &product_archive);
    sqlite3_stmt *put = sqlite_prepare(db,
                                       "INSERT INTO holds(order_id, product_id, quantity, fingerprint, state, created_at,"
                                       " changed_at) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?6) ON CONFLICT(order_id, product_id) DO UPDATE"
                                       " SET quantity = excluded.quantity, state = excluded.state, changed_at = excluded.changed_at",
                                       fault);
    if (!put) {
        return ERR_SERVICE_UNAVAILABLE;
    }
    sqlite_bind_text_at(put, 1, change->order_id);
    sqlite_bind_text_at(put, 2, change->product_id);
    sqlite_bind_int_at(put, 3, change->hold.quantity);
    sqlite_bind_text_at(put, 4, change->hold.fingerprint);
    sqlite_bind_int_at(put, 5, change->hold.state);
    sqlite_bind_int_at(put, 6, change->now_ms);
    *out_short = 0;
    enum err e = sqlite_run(db, put, fault);
    return e == ERR_NONE && change->stock_delta != 0 ? stock_change(db, change, fault, out_short) : e;
}
