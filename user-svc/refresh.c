#include "user-svc/refresh.h"

#include "lib/base/clock.h"
#include "lib/base/invariant.h"

/* One refresh on its way through the pool. Lives in the call's arena. */
struct refresh {
    struct sign_in sign_in;
    struct refresh_token given;
    struct refresh_token next; /* what this request exchanges it for */
};

/* What a refresh token is worth, seen from its session. */
enum refresh_worth {
    REFRESH_NEWEST, /* may be spent */
    REFRESH_ASKED,  /* this same request has spent it: the answer was lost */
    REFRESH_SPENT,  /* by another request: somebody has a copy */
    REFRESH_OVER    /* the session has ended */
};

static bool is_hash(struct text stored, const struct refresh_token *token)
{
    return text_equal(stored, (struct text){(const char *)token->hash, sizeof token->hash});
}

static enum err worth_find(struct call *call, const struct refresh *refresh, struct session *out_session,
                           enum refresh_worth *out)
{
    const struct user_state *state = call_state(call);
    enum err e = user_store_session_get(state->store, text_of(refresh->sign_in.session_id), call_arena(call),
                                        call_fault(call), out_session);
    if (e == ERR_NOT_FOUND) {
        *out = REFRESH_OVER;
        return ERR_NONE;
    }
    if (e != ERR_NONE) {
        return e;
    }
    bool over = out_session->ended_ms != 0 || session_is_over(&state->session_policy, out_session->created_ms,
                                                              out_session->used_ms, clock_wall_ms());
    *out = over                                                    ? REFRESH_OVER
           : is_hash(out_session->refresh_hash, &refresh->given) ? REFRESH_NEWEST
           : is_hash(out_session->refresh_hash, &refresh->next)  ? REFRESH_ASKED
                                                                   : REFRESH_SPENT;
    return ERR_NONE;
}

/* A spent token that comes again was copied: nobody knows by whom, so the session ends for all who have a part of it.
 */
static enum err refuse(struct call *call, const struct session *session, enum refresh_worth worth)
{
    if (worth == REFRESH_SPENT) {
        const struct user_state *state = call_state(call);
        enum err e = session_finish(call, session->id, session->user_id);
        if (e != ERR_NONE) {
            return e;
        }
        log_warn(state->log, "user.refresh_reused", KV_TEXT("user", session->user_id), KV_TEXT("session", session->id));
        call_keep(call);
    }
    return fault_set(call_fault(call), ERR_UNAUTHENTICATED, "the refresh token is not good any more");
}

/* Somebody has spent the token while ours was signed: this same request, sent again, or another one. */
static enum err overtaken(struct call *call, struct refresh *refresh, struct user_session *out)
{
    struct session session = {0};
    enum refresh_worth worth;
    enum err e = worth_find(call, refresh, &session, &worth);
    if (e != ERR_NONE) {
        return answer(call, e);
    }
    if (worth != REFRESH_ASKED) {
        return refuse(call, &session, worth);
    }
    session_reply(call, &refresh->sign_in, refresh->sign_in.job.tokens[0], refresh->next.text, out);
    return ERR_NONE;
}

static enum err refreshed(struct call *call, enum err status, const void *reply, void *argument, void *out)
{
    const struct user_state *state = call_state(call);
    struct refresh *refresh = argument;
    struct session session = {0};
    enum refresh_worth worth;
    (void)reply;
    if (status != ERR_NONE) {
        return answer(call, status);
    }
    if (refresh->sign_in.job.outcome != ERR_NONE) {
        return job_failed(call, &refresh->sign_in.job);
    }
    enum err e = worth_find(call, refresh, &session, &worth);
    if (e != ERR_NONE) {
        return answer(call, e);
    }
    if (worth != REFRESH_NEWEST && worth != REFRESH_ASKED) {
        return refuse(call, &session, worth);
    }
    if (worth == REFRESH_NEWEST) {
        struct session_move move = {.id = session.id,
                                    .from_hash = session.refresh_hash,
                                    .to_hash = {(const char *)refresh->next.hash, sizeof refresh->next.hash},
                                    .now_ms = clock_wall_ms()};
        e = user_store_session_rotate(state->store, &move, call_fault(call));
        if (e == ERR_CONFLICT) {
            return overtaken(call, refresh, out);
        }
    }
    if (e == ERR_NONE) {
        session_reply(call, &refresh->sign_in, refresh->sign_in.job.tokens[0], refresh->next.text, out);
    }
    return answer(call, e);
}

enum err refresh_begin(struct call *call, const struct user_refresh *in, struct user_session *out)
{
    const struct user_state *state = call_state(call);
    struct refresh *refresh = arena_alloc(call_arena(call), sizeof *refresh);
    struct sign_in *sign_in = &refresh->sign_in;
    struct session session = {0};
    enum refresh_worth worth;
    (void)out;
    if (!refresh_token_read(state->shared->secret, in->refresh_token, &refresh->given, sign_in->session_id)) {
        return fault_set(call_fault(call), ERR_UNAUTHENTICATED, "the refresh token is not one of this shop's");
    }
    refresh_token_next(state->shared->secret, &refresh->given, call_request_id(call), &refresh->next);
    enum err e = worth_find(call, refresh, &session, &worth);
    if (e != ERR_NONE) {
        return answer(call, e);
    }
    if (worth != REFRESH_NEWEST && worth != REFRESH_ASKED) {
        return refuse(call, &session, worth);
    }
    e = user_store_account_get(state->store, session.user_id, call_arena(call), call_fault(call), &sign_in->account);
    if (e != ERR_NONE) {
        return answer(call, e == ERR_NOT_FOUND ? ERR_UNAUTHENTICATED : e);
    }
    sign_in->job.roles[0] = sign_in->account.user.role;
    sign_in->job.token_count = 1;
    session_claims(call, sign_in);
    return job_start(call, &sign_in->job, refreshed, refresh);
}
