/* Distrusted keys and kept answers in SQLite. */
#include "user-svc/store_sqlite.h"

const char user_answers_schema[] =
    "CREATE TABLE answers(request_id BLOB PRIMARY KEY NOT NULL, body BLOB NOT NULL, at INTEGER NOT NULL) STRICT;"
    "CREATE INDEX answers_by_age ON answers(at);";

enum err sqlite_key_distrust(struct user_store *self, const struct key_distrust *in, struct arena *arena,
                             struct fault *fault)
{
    enum err e = sqlite_key_drop(self, in->below_generation, fault);
    if (e != ERR_NONE) {
        return e;
    }
    sqlite3_stmt *erase = sqlite_prepare(user_db(self), "DELETE FROM tickets", fault);
    if (!erase) {
        return fault->code;
    }
    e = user_run(self, erase, fault, NULL);
    return e == ERR_NONE ? outbox_sqlite_add(self->outbox, in->ended, arena, fault) : e;
}

enum err sqlite_answer_add(struct user_store *self, const struct kept_answer *in, struct fault *fault, bool *out)
{
    int64_t changes = 0;
    sqlite3_stmt *insert = sqlite_prepare(
        user_db(self),
        "INSERT INTO answers(request_id, body, at) VALUES(?1, ?2, ?3) ON CONFLICT(request_id) DO NOTHING", fault);
    if (!insert) {
        return fault->code;
    }
    sqlite_bind_blob_at(insert, 1, in->request_id);
    sqlite_bind_blob_at(insert, 2, in->body);
    sqlite_bind_int_at(insert, 3, in->now_ms);
    enum err e = user_run(self, insert, fault, &changes);
    if (e == ERR_NONE) {
        *out = changes == 1;
    }
    return e;
}

enum err sqlite_answer_get(struct user_store *self, struct text request_id, struct arena *arena, struct fault *fault,
                           struct text *out)
{
    enum err e;
    sqlite3_stmt *select = sqlite_prepare(user_db(self), "SELECT body FROM answers WHERE request_id = ?1", fault);
    if (!select) {
        return fault->code;
    }
    sqlite_bind_blob_at(select, 1, request_id);
    if (!user_row(self, select, fault, &e)) {
        return e == ERR_NONE ? ERR_NOT_FOUND : e;
    }
    *out = sqlite_text_at(select, 0, arena);
    (void)sqlite3_reset(select);
    return ERR_NONE;
}
