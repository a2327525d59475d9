#include "lib/store/archive_versions.h"

#include <sqlite3.h>

#include "lib/base/mem.h"

struct archive_versions {
    sqlite3 *db;
    sqlite3_stmt *put, *find;
};

static enum err failed(const struct archive_versions *self, struct fault *fault)
{
    return fault_set(fault, ERR_SERVICE_UNAVAILABLE,
                     "the versions of what is read cannot be kept in a temporary file (%s):"
                     " make room, or name another folder in TMPDIR",
                     self->db ? sqlite3_errmsg(self->db) : "no memory");
}

enum err archive_versions_new(struct fault *fault, struct archive_versions **out)
{
    static const char make[] =
        "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; BEGIN;" /* nothing of it is read again */
        "CREATE TABLE versions(id TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID, STRICT";
    struct archive_versions *self = mem_alloc(sizeof *self);
    *self = (struct archive_versions){0};
    if (sqlite3_open("", &self->db) != SQLITE_OK || /* no name: a temporary file */
        sqlite3_exec(self->db, make, NULL, NULL, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(self->db, "INSERT OR REPLACE INTO versions(id, version) VALUES(?1, ?2)", -1, &self->put,
                           NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(self->db, "SELECT version FROM versions WHERE id = ?1", -1, &self->find, NULL) !=
            SQLITE_OK) {
        enum err e = failed(self, fault);
        archive_versions_destroy(&self);
        return e;
    }
    *out = self;
    return ERR_NONE;
}

void archive_versions_destroy(struct archive_versions **self)
{
    if (*self) {
        (void)sqlite3_finalize((*self)->put);
        (void)sqlite3_finalize((*self)->find);
        (void)sqlite3_close((*self)->db);
        mem_free(*self);
        *self = NULL;
    }
}

static bool id_bind(sqlite3_stmt *statement, struct text id)
{
    return sqlite3_bind_text(statement, 1, id.data, (int)id.size, SQLITE_STATIC) == SQLITE_OK;
}

enum err archive_versions_put(struct archive_versions *self, struct text id, int64_t version, struct fault *fault)
{
    bool good = id_bind(self->put, id) && sqlite3_bind_int64(self->put, 2, version) == SQLITE_OK &&
                sqlite3_step(self->put) == SQLITE_DONE;
    enum err e = good ? ERR_NONE : failed(self, fault);
    (void)sqlite3_reset(self->put);
    return e;
}

enum err archive_versions_find(struct archive_versions *self, struct text id, struct fault *fault, int64_t *out)
{
    int step = id_bind(self->find, id) ? sqlite3_step(self->find) : SQLITE_ERROR;
    int64_t version = step == SQLITE_ROW ? sqlite3_column_int64(self->find, 0) : 0;
    enum err e = step == SQLITE_ROW || step == SQLITE_DONE ? ERR_NONE : failed(self, fault);
    (void)sqlite3_reset(self->find);
    if (e == ERR_NONE) {
        *out = version;
    }
    return e;
}
