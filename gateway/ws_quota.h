/* How many WebSockets and streams there are, in all and by account. Thread-safe. */
#ifndef ZMART_GATEWAY_WS_QUOTA_H
#define ZMART_GATEWAY_WS_QUOTA_H

#include <stdint.h>

#include "lib/base/auto.h"
#include "lib/base/text.h"
#include "proto/fault.h"

struct ws_quota;

struct ws_quota *ws_quota_new(int64_t total_max, int64_t user_max);
void ws_quota_destroy(struct ws_quota **self);
/* RATE_LIMITED when the account has its share, SERVICE_UNAVAILABLE when the gateway has: both with retry_after_s.
 * unbounded: the account (an administrator's) is counted, and bounded by the total only. */
MUST_USE enum err ws_quota_take(struct ws_quota *self, struct text user_id, bool unbounded, struct fault *fault);
/* Gives back what one successful ws_quota_take took. */
void ws_quota_give(struct ws_quota *self, struct text user_id);
int64_t ws_quota_total(struct ws_quota *self);

#endif
