/* Sessions, denials, tickets, keys and secrets in SQLite. */
#include "lib/base/invariant.h"
#include "user-svc/store_sqlite.h"

/* ---- sessions ---- */

enum err sqlite_session_get(struct user_store *self, struct text id, struct arena *arena, struct fault *fault,
                            struct session *out)
{
    enum err e;
    sqlite3_stmt *select = sqlite_prepare(
        user_db(self),
        "SELECT id, user_id, refresh_hash, created_at, used_at, coalesce(ended_at, 0) FROM sessions WHERE id = ?1", fault);
    if (!select) {
        return fault->code;
    }
    sqlite_bind_text_at(select, 1, id);
    if (!user_row(self, select, fault, &e)) {
        return e == ERR_NONE ? ERR_NOT_FOUND : e;
    }
    *out = (struct session){.id = sqlite_text_at(select, 0, arena),
                            .user_id = sqlite_text_at(select, 1, arena),
                            .refresh_hash = sqlite_text_at(select, 2, arena),
                            .created_ms = sqlite_int_at(select, 3),
                            .used_ms = sqlite_int_at(select, 4),
                            .ended_ms = sqlite_int_at(select, 5)};
    (void)sqlite3_reset(select);
    return ERR_NONE;
}

/* True if the stored session is this one, still as it began. */
static enum err session_is_same(struct user_store *self, const struct session *in, struct fault *fault, bool *out)
{
    enum err e;
    sqlite3_stmt *select = sqlite_prepare(
        user_db(self),
        "SELECT 1 FROM sessions WHERE id = ?1 AND user_id = ?2 AND refresh_hash = ?3 AND ended_at IS NULL", fault);
    if (!select) {
        return fault->code;
    }
    sqlite_bind_text_at(select, 1, in->id);
    sqlite_bind_text_at(select, 2, in->user_id);
    sqlite_bind_blob_at(select, 3, in->refresh_hash);
    *out = user_row(self, select, fault, &e);
    (void)sqlite3_reset(select);
    return e;
}

enum err sqlite_session_insert(struct user_store *self, const struct session *in, struct fault *fault)
{
    int64_t changes = 0;
    bool same = true;
    sqlite3_stmt *insert = sqlite_prepare(
        user_db(self),
        "INSERT INTO sessions(id, user_id, refresh_hash, created_at, used_at) VALUES(?1, ?2, ?3, ?4, ?5)"
        " ON CONFLICT(id) DO NOTHING", fault);
    if (!insert) {
        return fault->code;
    }
    sqlite_bind_text_at(insert, 1, in->id);
    sqlite_bind_text_at(insert, 2, in->user_id);
    sqlite_bind_blob_at(insert, 3, in->refresh_hash);
    sqlite_bind_int_at(insert, 4, in->created_ms);
    sqlite_bind_int_at(insert, 5, in->used_ms);
    enum err e = user_run(self, insert, fault, &changes);
    if (e == ERR_NONE && changes == 0) {
        e = session_is_same(self, in, fault, &same);
    }
    return e == ERR_NONE && !same ? ERR_CONFLICT : e;
}

enum err sqlite_session_rotate(struct user_store *self, const struct session_move *in, struct fault *fault)
{
    int64_t changes = 0;
    sqlite3_stmt *update = sqlite_prepare(
        user_db(self),
        "UPDATE sessions SET refresh_hash = ?3, used_at = max(used_at, ?4)"
        " WHERE id = ?1 AND refresh_hash = ?2 AND ended_at IS NULL", fault);
    if (!update) {
        return fault->code;
    }
    sqlite_bind_text_at(update, 1, in->id);
    sqlite_bind_blob_at(update, 2, in->from_hash);
    sqlite_bind_blob_at(update, 3, in->to_hash);
    sqlite_bind_int_at(update, 4, in->now_ms);
    enum err e = user_run(self, update, fault, &changes);
    return e == ERR_NONE && changes == 0 ? ERR_CONFLICT : e;
}

enum err sqlite_session_end(struct user_store *self, const struct session_end *in, struct fault *fault, int64_t *out)
{
    static const char one[] = "UPDATE sessions SET ended_at = ?2 WHERE id = ?1 AND ended_at IS NULL";
    static const char all_but[] = "UPDATE sessions SET ended_at = ?2 WHERE user_id = ?1 AND id <> ?3 AND ended_at IS NULL";
    bool by_id = in->id.size > 0;
    sqlite3_stmt *update = sqlite_prepare(user_db(self), by_id ? one : all_but, fault);
    if (!update) {
        return fault->code;
    }
    sqlite_bind_text_at(update, 1, by_id ? in->id : in->user_id);
    sqlite_bind_int_at(update, 2, in->now_ms);
    if (!by_id) {
        sqlite_bind_text_at(update, 3, in->except);
    }
    return user_run(self, update, fault, out);
}

enum err sqlite_token_good(struct user_store *self, const struct token_check *in, struct fault *fault, bool *out)
{
    static const char sql[] =
        "SELECT 1 FROM sessions WHERE id = ?1 AND user_id = ?2 AND ended_at IS NULL AND NOT EXISTS("
        " SELECT 1 FROM denials WHERE user_id = ?2 AND \"before\" >= ?3 AND coalesce(except_session_id, '') <> ?1)";
    enum err e;
    sqlite3_stmt *select = sqlite_prepare(user_db(self), sql, fault);
    if (!select) {
        return fault->code;
    }
    sqlite_bind_text_at(select, 1, in->session_id);
    sqlite_bind_text_at(select, 2, in->user_id);
    sqlite_bind_int_at(select, 3, in->issued_at);
    bool good = user_row(self, select, fault, &e);
    (void)sqlite3_reset(select);
    if (e == ERR_NONE) {
        *out = good;
    }
    return e;
}

/* ---- denials ---- */

enum err sqlite_denial_add(struct user_store *self, const struct denial *in, const struct event_new *event,
                           struct arena *arena, struct fault *fault)
{
    sqlite3_stmt *insert = sqlite_prepare(
        user_db(self),
        "INSERT INTO denials(session_id, user_id, except_session_id, \"before\", expires_at)"
        " VALUES(:session_id, :user_id, :except_session_id, :before, :expires_at)", fault);
    if (!insert) {
        return fault->code;
    }
    sqlite_bind_record(insert, &denial_record, in, arena);
    enum err e = user_run(self, insert, fault, NULL);
    return e == ERR_NONE ? outbox_sqlite_add(self->outbox, event, arena, fault) : e;
}

enum err sqlite_denial_list(struct user_store *self, int64_t now_ms, struct arena *arena, struct fault *fault,
                            struct denial_list *out)
{
    enum err e;
    struct denial_list list = {0};
    sqlite3_stmt *select = sqlite_prepare(
        user_db(self), "SELECT * FROM denials WHERE expires_at > ?1 ORDER BY position DESC LIMIT ?2", fault);
    if (!select) {
        return fault->code;
    }
    sqlite_bind_int_at(select, 1, now_ms);
    sqlite_bind_int_at(select, 2, DENIAL_MAX);
    list.denials.items = arena_alloc(arena, DENIAL_MAX * sizeof *list.denials.items);
    while (user_row(self, select, fault, &e)) {
        e = sqlite_read_record(select, &denial_record, arena, fault, &list.denials.items[list.denials.count]);
        if (e != ERR_NONE) {
            break;
        }
        list.denials.count++;
    }
    (void)sqlite3_reset(select);
    if (e == ERR_NONE) {
        *out = list;
    }
    return e;
}

/* ---- tickets ---- */

enum err sqlite_ticket_add(struct user_store *self, const struct ticket *in, struct fault *fault, bool *out)
{
    int64_t changes = 0;
    sqlite3_stmt *insert = sqlite_prepare(
        user_db(self),
        "INSERT INTO tickets(hash, user_id, role, session_id, issued_at, expires_at)"
        " VALUES(:hash, :user_id, :role, :session_id, :issued_at, :expires_at) ON CONFLICT(hash) DO NOTHING", fault);
    if (!insert) {
        return fault->code;
    }
    sqlite_bind_record(insert, &identity_record, &in->identity, NULL);
    sqlite_bind_blob_at(insert, user_at(insert, ":hash"), in->hash);
    sqlite_bind_int_at(insert, user_at(insert, ":expires_at"), in->expires_ms);
    enum err e = user_run(self, insert, fault, &changes);
    if (e == ERR_NONE) {
        *out = changes == 1;
    }
    return e;
}

enum err sqlite_ticket_spend(struct user_store *self, const struct ticket_use *in, struct arena *arena,
                             struct fault *fault, struct identity *out)
{
    static const char sql[] =
        "UPDATE tickets SET spent_by = ?2 WHERE hash = ?1 AND (spent_by IS NULL OR spent_by = ?2) AND expires_at > ?3"
        " AND EXISTS(SELECT 1 FROM sessions WHERE id = tickets.session_id AND ended_at IS NULL)"
        " AND NOT EXISTS(SELECT 1 FROM denials WHERE user_id = tickets.user_id AND \"before\" >= tickets.issued_at"
        "                AND coalesce(except_session_id, '') <> tickets.session_id)"
        " RETURNING user_id, role, session_id, issued_at";
    enum err e;
    sqlite3_stmt *update = sqlite_prepare(user_db(self), sql, fault);
    if (!update) {
        return fault->code;
    }
    sqlite_bind_blob_at(update, 1, in->hash);
    sqlite_bind_blob_at(update, 2, in->request_id);
    sqlite_bind_int_at(update, 3, in->now_ms);
    if (!user_row(self, update, fault, &e)) {
        return e == ERR_NONE ? ERR_NOT_FOUND : e;
    }
    e = sqlite_read_record(update, &identity_record, arena, fault, out);
    (void)sqlite3_reset(update);
    return e;
}

/* ---- keys and secrets ---- */

enum err sqlite_key_add(struct user_store *self, const struct key_row *in, int64_t now_ms, struct fault *fault)
{
    sqlite3_stmt *insert = sqlite_prepare(
        user_db(self),
        "INSERT INTO signing_keys(generation, kid, public_pem, x, y, private_pem, created_at)"
        " VALUES(1, :kid, :public_pem, :x, :y, :private_pem, :now) ON CONFLICT(generation) DO NOTHING", fault);
    if (!insert) {
        return fault->code;
    }
    sqlite_bind_record(insert, &signing_key_record, &in->shown, NULL);
    sqlite_bind_text_at(insert, user_at(insert, ":private_pem"), in->private_pem);
    sqlite_bind_int_at(insert, user_at(insert, ":now"), now_ms);
    return user_run(self, insert, fault, NULL);
}

enum err sqlite_key_list(struct user_store *self, struct arena *arena, struct fault *fault, struct key_rows *out)
{
    enum { KEYS_MAX = 16 };
    enum err e;
    struct key_rows rows = {.items = arena_alloc(arena, KEYS_MAX * sizeof *rows.items)};
    sqlite3_stmt *select = sqlite_prepare(
        user_db(self), "SELECT private_pem, kid, public_pem, x, y FROM signing_keys ORDER BY generation DESC LIMIT ?1",
        fault);
    if (!select) {
        return fault->code;
    }
    sqlite_bind_int_at(select, 1, KEYS_MAX);
    while (user_row(self, select, fault, &e)) {
        struct key_row *row = &rows.items[rows.count];
        e = sqlite_read_record(select, &signing_key_record, arena, fault, &row->shown);
        if (e != ERR_NONE) {
            break;
        }
        row->private_pem = sqlite_text_at(select, 0, arena);
        rows.count++;
    }
    (void)sqlite3_reset(select);
    if (e == ERR_NONE) {
        *out = rows;
    }
    return e;
}

enum err sqlite_secret_add(struct user_store *self, const struct secret_row *in, struct fault *fault)
{
    sqlite3_stmt *insert = sqlite_prepare(
        user_db(self), "INSERT INTO secrets(name, value) VALUES(?1, ?2) ON CONFLICT(name) DO NOTHING", fault);
    if (!insert) {
        return fault->code;
    }
    sqlite_bind_text_at(insert, 1, text_of(in->name));
    sqlite_bind_blob_at(insert, 2, in->value);
    return user_run(self, insert, fault, NULL);
}

enum err sqlite_secret_get(struct user_store *self, const char *name, struct arena *arena, struct fault *fault,
                           struct text *out)
{
    enum err e;
    sqlite3_stmt *select = sqlite_prepare(user_db(self), "SELECT value FROM secrets WHERE name = ?1", fault);
    if (!select) {
        return fault->code;
    }
    sqlite_bind_text_at(select, 1, text_of(name));
    if (!user_row(self, select, fault, &e)) {
        return e == ERR_NONE ? ERR_NOT_FOUND : e;
    }
    *out = sqlite_text_at(select, 0, arena);
    (void)sqlite3_reset(select);
    return ERR_NONE;
}

/* ---- what time has made useless ---- */

enum err sqlite_sweep(struct user_store *self, const struct user_sweep *in, struct fault *fault)
{
    static const char *const statements[] = {
        "DELETE FROM denials WHERE position IN (SELECT position FROM denials WHERE expires_at <= ?1 LIMIT ?4)",
        "DELETE FROM tickets WHERE hash IN (SELECT hash FROM tickets WHERE expires_at <= ?1 LIMIT ?4)",
        "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE used_at < ?2 LIMIT ?4)",
        "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE ended_at < ?3 LIMIT ?4)"};
    static const char *const numbers[] = {"?1", "?2", "?3", "?4"};
    const int64_t values[] = {in->now_ms, in->sessions_before_ms, in->ended_before_ms, in->row_count};
    enum err e = ERR_NONE;
    for (size_t i = 0; e == ERR_NONE && i < ARRAY_COUNT(statements); i++) {
        sqlite3_stmt *erase = sqlite_prepare(user_db(self), statements[i], fault);
        if (!erase) {
            return fault->code;
        }
        for (int at = 0; at < (int)ARRAY_COUNT(numbers); at++) {
            if (sqlite3_bind_parameter_index(erase, numbers[at]) > 0) {
                sqlite_bind_int_at(erase, at + 1, values[at]);
            }
        }
        e = user_run(self, erase, fault, NULL);
    }
    return e;
}
