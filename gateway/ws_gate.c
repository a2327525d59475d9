#include "gateway/ws_gate.h"

#include <civetweb.h>
#include <pthread.h>

#include "gateway/guard.h"
#include "lib/base/clock.h"
#include "lib/base/invariant.h"
#include "lib/base/mem.h"

enum { PENDING_MAX_MS = 60 * 1000, EARLY_MAX_SIZE = 64 * 1024, REFUSAL_MAX_SIZE = 20 * 1024 };

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

static void refuse(struct ws_gate *self, struct mg_connection *connection, const struct fault *fault)
{
    mg_disable_connection_keep_alive(connection);
    if (self->settings.refuse) {
        self->settings.refuse(self->settings.refuse_user, connection, fault);
        return;
    }
    AUTO(buffer_release) struct buffer answer;
    buffer_init(&answer, REFUSAL_MAX_SIZE);
    ws_upgrade_refusal(fault, &answer);
    mg_write(connection, answer.data, answer.size);
}

/* ---- checking a handshake ---- */

static enum err check_form(const struct mg_connection *connection, struct fault *fault)
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
    if (!ws_key_is_good(text_of(mg_get_header(connection, "Sec-WebSocket-Key")))) {
        return fault_set(fault, ERR_BAD_REQUEST, "Sec-WebSocket-Key is not 16 bytes in base64");
    }
    if (mg_get_header(connection, "Content-Length") || mg_get_header(connection, "Transfer-Encoding")) {
        return fault_set(fault, ERR_BAD_REQUEST, "a handshake has no body");
    }
    return ERR_NONE;
}

static enum err give_to_loop(struct ws_gate *self, const struct mg_connection *connection,
                             struct ws_peer_settings *peer, struct fault *fault, struct pending *out)
{
    const struct mg_request_info *info = mg_get_request_info(connection);
    struct ws_entry *entry = self->settings.entry;
    out->civetweb_fd = accept_find(entry->accepts, info->remote_addr, info->remote_port, info->server_port);
    enum err code = ws_entry_add(entry, out->civetweb_fd, peer, fault);
    if (code == ERR_NONE) {
        out->loop_fd = peer->fd;
        out->peer_id = peer->id;
    }
    return code;
}

static struct text header_of(const struct mg_connection *connection, const char *name)
{
    return text_of(mg_get_header(connection, name));
}

static enum err admit(struct ws_gate *self, const struct mg_connection *connection, struct fault *fault,
                      struct pending *out)
{
    const struct mg_request_info *info = mg_get_request_info(connection);
    struct ws_handshake handshake = {.query = text_of(info->query_string),
                                     .origin = header_of(connection, "Origin"),
                                     .authorization = header_of(connection, "Authorization"),
                                     .forwarded_for = guard_field_last(info, TEXT("X-Forwarded-For")),
                                     .client = info->remote_addr};
    struct ws_peer_settings peer = {0};
    enum err code = check_form(connection, fault);
    if (code == ERR_NONE) {
        code = ws_handshake_check(&self->settings.doorman, &handshake, fault, &peer);
    }
    if (code != ERR_NONE) {
        return code;
    }
    code = give_to_loop(self, connection, &peer, fault, out);
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

/* A client need not wait for the 101 as RFC 6455 wants (4.1): its frames are put together again for the loop. What had
 * come of one in part is lost with civetweb, so that the rest makes no frame and ends the connection. */
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
        ws_loop_start(ws_entry_loop(self->settings.entry, pending->peer_id), pending->peer_id,
                      buffer_text(&pending->early));
    }
    pending_destroy(&pending);
}

void ws_gate_attach(struct ws_gate *self, struct mg_context *context)
{
    mg_set_websocket_handler_with_subprotocols(context, WS_PATH, &self->subprotocols, on_connect, on_ready, on_data,
                                               on_close, self);
}
