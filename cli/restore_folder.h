/* The data folder that a restore into SQLite fills. It works in DIR/restoring, and the files take their places at the
 * end. From the beginning to the end DIR is marked (SQLITE_MARK_FILE), and no program opens databases there: whatever
 * moment the restore is killed at, what it leaves is told from a shop, and the next restore begins again. */
#ifndef ZMART_CLI_RESTORE_FOLDER_H
#define ZMART_CLI_RESTORE_FOLDER_H

#include "cli/archive_parts.h"
#include "cli/folders.h"

enum { RESTORE_FOLDER_SIZE = 900 };

struct restore_folder {
    char path[RESTORE_FOLDER_SIZE];
    char url[RESTORE_FOLDER_SIZE + 32]; /* of the folder to work in */
    bool made, marked;                  /* by us */
    int lock_fd;                        /* -1: nothing is taken */
};

/* Takes the folder that the store names, which no shop may run in, refuses one with databases (but for those behind a
 * mark, which are removed), marks it, and makes store->store name the folder to work in. False: message is one line
 * that says why. */
MUST_USE bool restore_folder_take(struct store_config *store, struct restore_folder *out, char *message);
/* The databases, all closed, take their places, then the mark goes. False: message says why, and restore_folder_undo is
 * due. */
MUST_USE bool restore_folder_place(struct restore_folder *self, char *message);
/* Nothing is left of a restore that failed. */
void restore_folder_undo(struct restore_folder *self);
void restore_folder_release(struct restore_folder *self);

#endif
