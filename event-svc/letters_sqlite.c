/* Dead letters in the log's SQLite file. A row stays when its letter is gone: it remembers the death. */
#include "event-svc/letters.h"
#include "lib/base/mem.h"
#include "lib/store/sqlite.h"

const char letters_sqlite_migration[] =
    "CREATE TABLE letter(request_id TEXT PRIMARY KEY, death INTEGER NOT NULL, died INTEGER NOT NULL,"
    " gone INTEGER NOT NULL DEFAULT 0, taker TEXT, taken_until INTEGER NOT NULL DEFAULT 0, route TEXT, reason TEXT,"
    " attempts INTEGER NOT NULL DEFAULT 0, flags INTEGER NOT NULL DEFAULT 0, priority INTEGER NOT NULL DEFAULT 0,"
    " bytes INTEGER NOT NULL DEFAULT 0, meta BLOB, body BLOB) STRICT;"
    "CREATE INDEX letter_by_died ON letter(gone, died);";

static const char sql_add[] =
    "INSERT INTO letter(request_id, death, died, route, reason, attempts, flags, priority, bytes, meta, body)"
    " VALUES(:request_id, :death, ?10, :route, :reason, :attempts, :flags, :priority, :bytes, :meta, :body)"
    " ON CONFLICT(request_id) DO UPDATE SET death = excluded.death, died = excluded.died, gone = 0, taker = NULL,"
    " taken_until = 0, route = excluded.route, reason = excluded.reason, attempts = excluded.attempts,"
    " flags = excluded.flags, priority = excluded.priority, bytes = excluded.bytes, meta = excluded.meta,"
    " body = excluded.body WHERE death <> excluded.death";
static const char sql_count[] = "SELECT COUNT(*) FROM letter WHERE gone = 0 AND taken_until <= ?1";
static const char sql_list[] =
    "SELECT request_id, route, attempts, MAX(?1 - died, 0) AS age_ms, bytes, body IS NULL AS secret, 1 AS stored, "
    "reason"
    " FROM letter WHERE gone = 0 AND taken_until <= ?1 ORDER BY died DESC, request_id LIMIT ?2";
static const char sql_find[] = "SELECT body IS NULL OR (taken_until > ?2 AND taker <> ?3) FROM letter"
                               " WHERE request_id = ?1 AND gone = 0";
static const char sql_take[] = "UPDATE letter SET taker = ?2, taken_until = ?3 WHERE request_id = ?1";
static const char sql_read[] = "SELECT request_id, death, route, reason, attempts, flags, priority,"
                               " MAX(?2 - died, 0) AS age_ms, bytes, meta, body FROM letter WHERE request_id = ?1";
static const char sql_drop[] =
    "UPDATE letter SET gone = 1, meta = NULL, body = NULL WHERE request_id = ?1 AND gone = 0";
static const char sql_drop_death[] =
    "INSERT INTO letter(request_id, death, died, gone) VALUES(?1, ?2, ?3, 1)"
    " ON CONFLICT(request_id) DO UPDATE SET gone = 1, meta = NULL, body = NULL WHERE death = excluded.death";
static const char sql_trim_old[] = "DELETE FROM letter WHERE gone IN (0, 1) AND died < ?1";
/* Letters and remembered deaths are counted apart. */
static const char sql_trim_many[] =
    "DELETE FROM letter WHERE request_id IN (SELECT request_id FROM letter WHERE gone = ?1"
    " ORDER BY died DESC, request_id LIMIT -1 OFFSET ?2)";

/* The column of the only row; *out_found is false when there is none. */
static enum err number_read(struct sqlite_db *db, sqlite3_stmt *statement, struct fault *fault, bool *out_found,
                            int64_t *out)
{
    enum sqlite_step_result step;
    *out_found = false;
    while ((step = sqlite_step(db, statement, fault)) == SQLITE_STEP_ROW) {
        *out = sqlite_int_at(statement, 0);
        *out_found = true;
    }
    return step == SQLITE_STEP_DONE ? ERR_NONE : ERR_SERVICE_UNAVAILABLE;
}

static enum err letter_add(void *handle, const struct dead_letter *letter, int64_t now_ms, struct fault *fault)
{
    AUTO(arena_release) struct arena arena = {0};
    sqlite3_stmt *statement = sqlite_prepare(handle, sql_add, fault);
    if (!statement) {
        return ERR_SERVICE_UNAVAILABLE;
    }
    sqlite_bind_record(statement, &dead_letter_record, letter, &arena);
    sqlite_bind_int_at(statement, 10, now_ms - letter->age_ms);
    return sqlite_run(handle, statement, fault);
}

static enum err letter_list(void *handle, int64_t now_ms, struct arena *arena, struct fault *fault,
                            struct mmi_dead_letters *out)
{
    struct mmi_dead_letters list = {0};
    bool found;
    sqlite3_stmt *count = sqlite_prepare(handle, sql_count, fault);
    sqlite3_stmt *rows = count ? sqlite_prepare(handle, sql_list, fault) : NULL;
    if (!rows) {
        return ERR_SERVICE_UNAVAILABLE;
    }
    sqlite_bind_int_at(count, 1, now_ms);
    enum err e = number_read(handle, count, fault, &found, &list.count);
    sqlite_bind_int_at(rows, 1, now_ms);
    sqlite_bind_int_at(rows, 2, MMI_MAX_LETTERS);
    list.letters.items = arena_alloc(arena, MMI_MAX_LETTERS * sizeof *list.letters.items);
    enum sqlite_step_result step = SQLITE_STEP_DONE;
    while (e == ERR_NONE && (step = sqlite_step(handle, rows, fault)) == SQLITE_STEP_ROW) {
        e = sqlite_read_record(rows, &mmi_dead_letter_record, arena, fault, &list.letters.items[list.letters.count++]);
    }
    (void)sqlite3_reset(rows);
    if (e == ERR_NONE && step != SQLITE_STEP_DONE) {
        e = ERR_SERVICE_UNAVAILABLE;
    }
    if (e == ERR_NONE) {
        *out = list;
    }
    return e;
}

static enum err letter_read(struct sqlite_db *db, struct text request_id, int64_t now_ms, struct arena *arena,
                            struct fault *fault, struct dead_letter *out)
{
    sqlite3_stmt *statement = sqlite_prepare(db, sql_read, fault);
    if (!statement) {
        return ERR_SERVICE_UNAVAILABLE;
    }
    sqlite_bind_text_at(statement, 1, request_id);
    sqlite_bind_int_at(statement, 2, now_ms);
    if (sqlite_step(db, statement, fault) != SQLITE_STEP_ROW) {
        return ERR_SERVICE_UNAVAILABLE;
    }
    enum err e = sqlite_read_record(statement, &dead_letter_record, arena, fault, out);
    (void)sqlite3_reset(statement);
    return e;
}

static enum err letter_take(void *handle, const struct letter_take *what, int64_t now_ms, struct arena *arena,
                            struct fault *fault, struct dead_letter *out)
{
    sqlite3_stmt *find = sqlite_prepare(handle, sql_find, fault);
    sqlite3_stmt *take = find ? sqlite_prepare(handle, sql_take, fault) : NULL;
    bool found;
    int64_t refused = 0;
    if (!take) {
        return ERR_SERVICE_UNAVAILABLE;
    }
    sqlite_bind_text_at(find, 1, what->request_id);
    sqlite_bind_int_at(find, 2, now_ms);
    sqlite_bind_text_at(find, 3, what->taker);
    enum err e = number_read(handle, find, fault, &found, &refused);
    if (e != ERR_NONE || !found || refused) {
        return e != ERR_NONE ? e : fault_set(fault, found ? ERR_CONFLICT : ERR_NOT_FOUND, NULL);
    }
    sqlite_bind_text_at(take, 1, what->request_id);
    sqlite_bind_text_at(take, 2, what->taker);
    sqlite_bind_int_at(take, 3, now_ms + what->lease_ms);
    e = sqlite_run(handle, take, fault);
    return e == ERR_NONE ? letter_read(handle, what->request_id, now_ms, arena, fault, out) : e;
}

static enum err letter_drop(void *handle, const struct letter_drop *what, int64_t now_ms, struct fault *fault)
{
    bool of_death = has(letter_drop, what, death);
    sqlite3_stmt *statement = sqlite_prepare(handle, of_death ? sql_drop_death : sql_drop, fault);
    if (!statement) {
        return ERR_SERVICE_UNAVAILABLE;
    }
    sqlite_bind_text_at(statement, 1, what->request_id);
    if (of_death) {
        sqlite_bind_int_at(statement, 2, what->death);
        sqlite_bind_int_at(statement, 3, now_ms);
    }
    enum err e = sqlite_run(handle, statement, fault);
    if (e == ERR_NONE && !of_death && sqlite_changes_of(handle) == 0) {
        return fault_set(fault, ERR_NOT_FOUND, NULL);
    }
    return e;
}

static enum err letter_trim(void *handle, int64_t before_ms, int64_t count_max, struct fault *fault)
{
    sqlite3_stmt *old = sqlite_prepare(handle, sql_trim_old, fault);
    enum err e = ERR_SERVICE_UNAVAILABLE;
    if (old) {
        sqlite_bind_int_at(old, 1, before_ms);
        e = sqlite_run(handle, old, fault);
    }
    for (int gone = 0; e == ERR_NONE && gone <= 1; gone++) {
        sqlite3_stmt *many = sqlite_prepare(handle, sql_trim_many, fault);
        if (!many) {
            return ERR_SERVICE_UNAVAILABLE;
        }
        sqlite_bind_int_at(many, 1, gone);
        sqlite_bind_int_at(many, 2, count_max);
        e = sqlite_run(handle, many, fault);
    }
    return e;
}

const struct letter_store_ops letters_sqlite = {letter_add, letter_list, letter_take, letter_drop, letter_trim};
