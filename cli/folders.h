/* The folders of a running shop: the data folder with its lock, and the runtime folder for ipc sockets. */
#ifndef ZMART_CLI_FOLDERS_H
#define ZMART_CLI_FOLDERS_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/auto.h"

enum {
    FOLDER_PATH_SIZE = 1024,
    RUNTIME_PATH_SIZE = 90 /* leaves room for "/8/workers" within the 107 bytes of an ipc path */
};

/* Makes the folder (mode 0700; its parents as umask says) and locks DIR/zmart.lock until the fd is closed. Children do
 * not inherit the lock. False: message says why, and who has it. out_path is the folder's absolute path. */
MUST_USE bool data_folder_take(const char *folder, char out_path[FOLDER_PATH_SIZE], int *out_lock_fd, char *message,
                               size_t message_size);
/* BASE/zmart-<12 hex digits that follow from the data folder's path>; false if that is too long for ipc. */
MUST_USE bool runtime_folder_name(const char *base, const char *data_path, char out[RUNTIME_PATH_SIZE]);
/* Makes it, mode 0700 and ours, under $XDG_RUNTIME_DIR, /run or /tmp, whichever works first. */
MUST_USE bool runtime_folder_make(const char *data_path, char out[RUNTIME_PATH_SIZE], char *message,
                                  size_t message_size);
/* Where runtime_folder_make has made it; false if there is none. */
MUST_USE bool runtime_folder_find(const char *data_path, char out[RUNTIME_PATH_SIZE]);
/* Removes the folder with the sockets in it, also one level down. */
void runtime_folder_remove(const char *folder);

#endif
