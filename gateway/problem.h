/* Errors as clients see them: RFC 9457 application/problem+json. */
#ifndef ZMART_GATEWAY_PROBLEM_H
#define ZMART_GATEWAY_PROBLEM_H

#include "lib/base/buffer.h"
#include "proto/fault.h"

#define PROBLEM_MEDIA_TYPE  "application/problem+json"
#define PROBLEM_TYPE_PREFIX "/problems/"

/* Appends the body: type (a path that names the code), title, status, detail, instance, code, request_id, and where
 * they are known errors[], allowed, head. instance is the request's path as sent. */
bool problem_write(const struct fault *fault, struct text instance, struct text request_id, struct buffer *out);
/* What clients are told when a call of the gateway's own making fails with e, which is returned if it is theirs to
 * know. Which services run is not: what the bus calls an unknown service or operation becomes SERVICE_UNAVAILABLE, as
 * if it were away. */
MUST_USE enum err problem_of_call(enum err e, struct fault *fault);
/* Seconds for the field Retry-After: what the fault says, or 1 for 429 and 503; 0: no such field. */
int64_t problem_retry_after(const struct fault *fault);

#endif
