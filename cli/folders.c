#include "cli/folders.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- data ---- */

static bool folder_make(const char *folder, char *message, size_t message_size)
{
    char path[FOLDER_PATH_SIZE];
    if (snprintf(path, sizeof path, "%s", folder) >= (int)sizeof path) {
        snprintf(message, message_size, "the path of the data folder is too long");
        return false;
    }
    for (char *at = path + 1; *at; at++) {
        if (*at == '/') {
            *at = '\0';
            (void)mkdir(path, 0777);
            *at = '/';
        }
    }
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        snprintf(message, message_size, "the data folder %.200s cannot be made: %s", folder, strerror(errno));
        return false;
    }
    return true;
}

static void lock_refuse(int fd, const char *folder, char *message, size_t message_size)
{
    char pid[24] = "";
    ssize_t size = pread(fd, pid, sizeof pid - 1, 0);
    pid[size > 0 ? size : 0] = '\0';
    pid[strspn(pid, "0123456789")] = '\0';
    snprintf(message, message_size, "the data folder %.200s is in use by another zmart%s%s; choose another --data",
             folder, pid[0] ? ", process " : "", pid);
}

bool data_folder_take(const char *folder, char out_path[FOLDER_PATH_SIZE], int *out_lock_fd, char *message,
                      size_t message_size)
{
    char real[PATH_MAX];
    char path[FOLDER_PATH_SIZE + 16];
    if (!folder_make(folder, message, message_size)) {
        return false;
    }
    if (!realpath(folder, real) || strlen(real) >= FOLDER_PATH_SIZE) {
        snprintf(message, message_size, "the data folder %.200s cannot be used: %s", folder, strerror(errno));
        return false;
    }
    snprintf(path, sizeof path, "%.*s/zmart.lock", FOLDER_PATH_SIZE, real);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        snprintf(message, message_size, "%.200s cannot be opened: %s", path, strerror(errno));
        return false;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        lock_refuse(fd, folder, message, message_size);
        close(fd);
        return false;
    }
    if (ftruncate(fd, 0) == 0) {
        dprintf(fd, "%ld\n", (long)getpid());
    }
    memcpy(out_path, real, strlen(real) + 1);
    *out_lock_fd = fd;
    return true;
}

/* ---- runtime ---- */

bool runtime_folder_name(const char *base, const char *data_path, char out[RUNTIME_PATH_SIZE])
{
    unsigned char hash[crypto_generichash_BYTES_MIN];
    char hex[13];
    crypto_generichash(hash, sizeof hash, (const unsigned char *)data_path, strlen(data_path), NULL, 0);
    sodium_bin2hex(hex, sizeof hex, hash, (sizeof hex - 1) / 2);
    int size = snprintf(out, RUNTIME_PATH_SIZE, "%s/zmart-%s", base, hex);
    return size > 0 && size < RUNTIME_PATH_SIZE;
}

/* A folder that only we can enter. Somebody else may have made one of that name in /tmp. */
static bool folder_is_ours(const char *path)
{
    struct stat status;
    return lstat(path, &status) == 0 && S_ISDIR(status.st_mode) && status.st_uid == geteuid() &&
           (status.st_mode & 0077) == 0;
}

static const char *runtime_base(int index)
{
    const char *const bases[] = {getenv("XDG_RUNTIME_DIR"), "/run", "/tmp"};
    return index < (int)ARRAY_COUNT(bases) ? (bases[index] && bases[index][0] == '/' ? bases[index] : "") : NULL;
}

bool runtime_folder_make(const char *data_path, char out[RUNTIME_PATH_SIZE], char *message, size_t message_size)
{
    const char *base;
    for (int i = 0; (base = runtime_base(i)) != NULL; i++) {
        char path[RUNTIME_PATH_SIZE];
        if (base[0] && runtime_folder_name(base, data_path, path) &&
            (mkdir(path, 0700) == 0 || errno == EEXIST) && folder_is_ours(path)) {
            memcpy(out, path, sizeof path);
            return true;
        }
    }
    snprintf(message, message_size, "no folder for sockets can be made in $XDG_RUNTIME_DIR, /run or /tmp");
    return false;
}

bool runtime_folder_find(const char *data_path, char out[RUNTIME_PATH_SIZE])
{
    const char *base;
    for (int i = 0; (base = runtime_base(i)) != NULL; i++) {
        char path[RUNTIME_PATH_SIZE];
        if (base[0] && runtime_folder_name(base, data_path, path) && folder_is_ours(path)) {
            memcpy(out, path, sizeof path);
            return true;
        }
    }
    return false;
}

static void folder_clear(const char *folder, int depth)
{
    DIR *directory = opendir(folder);
    struct dirent *entry;
    while (directory && (entry = readdir(directory)) != NULL) {
        char path[PATH_MAX];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        snprintf(path, sizeof path, "%.400s/%.255s", folder, entry->d_name);
        if (unlink(path) != 0 && depth > 0) {
            folder_clear(path, depth - 1);
        }
    }
    if (directory) {
        closedir(directory);
    }
    (void)rmdir(folder);
}

void runtime_folder_remove(const char *folder)
{
    folder_clear(folder, 1);
}
