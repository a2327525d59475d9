/* The SQLite store: its tables, and opening them. The verbs are in store_sqlite_*.c. */
#include "product-svc/store_sqlite.h"

#include "lib/base/invariant.h"
#include "lib/base/mem.h"

/* name_key, sku_key and product_words hold words as words.h makes them, so the tokenizer only has to cut at blanks:
 * "ascii" does, and leaves everything beyond ASCII alone. */
static const char migration_first[] =
    "CREATE TABLE products("
    "  row INTEGER PRIMARY KEY,"
    "  id TEXT NOT NULL UNIQUE,"
    "  name TEXT NOT NULL,"
    "  description TEXT NOT NULL,"
    "  sku TEXT NOT NULL,"
    "  price INTEGER NOT NULL CHECK(price >= 0),"
    "  currency TEXT NOT NULL,"
    "  price_decimal INTEGER NOT NULL,"
    "  stock INTEGER NOT NULL CHECK(stock >= 0),"
    "  categories BLOB NOT NULL,"
    "  images BLOB NOT NULL,"
    "  active INTEGER NOT NULL CHECK(active IN (0, 1)),"
    "  version INTEGER NOT NULL,"
    "  created_at INTEGER NOT NULL,"
    "  updated_at INTEGER NOT NULL,"
    "  retired_at INTEGER,"
    "  name_key TEXT NOT NULL,"
    "  sku_key TEXT NOT NULL,"
    "  fingerprint TEXT NOT NULL"
    ") STRICT;"
    "CREATE UNIQUE INDEX products_sku ON products(sku) WHERE retired_at IS NULL;"
    "CREATE INDEX products_created ON products(created_at, id) WHERE retired_at IS NULL;"
    "CREATE INDEX products_price ON products(price_decimal, id) WHERE retired_at IS NULL;"
    "CREATE INDEX products_name ON products(name_key, id) WHERE retired_at IS NULL;"
    "CREATE VIRTUAL TABLE product_words USING fts5(name, sku, description, tokenize = 'ascii', prefix = '1 2 3',"
    "  detail = none);"
    "CREATE TABLE product_categories("
    "  category TEXT NOT NULL,"
    "  product INTEGER NOT NULL REFERENCES products(row),"
    "  PRIMARY KEY(category, product)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX product_categories_product ON product_categories(product);"
    "CREATE TABLE holds("
    "  order_id TEXT NOT NULL,"
    "  product_id TEXT NOT NULL,"
    "  quantity INTEGER NOT NULL CHECK(quantity > 0),"
    "  fingerprint TEXT NOT NULL,"
    "  state INTEGER NOT NULL CHECK(state BETWEEN 0 AND 3)," /* enum hold_state */
    "  created_at INTEGER NOT NULL,"
    "  changed_at INTEGER NOT NULL,"
    "  PRIMARY KEY(order_id, product_id)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX holds_open ON holds(created_at) WHERE state = 0;"
    "CREATE INDEX holds_ended ON holds(changed_at) WHERE state >= 2;"
    "CREATE TABLE answers("
    "  request_id BLOB PRIMARY KEY,"
    "  fingerprint TEXT NOT NULL,"
    "  kind INTEGER NOT NULL," /* enum product_answer */
    "  body BLOB NOT NULL,"
    "  created_at INTEGER NOT NULL"
    ") STRICT;"
    "CREATE INDEX answers_age ON answers(created_at);";
_Static_assert(HOLD_IS_HELD == 0 && HOLD_IS_RELEASED == 2 && HOLD_IS_COMMITTED == 3,
               "the indexes of holds count on it");

/* stock_changes counts them and names their events. The index holds only what tell_stock has not told. */
static const char migration_news[] =
    "ALTER TABLE products ADD COLUMN stock_changes INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE products ADD COLUMN news INTEGER NOT NULL DEFAULT 0 CHECK(news IN (0, 1));"
    "CREATE INDEX products_news ON products(row) WHERE news = 1;" OUTBOX_SQL;

static const char *const migrations[] = {migration_first, migration_news};
const struct sqlite_schema product_sqlite_schema = {"product.db", migrations, ARRAY_COUNT(migrations)};

static struct product_sqlite *sqlite_of(struct product_store *self)
{
    return (struct product_sqlite *)self;
}

sqlite3_stmt *product_prepare(struct product_store *self, struct product_act *act, const char *sql)
{
    return sqlite_prepare(sqlite_of(self)->db, sql, act->fault);
}

enum err product_run(struct product_store *self, struct product_act *act, sqlite3_stmt *statement)
{
    enum err e = sqlite_run(sqlite_of(self)->db, statement, act->fault);
    return e == ERR_CONFLICT ? fault_set(act->fault, ERR_INTERNAL, NULL) : e;
}

enum err product_step(struct product_store *self, struct product_act *act, sqlite3_stmt *statement, bool *out_row)
{
    switch (sqlite_step(sqlite_of(self)->db, statement, act->fault)) {
    case SQLITE_STEP_ROW: *out_row = true; return ERR_NONE;
    case SQLITE_STEP_DONE: *out_row = false; return ERR_NONE;
    case SQLITE_STEP_CONSTRAINT: return fault_set(act->fault, ERR_INTERNAL, NULL);
    case SQLITE_STEP_FAILED: break;
    }
    return act->fault->code;
}

enum err product_event_add(struct product_store *self, struct product_act *act, const struct event_new *event)
{
    return outbox_sqlite_add(self->outbox, event, act->arena, act->fault);
}

static void sqlite_destroy(struct product_store *self)
{
    outbox_source_destroy(&self->outbox);
    sqlite_db_destroy(&sqlite_of(self)->db);
    mem_free(self);
}

static const struct product_store_ops sqlite_ops = {
    .insert = product_sqlite_insert,
    .edit = product_sqlite_edit,
    .retire = product_sqlite_retire,
    .get = product_sqlite_get,
    .page = product_sqlite_page,
    .reserve = product_sqlite_reserve,
    .settle = product_sqlite_settle,
    .stale_holds = product_sqlite_stale_holds,
    .purge = product_sqlite_purge,
    .tell_stock = product_sqlite_tell_stock,
    .destroy = sqlite_destroy,
};

enum err product_sqlite_open(const struct store_config *config, bool writer, struct metrics *metrics,
                             struct fault *fault, struct product_store **out)
{
    struct sqlite_db *db;
    enum err e = sqlite_db_open(config, &product_sqlite_schema, writer, metrics, fault, &db);
    if (e != ERR_NONE) {
        return e;
    }
    struct product_sqlite *self = mem_alloc(sizeof *self);
    self->store = (struct product_store){&sqlite_ops, &sqlite_unit, db, outbox_sqlite_new(db)};
    self->db = db;
    e = product_sqlite_rank(&self->store, fault);
    if (e != ERR_NONE) {
        sqlite_destroy(&self->store);
        return e;
    }
    *out = &self->store;
    return ERR_NONE;
}
