/* Webhooks in one SQLite file. A column is a field of the records; what is due is found by an index that holds only
 * what is pending. */
#include "lib/base/mem.h"
#include "webhook-svc/store.h"

static const char *const migrations[] = {
    "CREATE TABLE reader(one INTEGER PRIMARY KEY CHECK(one = 1), position INTEGER NOT NULL) STRICT;"
    "INSERT INTO reader VALUES(1, 0);"
    "CREATE TABLE webhook(id TEXT PRIMARY KEY, url TEXT NOT NULL, types BLOB NOT NULL, description TEXT,"
    " active INTEGER NOT NULL, stopped TEXT, failures INTEGER NOT NULL, created_at INTEGER NOT NULL,"
    " updated_at INTEGER NOT NULL, version INTEGER NOT NULL, waited INTEGER NOT NULL, keys BLOB NOT NULL,"
    " fingerprint TEXT NOT NULL) STRICT;"
    "CREATE TABLE delivery(id TEXT PRIMARY KEY, webhook_id TEXT NOT NULL, event_id TEXT NOT NULL, type TEXT NOT NULL,"
    " state TEXT NOT NULL CHECK(state IN ('pending', 'delivered', 'failed')), tries INTEGER NOT NULL, next_at INTEGER,"
    " attempts BLOB NOT NULL, created_at INTEGER NOT NULL, seq INTEGER NOT NULL, body TEXT NOT NULL, request TEXT,"
    " CHECK((state = 'pending') = (next_at IS NOT NULL))) STRICT;"
    "CREATE INDEX delivery_due ON delivery(webhook_id, next_at, seq) WHERE state = 'pending';"
    "CREATE INDEX delivery_newest ON delivery(webhook_id, created_at, id);"
    "CREATE INDEX delivery_by_age ON delivery(created_at);",
    "ALTER TABLE webhook ADD COLUMN quiet_until INTEGER;",
    "CREATE TABLE answer(id TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, at INTEGER NOT NULL, reply BLOB, refusal BLOB,"
    " CHECK((reply IS NULL) <> (refusal IS NULL))) STRICT;"
    "CREATE INDEX answer_by_age ON answer(at);",
};
const struct sqlite_schema webhook_sqlite_schema = {"webhook.db", migrations, ARRAY_COUNT(migrations)};

static const char sql_position[] = "SELECT position FROM reader";
static const char sql_position_set[] = "UPDATE reader SET position = ?1";
static const char sql_webhooks[] = "SELECT * FROM webhook ORDER BY created_at DESC, id DESC";
static const char sql_webhook[] = "SELECT * FROM webhook WHERE id = ?1";
static const char sql_webhook_insert[] =
    "INSERT INTO webhook VALUES(:id, :url, :types, :description, :active, :stopped, :failures, :created_at,"
    " :updated_at, :version, :waited, :keys, :fingerprint, :quiet_until)";
static const char sql_webhook_update[] =
    "UPDATE webhook SET url = :url, types = :types, description = :description, active = :active, stopped = :stopped,"
    " failures = :failures, updated_at = :updated_at, version = :version, waited = :waited,"
    " keys = :keys, quiet_until = :quiet_until"
    " WHERE id = :id AND version = :version - 1";
static const char sql_webhook_remove[] = "DELETE FROM webhook WHERE id = ?1";
static const char sql_deliveries_remove[] = "DELETE FROM delivery WHERE webhook_id = ?1";
static const char sql_delivery_add[] =
    "INSERT INTO delivery VALUES(:id, :webhook_id, :event_id, :type, :state, :tries, :next_at, :attempts, :created_at,"
    " :seq, :body, :request) ON CONFLICT(id) DO NOTHING";
static const char sql_pending[] =
    "SELECT COUNT(*) FROM (SELECT 1 FROM delivery WHERE webhook_id = ?1 AND state = 'pending' LIMIT ?2)";
static const char sql_due[] = "SELECT * FROM delivery WHERE webhook_id = ?1 AND state = 'pending' AND next_at <= ?2"
                              " ORDER BY next_at, seq LIMIT ?3";
static const char sql_claim[] = "UPDATE delivery SET next_at = ?2 WHERE id = ?1";
static const char sql_delivery[] = "SELECT * FROM delivery WHERE id = ?1";
static const char sql_delivery_put[] = "UPDATE delivery SET state = :state, tries = :tries, next_at = :next_at,"
                                       " attempts = :attempts, request = :request WHERE id = :id";
static const char sql_page[] =
    "SELECT id, webhook_id, event_id, type, state, tries, next_at, attempts, created_at, seq, '-' AS body, request"
    " FROM delivery WHERE webhook_id = ?1 AND (created_at, id) < (?2, ?3) AND (?5 IS NULL OR state = ?5)"
    " ORDER BY created_at DESC, id DESC LIMIT ?4";
static const char sql_purge[] =
    "DELETE FROM delivery WHERE id IN (SELECT id FROM delivery WHERE created_at < ?1 ORDER BY created_at LIMIT ?2)";
static const char sql_answer[] = "SELECT * FROM answer WHERE id = ?1";
static const char sql_answer_add[] =
    "INSERT INTO answer VALUES(:id, :fingerprint, :at, :reply, :refusal) ON CONFLICT(id) DO NOTHING";
static const char sql_answers_purge[] =
    "DELETE FROM answer WHERE id IN (SELECT id FROM answer WHERE at < ?1 ORDER BY at LIMIT ?2)";

/* Above every id: what sorts after (INT64_MAX, this) is everything. */
static const char last_id[] = "~";

struct sqlite_webhook_store {
    struct webhook_store base; /* first: the two are cast into each other */
    struct sqlite_db *db;
};

static struct sqlite_db *db_of(struct webhook_store *self)
{
    return ((struct sqlite_webhook_store *)self)->db;
}

static enum err store_position(struct webhook_store *self, struct fault *fault, int64_t *out)
{
    return sqlite_read_numbers(db_of(self), sql_position, 1, fault, out);
}

static enum err store_position_set(struct webhook_store *self, int64_t position, struct fault *fault)
{
    return sqlite_run_numbers(db_of(self), sql_position_set, &position, 1, fault);
}

/* ---- webhooks ---- */

static enum err store_webhooks(struct webhook_store *self, struct arena *arena, struct fault *fault,
                               struct webhook_rows *out)
{
    sqlite3_stmt *statement = sqlite_prepare(db_of(self), sql_webhooks, fault);
    struct webhook_rows rows = {.items = arena_alloc(arena, WEBHOOK_ROWS_MAX * sizeof *rows.items)};
    if (!statement) {
        return fault->code;
    }
    enum err e = sqlite_read_records(db_of(self), statement, &webhook_kept_record, WEBHOOK_ROWS_MAX, arena, fault,
                                     rows.items, &rows.count);
    if (e == ERR_NONE) {
        *out = rows;
    }
    return e;
}

static enum err store_webhook(struct webhook_store *self, struct text id, struct arena *arena, struct fault *fault,
                              struct webhook_kept *out)
{
    return sqlite_find_record(db_of(self), sql_webhook, id, &webhook_kept_record, arena, fault, out);
}

static enum err store_webhook_put(struct webhook_store *self, const struct webhook_kept *webhook, struct fault *fault)
{
    const char *sql = webhook->version == 1 ? sql_webhook_insert : sql_webhook_update;
    enum err e = sqlite_run_record(db_of(self), sql, &webhook_kept_record, webhook, fault);
    return e == ERR_NONE && sqlite_changes_of(db_of(self)) == 0 ? ERR_CONFLICT : e;
}

static enum err store_webhook_remove(struct webhook_store *self, struct text id, struct fault *fault)
{
    sqlite3_stmt *deliveries = sqlite_prepare(db_of(self), sql_deliveries_remove, fault);
    sqlite3_stmt *webhook = deliveries ? sqlite_prepare(db_of(self), sql_webhook_remove, fault) : NULL;
    if (!webhook) {
        return fault->code;
    }
    sqlite_bind_text_at(deliveries, 1, id);
    sqlite_bind_text_at(webhook, 1, id);
    enum err e = sqlite_run(db_of(self), deliveries, fault);
    e = e == ERR_NONE ? sqlite_run(db_of(self), webhook, fault) : e;
    return e == ERR_NONE && sqlite_changes_of(db_of(self)) == 0 ? ERR_NOT_FOUND : e;
}

/* ---- deliveries ---- */

static enum err store_delivery_add(struct webhook_store *self, const struct delivery_kept *delivery,
                                   struct fault *fault, bool *out_new)
{
    enum err e = sqlite_run_record(db_of(self), sql_delivery_add, &delivery_kept_record, delivery, fault);
    if (e == ERR_NONE) {
        *out_new = sqlite_changes_of(db_of(self)) > 0;
    }
    return e;
}

static enum err store_deliveries_pending(struct webhook_store *self, struct text webhook_id, uint32_t max,
                                         struct fault *fault, uint32_t *out)
{
    sqlite3_stmt *pending = sqlite_prepare(db_of(self), sql_pending, fault);
    if (!pending) {
        return fault->code;
    }
    sqlite_bind_text_at(pending, 1, webhook_id);
    sqlite_bind_int_at(pending, 2, max);
    if (sqlite_step(db_of(self), pending, fault) != SQLITE_STEP_ROW) {
        return fault->code == ERR_NONE ? fault_set(fault, ERR_INTERNAL, NULL) : fault->code;
    }
    *out = (uint32_t)sqlite_int_at(pending, 0);
    (void)sqlite3_reset(pending);
    return ERR_NONE;
}

static enum err claim_one(struct webhook_store *self, struct delivery_kept *delivery, int64_t until_ms,
                          struct fault *fault)
{
    sqlite3_stmt *claim = sqlite_prepare(db_of(self), sql_claim, fault);
    if (!claim) {
        return fault->code;
    }
    sqlite_bind_text_at(claim, 1, delivery->id);
    sqlite_bind_int_at(claim, 2, until_ms);
    delivery->next_at = until_ms;
    return sqlite_run(db_of(self), claim, fault);
}

static enum err store_deliveries_claim(struct webhook_store *self, const struct delivery_claim *claim,
                                       struct arena *arena, struct fault *fault, struct delivery_rows *out)
{
    sqlite3_stmt *due = sqlite_prepare(db_of(self), sql_due, fault);
    struct delivery_rows rows = {.items = arena_alloc(arena, claim->limit * sizeof *rows.items)};
    if (!due) {
        return fault->code;
    }
    sqlite_bind_text_at(due, 1, claim->webhook_id);
    sqlite_bind_int_at(due, 2, claim->now_ms);
    sqlite_bind_int_at(due, 3, claim->limit);
    enum err e = sqlite_read_records(db_of(self), due, &delivery_kept_record, claim->limit, arena, fault, rows.items,
                                     &rows.count);
    for (uint32_t i = 0; e == ERR_NONE && i < rows.count; i++) {
        e = claim_one(self, &rows.items[i], claim->until_ms, fault);
    }
    if (e == ERR_NONE) {
        *out = rows;
    }
    return e;
}

static enum err store_delivery(struct webhook_store *self, struct text id, struct arena *arena, struct fault *fault,
                               struct delivery_kept *out)
{
    return sqlite_find_record(db_of(self), sql_delivery, id, &delivery_kept_record, arena, fault, out);
}

static enum err store_delivery_put(struct webhook_store *self, const struct delivery_kept *delivery,
                                   struct fault *fault)
{
    enum err e = sqlite_run_record(db_of(self), sql_delivery_put, &delivery_kept_record, delivery, fault);
    return e == ERR_NONE && sqlite_changes_of(db_of(self)) == 0 ? ERR_NOT_FOUND : e;
}

static enum err store_deliveries(struct webhook_store *self, const struct delivery_page_query *query,
                                 struct arena *arena, struct fault *fault, struct delivery_rows *out)
{
    sqlite3_stmt *page = sqlite_prepare(db_of(self), sql_page, fault);
    struct delivery_rows rows = {.items = arena_alloc(arena, query->limit * sizeof *rows.items)};
    if (!page) {
        return fault->code;
    }
    sqlite_bind_text_at(page, 1, query->webhook_id);
    sqlite_bind_int_at(page, 2, query->before_at);
    sqlite_bind_text_at(page, 3, query->before_id.size ? query->before_id : text_of(last_id));
    sqlite_bind_int_at(page, 4, query->limit);
    if (query->state >= 0) {
        sqlite_bind_text_at(page, 5, text_of(enum_name(&delivery_state_names, query->state)));
    } else {
        sqlite_bind_null_at(page, 5);
    }
    enum err e = sqlite_read_records(db_of(self), page, &delivery_kept_record, query->limit, arena, fault, rows.items,
                                     &rows.count);
    for (uint32_t i = 0; e == ERR_NONE && i < rows.count; i++) {
        rows.items[i].body = (struct text){0};
    }
    if (e == ERR_NONE) {
        *out = rows;
    }
    return e;
}

static enum err old_purge(struct webhook_store *self, const char *sql, int64_t before_ms, uint32_t limit,
                          struct fault *fault, uint32_t *out_count)
{
    enum err e = sqlite_run_numbers(db_of(self), sql, (const int64_t[]){before_ms, limit}, 2, fault);
    if (e == ERR_NONE) {
        *out_count = (uint32_t)sqlite_changes_of(db_of(self));
    }
    return e;
}

static enum err store_deliveries_purge(struct webhook_store *self, int64_t before_ms, uint32_t limit,
                                       struct fault *fault, uint32_t *out_count)
{
    return old_purge(self, sql_purge, before_ms, limit, fault, out_count);
}

/* ---- answers ---- */

static enum err store_answer(struct webhook_store *self, struct text id, struct arena *arena, struct fault *fault,
                             struct answer_kept *out)
{
    return sqlite_find_record(db_of(self), sql_answer, id, &answer_kept_record, arena, fault, out);
}

static enum err store_answer_add(struct webhook_store *self, const struct answer_kept *answer, struct fault *fault)
{
    enum err e = sqlite_run_record(db_of(self), sql_answer_add, &answer_kept_record, answer, fault);
    return e == ERR_NONE && sqlite_changes_of(db_of(self)) == 0 ? ERR_CONFLICT : e;
}

static enum err store_answers_purge(struct webhook_store *self, int64_t before_ms, uint32_t limit, struct fault *fault,
                                    uint32_t *out_count)
{
    return old_purge(self, sql_answers_purge, before_ms, limit, fault, out_count);
}

/* ---- the store ---- */

static void store_destroy(struct webhook_store *self)
{
    struct sqlite_webhook_store *store = (struct sqlite_webhook_store *)self;
    sqlite_db_destroy(&store->db);
    mem_free(store);
}

static const struct webhook_store_ops store_ops = {
    .position = store_position,
    .position_set = store_position_set,
    .webhooks = store_webhooks,
    .webhook = store_webhook,
    .webhook_put = store_webhook_put,
    .webhook_remove = store_webhook_remove,
    .delivery_add = store_delivery_add,
    .deliveries_pending = store_deliveries_pending,
    .deliveries_claim = store_deliveries_claim,
    .delivery = store_delivery,
    .delivery_put = store_delivery_put,
    .deliveries = store_deliveries,
    .deliveries_purge = store_deliveries_purge,
    .answer = store_answer,
    .answer_add = store_answer_add,
    .answers_purge = store_answers_purge,
    .destroy = store_destroy,
};

enum err webhook_store_sqlite_open(const struct store_config *config, bool writer, struct metrics *metrics,
                                   struct fault *fault, struct webhook_store **out)
{
    struct sqlite_db *db = NULL;
    enum err e = sqlite_db_open(config, &webhook_sqlite_schema, writer, metrics, fault, &db);
    if (e != ERR_NONE) {
        return e;
    }
    struct sqlite_webhook_store *store = mem_alloc(sizeof *store);
    *store = (struct sqlite_webhook_store){{&store_ops, &sqlite_unit, db}, db};
    *out = &store->base;
    return ERR_NONE;
}
