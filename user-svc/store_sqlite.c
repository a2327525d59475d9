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

static const char *const migrations[] = {schema_1};
static const struct sqlite_schema schema = {"user.db", migrations, ARRAY_COUNT(migrations)};

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
    " :password_hash, 1, :denied_until, :changed_by, :created_at, :updated_at, :version)"
    " ON CONFLICT(founder) DO NOTHING";
static const char insert_later[] =
    "INSERT INTO users(id, email, email_folded, name, role, addresses, password_hash, founder, denied_until,"
    " changed_by, created_at, updated_at, version) VALUES(:id, :email, :email_folded, :name, :role, :addresses,"
    " :password_hash, NULL, :denied_until, :changed_by, :created_at, :updated_at, :version)";

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
    sqlite_bind_int_at(insert, user_at(insert, ":denied_until"), account->denied_until_ms);
    sqlite_bind_blob_at(insert, user_at(insert, ":changed_by"), account->changed_by);
    enum err e = user_run(self, insert, fault, out_changes);
    if (e != ERR_CONFLICT) {
        return e;
    }
    bool same_id = false;
    e = id_exists(self, user.id, fault, &same_id);
    return e != ERR_NONE ? e : same_id ? ERR_CONFLICT : ERR_EMAIL_TAKEN;
}

static enum err account_insert(struct user_store *self, const struct account_new *in, struct arena *arena,
                               struct fault *fault, enum role *out)
{
    int64_t changes = 0;
    enum err e = insert_as(self, insert_first, &in->account, in->first_role, arena, fault, &changes);
    if (e != ERR_NONE || changes == 1) {
        *out = e == ERR_NONE ? in->first_role : *out;
        return e;
    }
    e = insert_as(self, insert_later, &in->account, in->account.user.role, arena, fault, &changes);
    *out = e == ERR_NONE ? in->account.user.role : *out;
    return e;
}

static enum err account_edit(struct user_store *self, const struct account_edit *in, struct arena *arena,
                             struct fault *fault)
{
    static const char sql[] =
        "UPDATE users SET email = coalesce(:email, email), email_folded = coalesce(:email_folded, email_folded),"
        " name = coalesce(:name, name), addresses = coalesce(:addresses, addresses),"
        " password_hash = coalesce(:password_hash, password_hash),"
        " denied_until = CASE WHEN :deny THEN max(denied_until, :now) ELSE denied_until END,"
        " changed_by = :changed_by, updated_at = max(updated_at, :now), version = version + 1"
        " WHERE id = :id AND (:verified_hash IS NULL OR password_hash = :verified_hash)"
        " AND (:version = 0 OR version = :version)";
    int64_t changes = 0;
    sqlite3_stmt *update = sqlite_prepare(user_db(self), sql, fault);
    if (!update) {
        return fault->code;
    }
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
    sqlite_bind_int_at(update, user_at(update, ":deny"), in->deny);
    sqlite_bind_int_at(update, user_at(update, ":now"), in->now_ms);
    sqlite_bind_int_at(update, user_at(update, ":version"), in->version);
    sqlite_bind_blob_at(update, user_at(update, ":changed_by"), in->request_id);
    enum err e = user_run(self, update, fault, &changes);
    if (e == ERR_CONFLICT) {
        return ERR_EMAIL_TAKEN; /* the only index that an edit can break */
    }
    return e == ERR_NONE && changes == 0 ? ERR_CONFLICT : e;
}

static enum err account_set_role(struct user_store *self, const struct role_change *in, struct fault *fault)
{
    static const char sql[] =
        "UPDATE users SET role = :role, denied_until = max(denied_until, :now), changed_by = :changed_by,"
        " updated_at = max(updated_at, :now), version = version + 1 WHERE id = :id AND (:role = 'admin'"
        " OR role <> 'admin' OR EXISTS(SELECT 1 FROM users WHERE role = 'admin' AND id <> :id))";
    int64_t changes = 0;
    bool found = false;
    sqlite3_stmt *update = sqlite_prepare(user_db(self), sql, fault);
    if (!update) {
        return fault->code;
    }
    sqlite_bind_text_at(update, user_at(update, ":id"), in->id);
    sqlite_bind_text_at(update, user_at(update, ":role"), text_of(enum_name(&role_names, (int)in->role)));
    sqlite_bind_int_at(update, user_at(update, ":now"), in->now_ms);
    sqlite_bind_blob_at(update, user_at(update, ":changed_by"), in->request_id);
    enum err e = user_run(self, update, fault, &changes);
    if (e == ERR_NONE && changes == 0) {
        e = id_exists(self, in->id, fault, &found);
        e = e != ERR_NONE ? e : found ? ERR_LAST_ADMIN : ERR_NOT_FOUND;
    }
    return e;
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
                              .changed_by = sqlite_text_at(select, 3, arena)};
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
    sqlite3_stmt *select = sqlite_prepare(
        user_db(self), "SELECT email_folded, password_hash, denied_until, changed_by, * FROM users WHERE id = ?1", fault);
    if (!select) {
        return fault->code;
    }
    sqlite_bind_text_at(select, 1, id);
    return account_read(self, select, arena, fault, out);
}

static enum err account_find(struct user_store *self, struct text email_folded, struct arena *arena,
                             struct fault *fault, struct account *out)
{
    sqlite3_stmt *select = sqlite_prepare(
        user_db(self), "SELECT email_folded, password_hash, denied_until, changed_by, * FROM users WHERE email_folded = ?1",
        fault);
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
    .denial_add = sqlite_denial_add,
    .denial_list = sqlite_denial_list,
    .ticket_add = sqlite_ticket_add,
    .ticket_spend = sqlite_ticket_spend,
    .key_add = sqlite_key_add,
    .key_list = sqlite_key_list,
    .secret_add = sqlite_secret_add,
    .secret_get = sqlite_secret_get,
    .sweep = sqlite_sweep,
    .destroy = store_destroy,
};

enum err user_store_open_sqlite(const struct store_config *config, bool writer, struct metrics *metrics,
                                struct fault *fault, struct user_store **out)
{
    struct sqlite_db *db = NULL;
    enum err e = sqlite_db_open(config, &schema, writer, metrics, fault, &db);
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
