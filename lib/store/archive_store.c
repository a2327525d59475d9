/* The stores behind an archive: opening them together, walking, putting. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/invariant.h"
#include "lib/base/mem.h"
#include "lib/store/archive_parts.h"
#include "lib/store/archive_versions.h"
#include "lib/store/mongo_mark.h"

enum { PATH_MAX_SIZE = 1024, COMMIT_ROWS = 1000 };

struct archive {
    bool writes;
    struct mongo_mark *mark; /* on MongoDB, if it writes */
    size_t count;
    struct part_store parts[ARCHIVE_MAX_PARTS];
};

static struct part_store *store_of(struct archive *self, const struct archive_part *part)
{
    for (size_t i = 0; i < self->count; i++) {
        if (self->parts[i].part == part) {
            return &self->parts[i];
        }
    }
    ASSERT(!"a part that was opened");
    return NULL;
}

struct sqlite_db *archive_sqlite(struct archive *self, const struct archive_part *part)
{
    return store_of(self, part)->sqlite;
}

struct mongo_pool *archive_pool(struct archive *self, const struct archive_part *part)
{
    return store_of(self, part)->pool;
}

struct mongo_db *archive_mongo(struct archive *self, const struct archive_part *part)
{
    return store_of(self, part)->mongo;
}

/* ---- opening ---- */

/* Ends a walk at its first row. */
static enum err is_there(void *user, const struct archive_row *row, struct fault *fault)
{
    (void)row;
    (void)fault;
    *(bool *)user = true;
    return ERR_CONFLICT;
}

static enum err empty_check(struct archive *self, struct fault *fault)
{
    for (size_t i = 0; i < self->count; i++) {
        const struct archive_part *part = self->parts[i].part;
        for (size_t k = 0; k < part->kind_count; k++) {
            bool found = false;
            if (part->kinds[k].is_told || part->kinds[k].is_made) {
                continue; /* opening a store may make it */
            }
            enum err e = archive_walk(self, part, &part->kinds[k], is_there, &found, fault);
            if (found) {
                return fault_set(fault, ERR_INVALID_BODY,
                                 "the store is not empty: it has %s of %s-svc; restore into an empty one",
                                 part->kinds[k].name, part->service);
            }
            if (e != ERR_NONE) {
                return e;
            }
        }
    }
    return ERR_NONE;
}

/* A service that was never started has no file. */
static bool has_file(const struct store_config *config, const struct archive_part *part)
{
    char path[PATH_MAX_SIZE];
    return snprintf(path, sizeof path, "%s/%s", strchr(config->store, ':') + 1, part->sqlite->file) <
               (int)sizeof path &&
           access(path, F_OK) == 0;
}

static enum err sqlite_parts_open(struct archive *self, const struct store_config *config, struct fault *fault)
{
    struct sqlite_pause *pause = NULL;
    const struct sqlite_schema *schemas[ARCHIVE_MAX_PARTS];
    for (size_t i = 0; i < self->count; i++) {
        schemas[i] = self->parts[i].part->sqlite;
    }
    size_t opened_count = 0;
    enum err e = self->writes ? ERR_NONE : sqlite_mark_check(strchr(config->store, ':') + 1, fault);
    if (e == ERR_NONE && !self->writes) {
        e = sqlite_pause_writers(config, schemas, self->count, fault, &pause);
    }
    for (size_t i = 0; e == ERR_NONE && i < self->count; i++) {
        struct part_store *store = &self->parts[i];
        if (!self->writes && !has_file(config, store->part)) {
            continue;
        }
        opened_count++;
        e = sqlite_db_open(config, store->part->sqlite, self->writes, NULL, fault, &store->sqlite);
        if (e == ERR_NONE) {
            e = sqlite_unit.begin(store->sqlite, self->writes, fault);
            store->in_unit = e == ERR_NONE;
        }
        if (e == ERR_NONE && !self->writes) {
            e = sqlite_snapshot_take(store->sqlite, fault); /* a snapshot begins with the first look */
        }
    }
    sqlite_pause_end(&pause);
    return e == ERR_NONE && opened_count == 0
               ? fault_set(fault, ERR_SERVICE_UNAVAILABLE, "there is no shop in %s", strchr(config->store, ':') + 1)
               : e;
}

static enum err mongo_parts_open(struct archive *self, const struct store_config *config, struct fault *fault)
{
    enum err e = self->writes ? mongo_mark_open(config, fault, &self->mark) : ERR_NONE;
    for (size_t i = 0; e == ERR_NONE && i < self->count; i++) {
        struct part_store *store = &self->parts[i];
        if (!store->part->mongo) {
            return fault_set(fault, ERR_INVALID_BODY, "%s-svc cannot be kept in MongoDB", store->part->service);
        }
        e = mongo_pool_open_for(config, store->part->mongo, self->writes ? MONGO_RESTORES : MONGO_BACKS_UP, fault,
                                &store->pool);
        if (e == ERR_NONE) {
            store->mongo = mongo_db_new(store->pool);
        }
    }
    return e;
}

/* Before the mark, so that no shop is stopped by it, and behind it, where nobody begins to write. */
static enum err emptiness_settle(struct archive *self, struct fault *fault)
{
    enum err e = empty_check(self, fault);
    if (e == ERR_NONE && self->mark) {
        e = mongo_mark_set(self->mark, fault);
        e = e == ERR_NONE ? empty_check(self, fault) : e;
        e = e == ERR_NONE ? mongo_mark_fill(self->mark, fault) : e;
    }
    if (e != ERR_NONE && self->mark) {
        (void)!mongo_mark_remove(self->mark,
                                 NULL); /* if it stays, the next restore finds nothing to delete behind it */
    }
    return e;
}

enum err archive_open(const struct store_config *config, const struct archive_part *const *parts, size_t count,
                      bool writes, struct fault *fault, struct archive **out)
{
    struct archive *self = mem_alloc(sizeof *self);
    char shown[STORE_SHOWN_SIZE];
    enum err e;
    ASSERT(count <= ARCHIVE_MAX_PARTS);
    self->writes = writes;
    self->count = count;
    for (size_t i = 0; i < count; i++) {
        self->parts[i].part = parts[i];
    }
    switch (store_kind_of(config->store)) {
    case STORE_SQLITE: e = sqlite_parts_open(self, config, fault); break;
    case STORE_MONGO: e = mongo_parts_open(self, config, fault); break;
    case STORE_UNKNOWN:
    default:
        store_url_show(config->store, shown);
        e = fault_set(fault, ERR_INVALID_BODY, "--store takes sqlite:DIR or mongodb://HOST/DATABASE, not \"%.100s\"",
                      shown);
    }
    if (e == ERR_NONE && writes) {
        e = emptiness_settle(self, fault);
    }
    if (e != ERR_NONE) {
        archive_destroy(&self);
        return e;
    }
    *out = self;
    return ERR_NONE;
}

void archive_destroy(struct archive **self)
{
    if (!*self) {
        return;
    }
    for (size_t i = 0; i < (*self)->count; i++) {
        struct part_store *store = &(*self)->parts[i];
        if (store->sqlite && store->in_unit) {
            sqlite_unit.rollback(store->sqlite);
        }
        mongo_bulk_destroy(&store->bulk);
        archive_versions_destroy(&store->versions);
        sqlite_db_destroy(&store->sqlite);
        mongo_db_destroy(&store->mongo);
        mongo_pool_destroy(&store->pool);
    }
    mongo_mark_destroy(&(*self)->mark);
    mem_free(*self);
    *self = NULL;
}

/* ---- SQLite ---- */

static void row_read(sqlite3_stmt *statement, struct archive_row *out)
{
    out->count = 0;
    ASSERT(sqlite3_column_count(statement) <= ARCHIVE_MAX_VALUES);
    for (int i = 0; i < sqlite3_column_count(statement); i++) {
        const char *name = sqlite3_column_name(statement, i);
        switch (sqlite3_column_type(statement, i)) {
        case SQLITE_NULL: break;
        case SQLITE_INTEGER: archive_put_int(out, name, sqlite_int_at(statement, i)); break;
        case SQLITE_BLOB: archive_put_text(out, name, ARCHIVE_BYTES, sqlite_text_at(statement, i, NULL)); break;
        default: archive_put_text(out, name, ARCHIVE_TEXT, sqlite_text_at(statement, i, NULL)); break;
        }
    }
}

static enum err sqlite_walk(struct sqlite_db *db, const struct archive_kind *kind, archive_visit *visit, void *user,
                            struct fault *fault)
{
    sqlite3_stmt *statement = sqlite_prepare(db, kind->select, fault);
    enum sqlite_step_result step = SQLITE_STEP_FAILED;
    enum err e = ERR_NONE;
    while (statement && e == ERR_NONE && (step = sqlite_step(db, statement, fault)) == SQLITE_STEP_ROW) {
        struct archive_row row;
        row_read(statement, &row);
        e = visit(user, &row, fault);
    }
    if (statement) {
        (void)sqlite3_reset(statement);
    }
    return e != ERR_NONE || step == SQLITE_STEP_DONE ? e : fault_set(fault, ERR_SERVICE_UNAVAILABLE, NULL);
}

static void row_bind(sqlite3_stmt *statement, const struct archive_row *row)
{
    for (uint32_t i = 0; i < row->count; i++) {
        const struct archive_value *value = &row->values[i];
        char name[68];
        snprintf(name, sizeof name, ":%.*s", TEXT_ARG(value->name));
        int index = sqlite3_bind_parameter_index(statement, name);
        if (index == 0) {
            continue; /* another insert of the same kind has it, or a newer zmart knew more */
        }
        switch (value->type) {
        case ARCHIVE_INT: sqlite_bind_int_at(statement, index, value->number); break;
        case ARCHIVE_TEXT: sqlite_bind_text_at(statement, index, value->text); break;
        case ARCHIVE_BYTES: sqlite_bind_blob_at(statement, index, value->text); break;
        }
    }
}

static enum err sqlite_put(struct part_store *store, const struct archive_kind *kind, const struct archive_row *row,
                           struct fault *fault)
{
    enum err e = ERR_NONE;
    for (size_t i = 0; e == ERR_NONE && i < ARRAY_COUNT(kind->inserts) && kind->inserts[i]; i++) {
        sqlite3_stmt *insert = sqlite_prepare(store->sqlite, kind->inserts[i], fault);
        if (!insert) {
            return ERR_SERVICE_UNAVAILABLE;
        }
        row_bind(insert, row);
        e = sqlite_run(store->sqlite, insert, fault);
    }
    if (e == ERR_NONE && kind->inserted) {
        e = kind->inserted(store->sqlite, row, fault);
    }
    if (e == ERR_NONE && ++store->put_count >= COMMIT_ROWS) {
        store->put_count = 0;
        e = sqlite_unit.commit(store->sqlite, fault);
        store->in_unit = false;
        if (e == ERR_NONE) {
            e = sqlite_unit.begin(store->sqlite, true, fault);
            store->in_unit = e == ERR_NONE;
        }
    }
    return e;
}

/* ---- both ---- */

enum err archive_walk(struct archive *self, const struct archive_part *part, const struct archive_kind *kind,
                      archive_visit *visit, void *user, struct fault *fault)
{
    struct part_store *store = store_of(self, part);
    if (!store->sqlite && (!store->mongo || !kind->collection)) {
        return ERR_NONE;
    }
    return store->sqlite ? sqlite_walk(store->sqlite, kind, visit, user, fault)
                         : archive_mongo_walk(store, kind, visit, user, fault);
}

enum err archive_put(struct archive *self, const struct archive_part *part, const struct archive_kind *kind,
                     const struct archive_row *row, struct fault *fault)
{
    struct part_store *store = store_of(self, part);
    ASSERT(self->writes && !kind->is_outbox);
    return store->sqlite ? sqlite_put(store, kind, row, fault) : archive_mongo_put(store, kind, row, fault);
}

enum err archive_commit(struct archive *self, struct fault *fault)
{
    enum err e = ERR_NONE;
    for (size_t i = 0; e == ERR_NONE && i < self->count; i++) {
        struct part_store *store = &self->parts[i];
        if (!store->sqlite) {
            e = store->mongo ? archive_mongo_end(store, fault) : ERR_NONE;
            continue;
        }
        e = sqlite_unit.commit(store->sqlite, fault);
        store->in_unit = false;
        if (e == ERR_NONE) {
            e = sqlite_unit.begin(store->sqlite, self->writes, fault);
            store->in_unit = e == ERR_NONE;
        }
    }
    return e;
}

enum err archive_beat(struct archive *self, struct fault *fault)
{
    return self->mark ? mongo_mark_beat(self->mark, fault) : ERR_NONE;
}

enum err archive_end(struct archive *self, struct fault *fault)
{
    return self->mark ? mongo_mark_remove(self->mark, fault) : ERR_NONE;
}

enum err archive_undo(struct archive *self, struct fault *fault)
{
    for (size_t i = 0; i < self->count; i++) {
        mongo_bulk_destroy(&self->parts[i].bulk);
    }
    return self->mark ? mongo_mark_undo(self->mark, fault) : ERR_NONE;
}
