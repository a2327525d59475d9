#include "cli/restore_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PATH_SIZE = RESTORE_FOLDER_SIZE + 300 };

static const char work_name[] = "restoring";
static const char *const db_ends[] = {"", "-wal", "-shm"}; /* what SQLite makes of a database's name */

static void path_of(const struct restore_folder *self, const char *name, char out[PATH_SIZE])
{
    snprintf(out, PATH_SIZE, "%s/%s", self->path, name);
}

/* The n-th of all files that the databases may have. */
static void path_of_db(const struct restore_folder *self, size_t n, char out[PATH_SIZE])
{
    snprintf(out, PATH_SIZE, "%s/%s%s", self->path, archive_parts[n / ARRAY_COUNT(db_ends)]->sqlite->file,
             db_ends[n % ARRAY_COUNT(db_ends)]);
}

static void path_of_work(const struct restore_folder *self, const char *name, const char *end, char out[PATH_SIZE])
{
    snprintf(out, PATH_SIZE, "%s/%s/%s%s", self->path, work_name, name, end);
}

static bool folder_sync(const char *folder)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool good = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0) {
        close(fd);
    }
    return good;
}

/* ---- the mark ---- */

static bool mark_set(struct restore_folder *self, char *message)
{
    char path[PATH_SIZE];
    path_of(self, SQLITE_MARK_FILE, path);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    self->marked = fd >= 0;
    bool good = fd >= 0 && fsync(fd) == 0 && folder_sync(self->path);
    if (!good) {
        snprintf(message, ARCHIVE_MESSAGE_SIZE, "cannot write %.300s: %s", path, strerror(errno));
    }
    if (fd >= 0) {
        close(fd);
    }
    return good;
}

static bool mark_remove(struct restore_folder *self)
{
    char path[PATH_SIZE];
    path_of(self, SQLITE_MARK_FILE, path);
    bool good = unlink(path) == 0;
    self->marked = self->marked && !good;
    return good && folder_sync(self->path);
}

/* ---- what is in the folder ---- */

/* The folder to work in, with what a restore has left in it. */
static void work_remove(const struct restore_folder *self)
{
    char folder[PATH_SIZE];
    path_of(self, work_name, folder);
    DIR *entries = opendir(folder);
    const struct dirent *entry;
    while (entries && (entry = readdir(entries))) {
        char path[PATH_SIZE];
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            path_of_work(self, entry->d_name, "", path);
            (void)unlink(path);
        }
    }
    if (entries) {
        (void)closedir(entries);
    }
    (void)rmdir(folder);
}

/* Databases that a restore has put in their places; to be called behind the mark only. */
static void files_remove(const struct restore_folder *self)
{
    for (size_t n = 0; n < archive_part_count * ARRAY_COUNT(db_ends); n++) {
        char path[PATH_SIZE];
        path_of_db(self, n, path);
        (void)unlink(path);
    }
}

static bool is_marked(const struct restore_folder *self)
{
    char path[PATH_SIZE];
    path_of(self, SQLITE_MARK_FILE, path);
    return access(path, F_OK) == 0;
}

/* A log that somebody left when he removed a database would be taken for the new one's. */
static bool emptiness_check(const struct restore_folder *self, char *message)
{
    for (size_t n = 0; n < archive_part_count * ARRAY_COUNT(db_ends); n++) {
        char path[PATH_SIZE];
        path_of_db(self, n, path);
        if (access(path, F_OK) == 0) {
            snprintf(message, ARCHIVE_MESSAGE_SIZE,
                     "the store is not empty: there is %.300s; restore into an empty one", path);
            return false;
        }
    }
    return true;
}

/* ---- from beginning to end ---- */

bool restore_folder_take(struct store_config *store, struct restore_folder *out, char *message)
{
    char path[FOLDER_PATH_SIZE];
    if (snprintf(out->path, sizeof out->path, "%s", store->store + strlen("sqlite:")) >= (int)sizeof out->path) {
        snprintf(message, ARCHIVE_MESSAGE_SIZE, "the store's path is too long");
        return false;
    }
    bool was_there = access(out->path, F_OK) == 0;
    if (!data_folder_take(out->path, path, &out->lock_fd, message, ARCHIVE_MESSAGE_SIZE)) {
        return false;
    }
    out->made = !was_there;
    if (!is_marked(out) && !emptiness_check(out, message)) {
        return false;
    }
    if (!mark_set(out, message)) {
        return false;
    }
    files_remove(out);
    work_remove(out);
    snprintf(out->url, sizeof out->url, "sqlite:%s/%s", out->path, work_name);
    store->store = out->url;
    return true;
}

/* SQLite leaves a log beside a database that it could not bring up to date when it was closed. */
static bool file_place(const struct restore_folder *self, const char *name, char *message)
{
    char from[PATH_SIZE], to[PATH_SIZE], log[PATH_SIZE];
    path_of_work(self, name, "", from);
    path_of_work(self, name, "-wal", log);
    path_of(self, name, to);
    if (access(log, F_OK) == 0) {
        snprintf(message, ARCHIVE_MESSAGE_SIZE, "cannot finish %.300s: is the disk full?", from);
        return false;
    }
    if (rename(from, to) != 0) {
        snprintf(message, ARCHIVE_MESSAGE_SIZE, "cannot move %.300s: %s", from, strerror(errno));
        return false;
    }
    return true;
}

bool restore_folder_place(struct restore_folder *self, char *message)
{
    for (size_t i = 0; i < archive_part_count; i++) {
        if (!file_place(self, archive_parts[i]->sqlite->file, message)) {
            return false;
        }
    }
    work_remove(self);
    if (!folder_sync(self->path) || !mark_remove(self)) {
        snprintf(message, ARCHIVE_MESSAGE_SIZE, "cannot write %.300s: %s", self->path, strerror(errno));
        return false;
    }
    return true;
}

void restore_folder_undo(struct restore_folder *self)
{
    char lock[PATH_SIZE];
    if (self->lock_fd < 0) {
        return;
    }
    if (self->marked) {
        work_remove(self);
        files_remove(self);
        (void)mark_remove(self);
    }
    if (self->made) {
        path_of(self, "zmart.lock", lock);
        (void)unlink(lock);
        (void)rmdir(self->path);
    }
}

void restore_folder_release(struct restore_folder *self)
{
    if (self->lock_fd >= 0) {
        close(self->lock_fd);
        self->lock_fd = -1;
    }
}
