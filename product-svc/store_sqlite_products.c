/* The catalogue: one product at a time. */
#include "lib/base/invariant.h"
#include "product-svc/news.h"
#include "product-svc/store_sqlite.h"
#include "product-svc/words.h"

/* What comes back on stock may pass what a product can say it has; none of it is lost, it is only not told. */
_Static_assert(STOCK_MAX == 1000000000, "spelled out below");
#define PRODUCT_COLUMNS                                                                                                \
    "id, name, description, sku, price, currency, min(stock, 1000000000) AS stock, categories, "                       \
    "images, active, version, created_at, updated_at"

static void bind_int_named(sqlite3_stmt *statement, const char *name, int64_t value)
{
    int index = sqlite3_bind_parameter_index(statement, name);
    ASSERT(index > 0);
    sqlite_bind_int_at(statement, index, value);
}

static void bind_text_named(sqlite3_stmt *statement, const char *name, struct text value)
{
    int index = sqlite3_bind_parameter_index(statement, name);
    ASSERT(index > 0);
    sqlite_bind_text_at(statement, index, value);
}

/* ---- what is searched ---- */

struct product_index {
    struct buffer name, sku, description;
};

static void index_release(struct product_index *index)
{
    buffer_release(&index->name);
    buffer_release(&index->sku);
    buffer_release(&index->description);
}

static void index_make(const struct product *product, struct product_index *out)
{
    buffer_init(&out->name, WORDS_MAX_SIZE);
    buffer_init(&out->sku, WORDS_MAX_SIZE);
    buffer_init(&out->description, WORDS_MAX_SIZE);
    words_fold(product->name, &out->name);
    words_fold(product->sku, &out->sku);
    words_fold(product->description, &out->description);
}

static enum err index_write(struct product_store *self, struct product_act *act, const struct product_index *index,
                            int64_t row)
{
    sqlite3_stmt *write = product_prepare(
        self, act, "INSERT OR REPLACE INTO product_words(rowid, name, sku, description) VALUES(?1, ?2, ?3, ?4)");
    if (!write) {
        return act->fault->code;
    }
    sqlite_bind_int_at(write, 1, row);
    sqlite_bind_text_at(write, 2, buffer_text(&index->name));
    sqlite_bind_text_at(write, 3, buffer_text(&index->sku));
    sqlite_bind_text_at(write, 4, buffer_text(&index->description));
    return product_run(self, act, write);
}

static enum err run_for_row(struct product_store *self, struct product_act *act, const char *sql, int64_t row)
{
    sqlite3_stmt *statement = product_prepare(self, act, sql);
    if (!statement) {
        return act->fault->code;
    }
    sqlite_bind_int_at(statement, 1, row);
    return product_run(self, act, statement);
}

static enum err categories_clear(struct product_store *self, struct product_act *act, int64_t row)
{
    return run_for_row(self, act, "DELETE FROM product_categories WHERE product = ?1", row);
}

static enum err categories_write(struct product_store *self, struct product_act *act,
                                 const struct text_list *categories, int64_t row)
{
    enum err e = ERR_NONE;
    for (uint32_t i = 0; e == ERR_NONE && i < categories->count; i++) {
        sqlite3_stmt *write =
            product_prepare(self, act, "INSERT OR IGNORE INTO product_categories(category, product) VALUES(?1, ?2)");
        if (!write) {
            return act->fault->code;
        }
        sqlite_bind_text_at(write, 1, categories->items[i]);
        sqlite_bind_int_at(write, 2, row);
        e = product_run(self, act, write);
    }
    return e;
}

/* ---- what is news ---- */

static enum err event_write(struct product_store *self, struct product_act *act, enum event_type type,
                            const struct product *product)
{
    struct event_new event;
    product_news_make(act, type, product, &event);
    return product_event_add(self, act, &event);
}

static enum err edit_tell(struct product_store *self, struct product_act *act, const struct product *old,
                          const struct product *next, int64_t change_count)
{
    enum event_type type;
    struct event_new event;
    enum err e = event_write(self, act, EVENT_PRODUCT_UPDATED, next);
    if (e != ERR_NONE || !stock_news_due(act, old->stock, next->stock, &type)) {
        return e;
    }
    stock_news_make(act, type, next, change_count, &event);
    return product_event_add(self, act, &event);
}

/* ---- reading ---- */

enum err product_sqlite_get(struct product_store *self, struct product_act *act, struct text id, bool inactive_too,
                            struct product *out)
{
    bool row;
    sqlite3_stmt *get = product_prepare(
        self, act, "SELECT " PRODUCT_COLUMNS " FROM products WHERE id = ?1 AND retired_at IS NULL AND (active OR ?2)");
    if (!get) {
        return act->fault->code;
    }
    sqlite_bind_text_at(get, 1, id);
    sqlite_bind_int_at(get, 2, inactive_too);
    enum err e = product_step(self, act, get, &row);
    if (e != ERR_NONE || !row) {
        return e != ERR_NONE ? e : fault_set(act->fault, ERR_NOT_FOUND, NULL);
    }
    e = sqlite_read_record(get, &product_record, act->arena, act->fault, out);
    (void)sqlite3_reset(get);
    return e;
}

/* The store's own number of a product that is there, in this transaction. */
static enum err row_of(struct product_store *self, struct product_act *act, struct text id, int64_t *out)
{
    bool row;
    sqlite3_stmt *find = product_prepare(self, act, "SELECT row FROM products WHERE id = ?1");
    if (!find) {
        return act->fault->code;
    }
    sqlite_bind_text_at(find, 1, id);
    enum err e = product_step(self, act, find, &row);
    if (e == ERR_NONE) {
        ASSERT(row);
        *out = sqlite_int_at(find, 0);
        (void)sqlite3_reset(find);
    }
    return e;
}

/* ---- adding ---- */

static enum err sku_taken(struct fault *fault)
{
    fault_add(fault, "/sku", "sku_taken", -1, "is another product's");
    return fault_set(fault, ERR_SKU_TAKEN, NULL);
}

/* The answer that an earlier attempt was given, when there is one that is kept. */
static enum err insert_again(struct product_act *act, enum product_answer kind, struct text body, struct product *out)
{
    struct problem problem;
    act->repeated = true;
    if (kind == ANSWER_DONE) {
        return record_unpack(&product_record, body, act->arena, act->fault, out);
    }
    enum err e = record_unpack(&problem_record, body, act->arena, act->fault, &problem);
    if (e == ERR_NONE) {
        fault_from_problem(act->fault, &problem);
        e = act->fault->code;
    }
    return e;
}

/* The row could not be added: its id is there (an earlier attempt, whose answer is no longer kept), or its SKU is. */
static enum err insert_refused(struct product_store *self, struct product_act *act, struct text id, struct product *out)
{
    bool row;
    sqlite3_stmt *find =
        product_prepare(self, act, "SELECT " PRODUCT_COLUMNS ", fingerprint FROM products WHERE id = ?1");
    if (!find) {
        return act->fault->code;
    }
    sqlite_bind_text_at(find, 1, id);
    enum err e = product_step(self, act, find, &row);
    if (e != ERR_NONE) {
        return e;
    }
    if (row) {
        struct text made_by = sqlite_text_at(find, sqlite3_column_count(find) - 1, NULL);
        act->repeated = text_equal(made_by, act->fingerprint);
        e = act->repeated ? sqlite_read_record(find, &product_record, act->arena, act->fault, out)
                          : fault_set(act->fault, ERR_IDEMPOTENCY_KEY_REUSED, NULL);
        (void)sqlite3_reset(find);
        return e;
    }
    e = sku_taken(act->fault);
    if (act->keyed) {
        struct problem problem;
        fault_to_problem(act->fault, &problem);
        enum err kept =
            product_answer_keep(self, act, ANSWER_REFUSED, record_pack_in(&problem_record, &problem, act->arena));
        e = kept == ERR_NONE ? e : kept;
    }
    return e;
}

static enum sqlite_step_result insert_row(struct product_store *self, struct product_act *act,
                                          const struct product *product, const struct product_index *index)
{
    sqlite3_stmt *insert = product_prepare(
        self, act,
        "INSERT INTO products(id, name, description, sku, price, currency, price_decimal, stock, categories, images,"
        " active, version, created_at, updated_at, name_key, sku_key, fingerprint)"
        " VALUES(:id, :name, :description, :sku, :price, :currency, :price_decimal, :stock, :categories, :images,"
        " :active, :version, :created_at, :updated_at, :name_key, :sku_key, :fingerprint)");
    if (!insert) {
        return SQLITE_STEP_FAILED;
    }
    sqlite_bind_record(insert, &product_record, product, act->arena);
    bind_int_named(insert, ":price_decimal", money_to_decimal(product->price, currency_decimals(product->currency)));
    bind_text_named(insert, ":name_key", words_key(buffer_text(&index->name)));
    bind_text_named(insert, ":sku_key", words_key(buffer_text(&index->sku)));
    bind_text_named(insert, ":fingerprint", act->fingerprint);
    return sqlite_step(((struct product_sqlite *)self)->db, insert, act->fault);
}

static enum err insert_new(struct product_store *self, struct product_act *act, const struct product *product,
                           struct product *out)
{
    int64_t row = 0;
    AUTO(index_release) struct product_index index;
    index_make(product, &index);
    enum sqlite_step_result inserted = insert_row(self, act, product, &index);
    if (inserted == SQLITE_STEP_CONSTRAINT) {
        return insert_refused(self, act, product->id, out);
    }
    if (inserted == SQLITE_STEP_FAILED) {
        return act->fault->code;
    }
    enum err e = row_of(self, act, product->id, &row);
    if (e == ERR_NONE) {
        e = index_write(self, act, &index, row);
    }
    if (e == ERR_NONE) {
        e = categories_write(self, act, &product->categories, row);
    }
    if (e == ERR_NONE && act->keyed) {
        e = product_answer_keep(self, act, ANSWER_DONE, record_pack_in(&product_record, product, act->arena));
    }
    if (e == ERR_NONE) {
        e = event_write(self, act, EVENT_PRODUCT_CREATED, product);
    }
    if (e == ERR_NONE) {
        *out = *product;
    }
    return e;
}

enum err product_sqlite_insert(struct product_store *self, struct product_act *act, const struct product *product,
                               struct product *out)
{
    enum product_answer kind = ANSWER_NONE;
    struct text body;
    enum err e = product_answer_find(self, act, &kind, &body);
    if (e != ERR_NONE) {
        return e;
    }
    return kind == ANSWER_NONE ? insert_new(self, act, product, out) : insert_again(act, kind, body, out);
}

/* ---- changing ---- */

/* Stock is changed by what the edit adds, so that pieces beyond what a product can tell are not lost. */
static enum err update_row(struct product_store *self, struct product_act *act, const struct product *old,
                           const struct product *next, const struct product_index *index, int64_t *out_change_count)
{
    sqlite3_stmt *update =
        product_prepare(self, act,
                        "UPDATE products SET name = :name, description = :description, sku = :sku, price = :price,"
                        " currency = :currency, price_decimal = :price_decimal, stock = stock + :stock_added,"
                        " stock_changes = stock_changes + (:stock_added <> 0), news = news OR :stock_added <> 0,"
                        " categories = :categories, images = :images, active = :active, version = :version,"
                        " updated_at = :updated_at, name_key = :name_key, sku_key = :sku_key WHERE id = :id"
                        " RETURNING stock_changes");
    if (!update) {
        return act->fault->code;
    }
    sqlite_bind_record(update, &product_record, next, act->arena);
    bind_int_named(update, ":price_decimal", money_to_decimal(next->price, currency_decimals(next->currency)));
    bind_int_named(update, ":stock_added", next->stock - old->stock);
    bind_text_named(update, ":name_key", words_key(buffer_text(&index->name)));
    bind_text_named(update, ":sku_key", words_key(buffer_text(&index->sku)));
    switch (sqlite_step(((struct product_sqlite *)self)->db, update, act->fault)) {
    case SQLITE_STEP_ROW:
        *out_change_count = sqlite_int_at(update, 0);
        (void)sqlite3_reset(update);
        return ERR_NONE;
    case SQLITE_STEP_CONSTRAINT: return sku_taken(act->fault);
    case SQLITE_STEP_DONE: return fault_set(act->fault, ERR_INTERNAL, NULL);
    case SQLITE_STEP_FAILED: break;
    }
    return act->fault->code;
}

static enum err update_index(struct product_store *self, struct product_act *act, const struct product_edit *edit,
                             const struct product *next, const struct product_index *index)
{
    int64_t row = 0;
    enum err e = row_of(self, act, next->id, &row);
    if (e == ERR_NONE &&
        (has(product_edit, edit, name) || has(product_edit, edit, sku) || has(product_edit, edit, description))) {
        e = index_write(self, act, index, row);
    }
    if (e == ERR_NONE && has(product_edit, edit, categories)) {
        e = categories_clear(self, act, row);
        if (e == ERR_NONE) {
            e = categories_write(self, act, &next->categories, row);
        }
    }
    return e;
}

static enum err edit_new(struct product_store *self, struct product_act *act, const struct product_change *change,
                         const struct product *product, struct product *out)
{
    struct product next;
    enum err e = product_apply(product, change, act->now_ms, act->fault, &next);
    if (e != ERR_NONE) {
        return e;
    }
    if (next.version != product->version) {
        int64_t change_count = 0;
        AUTO(index_release) struct product_index index;
        index_make(&next, &index);
        e = update_row(self, act, product, &next, &index, &change_count);
        if (e == ERR_NONE) {
            e = update_index(self, act, change->edit, &next, &index);
        }
        if (e == ERR_NONE) {
            e = product_answer_keep(self, act, ANSWER_DONE, TEXT(""));
        }
        if (e == ERR_NONE) {
            e = edit_tell(self, act, product, &next, change_count);
        }
    }
    if (e == ERR_NONE) {
        *out = next;
    }
    return e;
}

enum err product_sqlite_edit(struct product_store *self, struct product_act *act, const struct product_change *change,
                             struct product *out)
{
    struct product product;
    enum product_answer kind = ANSWER_NONE;
    struct text body;
    enum err e = product_answer_find(self, act, &kind, &body);
    if (e == ERR_NONE) {
        e = product_sqlite_get(self, act, change->edit->id, true, &product);
    }
    if (e != ERR_NONE) {
        return e;
    }
    if (kind == ANSWER_NONE) {
        return edit_new(self, act, change, &product, out);
    }
    act->repeated = true;
    *out = product;
    return ERR_NONE;
}

/* ---- retiring ---- */

static enum err retire_row(struct product_store *self, struct product_act *act, struct text id)
{
    int64_t row = 0;
    sqlite3_stmt *retire = product_prepare(self, act, "UPDATE products SET retired_at = ?2, news = 0 WHERE id = ?1");
    if (!retire) {
        return act->fault->code;
    }
    sqlite_bind_text_at(retire, 1, id);
    sqlite_bind_int_at(retire, 2, act->now_ms);
    enum err e = product_run(self, act, retire);
    if (e == ERR_NONE) {
        e = row_of(self, act, id, &row);
    }
    if (e == ERR_NONE) {
        e = run_for_row(self, act, "DELETE FROM product_words WHERE rowid = ?1", row);
    }
    return e == ERR_NONE ? categories_clear(self, act, row) : e;
}

enum err product_sqlite_retire(struct product_store *self, struct product_act *act,
                               const struct product_removal *removal)
{
    struct product product;
    enum product_answer kind = ANSWER_NONE;
    struct text body;
    enum err e = product_answer_find(self, act, &kind, &body);
    if (e != ERR_NONE || kind != ANSWER_NONE) {
        act->repeated = e == ERR_NONE;
        return e;
    }
    e = product_sqlite_get(self, act, removal->id, true, &product);
    if (e == ERR_NONE && removal->conditional && !product_tag_matches(removal->if_match, &product, false)) {
        e = fault_set(act->fault, ERR_PRECONDITION_FAILED, NULL);
    }
    if (e == ERR_NONE) {
        e = retire_row(self, act, removal->id);
    }
    if (e == ERR_NONE) {
        e = event_write(self, act, EVENT_PRODUCT_RETIRED, &product);
    }
    return e == ERR_NONE ? product_answer_keep(self, act, ANSWER_DONE, TEXT("")) : e;
}
