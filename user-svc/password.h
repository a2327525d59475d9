/* Password hashes: Argon2id by libsodium. Each costs tens of milliseconds and as much memory as the setting says:
 * only for threads of the pool, never for a service loop. */
#ifndef ZMART_USER_PASSWORD_H
#define ZMART_USER_PASSWORD_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/auto.h"
#include "lib/base/text.h"

enum { PASSWORD_HASH_SIZE = 128 }; /* with NUL */

struct password_cost {
    int64_t memory_kib;
    int64_t passes;
};

/* Call once before the others; false if libsodium cannot start. */
MUST_USE bool password_start(void);
/* Hashes with a fresh salt into a PHC string. False when there is not memory enough. */
MUST_USE bool password_hash(const struct password_cost *cost, struct text password, char out[PASSWORD_HASH_SIZE]);
/* True if hash is one of this password. False for a malformed hash, too. */
bool password_verify(struct text password, const char hash[PASSWORD_HASH_SIZE]);
/* True if the hash was made with another cost. */
bool password_is_dated(const struct password_cost *cost, const char hash[PASSWORD_HASH_SIZE]);
/* A hash that no password has and that costs as much to verify as a real one; itself made at no cost. */
void password_dummy(const struct password_cost *cost, char out[PASSWORD_HASH_SIZE]);

#endif
