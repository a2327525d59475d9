#include "gateway/ws_access.h"

#include "gateway/problem.h"
#include "lib/base/clock.h"
#include "proto/order.h"

/* Whatever is wrong with a ticket, it opens nothing: only "cannot be found out" is told apart. */
static enum err ticket_refused(enum err code, struct fault *fault)
{
    if (err_info(code)->http >= 500 || err_info(code)->http == 429) {
        int64_t retry_after_s = fault->retry_after_s;
        fault_set(fault, ERR_SERVICE_UNAVAILABLE, NULL);
        fault->retry_after_s = retry_after_s > 0 ? retry_after_s : 1;
        return ERR_SERVICE_UNAVAILABLE;
    }
    return fault_set(fault, ERR_UNAUTHENTICATED, "the ticket is unknown, spent or too old");
}

static enum err redeem(void *user, struct text ticket, struct text client, struct arena *arena, struct fault *fault,
                       struct identity *out)
{
    struct ws_access_parts *parts = user;
    struct ticket_ref ref = {.ticket = ticket};
    struct call_meta meta = {.client = client, .caller = TEXT("gateway")};
    struct identity identity = {0};
    set_has(call_meta, &meta, caller);
    if (client.size > 0) {
        set_has(call_meta, &meta, client);
    }
    enum err code =
        problem_of_call(bus_client_do(parts->bus, OP_user_redeem, NULL, &meta, &ref, arena, fault, &identity), fault);
    if (code != ERR_NONE) {
        return ticket_refused(code, fault);
    }
    if (auth_is_denied(parts->auth, identity.user_id, identity.session_id, identity.issued_at)) {
        return fault_set(fault, ERR_UNAUTHENTICATED, "the session has ended");
    }
    *out = identity;
    return ERR_NONE;
}

static enum err check(void *user, struct text authorization, struct arena *arena, struct fault *fault,
                      struct identity *out)
{
    struct ws_access_parts *parts = user;
    struct text token;
    enum err code = auth_bearer(authorization, fault, &token);
    return code ? code : auth_check(parts->auth, token, clock_wall_ms(), arena, fault, out);
}

static enum err sees(void *user, struct text user_id, struct text session_id, struct text order_id, struct fault *fault)
{
    struct ws_access_parts *parts = user;
    AUTO(arena_release) struct arena arena = {0};
    struct order_ref ref = {.id = order_id};
    struct call_meta meta = {.user_id = user_id, .role = ROLE_CUSTOMER, .session_id = session_id};
    struct order order;
    set_has(call_meta, &meta, user_id);
    set_has(call_meta, &meta, role);
    set_has(call_meta, &meta, session_id);
    return problem_of_call(bus_client_do(parts->bus, OP_order_get, NULL, &meta, &ref, &arena, fault, &order), fault);
}

struct ws_access ws_access_of(struct ws_access_parts *parts)
{
    return (struct ws_access){.redeem = redeem, .check = check, .sees = sees, .user = parts};
}
