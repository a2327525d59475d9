/* Random bytes and their spellings. */
#ifndef ZMART_BASE_ID_H
#define ZMART_BASE_ID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/text.h"

enum { ID_SIZE = 16, ID_HEX_SIZE = 33, ID_BASE32_SIZE = 27 }; /* text sizes include the NUL */

/* From the kernel (getrandom); never fails once the system is up. */
void id_random(void *out, size_t size);
/* UUIDv7 (RFC 9562): 48 bits of wall clock in ms, the rest random. */
void id_new(uint8_t out[ID_SIZE]);
/* The same from a store of random bytes, for whoever makes many: one system call for a few dozen. Zeroes to start with.
 */
struct id_source {
    uint8_t bytes[512];
    size_t left_size; /* unused ones, at the end */
};
void id_next(struct id_source *source, uint8_t out[ID_SIZE]);
void id_to_hex(const uint8_t id[ID_SIZE], char out[ID_HEX_SIZE]);
MUST_USE bool id_from_hex(struct text hex, uint8_t out[ID_SIZE]);
/* Crockford's base32 in lower case: 26 characters for 16 bytes. */
void id_to_base32(const uint8_t id[ID_SIZE], char out[ID_BASE32_SIZE]);

#endif
