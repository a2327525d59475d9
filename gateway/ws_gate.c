#include "gateway/ws_gate.h"

#include <civetweb.h>
#include <pthread.h>
#include <strings.h>

#include "gateway/event_types.h"
#include "gateway/problem.h"
#include "gateway/query.h"
#include "lib/base/clock.h"
#include "lib/base/id.h"
#include "lib/base/invariant.h"
#include "lib/base/mem.h"
#include "proto/ident.h"

enum { PENDING_MAX_MS = 60 * 1000, EARLY_MAX_SIZE = 64 * 1024, PROBLEM_MAX_SIZE = 16 * 1024, KEY_TEXT_SIZE = 24 };

#define WS_PATH "/ws"
#define WS_QUERY_FIELDS(F, R)                                                                                          \
    F(R, TEXT, ticket, OPT | SECRET | LINE, 1, 100, none, "of POST /api/ws-ticket")                                    \
    F(R, TEXT, orders, OPT | LINE, 1, WS_FILTER_MAX * WS_ID_SIZE, none, "order ids, separated by commas") \
    F(R, TEXT, types, OPT | LINE, 1, 400, none, "types separated by commas; a closing * matches any rest")             \
    F(R, INT,  after, OPT, 0, INT64_MAX, none, "first what was missed since this seq")
RECORD_DECLARE(ws_query, WS_QUERY_FIELDS);
RECORD_DEFINE(ws_query, WS_QUERY_FIELDS)

/* A handshake between civetweb's callbacks, known by its connection. The loop has the socket already. */
struct pending {
    struct pending *next;
    const struct mg_connection *connection;
    uint64_t peer_id;
    int civetweb_fd, loop_fd;
    int64_t since_ms;
    bool ready;          /* the 101 is out */
    struct buffer early; /* what the client said before */
};

struct ws_gate {
    struct ws_gate_settings settings;
    struct mg_websocket_subprotocols subprotocols; /* none: without a list civetweb would accept any offer */
    pthread_mutex_t mutex; /* guards pending */
    struct pending *pending;
};

struct ws_gate *ws_gate_new(const struct ws_gate_settings *settings)
{
    struct ws_gate *self = mem_alloc(sizeof(*self));
    self->settings = *settings;
    ASSERT(pthread_mutex_init(&self->mutex, NULL) == 0);
    return self;
}

/* ---- handshakes on their way ---- */

static struct pending *pending_new(const struct mg_connection *connection)
{
    struct pending *pending = mem_alloc(sizeof(*pending));
    pending->connection = connection;
    pending->since_ms = clock_now_ms();
    buffer_init(&pending->early, EARLY_MAX_SIZE);
    return pending;
}

static void pending_destroy(struct pending **self)
{
    if (*self) {
        buffer_release(&(*self)->early);
        mem_free(*self);
        *self = NULL;
    }
}

/* civetweb does not tell when its 101 could not be sent: such entries are found by their age, or because their
 * connection (a worker's, used again and again) begins another handshake. Their sockets are the loop's to drop. */
static void pending_put(struct ws_gate *self, struct pending *pending)
{
    pthread_mutex_lock(&self->mutex);
    for (struct pending **place = &self->pending; *place;) {
        struct pending *at = *place;
        if (at->connection == pending->connection || pending->since_ms - at->since_ms > PENDING_MAX_MS) {
            *place = at->next;
            pending_destroy(&at);
        } else {
            place = &at->next;
        }
    }
    pending->next = self->pending;
    self->pending = pending;
    pthread_mutex_unlock(&self->mutex);
}

/* Takes the entry out of the list, or gives NULL. */
static struct pending *pending_take(struct ws_gate *self, const struct mg_connection *connection)
{
    struct pending *found = NULL;
    pthread_mutex_lock(&self->mutex);
    for (struct pending **place = &self->pending; *place; place = &(*place)->next) {
        if ((*place)->connection == connection) {
            found = *place;
            *place = found->next;
            break;
        }
    }
    pthread_mutex_unlock(&self->mutex);
    return found;
}

void ws_gate_destroy(struct ws_gate **self_p)
{
    struct ws_gate *self = *self_p;
    if (!self) {
        return;
    }
    for (struct pending *at = self->pending, *next; at; at = next) {
        next = at->next;
        pending_destroy(&at);
    }
    pthread_mutex_destroy(&self->mutex);
    mem_free(self);
    *self_p = NULL;
}

/* ---- refusing ---- */

static void add_field(struct buffer *head, const char *name, const char *value)
{
    buffer_add_string(head, name);
    buffer_add_string(head, ": ");
    buffer_add_string(head, value);
    buffer_add_string(head, "\r\n");
}

static void refuse(struct ws_gate *self, struct mg_connection *connection, const struct fault *fault)
{
    mg_disable_connection_keep_alive(connection);
    if (self->settings.refuse) {
        self->settings.refuse(self->settings.refuse_user, connection, fault);
        return;
    }
    AUTO(buffer_release) struct buffer head;
    AUTO(buffer_release) struct buffer body;
    buffer_init(&head, PROBLEM_MAX_SIZE);
    buffer_init(&body, PROBLEM_MAX_SIZE);
    uint8_t id[ID_SIZE];
    char id_text[ID_HEX_SIZE];
    id_new(id);
    id_to_hex(id, id_text);
    problem_write(fault, text_of(WS_PATH), text_of(id_text), &body);
    int status = err_info(fault->code)->http;
    buffer_printf(&head, "HTTP/1.1 %d %s\r\n", status, mg_get_response_code_text(connection, status));
    add_field(&head, "Content-Type", PROBLEM_MEDIA_TYPE);
    add_field(&head, "Cache-Control", "no-store");
    add_field(&head, "X-Content-Type-Options", "nosniff");
    add_field(&head, "X-Request-Id", id_text);
    if (status == 401) {
        add_field(&head, "WWW-Authenticate", "Bearer");
    }
    if (problem_retry_after(fault) > 0) {
        buffer_printf(&head, "Retry-After: %lld\r\n", (long long)problem_retry_after(fault));
    }
    buffer_printf(&head, "Content-Length: %zu\r\nConnection: close\r\n\r\n", body.size);
    mg_write(connection, head.data, head.size);
    mg_write(connection, body.data, body.size);
}

/* ---- checking a handshake ---- */

static bool origin_allowed(const struct ws_gate *self, const char *origin)
{
    struct text rest = text_of(self->settings.origins), allowed;
    if (rest.size == 0 || !origin) {
        return true; /* programs send none, and pages always do */
    }
    while (text_cut(&rest, ',', &allowed)) {
        if (text_is(allowed, "*") || text_equal_ignoring_case(allowed, text_of(origin))) {
            return true;
        }
    }
    return false;
}

/* 16 bytes in base64, which is all that RFC 6455 asks of it. */
static bool key_is_good(const char *key)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    return key && strlen(key) == KEY_TEXT_SIZE && strspn(key, letters) == KEY_TEXT_SIZE - 2 &&
           strcmp(key + KEY_TEXT_SIZE - 2, "==") == 0;
}

static enum err check_form(struct ws_gate *self, const struct mg_connection *connection, struct fault *fault)
{
    const struct mg_request_info *info = mg_get_request_info(connection);
    if (!info->local_uri || strcmp(info->local_uri, WS_PATH) != 0) {
        return fault_set(fault, ERR_NOT_FOUND, NULL);
    }
    if (strcmp(info->request_method, "GET") != 0) {
        fault_allow(fault, "GET");
        return fault_set(fault, ERR_METHOD_NOT_ALLOWED, NULL);
    }
    if (!info->http_version || strcmp(info->http_version, "1.1") != 0) {
        return fault_set(fault, ERR_BAD_REQUEST, "a WebSocket begins with HTTP/1.1");
    }
    if (!key_is_good(mg_get_header(connection, "Sec-WebSocket-Key"))) {
        return fault_set(fault, ERR_BAD_REQUEST, "Sec-WebSocket-Key is not 16 bytes in base64");
    }
    if (mg_get_header(connection, "Content-Length") || mg_get_header(connection, "Transfer-Encoding")) {
        return fault_set(fault, ERR_BAD_REQUEST, "a handshake has no body");
    }
    if (!origin_allowed(self, mg_get_header(connection, "Origin"))) {
        return fault_set(fault, ERR_FORBIDDEN, "pages of this origin may not connect");
    }
    return ERR_NONE;
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

static enum err who_asks(struct ws_gate *self, const struct mg_connection *connection, const struct ws_query *query,
                         struct arena *arena, struct fault *fault, struct identity *out)
{
    const struct ws_access *access = &self->settings.access;
    if (has(ws_query, query, ticket)) {
        struct text client = text_of(mg_get_request_info(connection)->remote_addr);
        return access->redeem(access->user, query->ticket, client, arena, fault, out);
    }
    const char *authorization = mg_get_header(connection, "Authorization");
    if (!authorization) {
        return fault_set(fault, ERR_UNAUTHENTICATED, "a ticket or an Authorization header is needed");
    }
    return access->check(access->user, text_of(authorization), arena, fault, out);
}

static enum err identify(struct ws_gate *self, const struct mg_connection *connection, const struct ws_query *query,
                         struct fault *fault, struct ws_identity *out)
{
    AUTO(arena_release) struct arena arena = {0};
    struct identity identity = {0};
    out->checked_ms = clock_now_ms();
    enum err code = who_asks(self, connection, query, &arena, fault, &identity);
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

/* What can be known without asking anybody. On success the filter's array is the caller's. */
static enum err check_handshake(struct ws_gate *self, const struct mg_connection *connection, struct fault *fault,
                                struct ws_query *out_query, struct ws_filter *out)
{
    const struct mg_request_info *info = mg_get_request_info(connection);
    enum err code = check_form(self, connection, fault);
    if (code == ERR_NONE) {
        code = query_read(&ws_query_record, text_of(info->query_string), 0, fault->arena, fault, out_query);
    }
    if (code != ERR_NONE) {
        return code;
    }
    return has(ws_query, out_query, orders) ? read_filter(out_query->orders, fault, out) : ERR_NONE;
}

/* Without a choice the peer's own: orders, or only the orders that are named. */
static enum err read_types(const struct ws_query *query, struct fault *fault, struct ws_peer_settings *peer)
{
    return has(ws_query, query, types) ? event_types_read(query->types, peer->identity.role, fault, &peer->types) : ERR_NONE;
}

/* Customers follow their own orders only. */
static enum err check_orders(struct ws_gate *self, const struct ws_peer_settings *peer, struct fault *fault)
{
    struct ws_ask ask = {.order_count = peer->filter.count, .order_ids = peer->filter.order_ids};
    memcpy(ask.user_id, peer->identity.user_id, sizeof(ask.user_id));
    memcpy(ask.session_id, peer->identity.session_id, sizeof(ask.session_id));
    return peer->identity.role == ROLE_ADMIN ? ERR_NONE : ws_replay_permit(self->settings.replay, &ask, fault);
}

/* What can go wrong with a place in the log is told before the 101. */
static enum err check_position(struct ws_gate *self, const struct ws_query *query, struct fault *fault,
                               struct ws_peer_settings *peer)
{
    if (!has(ws_query, query, after)) {
        return ERR_NONE;
    }
    peer->resume = true;
    peer->after = query->after;
    return ws_replay_check(self->settings.replay, query->after, fault);
}

static enum err give_to_loop(struct ws_gate *self, const struct mg_connection *connection,
                             struct ws_peer_settings *peer, struct fault *fault, struct pending *out)
{
    const struct mg_request_info *info = mg_get_request_info(connection);
    struct ws_entry *entry = self->settings.entry;
    out->civetweb_fd = accept_find(entry->accepts, info->remote_addr, info->remote_port, info->server_port);
    enum err code = ws_entry_add(entry, out->civetweb_fd, info->remote_addr, peer, fault);
    if (code == ERR_NONE) {
        out->loop_fd = peer->fd;
        out->peer_id = peer->id;
    }
    return code;
}

static enum err admit(struct ws_gate *self, const struct mg_connection *connection, struct fault *fault,
                      struct pending *out)
{
    struct ws_query query = {0};
    struct ws_peer_settings peer = {.fd = -1, .limits = self->settings.limits};
    enum err code = check_handshake(self, connection, fault, &query, &peer.filter);
    if (code == ERR_NONE) {
        code = identify(self, connection, &query, fault, &peer.identity);
    }
    if (code == ERR_NONE) {
        code = read_types(&query, fault, &peer);
    }
    if (code == ERR_NONE) {
        code = check_orders(self, &peer, fault);
    }
    if (code == ERR_NONE) {
        code = check_position(self, &query, fault, &peer);
    }
    if (code == ERR_NONE) {
        code = give_to_loop(self, connection, &peer, fault, out);
    }
    if (code != ERR_NONE) {
        mem_free(peer.filter.order_ids);
    }
    return code;
}

/* ---- civetweb's callbacks ---- */

static int on_connect(const struct mg_connection *connection, void *user)
{
    struct ws_gate *self = user;
    AUTO(arena_release) struct arena arena = {0};
    struct fault fault;
    struct pending *pending = pending_new(connection);
    fault_init(&fault, &arena);
    enum err code = admit(self, connection, &fault, pending);
    if (code != ERR_NONE) {
        pending_destroy(&pending);
        fault.code = code;
        /* civetweb passes its own, writable connection; the callback's type says const. */
        refuse(self, (struct mg_connection *)(uintptr_t)connection, &fault);
        return 1;
    }
    pending_put(self, pending);
    return 0;
}

static void on_ready(struct mg_connection *connection, void *user)
{
    struct ws_gate *self = user;
    struct pending *pending = pending_take(self, connection);
    if (!pending) {
        return; /* swept: it took longer than any write may, and the loop has dropped the socket */
    }
    pending->ready = true;
    ws_entry_detach(self->settings.entry, pending->civetweb_fd, pending->loop_fd);
    pending_put(self, pending); /* until on_close: frames that civetweb had read already go to on_data */
}

/* A client need not wait for the 101 as RFC 6455 wants (4.1): its frames are put together again for the loop. What had come of one
 * in part is lost with civetweb, so that the rest makes no frame and ends the connection. */
static int on_data(struct mg_connection *connection, int bits, char *data, size_t size, void *user)
{
    struct ws_gate *self = user;
    struct pending *pending = pending_take(self, connection);
    if (pending) {
        ws_frame_write((uint8_t)bits, data, size, &pending->early);
        pending_put(self, pending);
    }
    return pending != NULL;
}

/* civetweb has let go of the connection, and nothing of what was said is left with it: the loop may read. */
static void on_close(const struct mg_connection *connection, void *user)
{
    struct ws_gate *self = user;
    struct pending *pending = pending_take(self, connection);
    if (pending && pending->ready) {
        ws_loop_start(ws_entry_loop(self->settings.entry, pending->peer_id), pending->peer_id, buffer_text(&pending->early));
    }
    pending_destroy(&pending);
}

void ws_gate_attach(struct ws_gate *self, struct mg_context *context)
{
    mg_set_websocket_handler_with_subprotocols(context, WS_PATH, &self->subprotocols, on_connect, on_ready, on_data,
                                               on_close, self);
}
