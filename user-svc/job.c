#include "user-svc/guesses.h"

#include "lib/base/clock.h"
#include "lib/base/invariant.h"

static enum err verify(struct job *job)
{
    const struct user_shared *shared = job->shared;
    bool known = job->known_hash[0] != '\0';
    /* asked here and not before queueing: what waits in front of this job may have failed meanwhile */
    job->wait_ms = throttle_wait_ms(shared->throttle, job->limit_name, clock_now_ms());
    if (job->wait_ms > 0) {
        return ERR_RATE_LIMITED;
    }
    int64_t start_us = clock_now_us();
    bool good = password_verify(job->password, known ? job->known_hash : shared->dummy_hash) && known;
    metric_observe(shared->hash_time, clock_now_us() - start_us);
    if (!good) {
        throttle_fail(shared->throttle, job->limit_name, clock_now_ms());
        return ERR_BAD_CREDENTIALS;
    }
    throttle_clear(shared->throttle, job->limit_name);
    return ERR_NONE;
}

static enum err hash(struct job *job)
{
    const struct user_shared *shared = job->shared;
    bool dated = job->verify && !job->hash && password_is_dated(&shared->password_cost, job->known_hash);
    if (!job->hash && !dated) {
        return ERR_NONE;
    }
    struct text password = job->hash ? job->new_password : job->password;
    int64_t start_us = clock_now_us();
    bool made = password_hash(&shared->password_cost, password, job->fresh_hash);
    metric_observe(shared->hash_time, clock_now_us() - start_us);
    return made || dated ? ERR_NONE : ERR_SERVICE_UNAVAILABLE; /* an old hash is good enough until the next time */
}

static enum err sign(struct job *job)
{
    for (int i = 0; i < job->token_count; i++) {
        struct token_claims claims = job->claims;
        claims.role = job->roles[i];
        if (!keyring_sign(job->shared->keyring, &claims, job->tokens[i])) {
            return ERR_INTERNAL;
        }
    }
    return ERR_NONE;
}

void job_run(void *argument)
{
    struct job *job = argument;
    job->outcome = clock_now_ms() >= job->deadline_ms ? ERR_EXPIRED : ERR_NONE;
    if (job->outcome == ERR_NONE && job->verify) {
        job->outcome = verify(job);
    }
    if (job->outcome == ERR_NONE) {
        job->outcome = hash(job);
    }
    if (job->outcome == ERR_NONE) {
        job->outcome = sign(job);
    }
}

enum err job_start(struct call *call, struct job *job, call_continue *then, void *state)
{
    job->shared = ((const struct user_state *)call_state(call))->shared;
    job->deadline_ms = clock_now_ms() + call_left_ms(call);
    job->fresh_hash[0] = '\0';
    enum err e = job->verify ? guesses_check(call, job) : ERR_NONE;
    if (e != ERR_NONE) {
        return e;
    }
    return call_offload(call, job->shared->pool, job_run, job, then, state);
}

enum err job_failed(struct call *call, const struct job *job)
{
    struct fault *fault = call_fault(call);
    ASSERT(job->outcome != ERR_NONE);
    if (job->outcome == ERR_RATE_LIMITED || job->outcome == ERR_BAD_CREDENTIALS) {
        metric_add(job->shared->refused, 1);
    }
    if (job->outcome == ERR_RATE_LIMITED) {
        (void)fault_set(fault, ERR_RATE_LIMITED, "too many wrong passwords for this account");
        fault->retry_after_s = (job->wait_ms + 999) / 1000;
        return ERR_RATE_LIMITED;
    }
    if (job->outcome == ERR_SERVICE_UNAVAILABLE) {
        fault_cause(fault, "there is not memory enough for a password hash");
        fault->retry_after_s = 1;
    } else if (job->outcome == ERR_INTERNAL) {
        fault_cause(fault, "a token could not be signed");
    }
    return fault_set(fault, job->outcome, NULL);
}
