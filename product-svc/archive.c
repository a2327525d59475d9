/* Products, holds and kept answers as rows. What is searched is made anew. Answers to edits of the catalogue, kept for
 * 48 h, do not move between SQLite and MongoDB, which keep them differently. */
#include "product-svc/archive.h"

#include "product-svc/rules.h"
#include "product-svc/store_mongo.h"
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
    if (!wire_read_map(&wire, &count) || count != 1 || !wire_read_text(&wire, &text) ||
        !wire_read_array(&wire, &count)) {
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

/* ---- documents ---- */

static const struct archive_field product_fields[] = {
    {"fingerprint", "fingerprint", ARCHIVE_TEXT}, {"retired_at", "retired_at", ARCHIVE_INT},
    {"price_decimal", "price_decimal", ARCHIVE_INT}, {"name_key", "name_key", ARCHIVE_TEXT},
    {"sku_key", "sku_key", ARCHIVE_TEXT}, {"stock_changes", "changes", ARCHIVE_INT}, {0}};

/* The refusal of a request that was to add a product has its id, and is none. */
static enum err product_from(const bson_t *document, struct arena *arena, struct fault *fault, struct archive_row *row)
{
    struct product *product = arena_alloc(arena, sizeof *product);
    bool news = false;
    if (!bson_has_field(document, "product")) {
        row->count = 0;
        return ERR_NONE;
    }
    enum err e = bson_read_record_at(document, "product", &product_record, arena, fault, product);
    if (e == ERR_NONE && !bson_get_int(document, "stock", &product->stock)) {
        e = product_unreadable(fault, "stock");
    }
    if (e == ERR_NONE) {
        (void)!bson_get_bool(document, "news", &news);
        archive_put_record(row, &product_record, product, arena);
        archive_put_int(row, "news", news);
    }
    return e;
}

static enum err product_to(const struct archive_row *row, struct arena *arena, struct fault *fault, bson_t *document)
{
    struct product *product = arena_alloc(arena, sizeof *product);
    struct text fingerprint = {0}, name_key = {0}, sku_key = {0};
    int64_t change_count = 0, news = 0, retired_at = 0, price_decimal = 0;
    enum err e = archive_get_record(row, &product_record, arena, fault, product);
    if (e != ERR_NONE) {
        return e;
    }
    (void)!archive_get_text(row, "fingerprint", &fingerprint);
    (void)!archive_get_int(row, "stock_changes", &change_count);
    (void)!archive_get_int(row, "news", &news);
    bson_put_text(document, "_id", product->id);
    bson_put_text(document, "fingerprint", fingerprint);
    bson_put_int(document, "stock", product->stock);
    bson_put_int(document, "ver", 1);
    bson_put_int(document, "changes", change_count);
    bson_put_int(document, "told", news ? change_count - 1 : change_count);
    product->stock = product->stock < STOCK_MAX ? product->stock : STOCK_MAX;
    if (!archive_get_int(row, "retired_at", &retired_at)) {
        bson_put_bool(document, "live", true);
        product_put_all(document, product, arena);
        if (news) {
            bson_put_bool(document, "news", true);
        }
        return ERR_NONE;
    }
    (void)!archive_get_text(row, "name_key", &name_key);
    (void)!archive_get_text(row, "sku_key", &sku_key);
    (void)!archive_get_int(row, "price_decimal", &price_decimal);
    bson_put_record(document, "product", &product_record, product);
    bson_put_int(document, "retired_at", retired_at);
    bson_put_int(document, "price_decimal", price_decimal);
    bson_put_text(document, "name_key", name_key);
    bson_put_text(document, "sku_key", sku_key);
    return ERR_NONE;
}

static const struct archive_field hold_fields[] = {
    {"order_id", "order", ARCHIVE_TEXT},     {"product_id", "product", ARCHIVE_TEXT},
    {"quantity", "quantity", ARCHIVE_INT},   {"fingerprint", "fingerprint", ARCHIVE_TEXT},
    {"state", "state", ARCHIVE_INT},         {"created_at", "created_at", ARCHIVE_INT}, {0}};

static enum err hold_from(const bson_t *document, struct arena *arena, struct fault *fault, struct archive_row *row)
{
    int64_t changed_at = 0;
    (void)arena;
    (void)fault;
    if (!bson_get_int(document, "ended_at", &changed_at)) {
        (void)!bson_get_int(document, "created_at", &changed_at);
    }
    archive_put_int(row, "changed_at", changed_at);
    return ERR_NONE;
}

static void put_hold_times(bson_t *to, int64_t state, int64_t created_at, int64_t changed_at)
{
    if (state == HOLD_IS_HELD) {
        bson_put_int(to, "open_at", created_at);
    } else if (state != HOLD_IS_CONFIRMED) {
        bson_put_int(to, "ended_at", changed_at);
    }
}

static enum err hold_to(const struct archive_row *row, struct arena *arena, struct fault *fault, bson_t *document)
{
    struct text order_id = {0}, product_id = {0};
    int64_t state = 0, created_at = 0, changed_at = 0;
    if (!archive_get_text(row, "order_id", &order_id) || !archive_get_text(row, "product_id", &product_id) ||
        !archive_get_int(row, "state", &state) || !archive_get_int(row, "created_at", &created_at) ||
        !archive_get_int(row, "changed_at", &changed_at)) {
        fault_cause(fault, "an archived hold cannot be read");
        return fault_set(fault, ERR_INTERNAL, NULL);
    }
    bson_put_text(document, "_id", hold_id(order_id, product_id, arena));
    put_hold_times(document, state, created_at, changed_at);
    return ERR_NONE;
}

/* A hold's document may be newer than what was read of its product. */
static bool hold_as_of(const bson_t *document, int64_t version, struct archive_row *row)
{
    int64_t created_at = 0;
    if (get_ver(document, taken_field) > version) {
        return false;
    }
    if (get_ver(document, released_field) > version && archive_get_int(row, "created_at", &created_at)) {
        archive_replace_int(row, "state", HOLD_IS_HELD);
        archive_replace_int(row, "changed_at", created_at);
    }
    return true;
}

static enum err entry_visit(const bson_t *entry, int64_t version, struct archive_row *row, archive_visit *visit,
                            void *user, struct fault *fault)
{
    struct text order_id, kind, fingerprint;
    int64_t quantity;
    if (!bson_get_text(entry, "order", NULL, &order_id) || !bson_get_text(entry, "kind", NULL, &kind) ||
        !bson_get_text(entry, "fingerprint", NULL, &fingerprint) || !bson_get_int(entry, "quantity", &quantity)) {
        return product_unreadable(fault, "pending entry");
    }
    if (get_ver(entry, taken_field) > version) {
        return ERR_NONE;
    }
    archive_put_text(row, "order_id", ARCHIVE_TEXT, order_id);
    archive_put_text(row, "kind", ARCHIVE_TEXT, get_ver(entry, released_field) > version ? text_of("hold") : kind);
    archive_put_text(row, "fingerprint", ARCHIVE_TEXT, fingerprint);
    archive_put_int(row, "quantity", quantity);
    return visit(user, row, fault);
}

/* What stood in a product, when it was read as a row, for its hold's document, which may not be written yet. What is
 * gone since then has its document, which is read later. */
static enum err pending_each(const bson_t *document, int64_t version, archive_visit *visit, void *user,
                             struct fault *fault)
{
    bson_t pending;
    bson_iter_t at;
    struct text product_id = {0};
    enum err e = ERR_NONE;
    (void)!bson_get_text(document, "_id", NULL, &product_id);
    if (!bson_get_document(document, "pending", &pending) || !bson_iter_init(&at, &pending)) {
        return ERR_NONE;
    }
    while (e == ERR_NONE && bson_iter_next(&at)) {
        struct archive_row row = {0};
        const uint8_t *data = NULL;
        uint32_t size = 0;
        bson_t entry;
        if (BSON_ITER_HOLDS_DOCUMENT(&at)) {
            bson_iter_document(&at, &size, &data);
        }
        if (!data || !bson_init_static(&entry, data, size)) {
            return product_unreadable(fault, "pending entry");
        }
        archive_put_text(&row, "product_id", ARCHIVE_TEXT, product_id);
        e = entry_visit(&entry, version, &row, visit, user, fault);
    }
    return e;
}

/* ---- kinds ---- */

static const struct archive_kind kinds[] = {
    {.name = "products",
     .select = "SELECT id, name, description, sku, price, currency, price_decimal, stock, categories, images, active, "
               "version,"
               " created_at, updated_at, retired_at, name_key, sku_key, fingerprint, stock_changes, news FROM products"
               " ORDER BY id",
     .inserts =
         {"INSERT INTO products(id, name, description, sku, price, currency, price_decimal, stock, categories, images,"
          " active, version, created_at, updated_at, retired_at, name_key, sku_key, fingerprint, stock_changes, news)"
          " VALUES(:id, :name, :description, :sku, :price, :currency, :price_decimal, :stock, :categories, :images,"
          " :active, :version, :created_at, :updated_at, :retired_at, :name_key, :sku_key, :fingerprint,"
          " :stock_changes, :news)"},
     .inserted = product_inserted,
     .collection = "products",
     .fields = product_fields,
     .from_document = product_from,
     .to_document = product_to,
     .version = "ver"},
    {.name = "pending",
     .select = "SELECT order_id FROM holds WHERE 0",
     .collection = "products",
     .each = pending_each,
     .owner = "_id",
     .is_told = true},
    {.name = "holds",
     .select = "SELECT order_id, product_id, quantity, fingerprint, state, created_at,"
               " CASE WHEN state >= 2 THEN changed_at ELSE created_at END AS changed_at FROM holds" /* of use when it
                                                                                                       has ended */
               " ORDER BY order_id, product_id",
     .inserts = {"INSERT INTO holds(order_id, product_id, quantity, fingerprint, state, created_at, changed_at)"
                 " VALUES(:order_id, :product_id, :quantity, :fingerprint, :state, :created_at, :changed_at)"},
     .collection = "holds",
     .fields = hold_fields,
     .from_document = hold_from,
     .to_document = hold_to,
     .owner = "product",
     .as_of = hold_as_of},
    {.name = "answers",
     .select = "SELECT request_id, fingerprint, kind, body, created_at FROM answers ORDER BY request_id",
     .inserts = {"INSERT INTO answers(request_id, fingerprint, kind, body, created_at)"
                 " VALUES(:request_id, :fingerprint, :kind, :body, :created_at)"}},
    {.name = "outbox",
     .select = "SELECT event FROM outbox ORDER BY position",
     .collection = "products",
     .is_outbox = true},
};

const struct archive_part product_archive = {"product", &product_sqlite_schema, &product_mongo_schema, kinds,
                                             ARRAY_COUNT(kinds)};

/* ---- settling ---- */

static enum err sqlite_hold(struct sqlite_db *db, struct text order_id, struct text product_id, struct arena *arena,
                            struct fault *fault, struct archived_hold *out)
{
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
static enum err stock_change(struct sqlite_db *db, const struct hold_change *change, struct fault *fault,
                             int64_t *out_short)
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

static enum err sqlite_change(struct sqlite_db *db, const struct hold_change *change, struct fault *fault,
                              int64_t *out_short)
{
    sqlite3_stmt *put =
        sqlite_prepare(db,
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

static enum err mongo_document(struct mongo_db *db, const char *collection, struct text id, struct arena *arena,
                               struct fault *fault, bson_t *out, bool *out_found)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    bson_put_text(&filter, "_id", id);
    const struct mongo_query query = {.collection = collection, .filter = &filter, .newest = true};
    return mongo_find_one(db, &query, arena, fault, out, out_found);
}

static enum err mongo_hold(struct mongo_db *db, struct text order_id, struct text product_id, struct arena *arena,
                           struct fault *fault, struct archived_hold *out)
{
    struct archived_hold hold = {0};
    bson_t document;
    enum err e =
        mongo_document(db, hold_collection, hold_id(order_id, product_id, arena), arena, fault, &document, &hold.found);
    if (e == ERR_NONE && hold.found &&
        !(bson_get_int(&document, "quantity", &hold.quantity) && bson_get_int(&document, "state", &hold.state) &&
          bson_get_text(&document, "fingerprint", arena, &hold.fingerprint))) {
        return product_unreadable(fault, "hold");
    }
    if (e == ERR_NONE) {
        *out = hold;
    }
    return e;
}

static enum err mongo_stock_change(struct mongo_db *db, const struct hold_change *change, struct fault *fault,
                                   int64_t *out_short)
{
    AUTO(arena_release) struct arena arena = {0};
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t update = BSON_INITIALIZER;
    bson_t document, set;
    int64_t stock = 0, change_count = 0;
    bool found = false, live = false;
    enum err e = mongo_document(db, product_collection, change->product_id, &arena, fault, &document, &found);
    if (e != ERR_NONE || !found) {
        *out_short = e == ERR_NONE && change->stock_delta < 0 ? -change->stock_delta : 0;
        return e;
    }
    (void)!bson_get_int(&document, "stock", &stock);
    (void)!bson_get_int(&document, "changes", &change_count);
    (void)!bson_get_bool(&document, "live", &live);
    int64_t next = stock + change->stock_delta;
    *out_short = next < 0 ? -next : 0;
    bson_put_text(&filter, "_id", change->product_id);
    BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &set);
    if (live) {
        product_put_stock(&set, next < 0 ? 0 : next, change_count + 1);
    } else {
        bson_put_int(&set, "stock", next < 0 ? 0 : next);
    }
    bson_append_document_end(&update, &set);
    return mongo_update(db, product_collection, &filter, &update, fault, &found);
}

static enum err mongo_change(struct mongo_db *db, const struct hold_change *change, struct fault *fault,
                             int64_t *out_short)
{
    AUTO(arena_release) struct arena arena = {0};
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t update = BSON_INITIALIZER;
    static const char *const both[] = {"open_at", "ended_at", NULL};
    static const char *const open_only[] = {"open_at", NULL};
    int64_t state = change->hold.state;
    bson_t part;
    bool was_there;
    bson_put_text(&filter, "_id", hold_id(change->order_id, change->product_id, &arena));
    BSON_APPEND_DOCUMENT_BEGIN(&update, "$setOnInsert", &part);
    bson_put_text(&part, "order", change->order_id);
    bson_put_text(&part, "product", change->product_id);
    bson_put_text(&part, "fingerprint", change->hold.fingerprint);
    bson_put_int(&part, "created_at", change->now_ms);
    bson_append_document_end(&update, &part);
    BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &part);
    bson_put_int(&part, "quantity", change->hold.quantity);
    bson_put_int(&part, "state", change->hold.state);
    put_hold_times(&part, change->hold.state, change->now_ms, change->now_ms);
    bson_append_document_end(&update, &part);
    mongo_put_unset(&update, state == HOLD_IS_HELD ? both + 1 : state == HOLD_IS_CONFIRMED ? both : open_only);
    *out_short = 0;
    enum err e = mongo_upsert(db, hold_collection, &filter, &update, fault, &was_there);
    return e == ERR_NONE && change->stock_delta != 0 ? mongo_stock_change(db, change, fault, out_short) : e;
}

/* ---- both ---- */

enum err product_archive_hold(struct archive *archive, struct text order_id, struct text product_id,
                              struct arena *arena, struct fault *fault, struct archived_hold *out)
{
    struct sqlite_db *db = archive_sqlite(archive, &product_archive);
    return db ? sqlite_hold(db, order_id, product_id, arena, fault, out)
              : mongo_hold(archive_mongo(archive, &product_archive), order_id, product_id, arena, fault, out);
}

enum err product_archive_change(struct archive *archive, const struct hold_change *change, struct fault *fault,
                                int64_t *out_short)
{
    struct sqlite_db *db = archive_sqlite(archive, &product_archive);
    return db ? sqlite_change(db, change, fault, out_short)
              : mongo_change(archive_mongo(archive, &product_archive), change, fault, out_short);
}
