/* Failed passwords by account, in memory: a bounded table that any thread may ask. What is decided is in rules.h.
 * Names are kept as keyed hashes. Each name has a few places that it shares with others; with all of them taken, the
 * one that failed longest ago is forgotten. A restart forgets everything. */
#ifndef ZMART_USER_THROTTLE_H
#define ZMART_USER_THROTTLE_H

#include "user-svc/rules.h"

enum { THROTTLE_NAME_COUNT = 16384 }; /* names remembered at most */

struct throttle;

struct throttle *throttle_new(const struct attempt_policy *policy);
void throttle_destroy(struct throttle **self);
/* Milliseconds that the next attempt for this name has to wait; 0: none. Thread-safe, as the others. */
int64_t throttle_wait_ms(struct throttle *self, struct text name, int64_t now_ms);
void throttle_fail(struct throttle *self, struct text name, int64_t now_ms);
/* A success forgets the failures. */
void throttle_clear(struct throttle *self, struct text name);

#endif
