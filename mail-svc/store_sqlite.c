/* Mails in one SQLite file; what is due is found by an index that holds only what has not ended. */
#include "lib/base/mem.h"
#include "mail-svc/store.h"

static const char *const migrations[] = {
    "CREATE TABLE reader(one INTEGER PRIMARY KEY CHECK(one = 1), position INTEGER NOT NULL, since INTEGER NOT NULL) "
    "STRICT;"
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
static const char sql_due[] =
    "SELECT * FROM mail WHERE next_at IS NOT NULL AND next_at <= ?1 ORDER BY next_at LIMIT ?2";
static const char sql_claim[] = "UPDATE mail SET next_at = ?2 WHERE id = ?1";
static const char sql_get[] = "SELECT * FROM mail WHERE id = ?1";
static const char sql_put[] = "UPDATE mail SET tries = :tries, next_at = :next_at, data = :data WHERE id = :id";
static const char sql_purge[] =
    "DELETE FROM mail WHERE id IN (SELECT id FROM mail WHERE next_at IS NULL AND event_at < ?1"
    " ORDER BY event_at LIMIT ?2)";

struct sqlite_mail_store {
    struct mail_store base; /* first: the two are cast into each other */
    struct sqlite_db *db;
};

static struct sqlite_db *db_of(struct mail_store *self)
{
    return ((struct sqlite_mail_store *)self)->db;
}

static enum err store_position(struct mail_store *self, struct fault *fault, int64_t *out, int64_t *out_since_ms)
{
    int64_t numbers[2];
    enum err e = sqlite_read_numbers(db_of(self), sql_position, ARRAY_COUNT(numbers), fault, numbers);
    if (e == ERR_NONE) {
        *out = numbers[0];
        *out_since_ms = numbers[1];
    }
    return e;
}

static enum err store_position_set(struct mail_store *self, int64_t position, struct fault *fault)
{
    return sqlite_run_numbers(db_of(self), sql_position_set, &position, 1, fault);
}

static enum err store_add(struct mail_store *self, const struct mail *mail, struct fault *fault)
{
    return sqlite_run_record(db_of(self), sql_add, &mail_record, mail, fault);
}

static enum err store_claim(struct mail_store *self, const struct mail_claim *claim, struct arena *arena,
                            struct fault *fault, struct mail_rows *out)
{
    sqlite3_stmt *due = sqlite_prepare(db_of(self), sql_due, fault);
    struct mail_rows rows = {.items = arena_alloc(arena, claim->limit * sizeof *rows.items)};
    if (!due) {
        return fault->code;
    }
    sqlite_bind_int_at(due, 1, claim->now_ms);
    sqlite_bind_int_at(due, 2, claim->limit);
    enum err e =
        sqlite_read_records(db_of(self), due, &mail_record, claim->limit, arena, fault, rows.items, &rows.count);
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
    return sqlite_find_record(db_of(self), sql_get, id, &mail_record, arena, fault, out);
}

static enum err store_put(struct mail_store *self, const struct mail *mail, struct fault *fault)
{
    enum err e = sqlite_run_record(db_of(self), sql_put, &mail_record, mail, fault);
    return e == ERR_NONE && sqlite_changes_of(db_of(self)) == 0 ? ERR_NOT_FOUND : e;
}

static enum err store_purge(struct mail_store *self, int64_t before_ms, uint32_t limit, struct fault *fault,
                            uint32_t *out_count)
{
    enum err e = sqlite_run_numbers(db_of(self), sql_purge, (const int64_t[]){before_ms, limit}, 2, fault);
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
    e = writer ? sqlite_run_numbers(db, sql_begin, &now_ms, 1, fault) : ERR_NONE;
    if (e != ERR_NONE) {
        store_destroy(&store->base);
        return e;
    }
    *out = &store->base;
    return ERR_NONE;
}
