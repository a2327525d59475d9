/* Sessions, denials, tickets, keys and secrets in SQLite. */
#include "lib/base/invariant.h"
#include "user-svc/store_sqlite.h"

/* ---- sessions ---- */

enum err sqlite_session_get(struct user_store *self, struct text id, struct arena *arena, struct fault *fault,
                            struct session *out)
{
    enum err e;
    /* a session that its account has left behind ended at the latest new password */
    static const char sql[] =
        "SELECT s.id, s.user_id, s.refresh_hash, s.created_at, s.used_at,"
        " coalesce(s.ended_at, CASE WHEN s.generation < u.generation AND s.id <> u.kept_session"
        "                      THEN max(u.denied_until, 1) END, 0), s.generation"
        " FROM sessions s LEFT JOIN users u ON u.id = s.user_id WHERE s.id = ?1";
    sqlite3_stmt *select = sqlite_prepare(user_db(self), sql, fault);
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
                            .ended_ms = sqlite_int_at(select, 5),
                            .generation = sqlite_int_at(select, 6)};
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
    sqlite3_stmt *insert = sqlite_prepare(user_db(self),
                                          "INSERT INTO sessions(id, user_id, refresh_hash, created_at, used_at, "
                                          "generation) VALUES(?1, ?2, ?3, ?4, ?5, ?6)"
                                          " ON CONFLICT(id) DO NOTHING",
                                          fault);
    if (!insert) {
        return fault->code;
    }
    sqlite_bind_text_at(insert, 1, in->id);
    sqlite_bind_text_at(insert, 2, in->user_id);
    sqlite_bind_blob_at(insert, 3, in->refresh_hash);
    sqlite_bind_int_at(insert, 4, in->created_ms);
    sqlite_bind_int_at(insert, 5, in->used_ms);
    sqlite_bind_int_at(insert, 6, in->generation);
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
        " WHERE id = ?1 AND refresh_hash = ?2 AND ended_at IS NULL AND NOT EXISTS(SELECT 1 FROM users u"
        " WHERE u.id = sessions.user_id AND sessions.generation < u.generation AND sessions.id <> u.kept_session)",
        fault);
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

enum err sqlite_session_end(struct user_store *self, const struct session_end *in, struct arena *arena,
                            struct fault *fault, bool *out)
{
    static const char sql[] =
        "UPDATE sessions SET ended_at = ?2, denial_ends = ?3 WHERE id = ?1 AND ended_at IS NULL";
    int64_t changes = 0;
    sqlite3_stmt *update = sqlite_prepare(user_db(self), sql, fault);
    if (!update) {
        return fault->code;
    }
    sqlite_bind_text_at(update, 1, in->id);
    sqlite_bind_int_at(update, 2, in->now_ms);
    sqlite_bind_int_at(update, 3, in->denial_ends_ms);
    enum err e = user_run(self, update, fault, &changes);
    if (e == ERR_NONE && changes > 0) {
        e = outbox_sqlite_add(self->outbox, in->ended, arena, fault);
    }
    if (e == ERR_NONE) {
        *out = changes > 0;
    }
    return e;
}

/* A session whose account nobody has heard of is one all the same: only what stands in either speaks against it. */
#define SESSION_GOOD(session_id, user_id, issued_at)                                                                    \
    "EXISTS(SELECT 1 FROM sessions s LEFT JOIN users u ON u.id = s.user_id WHERE s.id = " session_id                    \
    " AND s.user_id = " user_id " AND s.ended_at IS NULL"                                                               \
    " AND (u.id IS NULL OR ((s.generation >= u.generation OR s.id = u.kept_session)"                                    \
    "      AND " issued_at " > u.denied_all AND (" issued_at " > u.denied_until OR s.id = u.kept_session))))"

enum err sqlite_token_good(struct user_store *self, const struct token_check *in, struct fault *fault, bool *out)
{
    enum err e;
    sqlite3_stmt *select = sqlite_prepare(user_db(self), "SELECT 1 WHERE " SESSION_GOOD("?1", "?2", "?3"), fault);
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

/* One row of the list below: an account's one or two, or a session's one. */
static uint32_t denials_read(sqlite3_stmt *select, struct arena *arena, struct denial out[2])
{
    int64_t ends_ms = sqlite_int_at(select, 5);
    if (sqlite_is_null_at(select, 0)) {
        out[0] = (struct denial){
            .session_id = sqlite_text_at(select, 1, arena), .before = sqlite_int_at(select, 2), .expires_at = ends_ms};
        set_has(denial, &out[0], session_id);
        return 1;
    }
    struct account account = {.user = {.id = sqlite_text_at(select, 0, arena)},
                              .denied_until_ms = sqlite_int_at(select, 2),
                              .denied_all_ms = sqlite_int_at(select, 3),
                              .kept_session = sqlite_text_at(select, 4, arena)};
    return account_denials(&account, ends_ms, out);
}

enum err sqlite_denial_list(struct user_store *self, int64_t now_ms, struct arena *arena, struct fault *fault,
                            struct denial_list *out)
{
    static const char sql[] =
        "SELECT * FROM (SELECT id AS user_id, '' AS session_id, denied_until AS denied, denied_all, kept_session, "
        "denial_ends"
        " FROM users WHERE denial_ends > ?1 AND denial_ends > 0 ORDER BY denial_ends DESC LIMIT ?2)"
        " UNION ALL SELECT * FROM (SELECT NULL, id, ended_at, 0, '', denial_ends"
        " FROM sessions WHERE denial_ends > ?1 AND denial_ends > 0 ORDER BY denial_ends DESC LIMIT ?2)"
        " ORDER BY denial_ends DESC, denied DESC LIMIT ?2";
    enum err e;
    struct denial_list list = {0};
    struct denial read[2];
    sqlite3_stmt *select = sqlite_prepare(user_db(self), sql, fault);
    if (!select) {
        return fault->code;
    }
    sqlite_bind_int_at(select, 1, now_ms);
    sqlite_bind_int_at(select, 2, DENIAL_MAX);
    list.denials.items = arena_alloc(arena, DENIAL_MAX * sizeof *list.denials.items);
    while (user_row(self, select, fault, &e)) {
        uint32_t count = denials_read(select, arena, read);
        for (uint32_t i = 0; i < count && list.denials.count < DENIAL_MAX; i++) {
            list.denials.items[list.denials.count++] = read[i];
        }
    }
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
        " AND " SESSION_GOOD("tickets.session_id", "tickets.user_id", "tickets.issued_at")
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

enum err sqlite_key_add(struct user_store *self, const struct key_row *in, struct fault *fault)
{
    sqlite3_stmt *insert = sqlite_prepare(
        user_db(self),
        "INSERT INTO signing_keys(generation, kid, public_pem, x, y, private_pem, created_at)"
        " VALUES(:generation, :kid, :public_pem, :x, :y, :private_pem, :now) ON CONFLICT(generation) DO NOTHING",
        fault);
    if (!insert) {
        return fault->code;
    }
    sqlite_bind_record(insert, &signing_key_record, &in->shown, NULL);
    sqlite_bind_text_at(insert, user_at(insert, ":private_pem"), in->private_pem);
    sqlite_bind_int_at(insert, user_at(insert, ":generation"), in->generation);
    sqlite_bind_int_at(insert, user_at(insert, ":now"), in->created_ms);
    return user_run(self, insert, fault, NULL);
}

enum err sqlite_key_list(struct user_store *self, struct arena *arena, struct fault *fault, struct key_rows *out)
{
    enum err e;
    struct key_rows rows = {.items = arena_alloc(arena, SIGNING_KEYS_MAX * sizeof *rows.items)};
    sqlite3_stmt *select = sqlite_prepare(user_db(self),
                                          "SELECT private_pem, generation, created_at, kid, public_pem, x, y FROM "
                                          "signing_keys ORDER BY generation DESC LIMIT ?1",
                                          fault);
    if (!select) {
        return fault->code;
    }
    sqlite_bind_int_at(select, 1, SIGNING_KEYS_MAX);
    while (user_row(self, select, fault, &e)) {
        struct key_row *row = &rows.items[rows.count];
        e = sqlite_read_record(select, &signing_key_record, arena, fault, &row->shown);
        if (e != ERR_NONE) {
            break;
        }
        row->private_pem = sqlite_text_at(select, 0, arena);
        row->generation = sqlite_int_at(select, 1);
        row->created_ms = sqlite_int_at(select, 2);
        rows.count++;
    }
    (void)sqlite3_reset(select);
    if (e == ERR_NONE) {
        *out = rows;
    }
    return e;
}

enum err sqlite_key_drop(struct user_store *self, int64_t below_generation, struct fault *fault)
{
    sqlite3_stmt *erase = sqlite_prepare(user_db(self), "DELETE FROM signing_keys WHERE generation < ?1", fault);
    if (!erase) {
        return fault->code;
    }
    sqlite_bind_int_at(erase, 1, below_generation);
    return user_run(self, erase, fault, NULL);
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
        "DELETE FROM tickets WHERE hash IN (SELECT hash FROM tickets WHERE expires_at <= ?1 LIMIT ?4)",
        "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE used_at < ?2 LIMIT ?4)",
        "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE ended_at < ?3 LIMIT ?4)",
        "DELETE FROM attempts WHERE name IN (SELECT name FROM attempts WHERE last_at < ?5 LIMIT ?4)",
        "DELETE FROM answers WHERE request_id IN (SELECT request_id FROM answers WHERE at < ?6 LIMIT ?4)"};
    static const char *const numbers[] = {"?1", "?2", "?3", "?4", "?5", "?6"};
    const int64_t values[] = {in->now_ms, in->sessions_before_ms, in->ended_before_ms, in->row_count,
                              in->attempts_before_ms, in->answers_before_ms};
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
