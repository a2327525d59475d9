/* Wrong passwords as all processes see them: counted in the store, beside the process's own delays (throttle.h), which
 * alone see what is still being verified. */
#ifndef ZMART_USER_GUESSES_H
#define ZMART_USER_GUESSES_H

#include "user-svc/job.h"

/* Before a password is verified: RATE_LIMITED while its name is to wait. Remembers in the job what was counted. */
MUST_USE enum err guesses_check(struct call *call, struct job *job);
/* It was wrong: counts it, although the call fails. */
MUST_USE enum err guesses_failed(struct call *call, const struct job *job);
/* It was right: what was counted is forgotten. */
MUST_USE enum err guesses_forget(struct call *call, const struct job *job);

#endif
