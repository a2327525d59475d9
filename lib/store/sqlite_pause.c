/* Holding all writers of a folder for a moment. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/store/sqlite.h"

enum { PAUSE_MAX_FILES = 16, PAUSE_PATH_SIZE = 1024 };

struct sqlite_pause {
    size_t count;
    sqlite3 *handles[PAUSE_MAX_FILES];
};

static enum err file_hold(struct sqlite_pause *self, const char *path, int64_t busy_ms, struct fault *fault)
{
    sqlite3 **handle = &self->handles[self->count];
    int code = sqlite3_open_v2(path, handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    self->count++;
    if (code == SQLITE_OK) {
        (void)sqlite3_busy_timeout(*handle, (int)busy_ms);
        code = sqlite3_exec(*handle, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    }
    if (code != SQLITE_OK) {
        fault_cause(fault, "sqlite: %s (%d)", *handle ? sqlite3_errmsg(*handle) : "no memory", code);
        return fault_set(fault, ERR_SERVICE_UNAVAILABLE, "%s cannot be held for a snapshot: %s", path,
                         *handle ? sqlite3_errmsg(*handle) : "no memory");
    }
    return ERR_NONE;
}

enum err sqlite_pause_writers(const struct store_config *config, const struct sqlite_schema *const *schemas,
                              size_t count, struct fault *fault, struct sqlite_pause **out)
{
    const char *folder = strchr(config->store, ':') ? strchr(config->store, ':') + 1 : config->store;
    struct sqlite_pause *self = mem_alloc(sizeof *self);
    enum err e = ERR_NONE;
    for (size_t i = 0; e == ERR_NONE && i < count && i < PAUSE_MAX_FILES; i++) {
        char path[PAUSE_PATH_SIZE];
        if (snprintf(path, sizeof path, "%s/%s", folder, schemas[i]->file) >= (int)sizeof path) {
            e = fault_set(fault, ERR_SERVICE_UNAVAILABLE, "the store's path is too long");
        } else if (access(path, F_OK) == 0) {
            e = file_hold(self, path, config->store_busy_ms, fault);
        }
    }
    if (e != ERR_NONE) {
        sqlite_pause_end(&self);
        return e;
    }
    *out = self;
    return ERR_NONE;
}

void sqlite_pause_end(struct sqlite_pause **self)
{
    if (*self) {
        for (size_t i = 0; i < (*self)->count; i++) {
            (void)sqlite3_close((*self)->handles[i]); /* rolls back */
        }
        mem_free(*self);
        *self = NULL;
    }
}

enum err sqlite_snapshot_take(struct sqlite_db *db, struct fault *fault)
{
    sqlite3_stmt *look = sqlite_prepare(db, "SELECT count(*) FROM sqlite_schema", fault);
    return look ? sqlite_run(db, look, fault) : ERR_SERVICE_UNAVAILABLE;
}
