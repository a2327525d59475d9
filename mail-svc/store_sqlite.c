/* Mails in one SQLite file; what is due is found by an index that holds only what has not ended. */
#include "lib/base/mem.h"
#include "mail-svc/store.h"

static const char *const migrations[] = {
    "CREATE TABLE reader(one INTEGER PRIMARY KEY CHECK(one = 1), position INTEGER NOT NULL, since INTEGER NOT NULL) STRICT;"
    "CREATE TABLE mail(id TEXT PRIMARY KEY, type TEXT NOT NULL, user_id TEXT NOT NULL, event_at INTEGER NOT NULL,"
    " tries INTEGER NOT NULL, next_at INTEGER, data BLOB, CHECK((next_at IS NULL) = (data IS NULL))) STRICT;"
    "CREATE INDEX mail_due ON mail(next_at) WHERE next_at IS NOT NULL;"
    "CREATE INDEX mail_ended ON mail(event_at) WHERE next_at IS NULL;",
};
const struct sqlite_schema mail_sqlite_schema = {"mail.db", migrations, ARRAY_COUNT(migrations)};

static const char sql_begin[] = "INSERT INTO reader VALUES(1, 0, ?1) ON CONFLICT DO NOTHING";
static const char sql_position[] = "SELECT position, since FROM reader";
static const char sql_position_set[] = "UPDATE reader SET position = ?1";
static const char sql_add[] = "INSERT INTO mail VALUES(:id, :type, :user_id, :event_at, :tries, :next_at, :data)"
                              " ON CONFLICT(id) DO NOTHING";
static const char sql_due[] = "SELECT * FROM mail WHERE next_at IS NOT NULL AND next_at <= ?1 ORDER BY next_at LIMIT ?2";
static const char sql_claim[] = "UPDATE mail SET next_at = ?2 WHERE id = ?1";
static const char sql_get[] = "SELECT * FROM mail WHERE id = ?1";
static const char sql_put[] = "UPDATE mail SET tries = :tries, next_at = :next_at, data = :data WHERE id = :id";
static const char sql_purge[] = "DELETE FROM mail WHERE id IN (SELECT id FROM mail WHERE next_at IS NULL AND event_at < ?1"
                                " ORDER BY event_at LIMIT ?2)";

struct sqlite_mail_store {
    struct mail_store base; /* first: the two are cast into each other */
    struct sqlite_db *db;
};

static struct sqlite_db *db_of(struct mail_store *self)
{
    return ((struct sqlite_mail_store *)self)->db;
}

static enum err rows_read(struct sqlite_db *db, sqlite3_stmt *statement, uint32_t max, struct arena *arena,
                          struct fault *fault, struct mail_rows *out)
{
    enum sqlite_step_result step = SQLITE_STEP_ROW;
    struct mail_rows rows = {.items = arena_alloc(arena, max * sizeof *rows.items)};
    while (rows.count < max && (step = sqlite_step(db, statement, fault)) == SQLITE_STEP_ROW) {
        enum err e = sqlite_read_record(statement, &mail_record, arena, fault, &rows.items[rows.count]);
        if (e != ERR_NONE) {
            (void)sqlite3_reset(statement);
            return e;
        }
        rows.count++;
    }
    if (step != SQLITE_STEP_ROW && step != SQLITE_STEP_DONE) {
        return fault->code;
    }
    (void)sqlite3_reset(statement);
    *out = rows;
    return ERR_NONE;
}

static enum err mail_run(struct mail_store *self, const char *sql, const struct mail *mail, struct fault *fault)
{
    AUTO(arena_release) struct arena arena = {0};
    sqlite3_stmt *statement = sqlite_prepare(db_of(self), sql, fault);
    if (!statement) {
        return fault->code;
    }
    sqlite_bind_record(statement, &mail_record, mail, &arena);
    return sqlite_run(db_of(self), statement, fault);
}

static enum err store_position(struct mail_store *self, struct fault *fault, int64_t *out, int64_t *out_since_ms)
{
    sqlite3_stmt *statement = sqlite_prepare(db_of(self), sql_position, fault);
    if (!statement || sqlite_step(db_of(self), statement, fault) != SQLITE_STEP_ROW) {
        return fault->code == ERR_NONE ? fault_set(fault, ERR_INTERNAL, NULL) : fault->code;
    }
    *out = sqlite_int_at(statement, 0);
    *out_since_ms = sqlite_int_at(statement, 1);
    (void)sqlite3_reset(statement);
    return ERR_NONE;
}

static enum err number_run(struct mail_store *self, const char *sql, int64_t number, struct fault *fault)
{
    sqlite3_stmt *statement = sqlite_prepare(db_of(self), sql, fault);
    if (!statement) {
        return fault->code;
    }
    sqlite_bind_int_at(statement, 1, number);
    return sqlite_run(db_of(self), statement, fault);
}

static enum err store_position_set(struct mail_store *self, int64_t position, struct fault *fault)
{
    return number_run(self, sql_position_set, position, fault);
}

static enum err store_add(struct mail_store *self, const struct mail *mail, struct fault *fault)
{
    return mail_run(self, sql_add, mail, fault);
}

static enum err store_claim(struct mail_store *self, const struct mail_claim *claim, struct arena *arena,
                            struct fault *fault, struct mail_rows *out)
{
    sqlite3_stmt *due = sqlite_prepare(db_of(self), sql_due, fault);
    struct mail_rows rows = {0};
    if (!due) {
        return fault->code;
    }
    sqlite_bind_int_at(due, 1, claim->now_ms);
    sqlite_bind_int_at(due, 2, claim->limit);
    enum err e = rows_read(db_of(self), due, claim->limit, arena, fault, &rows);
    for (uint32_t i = 0; e == ERR_NONE && i < rows.count; i++) {
        sqlite3_stmt *statement = sqlite_prepare(db_of(self), sql_claim, fault);
        if (!statement) {
            return fault->code;
        }
        sqlite_bind_text_at(statement, 1, rows.items[i].id);
        sqlite_bind_int_at(statement, 2, claim->until_ms);
        rows.items[i].next_at = claim->until_ms;
        e = sqlite_run(db_of(self), statement, fault);
    }
    if (e == ERR_NONE) {
        *out = rows;
    }
    return e;
}

static enum err store_get(struct mail_store *self, struct text id, struct arena *arena, struct fault *fault,
                          struct mail *out)
{
    sqlite3_stmt *statement = sqlite_prepare(db_of(self), sql_get, fault);
    struct mail_rows rows = {0};
    if (!statement) {
        return fault->code;
    }
    sqlite_bind_text_at(statement, 1, id);
    enum err e = rows_read(db_of(self), statement, 1, arena, fault, &rows);
    if (e == ERR_NONE && rows.count == 1) {
        *out = rows.items[0];
    }
    return e == ERR_NONE && rows.count == 0 ? ERR_NOT_FOUND : e;
}

static enum err store_put(struct mail_store *self, const struct mail *mail, struct fault *fault)
{
    enum err e = mail_run(self, sql_put, mail, fault);
    return e == ERR_NONE && sqlite_changes_of(db_of(self)) == 0 ? ERR_NOT_FOUND : e;
}

static enum err store_purge(struct mail_store *self, int64_t before_ms, uint32_t limit, struct fault *fault,
                            uint32_t *out_count)
{
    sqlite3_stmt *purge = sqlite_prepare(db_of(self), sql_purge, fault);
    if (!purge) {
        return fault->code;
    }
    sqlite_bind_int_at(purge, 1, before_ms);
    sqlite_bind_int_at(purge, 2, limit);
    enum err e = sqlite_run(db_of(self), purge, fault);
    if (e == ERR_NONE) {
        *out_count = (uint32_t)sqlite_changes_of(db_of(self));
    }
    return e;
}

static void store_destroy(struct mail_store *self)
{
    struct sqlite_mail_store *store = (struct sqlite_mail_store *)self;
    sqlite_db_destroy(&store->db);
    mem_free(store);
}

static const struct mail_store_ops store_ops = {
    .position = store_position,
    .position_set = store_position_set,
    .add = store_add,
    .claim = store_claim,
    .get = store_get,
    .put = store_put,
    .purge = store_purge,
    .destroy = store_destroy,
};

enum err mail_store_sqlite_open(const struct store_config *config, bool writer, int64_t now_ms, struct metrics *metrics,
                                struct fault *fault, struct mail_store **out)
{
    struct sqlite_db *db = NULL;
    enum err e = sqlite_db_open(config, &mail_sqlite_schema, writer, metrics, fault, &db);
    if (e != ERR_NONE) {
        return e;
    }
    struct sqlite_mail_store *store = mem_alloc(sizeof *store);
    *store = (struct sqlite_mail_store){{&store_ops, &sqlite_unit, db}, db};
    e = writer ? number_run(&store->base, sql_begin, now_ms, fault) : ERR_NONE;
    if (e != ERR_NONE) {
        store_destroy(&store->base);
        return e;
    }
    *out = &store->base;
    return ERR_NONE;
}
