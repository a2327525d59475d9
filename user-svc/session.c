#include "user-svc/session.h"

#include "lib/base/clock.h"
#include "lib/base/invariant.h"
#include "user-svc/events.h"

enum { DENIAL_MARGIN_MS = 300 * 1000 }; /* gateways' clocks may differ, and they forgive some seconds */

enum err answer(struct call *call, enum err e)
{
    struct fault *fault = call_fault(call);
    return e == ERR_NONE || e == ERR_LATER || fault->code == e ? e : fault_set(fault, e, NULL);
}

void session_claims(struct call *call, struct sign_in *sign_in)
{
    const struct user_state *state = call_state(call);
    int64_t now_ms = clock_wall_ms();
    ASSERT(text_to_string(sign_in->account.user.id, sign_in->user_id, sizeof sign_in->user_id));
    sign_in->job.claims =
        (struct token_claims){.issuer = state->config->issuer,
                              .user_id = sign_in->user_id,
                              .session_id = sign_in->session_id,
                              .now_ms = now_ms,
                              .at_ms = token_time_ms(now_ms, sign_in->account.denied_until_ms),
                              .ttl_s = state->config->token_ttl_s};
}

static struct text kept(struct call *call, const char *string)
{
    size_t size = strlen(string);
    return (struct text){arena_copy(call_arena(call), string, size), (uint32_t)size};
}

void session_reply(struct call *call, const struct sign_in *sign_in, const char *token, const char *refresh_token,
                   struct user_session *out)
{
    const struct user_state *state = call_state(call);
    struct user *user = arena_alloc(call_arena(call), sizeof *user);
    *user = sign_in->account.user;
    *out = (struct user_session){.user = user,
                                 .token = text_of(token),
                                 .token_type = TEXT("Bearer"),
                                 .expires_in = state->config->token_ttl_s,
                                 .refresh_token = kept(call, refresh_token)};
}

enum err session_begin(struct call *call, const struct sign_in *sign_in, int token, struct user_session *out)
{
    const struct user_state *state = call_state(call);
    struct refresh_token refresh;
    int64_t now_ms = clock_wall_ms();
    refresh_token_first(state->shared->secret, call_request_id(call), &refresh);
    struct session session = {.id = text_of(sign_in->session_id),
                              .user_id = sign_in->account.user.id,
                              .generation = sign_in->account.generation,
                              .refresh_hash = {(const char *)refresh.hash, sizeof refresh.hash},
                              .created_ms = now_ms,
                              .used_ms = now_ms};
    enum err e = user_store_session_insert(state->store, &session, call_fault(call));
    if (e != ERR_NONE) {
        return answer(call, e);
    }
    metric_add(state->shared->sign_ins, 1);
    session_reply(call, sign_in, sign_in->job.tokens[token], refresh.text, out);
    return ERR_NONE;
}

int64_t denial_ends(const struct user_state *state, int64_t before_ms)
{
    return before_ms + state->config->token_ttl_s * 1000 + DENIAL_MARGIN_MS;
}

enum err session_finish(struct call *call, struct text session_id, struct text user_id)
{
    const struct user_state *state = call_state(call);
    int64_t now_ms = clock_wall_ms();
    struct denial denial = {
        .session_id = session_id, .before = now_ms, .expires_at = denial_ends(state, now_ms)};
    set_has(denial, &denial, session_id);
    struct event_new ended = session_ended_make(call, &denial, user_id);
    struct session_end end = {
        .id = session_id, .now_ms = now_ms, .denial_ends_ms = denial.expires_at, .ended = &ended};
    bool went_on;
    return answer(call, user_store_session_end(state->store, &end, call_arena(call), call_fault(call), &went_on));
}
