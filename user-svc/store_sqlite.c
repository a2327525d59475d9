/* Accounts in SQLite: DIR/user.db. Sessions and what belongs to them are in store_sqlite_session.c. */
#include "user-svc/store_sqlite.h"

#include "lib/base/invariant.h"

static const char schema_1[] =
    "CREATE TABLE users("
    "  id TEXT PRIMARY KEY NOT NULL,"
    "  email TEXT NOT NULL,"
    "  email_folded TEXT NOT NULL UNIQUE,"
    "  name TEXT NOT NULL,"
    "  role TEXT NOT NULL CHECK(role IN ('customer', 'admin')),"
    "  addresses BLOB NOT NULL,"
    "  password_hash TEXT NOT NULL,"
    "  founder INTEGER UNIQUE CHECK(founder = 1)," /* the shop's first account; nobody else gets the place */
    "  denied_until INTEGER NOT NULL,"
    "  changed_by BLOB NOT NULL,"
    "  created_at INTEGER NOT NULL,"
    "  updated_at INTEGER NOT NULL,"
    "  version INTEGER NOT NULL) STRICT;"
    "CREATE INDEX users_by_age ON users(created_at, id);"
    "CREATE INDEX users_by_role ON users(role, created_at, id);"
    "CREATE TABLE sessions("
    "  id TEXT PRIMARY KEY NOT NULL,"
    "  user_id TEXT NOT NULL,"
    "  refresh_hash BLOB NOT NULL,"
    "  created_at INTEGER NOT NULL,"
    "  used_at INTEGER NOT NULL,"
    "  ended_at INTEGER) STRICT;"
    "CREATE INDEX sessions_by_user ON sessions(user_id);"
    "CREATE INDEX sessions_by_use ON sessions(used_at);"
    "CREATE INDEX sessions_by_end ON sessions(ended_at) WHERE ended_at IS NOT NULL;"
    "CREATE TABLE denials("
    "  position INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  session_id TEXT,"
    "  user_id TEXT,"
    "  except_session_id TEXT,"
    "  \"before\" INTEGER NOT NULL,"
    "  expires_at INTEGER NOT NULL) STRICT;"
    "CREATE INDEX denials_by_user ON denials(user_id) WHERE user_id IS NOT NULL;"
    "CREATE INDEX denials_by_end ON denials(expires_at);"
    "CREATE TABLE tickets("
    "  hash BLOB PRIMARY KEY NOT NULL,"
    "  user_id TEXT NOT NULL,"
    "  role TEXT NOT NULL,"
    "  session_id TEXT NOT NULL,"
    "  issued_at INTEGER NOT NULL,"
    "  expires_at INTEGER NOT NULL,"
    "  spent_by BLOB) STRICT;"
    "CREATE INDEX tickets_by_end ON tickets(expires_at);"
    "CREATE TABLE signing_keys("
    "  generation INTEGER PRIMARY KEY,"
    "  kid TEXT NOT NULL UNIQUE,"
    "  public_pem TEXT NOT NULL,"
    "  x TEXT NOT NULL,"
    "  y TEXT NOT NULL,"
    "  private_pem TEXT NOT NULL,"
    "  created_at INTEGER NOT NULL) STRICT;"
    "CREATE TABLE secrets(name TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL) STRICT;" OUTBOX_SQL;

/* What ends an account's sessions stands in its row, as on a store that changes one document at a time. Denials that
 * were going on are taken over without their exceptions: at worst one session refreshes early. */
static const char schema_2[] =
    "ALTER TABLE users ADD COLUMN denied_all INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE users ADD COLUMN denial_ends INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE users ADD COLUMN generation INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE users ADD COLUMN kept_session TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE sessions ADD COLUMN generation INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE sessions ADD COLUMN denial_ends INTEGER NOT NULL DEFAULT 0;"
    "UPDATE users SET denied_all = denied_until, denial_ends = (SELECT max(expires_at) FROM denials WHERE user_id = "
    "users.id)"
    " WHERE id IN (SELECT user_id FROM denials);"
    "UPDATE sessions SET denial_ends = (SELECT max(expires_at) FROM denials WHERE session_id = sessions.id)"
    " WHERE id IN (SELECT session_id FROM denials);"
    "DROP TABLE denials;"
    "CREATE INDEX users_by_denial ON users(denial_ends) WHERE denial_ends > 0;"
    "CREATE INDEX sessions_by_denial ON sessions(denial_ends) WHERE denial_ends > 0;";

static const char *const migrations[] = {schema_1, schema_2, user_attempts_schema, user_answers_schema};
const struct sqlite_schema user_sqlite_schema = {"user.db", migrations, ARRAY_COUNT(migrations)};

struct sqlite_db *user_db(struct user_store *self)
{
    return ((struct user_store_sqlite *)self)->db;
}

int user_at(sqlite3_stmt *statement, const char *name)
{
    int index = sqlite3_bind_parameter_index(statement, name);
    ASSERT(index > 0);
    return index;
}

bool user_row(struct user_store *self, sqlite3_stmt *statement, struct fault *fault, enum err *out_error)
{
    enum sqlite_step_result step = sqlite_step(user_db(self), statement, fault);
    *out_error = step == SQLITE_STEP_FAILED ? fault->code : step == SQLITE_STEP_CONSTRAINT ? ERR_CONFLICT : ERR_NONE;
    return step == SQLITE_STEP_ROW;
}

enum err user_run(struct user_store *self, sqlite3_stmt *statement, struct fault *fault, int64_t *out_changes)
{
    enum err e;
    while (user_row(self, statement, fault, &e)) {
    }
    if (e == ERR_NONE && out_changes) {
        *out_changes = sqlite_changes_of(user_db(self));
    }
    return e;
}

/* ---- writing accounts ---- */

static const char insert_first[] =
    "INSERT INTO users(id, email, email_folded, name, role, addresses, password_hash, founder, denied_until,"
    " changed_by, created_at, updated_at, version) VALUES(:id, :email, :email_folded, :name, :role, :addresses,"
    " :password_hash, 1, 0, :changed_by, :created_at, :updated_at, :version)"
    " ON CONFLICT(founder) DO NOTHING";
static const char insert_later[] =
    "INSERT INTO users(id, email, email_folded, name, role, addresses, password_hash, founder, denied_until,"
    " changed_by, created_at, updated_at, version) VALUES(:id, :email, :email_folded, :name, :role, :addresses,"
    " :password_hash, NULL, 0, :changed_by, :created_at, :updated_at, :version)";

static enum err id_exists(struct user_store *self, struct text id, struct fault *fault, bool *out)
{
    enum err e;
    sqlite3_stmt *select = sqlite_prepare(user_db(self), "SELECT 1 FROM users WHERE id = ?1", fault);
    if (!select) {
        return fault->code;
    }
    sqlite_bind_text_at(select, 1, id);
    bool found = user_row(self, select, fault, &e);
    (void)sqlite3_reset(select);
    if (e == ERR_NONE) {
        *out = found;
    }
    return e;
}

static enum err insert_as(struct user_store *self, const char *sql, const struct account *account, enum role role,
                          struct arena *arena, struct fault *fault, int64_t *out_changes)
{
    struct user user = account->user;
    user.role = role;
    sqlite3_stmt *insert = sqlite_prepare(user_db(self), sql, fault);
    if (!insert) {
        return fault->code;
    }
    sqlite_bind_record(insert, &user_record, &user, arena);
    sqlite_bind_text_at(insert, user_at(insert, ":email_folded"), account->email_folded);
    sqlite_bind_text_at(insert, user_at(insert, ":password_hash"), account->password_hash);
    sqlite_bind_blob_at(insert, user_at(insert, ":changed_by"), account->changed_by);
    enum err e = user_run(self, insert, fault, out_changes);
    if (e != ERR_CONFLICT) {
        return e;
    }
    bool same_id = false;
    e = id_exists(self, user.id, fault, &same_id);
    return e != ERR_NONE ? e : same_id ? ERR_CONFLICT : ERR_EMAIL_TAKEN;
}

/* The event of what was done to an account, with the rest of the transaction. */
static enum err user_event_add(struct user_store *self, const struct event_new *event, const struct user_event *data,
                               struct arena *arena, struct fault *fault)
{
    if (!event) {
        return ERR_NONE;
    }
    struct event_new complete = user_event_complete(event, data, arena);
    return outbox_sqlite_add(self->outbox, &complete, arena, fault);
}

static enum err account_insert(struct user_store *self, const struct account_new *in, struct arena *arena,
                               struct fault *fault, enum role *out)
{
    const struct user *user = &in->account.user;
    struct user_event data = {.user_id = user->id, .role = in->first_role, .version = user->version};
    int64_t changes = 0;
    enum err e = insert_as(self, insert_first, &in->account, data.role, arena, fault, &changes);
    if (e == ERR_NONE && changes == 0) {
        data.role = user->role;
        e = insert_as(self, insert_later, &in->account, data.role, arena, fault, &changes);
    }
    if (e == ERR_NONE) {
        e = user_event_add(self, in->created, &data, arena, fault);
    }
    if (e == ERR_NONE) {
        *out = data.role;
    }
    return e;
}

/* Runs an update that returns role and version. False with *out_error NONE when it found no row. */
static bool account_change(struct user_store *self, sqlite3_stmt *update, struct fault *fault, enum err *out_error,
                           struct user_event *out)
{
    int role;
    if (!user_row(self, update, fault, out_error)) {
        return false;
    }
    ASSERT(enum_find(&role_names, sqlite_text_at(update, 0, NULL), &role));
    out->role = (enum role)role;
    out->version = sqlite_int_at(update, 1);
    return !user_row(self, update, fault, out_error) && *out_error == ERR_NONE;
}

static void denial_bind(sqlite3_stmt *update, const struct denial *denial)
{
    if (denial) {
        sqlite_bind_int_at(update, user_at(update, ":denied"), denial->before);
        sqlite_bind_int_at(update, user_at(update, ":denial_ends"), denial->expires_at);
        bool kept = has(denial, denial, except_session_id);
        sqlite_bind_text_at(update, user_at(update, ":kept_session"), kept ? denial->except_session_id : TEXT(""));
    }
}

static void edit_bind(sqlite3_stmt *update, const struct account_edit *in, struct arena *arena)
{
    sqlite_bind_record(update, &user_edit_record, in->edit, arena);
    if (has(user_edit, in->edit, email)) {
        sqlite_bind_text_at(update, user_at(update, ":email_folded"), in->email_folded);
    }
    if (in->password_hash.size > 0) {
        sqlite_bind_text_at(update, user_at(update, ":password_hash"), in->password_hash);
    }
    if (in->verified_hash.size > 0) {
        sqlite_bind_text_at(update, user_at(update, ":verified_hash"), in->verified_hash);
    }
    denial_bind(update, in->denial);
    sqlite_bind_int_at(update, user_at(update, ":now"), in->now_ms);
    sqlite_bind_int_at(update, user_at(update, ":version"), in->version);
    sqlite_bind_blob_at(update, user_at(update, ":changed_by"), in->request_id);
}

static enum err account_edit(struct user_store *self, const struct account_edit *in, struct arena *arena,
                             struct fault *fault)
{
    static const char sql[] =
        "UPDATE users SET email = coalesce(:email, email), email_folded = coalesce(:email_folded, email_folded),"
        " name = coalesce(:name, name), addresses = coalesce(:addresses, addresses),"
        " password_hash = coalesce(:password_hash, password_hash),"
        " denied_until = max(denied_until, coalesce(:denied, 0)),"
        " denied_all = max(denied_all, CASE WHEN :kept_session = '' THEN :denied ELSE 0 END),"
        " denial_ends = max(denial_ends, coalesce(:denial_ends, 0)),"
        " kept_session = coalesce(:kept_session, kept_session), generation = generation + (:kept_session IS NOT NULL),"
        " changed_by = :changed_by, updated_at = max(updated_at, :now), version = version + 1"
        " WHERE id = :id AND (:verified_hash IS NULL OR password_hash = :verified_hash)"
        " AND (:version = 0 OR version = :version) RETURNING role, version";
    struct user_event data = {.user_id = in->edit->id};
    enum err e;
    sqlite3_stmt *update = sqlite_prepare(user_db(self), sql, fault);
    if (!update) {
        return fault->code;
    }
    edit_bind(update, in, arena);
    if (!account_change(self, update, fault, &e, &data)) {
        /* the only index that an edit can break is the address's */
        return e == ERR_CONFLICT ? ERR_EMAIL_TAKEN : e == ERR_NONE ? ERR_CONFLICT : e;
    }
    e = user_event_add(self, in->updated, &data, arena, fault);
    return e == ERR_NONE ? outbox_sqlite_add(self->outbox, in->ended, arena, fault) : e;
}

/* Why a change of role found nothing to change. */
static enum err role_kept(struct user_store *self, const struct role_change *in, struct fault *fault)
{
    enum err e;
    sqlite3_stmt *select = sqlite_prepare(user_db(self), "SELECT role = ?2 FROM users WHERE id = ?1", fault);
    if (!select) {
        return fault->code;
    }
    sqlite_bind_text_at(select, 1, in->id);
    sqlite_bind_text_at(select, 2, text_of(enum_name(&role_names, (int)in->role)));
    bool found = user_row(self, select, fault, &e);
    bool same = found && sqlite_int_at(select, 0) != 0;
    (void)sqlite3_reset(select);
    return e != ERR_NONE || same ? e : found ? ERR_LAST_ADMIN : ERR_NOT_FOUND;
}

static enum err account_set_role(struct user_store *self, const struct role_change *in, struct arena *arena,
                                 struct fault *fault)
{
    static const char sql[] =
        "UPDATE users SET role = :role, denied_until = max(denied_until, :denied), denied_all = max(denied_all, "
        ":denied),"
        " denial_ends = max(denial_ends, :denial_ends), changed_by = :changed_by, updated_at = max(updated_at, :now),"
        " version = version + 1 WHERE id = :id AND role <> :role AND (:role = 'admin'"
        " OR EXISTS(SELECT 1 FROM users WHERE role = 'admin' AND id <> :id)) RETURNING role, version";
    struct user_event data = {.user_id = in->id};
    enum err e;
    sqlite3_stmt *update = sqlite_prepare(user_db(self), sql, fault);
    if (!update) {
        return fault->code;
    }
    sqlite_bind_text_at(update, user_at(update, ":id"), in->id);
    sqlite_bind_text_at(update, user_at(update, ":role"), text_of(enum_name(&role_names, (int)in->role)));
    sqlite_bind_int_at(update, user_at(update, ":now"), in->now_ms);
    sqlite_bind_int_at(update, user_at(update, ":denied"), in->denial->before);
    sqlite_bind_int_at(update, user_at(update, ":denial_ends"), in->denial->expires_at);
    sqlite_bind_blob_at(update, user_at(update, ":changed_by"), in->request_id);
    if (!account_change(self, update, fault, &e, &data)) {
        return e == ERR_NONE ? role_kept(self, in, fault) : e;
    }
    e = user_event_add(self, in->changed, &data, arena, fault);
    return e == ERR_NONE ? outbox_sqlite_add(self->outbox, in->ended, arena, fault) : e;
}

static enum err account_rehash(struct user_store *self, const struct hash_change *in, struct fault *fault)
{
    sqlite3_stmt *update = sqlite_prepare(
        user_db(self), "UPDATE users SET password_hash = ?3 WHERE id = ?1 AND password_hash = ?2", fault);
    if (!update) {
        return fault->code;
    }
    sqlite_bind_text_at(update, 1, in->id);
    sqlite_bind_text_at(update, 2, in->from);
    sqlite_bind_text_at(update, 3, in->to);
    return user_run(self, update, fault, NULL);
}

/* ---- reading accounts ---- */

#define ACCOUNT_SELECT \
    "SELECT email_folded, password_hash, denied_until, changed_by, denied_all, generation, kept_session, * FROM users"

static enum err account_read(struct user_store *self, sqlite3_stmt *select, struct arena *arena, struct fault *fault,
                             struct account *out)
{
    enum err e;
    if (!user_row(self, select, fault, &e)) {
        return e == ERR_NONE ? ERR_NOT_FOUND : e;
    }
    struct account account = {.email_folded = sqlite_text_at(select, 0, arena),
                              .password_hash = sqlite_text_at(select, 1, arena),
                              .denied_until_ms = sqlite_int_at(select, 2),
                              .changed_by = sqlite_text_at(select, 3, arena),
                              .denied_all_ms = sqlite_int_at(select, 4),
                              .generation = sqlite_int_at(select, 5),
                              .kept_session = sqlite_text_at(select, 6, arena)};
    e = sqlite_read_record(select, &user_record, arena, fault, &account.user);
    (void)sqlite3_reset(select);
    if (e == ERR_NONE) {
        *out = account;
    }
    return e;
}

static enum err account_get(struct user_store *self, struct text id, struct arena *arena, struct fault *fault,
                            struct account *out)
{
    sqlite3_stmt *select = sqlite_prepare(user_db(self), ACCOUNT_SELECT " WHERE id = ?1", fault);
    if (!select) {
        return fault->code;
    }
    sqlite_bind_text_at(select, 1, id);
    return account_read(self, select, arena, fault, out);
}

static enum err account_find(struct user_store *self, struct text email_folded, struct arena *arena,
                             struct fault *fault, struct account *out)
{
    sqlite3_stmt *select = sqlite_prepare(user_db(self), ACCOUNT_SELECT " WHERE email_folded = ?1", fault);
    if (!select) {
        return fault->code;
    }
    sqlite_bind_text_at(select, 1, email_folded);
    return account_read(self, select, arena, fault, out);
}

/* One statement for each index that helps. */
static sqlite3_stmt *list_prepare(struct user_store *self, const struct account_page *page, struct fault *fault)
{
    static const char of_all[] =
        "SELECT * FROM users WHERE :after = '' OR (created_at, id) < (:at, :after)"
        " ORDER BY created_at DESC, id DESC LIMIT :limit";
    static const char of_role[] =
        "SELECT * FROM users WHERE role = :role AND (:after = '' OR (created_at, id) < (:at, :after))"
        " ORDER BY created_at DESC, id DESC LIMIT :limit";
    static const char of_email[] =
        "SELECT * FROM users WHERE email_folded = :email_folded AND (:role IS NULL OR role = :role)"
        " AND (:after = '' OR (created_at, id) < (:at, :after)) ORDER BY created_at DESC, id DESC LIMIT :limit";
    bool by_role = has(user_query, page->query, role);
    const char *sql = page->email_folded.size > 0 ? of_email : by_role ? of_role : of_all;
    sqlite3_stmt *select = sqlite_prepare(user_db(self), sql, fault);
    if (!select) {
        return NULL;
    }
    if (page->email_folded.size > 0) {
        sqlite_bind_text_at(select, user_at(select, ":email_folded"), page->email_folded);
    }
    if (by_role) {
        sqlite_bind_text_at(select, user_at(select, ":role"), text_of(enum_name(&role_names, (int)page->query->role)));
    }
    sqlite_bind_text_at(select, user_at(select, ":after"), page->id);
    sqlite_bind_int_at(select, user_at(select, ":at"), page->created_at);
    return select;
}

static enum err account_list(struct user_store *self, const struct account_page *page, struct arena *arena,
                             struct fault *fault, struct user_rows *out)
{
    struct user_rows rows = {0};
    enum err e;
    int64_t limit = page->query->limit;
    sqlite3_stmt *select = list_prepare(self, page, fault);
    if (!select) {
        return fault->code;
    }
    sqlite_bind_int_at(select, user_at(select, ":limit"), limit + 1); /* one more tells whether others follow */
    rows.items = arena_alloc(arena, (size_t)limit * sizeof *rows.items);
    while (!rows.more && user_row(self, select, fault, &e)) {
        rows.more = rows.count == limit;
        if (!rows.more) {
            e = sqlite_read_record(select, &user_record, arena, fault, &rows.items[rows.count]);
            rows.count += e == ERR_NONE;
        }
        if (e != ERR_NONE) {
            break;
        }
    }
    (void)sqlite3_reset(select);
    if (e == ERR_NONE) {
        *out = rows;
    }
    return e;
}

static enum err shop_is_founded(struct user_store *self, struct fault *fault, bool *out)
{
    enum err e;
    sqlite3_stmt *select = sqlite_prepare(user_db(self), "SELECT 1 FROM users WHERE founder = 1", fault);
    if (!select) {
        return fault->code;
    }
    bool found = user_row(self, select, fault, &e);
    (void)sqlite3_reset(select);
    if (e == ERR_NONE) {
        *out = found;
    }
    return e;
}

/* ---- opening ---- */

static void store_destroy(struct user_store **self)
{
    struct user_store_sqlite *store = (struct user_store_sqlite *)*self;
    outbox_source_destroy(&store->store.outbox);
    sqlite_db_destroy(&store->db);
    mem_free(store);
    *self = NULL;
}

static const struct user_store_ops sqlite_ops = {
    .account_insert = account_insert,
    .account_get = account_get,
    .account_find = account_find,
    .account_list = account_list,
    .account_edit = account_edit,
    .account_set_role = account_set_role,
    .account_rehash = account_rehash,
    .shop_is_founded = shop_is_founded,
    .session_insert = sqlite_session_insert,
    .session_get = sqlite_session_get,
    .session_rotate = sqlite_session_rotate,
    .session_end = sqlite_session_end,
    .token_good = sqlite_token_good,
    .denial_list = sqlite_denial_list,
    .ticket_add = sqlite_ticket_add,
    .ticket_spend = sqlite_ticket_spend,
    .attempts_get = sqlite_attempts_get,
    .attempts_put = sqlite_attempts_put,
    .key_add = sqlite_key_add,
    .key_list = sqlite_key_list,
    .key_drop = sqlite_key_drop,
    .key_distrust = sqlite_key_distrust,
    .answer_add = sqlite_answer_add,
    .answer_get = sqlite_answer_get,
    .secret_add = sqlite_secret_add,
    .secret_get = sqlite_secret_get,
    .sweep = sqlite_sweep,
    .destroy = store_destroy,
};

enum err user_store_open_sqlite(const struct store_config *config, bool writer, struct metrics *metrics,
                                struct fault *fault, struct user_store **out)
{
    struct sqlite_db *db = NULL;
    enum err e = sqlite_db_open(config, &user_sqlite_schema, writer, metrics, fault, &db);
    if (e != ERR_NONE) {
        return e;
    }
    struct user_store_sqlite *store = mem_alloc(sizeof *store);
    store->db = db;
    store->store = (struct user_store){
        .ops = &sqlite_ops, .unit = &sqlite_unit, .unit_store = db, .outbox = outbox_sqlite_new(db)};
    *out = &store->store;
    return ERR_NONE;
}
