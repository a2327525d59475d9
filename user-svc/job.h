/* One piece of work for the pool: verify a password, hash one, sign a token, in this order, each if asked for.
 * It never runs on a service loop. It lives in the call's arena and allocates nothing there. */
#ifndef ZMART_USER_JOB_H
#define ZMART_USER_JOB_H

#include "user-svc/state.h"

enum { JOB_MAX_TOKENS = 2 };

struct job {
    const struct user_shared *shared;
    /* asked: */
    bool verify;                        /* password against known_hash, with the delays of limit_name */
    bool hash;                          /* new_password; after a verification also a dated hash */
    struct text password;
    struct text new_password;
    char known_hash[PASSWORD_HASH_SIZE]; /* empty: there is no such account; costs the same and fails */
    struct text limit_name;
    struct token_claims claims;          /* for each of roles a token */
    enum role roles[JOB_MAX_TOKENS];
    int token_count;
    struct attempts attempts;            /* what was counted under it; set by job_start */
    int64_t deadline_ms;                 /* not begun after; set by job_start */
    /* found: */
    enum err outcome; /* NONE, BAD_CREDENTIALS, RATE_LIMITED, EXPIRED, SERVICE_UNAVAILABLE, INTERNAL */
    int64_t wait_ms;                     /* RATE_LIMITED */
    char fresh_hash[PASSWORD_HASH_SIZE]; /* empty: none was made */
    char tokens[JOB_MAX_TOKENS][TOKEN_SIZE];
};

/* What the pool's thread runs; argument is a struct job. */
void job_run(void *job);
/* Hands it to the pool; returns as call_offload, and RATE_LIMITED when a password may not be verified yet. In then,
 * reply is the job. */
MUST_USE enum err job_start(struct call *call, struct job *job, call_continue *then, void *state);
/* Turns an outcome that is not NONE into the call's fault and returns it. */
enum err job_failed(struct call *call, const struct job *job);

#endif
