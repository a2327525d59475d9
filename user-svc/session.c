#include "user-svc/session.h"

#include <stdio.h>

#include "lib/base/clock.h"
#include "lib/base/invariant.h"

enum { DENIAL_MARGIN_MS = 300 * 1000 }; /* gateways' clocks may differ, and they forgive some seconds */

enum err answer(struct call *call, enum err e)
{
    struct fault *fault = call_fault(call);
    return e == ERR_NONE || e == ERR_LATER || fault->code == e ? e : fault_set(fault, e, NULL);
}

void session_claims(struct call *call, struct sign_in *sign_in)
{
    const struct user_state *state = call_state(call);
    ASSERT(text_to_string(sign_in->account.user.id, sign_in->user_id, sizeof sign_in->user_id));
    sign_in->job.claims =
        (struct token_claims){.issuer = state->config->issuer,
                              .user_id = sign_in->user_id,
                              .session_id = sign_in->session_id,
                              .at_ms = token_time_ms(clock_wall_ms(), sign_in->account.denied_until_ms),
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
    refresh_token_first(state->secret, call_request_id(call), &refresh);
    struct session session = {.id = text_of(sign_in->session_id),
                              .user_id = sign_in->account.user.id,
                              .refresh_hash = {(const char *)refresh.hash, sizeof refresh.hash},
                              .created_ms = now_ms,
                              .used_ms = now_ms};
    enum err e = user_store_session_insert(state->store, &session, call_fault(call));
    if (e != ERR_NONE) {
        return answer(call, e);
    }
    metric_add(state->sign_ins, 1);
    session_reply(call, sign_in, sign_in->job.tokens[token], refresh.text, out);
    return ERR_NONE;
}

/* The event's id follows from the request and whom it is about: a request that is sent again makes the same one. */
static void event_name(struct call *call, struct text subject, char out[IDENT_SIZE])
{
    char hex[ID_HEX_SIZE], step[64];
    uint8_t id[ID_SIZE];
    id_to_hex(call_request_id(call), hex);
    snprintf(step, sizeof step, "session.ended:%s", hex);
    request_id_of_step(subject, text_of(step), id);
    ident_make("evt", id, 0, out);
}

enum err session_deny(struct call *call, struct denial *denial, struct text subject)
{
    const struct user_state *state = call_state(call);
    const struct call_meta *meta = call_meta(call);
    char id[IDENT_SIZE];
    denial->expires_at = denial->before + state->config->token_ttl_s * 1000 + DENIAL_MARGIN_MS;
    event_name(call, subject, id);
    struct event_new event = {.id = text_of(id),
                              .type = text_of(event_info(EVENT_SESSION_ENDED)->type),
                              .subject = subject,
                              .source = TEXT("user-svc"),
                              .time = clock_wall_ms(),
                              .private_data = record_pack_in(&denial_record, denial, call_arena(call))};
    set_has(event_new, &event, private_data);
    if (has(call_meta, meta, traceparent)) {
        event.traceparent = meta->traceparent;
        set_has(event_new, &event, traceparent);
    }
    return answer(call, user_store_denial_add(state->store, denial, &event, call_arena(call), call_fault(call)));
}

enum err session_finish(struct call *call, struct text session_id, struct text user_id)
{
    const struct user_state *state = call_state(call);
    int64_t now_ms = clock_wall_ms(), ended_count = 0;
    struct session_end end = {.id = session_id, .now_ms = now_ms};
    enum err e = user_store_session_end(state->store, &end, call_fault(call), &ended_count);
    if (e != ERR_NONE || ended_count == 0) {
        return answer(call, e);
    }
    struct denial denial = {.session_id = session_id, .before = now_ms};
    set_has(denial, &denial, session_id);
    return session_deny(call, &denial, user_id);
}
