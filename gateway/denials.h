/* The sessions that have ended although their tokens have not expired: asked on every request with a token. */
#ifndef ZMART_GATEWAY_DENIALS_H
#define ZMART_GATEWAY_DENIALS_H

#include "proto/user.h"

enum { DENIALS_MAX = 65536 };

struct denials;

struct denials *denials_new(void);
void denials_destroy(struct denials **self);
/* Adds one; expired ones make room. False when DENIALS_MAX are kept and none has expired: the set is then no longer
 * complete (denials_complete) until it is replaced. Thread-safe, as all that follow. */
bool denials_add(struct denials *self, const struct denial *denial, int64_t wall_ms);
/* Adds a whole list, as user.denials gives it. A list of DENIAL_MAX entries may have been cut and counts as incomplete.
 */
void denials_merge(struct denials *self, const struct denial_list *list, int64_t wall_ms);
bool denials_complete(struct denials *self);
bool denials_hit(struct denials *self, struct text user_id, struct text session_id, int64_t issued_at_ms);
uint32_t denials_count(struct denials *self);

#endif
