/* Failed passwords by account, in memory: a bounded table that any thread may ask. What is decided is in rules.h.
 * Names are kept as keyed hashes. Each name has a few places that it shares with others; with all of them taken, the
 * one that failed longest ago is forgotten. A restart forgets everything. */
#ifndef ZMART_USER_LIMITS_H
#define ZMART_USER_LIMITS_H

#include "user-svc/rules.h"

enum { LIMITS_NAME_COUNT = 16384 }; /* names remembered at most */

struct limits;

struct limits *limits_new(const struct attempt_policy *policy);
void limits_destroy(struct limits **self);
/* Milliseconds that the next attempt for this name has to wait; 0: none. Thread-safe, as the others. */
int64_t limits_wait_ms(struct limits *self, struct text name, int64_t now_ms);
void limits_fail(struct limits *self, struct text name, int64_t now_ms);
/* A success forgets the failures. */
void limits_clear(struct limits *self, struct text name);

#endif
