/* Ids that follow from a request: whoever repeats the request names the same thing. */
#ifndef ZMART_PROTO_IDENT_H
#define ZMART_PROTO_IDENT_H

#include <stdint.h>

#include "lib/base/id.h"
#include "lib/base/text.h"

enum { IDENT_SIZE = 32, FINGERPRINT_SIZE = 33, ORDER_NUMBER_SIZE = 12 }; /* with NUL */

/* prefix ("prd", "ord", "usr" ...) + "_" + base32 of BLAKE2b(request id, prefix, n). n counts tries that were
 * given up without an answer; 0 is the first. */
void ident_make(const char *prefix, const uint8_t request_id[ID_SIZE], uint32_t n, char out[IDENT_SIZE]);
/* True if it has the shape ident_make gives for this prefix. */
bool ident_is(struct text ident, const char *prefix);
/* A request id that follows from (account, route, Idempotency-Key). */
void request_id_from_key(struct text account, struct text route, struct text key, uint8_t out[ID_SIZE]);
/* A request id for step of a saga: follows from the thing's id and the step's name. */
void request_id_of_step(struct text ident, struct text step, uint8_t out[ID_SIZE]);
/* Hex of a 16-byte BLAKE2b of a request's packed body: equal bodies have equal fingerprints. */
void fingerprint_make(struct text body, char out[FINGERPRINT_SIZE]);
/* "7K3F9-Q2M4X": short, follows from the order's id, not guessable from other numbers. */
void order_number_make(struct text order_id, char out[ORDER_NUMBER_SIZE]);

#endif
