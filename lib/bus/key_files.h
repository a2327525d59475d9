/* A folder of CURVE keys:
 *
 *     NAME.secret    a pair of our own: mode 0600, refused when others can read it
 *     NAME.public    its public half, to be carried elsewhere; broker.public is pinned by everybody who connects
 *     allowed        who may speak (keys.h); a broker reads it again when it changes
 *
 * .secret and .public are lines of a word and a value: "public PUBLIC-KEY", "secret SECRET-KEY". Changes are made in
 * a new file that then takes the old one's place. All errors are one line for people. */
#ifndef ZMART_BUS_KEY_FILES_H
#define ZMART_BUS_KEY_FILES_H

#include <sys/types.h>

#include "lib/bus/keys.h"

/* Whose key a broker has, and whose public half its peers pin. */
#define KEY_BROKER_NAME "broker"

struct key_pair {
    char public_key[KEY_TEXT_SIZE];
    char secret_key[KEY_TEXT_SIZE];
};

/* False if this libzmq has no CURVE. */
MUST_USE bool key_pair_make(struct key_pair *out, char *message, size_t message_size);
/* Overwrites the secret. Fit for AUTO. */
void key_pair_forget(struct key_pair *pair);
/* Makes the folder (mode 0700) if it is missing; refused if others can write in it. */
MUST_USE bool key_folder_make(const char *folder, char *message, size_t message_size);
/* Writes NAME.secret and NAME.public; refused if there is a NAME.secret already. */
MUST_USE bool key_pair_save(const char *folder, const char *name, const struct key_pair *pair, char *message,
                            size_t message_size);
MUST_USE bool key_pair_load(const char *folder, const char *name, struct key_pair *out, char *message,
                            size_t message_size);
/* The key in a .public file. */
MUST_USE bool key_public_load(const char *path, char out[KEY_TEXT_SIZE], char *message, size_t message_size);
/* NAME.public of the folder. */
MUST_USE bool key_public_of(const char *folder, const char *name, char out[KEY_TEXT_SIZE], char *message,
                            size_t message_size);
bool key_secret_exists(const char *folder, const char *name);
/* Removes NAME.secret and NAME.public, if they are there. */
void key_files_remove(const char *folder, const char *name);

/* What tells one state of the allowlist from another. */
struct key_stamp {
    int64_t changed_ns;
    off_t size;
    ino_t inode;
};

/* False if there is none. */
MUST_USE bool key_allowed_stamp(const char *folder, struct key_stamp *out);
bool key_stamp_equal(const struct key_stamp *a, const struct key_stamp *b);
MUST_USE bool key_allowed_load(const char *folder, struct key_grants *out, char *message, size_t message_size);
/* Makes an allowlist without keys, if there is none. */
MUST_USE bool key_allowed_make(const char *folder, char *message, size_t message_size);
/* Adds a line; refused when name or key are there. Processes take turns. */
MUST_USE bool key_allowed_add(const char *folder, const struct key_grant *grant, char *message, size_t message_size);
/* Takes a line out; refused when there is none of this name. */
MUST_USE bool key_allowed_remove(const char *folder, const char *name, char *message, size_t message_size);

#endif
