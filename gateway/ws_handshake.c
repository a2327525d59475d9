#include "gateway/ws_handshake.h"

#include "gateway/event_types.h"
#include "gateway/query.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "proto/ident.h"

_Static_assert((int)WS_QUERY_ORDERS_SIZE == (int)WS_FILTER_MAX * (int)WS_ID_SIZE, "as many orders as a client follows");

static bool origin_allowed(const struct ws_doorman *self, struct text origin)
{
    struct text rest = text_of(self->origins), allowed;
    if (rest.size == 0 || !origin.data) {
        return true; /* programs send none, and pages always do */
    }
    while (text_cut(&rest, ',', &allowed)) {
        if (text_is(allowed, "*") || text_equal_ignoring_case(allowed, origin)) {
            return true;
        }
    }
    return false;
}

/* On success *out owns its array. */
static enum err read_filter(struct text orders, struct fault *fault, struct ws_filter *out)
{
    struct text id, rest = orders;
    struct ws_filter filter = {0};
    filter.order_ids = mem_alloc_array(WS_FILTER_MAX, sizeof(*filter.order_ids));
    while (text_cut(&rest, ',', &id)) {
        bool good = ident_is(id, "ord") && filter.count < WS_FILTER_MAX &&
                    text_to_string(id, filter.order_ids[filter.count], WS_ID_SIZE);
        if (!good) {
            mem_free(filter.order_ids);
            fault_add(fault, "/orders", "invalid", -1, "up to %d order ids, separated by commas", WS_FILTER_MAX);
            return fault_set(fault, ERR_INVALID_PARAMETER, NULL);
        }
        filter.count++;
    }
    *out = filter;
    return ERR_NONE;
}

/* The address that the socket is counted for and told with. */
static struct text client_of(const struct ws_doorman *self, const struct ws_handshake *handshake)
{
    struct text peer = text_of(handshake->client);
    return self->forwarded ? forwarded_client(self->forwarded, peer, handshake->forwarded_for) : peer;
}

static enum err who_asks(const struct ws_doorman *self, const struct ws_handshake *handshake,
                         const struct ws_query *query, struct arena *arena, struct fault *fault, struct identity *out)
{
    const struct ws_access *access = &self->access;
    if (has(ws_query, query, ticket)) {
        return access->redeem(access->user, query->ticket, client_of(self, handshake), arena, fault, out);
    }
    if (!handshake->authorization.data) {
        return fault_set(fault, ERR_UNAUTHENTICATED, "a ticket or an Authorization header is needed");
    }
    return access->check(access->user, handshake->authorization, arena, fault, out);
}

static enum err identify(const struct ws_doorman *self, const struct ws_handshake *handshake,
                         const struct ws_query *query, struct fault *fault, struct ws_identity *out)
{
    AUTO(arena_release) struct arena arena = {0};
    struct identity identity = {0};
    out->checked_ms = clock_now_ms();
    enum err code = who_asks(self, handshake, query, &arena, fault, &identity);
    if (code != ERR_NONE) {
        return code;
    }
    out->role = identity.role;
    out->issued_at_ms = identity.issued_at;
    if (!text_to_string(identity.user_id, out->user_id, WS_ID_SIZE) ||
        !text_to_string(identity.session_id, out->session_id, WS_ID_SIZE)) {
        return fault_set(fault, ERR_UNAUTHENTICATED, NULL);
    }
    return ERR_NONE;
}

/* Without a choice the peer's own: orders, or only the orders that are named. */
static enum err read_types(const struct ws_query *query, enum role role, struct fault *fault, uint64_t *types)
{
    return has(ws_query, query, types) ? event_types_read(query->types, role, fault, types) : ERR_NONE;
}

/* Customers follow their own orders only. */
static enum err check_orders(const struct ws_doorman *self, const struct ws_peer_settings *peer, struct fault *fault)
{
    struct ws_ask ask = {.order_count = peer->filter.count, .order_ids = peer->filter.order_ids};
    memcpy(ask.user_id, peer->identity.user_id, sizeof(ask.user_id));
    memcpy(ask.session_id, peer->identity.session_id, sizeof(ask.session_id));
    return peer->identity.role == ROLE_ADMIN ? ERR_NONE : ws_replay_permit(self->replay, &ask, fault);
}

/* What can go wrong with a place in the log is told before the 101. */
static enum err check_position(const struct ws_doorman *self, const struct ws_query *query, struct fault *fault,
                               struct ws_peer_settings *peer)
{
    if (!has(ws_query, query, after)) {
        return ws_replay_hear(self->replay, fault);
    }
    peer->resume = true;
    peer->after = query->after;
    return ws_replay_check(self->replay, query->after, fault);
}

/* In the order of what it costs. */
static enum err check(const struct ws_doorman *self, const struct ws_handshake *handshake, struct fault *fault,
                      struct ws_peer_settings *peer)
{
    struct ws_query query = {0};
    if (!origin_allowed(self, handshake->origin)) {
        return fault_set(fault, ERR_FORBIDDEN, "pages of this origin may not connect");
    }
    enum err code = query_read(&ws_query_record, handshake->query, 0, fault->arena, fault, &query);
    if (code == ERR_NONE && has(ws_query, &query, orders)) {
        code = read_filter(query.orders, fault, &peer->filter);
    }
    if (code == ERR_NONE) {
        code = read_types(&query, ROLE_ADMIN, fault, &peer->types); /* a typing error spends no ticket */
    }
    if (code == ERR_NONE) {
        code = identify(self, handshake, &query, fault, &peer->identity);
    }
    if (code == ERR_NONE) {
        code = read_types(&query, peer->identity.role, fault, &peer->types);
    }
    if (code == ERR_NONE) {
        code = check_orders(self, peer, fault);
    }
    return code == ERR_NONE ? check_position(self, &query, fault, peer) : code;
}

enum err ws_handshake_check(const struct ws_doorman *self, const struct ws_handshake *handshake, struct fault *fault,
                            struct ws_peer_settings *out)
{
    struct ws_peer_settings peer = {.fd = -1, .limits = self->limits};
    if (!text_to_string(client_of(self, handshake), peer.client, sizeof(peer.client))) {
        peer.client[0] = '\0';
    }
    enum err code = check(self, handshake, fault, &peer);
    if (code != ERR_NONE) {
        mem_free(peer.filter.order_ids);
        return code;
    }
    *out = peer;
    return ERR_NONE;
}
