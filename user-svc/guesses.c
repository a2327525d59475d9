#include "user-svc/guesses.h"

#include "lib/base/clock.h"

enum { TRIES_MAX = 8 };

/* Names are kept as keyed hashes: the store has no list of addresses that somebody tried. */
static struct text name_of(struct call *call, const struct job *job)
{
    char *name = arena_alloc(call_arena(call), GUESS_NAME_SIZE);
    guess_name_make(job->shared->secret, job->limit_name, name);
    return text_of(name);
}

enum err guesses_check(struct call *call, struct job *job)
{
    const struct user_state *state = call_state(call);
    enum err e = user_store_attempts_get(state->store, name_of(call, job), call_fault(call), &job->attempts);
    job->wait_ms = e == ERR_NONE ? attempts_wait_ms(&job->attempts, clock_wall_ms()) : 0;
    if (job->wait_ms > 0) {
        job->outcome = ERR_RATE_LIMITED;
        return job_failed(call, job);
    }
    return e;
}

enum err guesses_failed(struct call *call, const struct job *job)
{
    const struct user_state *state = call_state(call);
    const struct attempt_policy policy = {state->config->login_failures, state->config->login_delay_max_s * 1000};
    struct attempts_change change = {.name = name_of(call, job)};
    for (int i = 0; i < TRIES_MAX; i++) {
        bool done = false;
        enum err e = user_store_attempts_get(state->store, change.name, call_fault(call), &change.from);
        if (e != ERR_NONE) {
            return e;
        }
        change.to = change.from;
        attempts_fail(&change.to, &policy, clock_wall_ms());
        e = user_store_attempts_put(state->store, &change, call_fault(call), &done);
        if (e != ERR_NONE || done) {
            call_keep(call);
            return e;
        }
    }
    return ERR_NONE; /* others count the same name at this moment */
}

enum err guesses_forget(struct call *call, const struct job *job)
{
    const struct user_state *state = call_state(call);
    struct attempts_change change = {.name = name_of(call, job), .from = job->attempts};
    bool done;
    return job->attempts.failures > 0 ? user_store_attempts_put(state->store, &change, call_fault(call), &done)
                                      : ERR_NONE;
}
