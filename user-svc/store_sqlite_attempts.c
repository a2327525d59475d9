/* Failed passwords in SQLite. */
#include "user-svc/store_sqlite.h"

const char user_attempts_schema[] =
    "CREATE TABLE attempts(name TEXT PRIMARY KEY NOT NULL, failures INTEGER NOT NULL, blocked_until INTEGER NOT NULL,"
    " last_at INTEGER NOT NULL) STRICT; CREATE INDEX attempts_by_age ON attempts(last_at);";

enum err sqlite_attempts_get(struct user_store *self, struct text name, struct fault *fault, struct attempts *out)
{
    enum err e;
    sqlite3_stmt *select =
        sqlite_prepare(user_db(self), "SELECT failures, blocked_until, last_at FROM attempts WHERE name = ?1", fault);
    if (!select) {
        return fault->code;
    }
    sqlite_bind_text_at(select, 1, name);
    struct attempts found = {0};
    if (user_row(self, select, fault, &e)) {
        found = (struct attempts){sqlite_int_at(select, 0), sqlite_int_at(select, 1), sqlite_int_at(select, 2)};
    }
    (void)sqlite3_reset(select);
    if (e == ERR_NONE) {
        *out = found;
    }
    return e;
}

enum err sqlite_attempts_put(struct user_store *self, const struct attempts_change *in, struct fault *fault, bool *out)
{
    static const char insert[] = "INSERT INTO attempts(name, failures, blocked_until, last_at) VALUES(:name, "
                                 ":failures, :blocked_until, :last_at)"
                                 " ON CONFLICT(name) DO NOTHING";
    static const char update[] =
        "UPDATE attempts SET failures = :failures, blocked_until = :blocked_until, last_at = :last_at"
        " WHERE name = :name AND failures = :from_failures AND last_at = :from_last_at";
    static const char erase[] =
        "DELETE FROM attempts WHERE name = :name AND failures = :from_failures AND last_at = :from_last_at";
    bool is_new = in->from.failures == 0, is_over = in->to.failures == 0;
    int64_t changes = 0;
    sqlite3_stmt *statement = sqlite_prepare(user_db(self), is_over ? erase : is_new ? insert : update, fault);
    if (!statement) {
        return fault->code;
    }
    sqlite_bind_text_at(statement, user_at(statement, ":name"), in->name);
    if (!is_over) {
        sqlite_bind_int_at(statement, user_at(statement, ":failures"), in->to.failures);
        sqlite_bind_int_at(statement, user_at(statement, ":blocked_until"), in->to.blocked_until_ms);
        sqlite_bind_int_at(statement, user_at(statement, ":last_at"), in->to.last_ms);
    }
    if (is_over || !is_new) {
        sqlite_bind_int_at(statement, user_at(statement, ":from_failures"), in->from.failures);
        sqlite_bind_int_at(statement, user_at(statement, ":from_last_at"), in->from.last_ms);
    }
    enum err e = user_run(self, statement, fault, &changes);
    if (e == ERR_NONE) {
        *out = changes == 1;
    }
    return e;
}
