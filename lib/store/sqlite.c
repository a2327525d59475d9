#include "lib/store/sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/invariant.h"
#include "lib/base/mem.h"

enum { STATEMENT_MAX_COUNT = 128, PATH_MAX_SIZE = 1024, CACHE_KIB = 4096 };

struct sqlite_db {
    sqlite3 *handle;
    int lock_fd;      /* of the file's lock; -1 for a reader */
    bool unit_writes; /* the running unit of work may write */
    int64_t changes_before;
    uint64_t undone_count;
    struct metric *commits;
    struct metric *rows;
    int statement_count;
    struct {
        const char *sql; /* the literal it was asked for by */
        sqlite3_stmt *statement;
    } statements[STATEMENT_MAX_COUNT];
};

/* Before main: SQLite otherwise counts its memory under one lock for all threads. */
__attribute__((constructor)) static void library_settle(void)
{
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

/* Says what a failed call means; returns the code. */
static enum err failed(struct sqlite_db *db, struct fault *fault)
{
    int code = sqlite3_extended_errcode(db->handle);
    fault_cause(fault, "sqlite: %s (%d)", sqlite3_errmsg(db->handle), code);
    switch (code & 0xff) {
    case SQLITE_CONSTRAINT: return fault_set(fault, ERR_CONFLICT, NULL);
    case SQLITE_FULL: return fault_set(fault, ERR_SERVICE_UNAVAILABLE, "the store is full");
    case SQLITE_READONLY: return fault_set(fault, ERR_SERVICE_UNAVAILABLE, "the store is read-only");
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN: return fault_set(fault, ERR_SERVICE_UNAVAILABLE, "the store does not answer");
    default: return fault_set(fault, ERR_INTERNAL, NULL);
    }
}

static enum err execute(struct sqlite_db *db, const char *sql, struct fault *fault)
{
    return sqlite3_exec(db->handle, sql, NULL, NULL, NULL) == SQLITE_OK ? ERR_NONE : failed(db, fault);
}

/* ---- opening ---- */

static enum err folder_make(const char *folder, struct fault *fault)
{
    char path[PATH_MAX_SIZE];
    if (!text_to_string(text_of(folder), path, sizeof path)) {
        return fault_set(fault, ERR_SERVICE_UNAVAILABLE, "the store's path is too long");
    }
    for (char *at = path + 1;; at++) {
        char c = *at;
        if (c != '/' && c != '\0') {
            continue;
        }
        *at = '\0';
        if (mkdir(path, 0700) != 0 && errno != EEXIST) {
            fault_cause(fault, "mkdir %s: %s", path, strerror(errno));
            return fault_set(fault, ERR_SERVICE_UNAVAILABLE, "cannot make the folder %s: %s", path, strerror(errno));
        }
        *at = c;
        if (c == '\0') {
            return ERR_NONE;
        }
    }
}

/* One line for whoever starts the program. */
static enum err open_failed(const char *path, struct fault *fault)
{
    bool barred = errno == EACCES || errno == EPERM || errno == EROFS;
    return fault_set(fault, ERR_SERVICE_UNAVAILABLE, "cannot open %s: %s%s", path, strerror(errno),
                     barred ? "; zmart's user must be able to write to its folder and to each file in it" : "");
}

enum err sqlite_mark_check(const char *folder, struct fault *fault)
{
    char path[PATH_MAX_SIZE + 32];
    snprintf(path, sizeof path, "%s/%s", folder, SQLITE_MARK_FILE);
    if (access(path, F_OK) == 0) {
        return fault_set(
            fault, ERR_SERVICE_UNAVAILABLE,
            "the restore into %.150s has not ended; if it was killed, run zmart restore FILE there again, or remove "
            "the folder",
            folder);
    }
    return ERR_NONE;
}

static enum err lock_take(const char *path, struct fault *fault, int *out_fd)
{
    char lock_path[PATH_MAX_SIZE + 8];
    snprintf(lock_path, sizeof lock_path, "%s.lock", path);
    int fd = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return open_failed(lock_path, fault);
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        close(fd);
        return fault_set(fault, ERR_SERVICE_UNAVAILABLE,
                         "another process writes to %s; on SQLite a service has one process, for more use --store "
                         "mongodb://...", path);
    }
    *out_fd = fd;
    return ERR_NONE;
}

static enum err number_read(struct sqlite_db *db, const char *sql, struct fault *fault, int *out)
{
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(db->handle, sql, -1, &statement, NULL) != SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_ROW) {
        enum err e = failed(db, fault);
        sqlite3_finalize(statement);
        return e;
    }
    *out = sqlite3_column_int(statement, 0);
    sqlite3_finalize(statement);
    return ERR_NONE;
}

/* Whether the file is empty or ours, and of a version that we know. Changes nothing. */
static enum err schema_check(struct sqlite_db *db, const struct sqlite_schema *schema, const char *path, bool writer,
                             struct fault *fault, int *out_version)
{
    int version = 0, things = 0;
    enum err e = number_read(db, "PRAGMA user_version", fault, &version);
    if (e == ERR_NONE) {
        e = number_read(db, "SELECT count(*) FROM sqlite_schema", fault, &things);
    }
    if (e != ERR_NONE) {
        return e;
    }
    if (version == 0 && things > 0) {
        return fault_set(fault, ERR_SERVICE_UNAVAILABLE,
                         "%s holds something that is not zmart's; name another folder, or move that file away", path);
    }
    if (version > schema->migration_count || version < 0) {
        return fault_set(
            fault, ERR_SERVICE_UNAVAILABLE,
            "%s has schema version %d, this program knows up to %d: a newer zmart has written it; start that "
            "one",
            path, version, schema->migration_count);
    }
    if (!writer && version < schema->migration_count) {
        return fault_set(fault, ERR_SERVICE_UNAVAILABLE, "%s is not ready: its writer opens it first", path);
    }
    *out_version = version;
    return ERR_NONE;
}

static enum err migration_run(struct sqlite_db *db, const struct sqlite_schema *schema, int version,
                              struct fault *fault)
{
    char *pragma = sqlite3_mprintf("PRAGMA user_version = %d", version + 1);
    ASSERT(pragma != NULL);
    enum err e = execute(db, "BEGIN IMMEDIATE", fault);
    if (e == ERR_NONE) {
        e = execute(db, schema->migrations[version], fault);
    }
    if (e == ERR_NONE) {
        e = execute(db, pragma, fault);
    }
    if (e == ERR_NONE) {
        e = execute(db, "COMMIT", fault);
    }
    sqlite3_free(pragma);
    if (e != ERR_NONE && !sqlite3_get_autocommit(db->handle)) {
        (void)sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
    }
    return e;
}

static enum err file_make(const char *path, struct fault *fault)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return open_failed(path, fault);
    }
    close(fd);
    return ERR_NONE;
}

static enum err handle_open(struct sqlite_db *db, const char *path, int64_t busy_ms, struct fault *fault)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2(path, &db->handle, flags, NULL) != SQLITE_OK) {
        enum err e = db->handle ? failed(db, fault) : ERR_SERVICE_UNAVAILABLE;
        return fault_set(fault, e, "cannot open %s", path);
    }
    (void)sqlite3_busy_timeout(db->handle, (int)busy_ms);
    (void)sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    return ERR_NONE;
}

static enum err handle_settle(struct sqlite_db *db, bool writer, struct fault *fault)
{
    char *cache = sqlite3_mprintf("PRAGMA cache_size = -%d", CACHE_KIB);
    ASSERT(cache != NULL);
    enum err e = execute(db, cache, fault);
    sqlite3_free(cache);
    if (e == ERR_NONE && writer) {
        e = execute(db, "PRAGMA journal_mode = WAL", fault);
    }
    if (e == ERR_NONE) {
        e = execute(db, writer ? "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY"
                               : "PRAGMA query_only = ON; PRAGMA temp_store = MEMORY", fault);
    }
    return e;
}

static enum err file_open(struct sqlite_db *db, const struct sqlite_schema *schema, const char *path, bool writer,
                          int64_t busy_ms, struct fault *fault)
{
    int version = 0;
    enum err e = writer ? file_make(path, fault) : ERR_NONE; /* made here first, so that nobody else can read it */
    if (e == ERR_NONE) {
        e = handle_open(db, path, busy_ms, fault);
    }
    if (e == ERR_NONE) {
        e = schema_check(db, schema, path, writer, fault, &version);
    }
    if (e == ERR_NONE) {
        e = handle_settle(db, writer, fault);
    }
    for (; e == ERR_NONE && version < schema->migration_count; version++) {
        e = migration_run(db, schema, version, fault);
    }
    if (e != ERR_NONE && fault && strchr(fault->detail, '/') == NULL) {
        fault_set(fault, e, "%s cannot be used: %.200s", path, fault->cause);
    }
    return e;
}

enum err sqlite_db_open(const struct store_config *config, const struct sqlite_schema *schema, bool writer,
                        struct metrics *metrics, struct fault *fault, struct sqlite_db **out)
{
    static const char scheme[] = "sqlite:";
    if (strncmp(config->store, scheme, sizeof scheme - 1) != 0 || config->store[sizeof scheme - 1] == '\0') {
        return fault_set(fault, ERR_SERVICE_UNAVAILABLE, "--store takes sqlite:DIR");
    }
    const char *folder = config->store + sizeof scheme - 1;
    char path[PATH_MAX_SIZE];
    if (snprintf(path, sizeof path, "%s/%s", folder, schema->file) >= (int)sizeof path) {
        return fault_set(fault, ERR_SERVICE_UNAVAILABLE, "the store's path is too long");
    }
    struct sqlite_db *db = mem_alloc(sizeof *db);
    db->lock_fd = -1;
    enum err e = sqlite_mark_check(folder, fault);
    if (e == ERR_NONE && writer) {
        e = folder_make(folder, fault);
    }
    if (e == ERR_NONE && writer) {
        e = lock_take(path, fault, &db->lock_fd);
    }
    if (e == ERR_NONE) {
        e = file_open(db, schema, path, writer, config->store_busy_ms, fault);
    }
    if (e != ERR_NONE) {
        sqlite_db_destroy(&db);
        return e;
    }
    if (metrics) {
        db->commits = metrics_get(metrics, METRIC_COUNTER, "zmart_store_commits_total", "",
                                  "Durable commits of a database file.");
        db->rows = metrics_get(metrics, METRIC_AMOUNT, "zmart_store_rows_per_commit", "",
                               "Rows that one commit made durable.");
    }
    *out = db;
    return ERR_NONE;
}

void sqlite_db_destroy(struct sqlite_db **self)
{
    struct sqlite_db *db = *self;
    if (!db) {
        return;
    }
    for (int i = 0; i < db->statement_count; i++) {
        sqlite3_finalize(db->statements[i].statement);
    }
    if (db->handle) {
        ASSERT(sqlite3_close(db->handle) == SQLITE_OK);
    }
    if (db->lock_fd >= 0) {
        close(db->lock_fd);
    }
    mem_free(db);
    *self = NULL;
}

/* ---- unit of work ---- */

static enum err unit_begin(void *store, bool writes, struct fault *fault)
{
    struct sqlite_db *db = store;
    db->unit_writes = writes && db->lock_fd >= 0;
    db->changes_before = sqlite3_total_changes64(db->handle);
    sqlite3_stmt *begin = db->unit_writes ? sqlite_prepare(db, "BEGIN IMMEDIATE", fault)
                                          : sqlite_prepare(db, "BEGIN", fault);
    return begin ? sqlite_run(db, begin, fault) : ERR_SERVICE_UNAVAILABLE;
}

static void unit_rollback(void *store)
{
    struct sqlite_db *db = store;
    db->undone_count++;
    if (!sqlite3_get_autocommit(db->handle)) {
        (void)sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
    }
}

static enum err unit_commit(void *store, struct fault *fault)
{
    struct sqlite_db *db = store;
    sqlite3_stmt *commit = sqlite_prepare(db, "COMMIT", fault);
    enum err e = commit ? sqlite_run(db, commit, fault) : ERR_SERVICE_UNAVAILABLE;
    if (e != ERR_NONE) {
        unit_rollback(store);
        return e;
    }
    int64_t changed = sqlite3_total_changes64(db->handle) - db->changes_before;
    if (changed > 0 && db->commits) {
        metric_add(db->commits, 1);
        metric_observe(db->rows, changed);
    }
    return ERR_NONE;
}

/* What only reads needs no savepoints. */
static enum err unit_mark(struct sqlite_db *db, const char *sql, struct fault *fault)
{
    if (!db->unit_writes) {
        return ERR_NONE;
    }
    sqlite3_stmt *statement = sqlite_prepare(db, sql, fault);
    return statement ? sqlite_run(db, statement, fault) : ERR_SERVICE_UNAVAILABLE;
}

static enum err unit_savepoint(void *store, struct fault *fault)
{
    return unit_mark(store, "SAVEPOINT one", fault);
}

static enum err unit_release(void *store, struct fault *fault)
{
    return unit_mark(store, "RELEASE one", fault);
}

static void unit_undo(void *store)
{
    ((struct sqlite_db *)store)->undone_count++;
    (void)unit_mark(store, "ROLLBACK TO one", NULL);
    (void)unit_mark(store, "RELEASE one", NULL);
}

static bool unit_broken(void *store)
{
    struct sqlite_db *db = store;
    return sqlite3_get_autocommit(db->handle) != 0;
}

uint64_t sqlite_undone(const struct sqlite_db *db)
{
    return db->undone_count;
}

const struct unit_of_work sqlite_unit = {unit_begin,   unit_commit, unit_rollback, unit_savepoint,
                                         unit_release, unit_undo,   unit_broken};

/* ---- statements ---- */

sqlite3_stmt *sqlite_prepare(struct sqlite_db *db, const char *sql, struct fault *fault)
{
    for (int i = 0; i < db->statement_count; i++) {
        if (db->statements[i].sql == sql) {
            sqlite3_stmt *statement = db->statements[i].statement;
            (void)sqlite3_reset(statement);
            (void)sqlite3_clear_bindings(statement);
            return statement;
        }
    }
    ASSERT(db->statement_count < STATEMENT_MAX_COUNT);
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL) != SQLITE_OK) {
        (void)failed(db, fault);
        return NULL;
    }
    db->statements[db->statement_count].sql = sql;
    db->statements[db->statement_count++].statement = statement;
    return statement;
}

void sqlite_bind_text_at(sqlite3_stmt *statement, int index, struct text text)
{
    ASSERT(sqlite3_bind_text(statement, index, text.data ? text.data : "", (int)text.size, SQLITE_STATIC) == SQLITE_OK);
}

void sqlite_bind_blob_at(sqlite3_stmt *statement, int index, struct text bytes)
{
    ASSERT(sqlite3_bind_blob(statement, index, bytes.data ? bytes.data : "", (int)bytes.size, SQLITE_STATIC) ==
           SQLITE_OK);
}

void sqlite_bind_int_at(sqlite3_stmt *statement, int index, int64_t value)
{
    ASSERT(sqlite3_bind_int64(statement, index, value) == SQLITE_OK);
}

void sqlite_bind_null_at(sqlite3_stmt *statement, int index)
{
    ASSERT(sqlite3_bind_null(statement, index) == SQLITE_OK);
}

struct text sqlite_text_at(sqlite3_stmt *statement, int column, struct arena *arena)
{
    const void *data = sqlite3_column_type(statement, column) == SQLITE_BLOB ? sqlite3_column_blob(statement, column)
                                                                           : sqlite3_column_text(statement, column);
    uint32_t size = (uint32_t)sqlite3_column_bytes(statement, column);
    return (struct text){arena ? arena_copy(arena, data, size) : data, size};
}

int64_t sqlite_int_at(sqlite3_stmt *statement, int column)
{
    return sqlite3_column_int64(statement, column);
}

bool sqlite_is_null_at(sqlite3_stmt *statement, int column)
{
    return sqlite3_column_type(statement, column) == SQLITE_NULL;
}

enum sqlite_step_result sqlite_step(struct sqlite_db *db, sqlite3_stmt *statement, struct fault *fault)
{
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW) {
        return SQLITE_STEP_ROW;
    }
    enum sqlite_step_result result = SQLITE_STEP_DONE;
    if ((code & 0xff) == SQLITE_CONSTRAINT) {
        result = SQLITE_STEP_CONSTRAINT;
    } else if (code != SQLITE_DONE) {
        (void)failed(db, fault);
        result = SQLITE_STEP_FAILED;
    }
    (void)sqlite3_reset(statement);
    return result;
}

enum err sqlite_run(struct sqlite_db *db, sqlite3_stmt *statement, struct fault *fault)
{
    enum sqlite_step_result result;
    do {
        result = sqlite_step(db, statement, fault);
    } while (result == SQLITE_STEP_ROW);
    if (result == SQLITE_STEP_CONSTRAINT) {
        fault_cause(fault, "sqlite: %s", sqlite3_errmsg(db->handle));
        return fault_set(fault, ERR_CONFLICT, NULL);
    }
    return result == SQLITE_STEP_DONE ? ERR_NONE : fault ? fault->code : ERR_SERVICE_UNAVAILABLE;
}

int64_t sqlite_changes_of(struct sqlite_db *db)
{
    return sqlite3_changes64(db->handle);
}
