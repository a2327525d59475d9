#include "gateway/http.h"

#include <arpa/inet.h>
#include <civetweb.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/guard.h"
#include "gateway/http_body.h"
#include "gateway/http_stream.h"
#include "lib/base/clock.h"
#include "lib/base/invariant.h"

enum {
    HEAD_BUFFER_SIZE =
        16 * GUARD_MAX_HEAD_SIZE, /* what does not fit civetweb calls malformed: leave room to say too large */
    JOINED_MAX_SIZE = 64 * 1024, /* head and body up to here leave in one write */
    OPTION_SIZE = 300,
    STOP_POLL_MS = 5
};

/* What one of civetweb's threads keeps from request to request. */
struct worker {
    struct http *http;
    struct worker *next;
    struct exchange exchange;
    struct buffer head;
    struct body_source source; /* its fd: of the present connection, changed under the lock; -1: none, or not known */
    atomic_bool busy;          /* a request has arrived and is not answered yet */
    bool refused;              /* civetweb itself has, on the present connection */
};

struct http {
    struct gateway *gateway;
    struct accept_registry *accepts;
    struct reaper *reaper;
    struct mg_context *context;
    pthread_mutex_t lock; /* of workers and their fds */
    struct worker *workers;
    atomic_int in_flight;
    int port;
};

/* ---- workers ---- */

static void *thread_begin(const struct mg_context *context, int type)
{
    struct http *self = mg_get_user_data(context);
    if (type == 0) {
        accept_enter(self->accepts);
    }
    if (type != 1) {
        return NULL;
    }
    struct worker *worker = mem_alloc(sizeof *worker);
    worker->http = self;
    worker->source = (struct body_source){.reaper = self->reaper, .fd = -1};
    exchange_init(&worker->exchange, self->gateway);
    buffer_init(&worker->head, REPLY_MAX_HEAD_SIZE + JOINED_MAX_SIZE);
    ASSERT(pthread_mutex_lock(&self->lock) == 0);
    worker->next = self->workers;
    self->workers = worker;
    ASSERT(pthread_mutex_unlock(&self->lock) == 0);
    return worker;
}

static void thread_end(const struct mg_context *context, int type, void *pointer)
{
    struct http *self = mg_get_user_data(context);
    struct worker *worker = pointer;
    if (type == 0) {
        accept_enter(NULL);
    }
    if (!worker) {
        return;
    }
    ASSERT(pthread_mutex_lock(&self->lock) == 0);
    for (struct worker **at = &self->workers; *at; at = &(*at)->next) {
        if (*at == worker) {
            *at = worker->next;
            break;
        }
    }
    ASSERT(pthread_mutex_unlock(&self->lock) == 0);
    exchange_release(&worker->exchange);
    buffer_release(&worker->head);
    mem_free(worker);
}

static void worker_set_fd(struct worker *worker, int fd)
{
    ASSERT(pthread_mutex_lock(&worker->http->lock) == 0);
    worker->source.fd = fd;
    ASSERT(pthread_mutex_unlock(&worker->http->lock) == 0);
}

/* ---- replies ---- */

static void reply_send(struct worker *worker)
{
    struct exchange *x = &worker->exchange;
    struct mg_connection *connection = worker->source.connection;
    if (x->has_body && !x->body_read) {
        http_body_skip(x);
    }
    bool begins = x->reply.stream.on && x->request.verb != VERB_HEAD; /* HEAD gets the same head, and that is all */
    if (begins && http_stream_begin(x, connection, worker->source.fd, &worker->head)) {
        return;
    }
    x->reply.close = x->reply.close || !x->request.keep_alive || atomic_load(&x->gateway->draining);
    if (x->reply.close) {
        mg_disable_connection_keep_alive(connection);
    }
    buffer_clear(&worker->head);
    reply_write_head(x, &worker->head);
    struct text body = reply_body(x);
    bool joined = body.size && worker->head.size + body.size <= JOINED_MAX_SIZE && buffer_add_text(&worker->head, body);
    (void)mg_write(connection, worker->head.data, worker->head.size);
    if (body.size && !joined) {
        (void)mg_write(connection, body.data, body.size);
    }
    gateway_record(x);
    if (x->has_body && !x->body_read && worker->source.fd >= 0) {
        http_linger(worker->source.fd);
    }
}

static void exchange_begin(struct worker *worker, struct mg_connection *connection)
{
    struct exchange *x = &worker->exchange;
    exchange_reset(x);
    worker->source.connection = connection;
    x->connection = &worker->source;
    x->read_body = http_body_read;
}

/* ---- civetweb's callbacks ---- */

static bool is_live(const struct http_request *request)
{
    return request->upgrade && request->verb == VERB_GET && text_is(request->path, "/ws") &&
           text_is(request->headers[HEADER_SEC_WEBSOCKET_VERSION], WS_VERSION);
}

static void client_find(struct exchange *x, const struct mg_request_info *info)
{
    x->request.client = forwarded_client(&x->gateway->forwarded, text_of(info->remote_addr),
                                         guard_field_last(info, TEXT("X-Forwarded-For")));
}

static void request_handle(struct worker *worker, const struct mg_request_info *info, bool *out_passed_on)
{
    struct exchange *x = &worker->exchange;
    enum err e = guard_request(info, &x->fault, &x->request);
    if (e == ERR_NONE && is_live(&x->request) && !atomic_load(&x->gateway->draining)) {
        *out_passed_on = true;
        return;
    }
    if (e != ERR_NONE) {
        x->request.path = text_of(info->local_uri_raw);
        x->request.method = text_of(info->request_method);
        x->request.client = text_of(info->remote_addr);
        x->has_body = true; /* where the head ends is not certain: whatever follows is thrown away */
        x->reply.close = true;
        reply_problem(x);
    } else {
        client_find(x, info);
        x->has_body = x->request.chunked || x->request.content_length > 0;
        gateway_handle(x);
    }
    reply_send(worker);
}

static int begin_request(struct mg_connection *connection)
{
    struct worker *worker = mg_get_thread_pointer(connection);
    const struct mg_request_info *info = mg_get_request_info(connection);
    struct http *self = worker->http;
    bool passed_on = false;
    atomic_fetch_add(&self->in_flight, 1);
    atomic_store(&worker->busy, true);
    metric_add(counters_in_flight(self->gateway->counters), 1);
    if (worker->source.fd < 0) {
        worker_set_fd(worker, accept_find(self->accepts, info->remote_addr, info->remote_port, info->server_port));
    }
    exchange_begin(worker, connection);
    request_handle(worker, info, &passed_on);
    metric_add(counters_in_flight(self->gateway->counters), -1);
    atomic_store(&worker->busy, false);
    atomic_fetch_sub(&self->in_flight, 1);
    return passed_on ? 0 : worker->exchange.reply.status;
}

/* civetweb knows neither TRACE nor made-up methods, and says 400 when it has read the request line. */
static enum err refused_request_line(struct exchange *x, const struct mg_request_info *info)
{
    if (!info->request_method || !info->http_version || verb_find(text_of(info->request_method)) != VERB_OTHER) {
        return ERR_BAD_REQUEST;
    }
    struct text rest = text_of(info->request_uri);
    struct text path;
    if (text_starts_with(rest, "/") && text_cut(&rest, '?', &path)) {
        x->request.path = path;
        return router_refuse(x->gateway->router, path, &x->arena, &x->fault);
    }
    for (int verb = 0; verb < VERB_OTHER; verb++) {
        fault_allow(&x->fault, verb_name((enum verb)verb));
    }
    return ERR_METHOD_NOT_ALLOWED;
}

static enum err err_of_status(int status, struct exchange *x, const struct mg_request_info *info)
{
    for (int i = 0; info && i < info->num_headers; i++) {
        if (text_equal_ignoring_case(text_of(info->http_headers[i].name), TEXT("Transfer-Encoding")) &&
            !text_equal_ignoring_case(text_of(info->http_headers[i].value), TEXT("chunked"))) {
            return ERR_NOT_IMPLEMENTED;
        }
    }
    switch (status) {
    case 400: return info ? refused_request_line(x, info) : ERR_BAD_REQUEST;
    case 404: return ERR_NOT_FOUND;
    case 408: return ERR_REQUEST_TIMEOUT;
    case 413:
    case 431: return ERR_HEAD_TOO_LARGE; /* civetweb's 413 means the head */
    case 414: return ERR_URI_TOO_LONG;
    case 501: return ERR_NOT_IMPLEMENTED;
    case 503: return ERR_SERVICE_UNAVAILABLE;
    case 505: return ERR_HTTP_VERSION;
    default: return status >= 500 ? ERR_INTERNAL : ERR_BAD_REQUEST;
    }
}

/* What civetweb itself refuses, mostly heads that it cannot parse: nothing of the request is certain then. */
static int error_handle(struct mg_connection *connection, int status, const char *message)
{
    struct worker *worker = mg_get_thread_pointer(connection);
    if (!worker) {
        return 1;
    }
    struct exchange *x = &worker->exchange;
    exchange_begin(worker, connection);
    worker->refused = true;
    const struct mg_request_info *info = mg_get_request_info(connection);
    if (info) {
        x->request.client = text_of(info->remote_addr);
        x->request.method = text_of(info->request_method);
    }
    x->request.verb = VERB_OTHER;
    fault_cause(&x->fault, "civetweb: %s", message);
    (void)fault_set(&x->fault, err_of_status(status, x, info), NULL);
    x->has_body = true;
    x->reply.close = true;
    reply_problem(x);
    reply_send(worker);
    return 0;
}

/* A target that is no path here, such as * or a URL of another port, civetweb drops without a word: this is the last
 * moment to say one. */
static void connection_end(const struct mg_connection *connection)
{
    struct worker *worker = mg_get_thread_pointer(connection);
    const struct mg_request_info *info = worker ? mg_get_request_info(connection) : NULL;
    if (info && !worker->refused && info->request_uri && !info->local_uri) {
        (void)error_handle((struct mg_connection *)(uintptr_t)connection, 400, "a target that is no path here");
    }
    if (worker) {
        worker->refused = false;
        if (worker->source.fd >= 0) {
            worker_set_fd(worker, -1);
        }
    }
}

void http_refuse(void *user, struct mg_connection *connection, const struct fault *fault)
{
    struct worker *worker = mg_get_thread_pointer(connection);
    const struct mg_request_info *info = mg_get_request_info(connection);
    struct exchange *x = &worker->exchange;
    (void)user;
    exchange_begin(worker, connection);
    (void)!guard_request(info, &x->fault, &x->request); /* it has passed before */
    client_find(x, info);
    x->fault = *fault;
    x->fault.arena = &x->arena;
    x->reply.close = true;
    reply_problem(x);
    reply_send(worker);
}

static int message_log(const struct mg_connection *connection, const char *message)
{
    const struct http *self = mg_get_user_data(mg_get_context(connection));
    if (self) {
        log_debug(self->gateway->env->log, "http.library", KV("message", message));
    }
    return 1;
}

/* ---- start and stop ---- */

static struct mg_context *listen_start(struct http *self, const struct mg_callbacks *callbacks, char *message,
                                       size_t message_size)
{
    const struct gateway_config *config = self->gateway->config;
    char port[OPTION_SIZE], workers[24], queue[24], keep_alive[24], arrival[24], head[24];
    snprintf(port, sizeof port, "%s:%" PRId64, config->host, config->port);
    snprintf(workers, sizeof workers, "%" PRId64, config->workers);
    snprintf(queue, sizeof queue, "%" PRId64, config->queue);
    snprintf(keep_alive, sizeof keep_alive, "%" PRId64, config->keep_alive_ms);
    snprintf(arrival, sizeof arrival, "%" PRId64, config->arrival_ms / 2);
    snprintf(head, sizeof head, "%d", HEAD_BUFFER_SIZE);
    const char *options[] = {"listening_ports",
                             port,
                             "num_threads",
                             workers,
                             "connection_queue",
                             queue,
                             "listen_backlog",
                             "1024",
                             "enable_keep_alive",
                             "yes",
                             "keep_alive_timeout_ms",
                             keep_alive,
                             "request_timeout_ms",
                             arrival,
                             "max_request_size",
                             head,
                             "tcp_nodelay",
                             "1",
                             "decode_url",
                             "no",
                             "enable_auth_domain_check",
                             "no",
                             "enable_directory_listing",
                             "no",
                             "access_control_allow_origin",
                             "",
                             "access_control_allow_methods",
                             "",
                             "access_control_allow_headers",
                             "",
                             NULL};
    struct mg_init_data init = {.callbacks = callbacks, .user_data = self, .configuration_options = options};
    struct mg_error_data error = {.text = message, .text_buffer_size = message_size};
    return mg_start2(&init, &error);
}

static int port_of(const struct mg_context *context)
{
    struct mg_server_port ports[1];
    return mg_get_server_ports(context, 1, ports) == 1 ? ports[0].port : 0;
}

static void http_free(struct http *self)
{
    reaper_destroy(&self->reaper);
    pthread_mutex_destroy(&self->lock);
    mem_free(self);
}

/* One address or name; civetweb would take 999.1.1.1 for another address. */
static bool host_is_good(const char *host)
{
    struct in_addr address;
    bool numeric = host[strspn(host, "0123456789.")] == '\0';
    return numeric ? inet_pton(AF_INET, host, &address) == 1 : strpbrk(host, ":,") == NULL;
}

struct http *http_new(struct gateway *gateway, struct accept_registry *accepts, char *message, size_t message_size)
{
    struct mg_callbacks callbacks = {.begin_request = begin_request,
                                     .http_error = error_handle,
                                     .log_message = message_log,
                                     .connection_close = connection_end,
                                     .init_thread = thread_begin,
                                     .exit_thread = thread_end};
    if (!host_is_good(gateway->config->host)) {
        snprintf(message, message_size, "--host takes one IPv4 address or a name");
        return NULL;
    }
    struct http *self = mem_alloc(sizeof *self);
    self->gateway = gateway;
    self->accepts = accepts;
    ASSERT(pthread_mutex_init(&self->lock, NULL) == 0);
    snprintf(message, message_size, "%s:%" PRId64 " cannot be listened on", gateway->config->host,
             gateway->config->port);
    self->reaper = reaper_new();
    (void)mg_init_library(0);
    self->context = self->reaper ? listen_start(self, &callbacks, message, message_size) : NULL;
    if (!self->context) {
        (void)mg_exit_library();
        http_free(self);
        return NULL;
    }
    self->port = port_of(self->context);
    return self;
}

int http_port(const struct http *self)
{
    return self->port;
}

struct mg_context *http_context(const struct http *self)
{
    return self->context;
}

/* Wakes those that wait for a next request on an idle connection; with busy_too also those in the midst of one. */
static void connections_end(struct http *self, bool busy_too)
{
    ASSERT(pthread_mutex_lock(&self->lock) == 0);
    for (struct worker *worker = self->workers; worker; worker = worker->next) {
        if (worker->source.fd >= 0 && (busy_too || !atomic_load(&worker->busy))) {
            (void)shutdown(worker->source.fd, SHUT_RD);
        }
    }
    ASSERT(pthread_mutex_unlock(&self->lock) == 0);
}

struct knocking {
    struct http *http;
    atomic_bool done;
};

/* civetweb's master looks at its stop flag when somebody connects, else every two seconds: somebody connects. */
static void *knock(void *argument)
{
    struct knocking *knocking = argument;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)knocking->http->port)};
    const char *host = knocking->http->gateway->config->host;
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1 || address.sin_addr.s_addr == INADDR_ANY) {
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    }
    while (!atomic_load(&knocking->done)) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd >= 0) {
            (void)!connect(fd, (struct sockaddr *)&address, sizeof address);
            (void)poll(NULL, 0, STOP_POLL_MS);
            close(fd);
        }
        connections_end(knocking->http, true);
        (void)poll(NULL, 0, STOP_POLL_MS);
    }
    return NULL;
}

void http_destroy(struct http **self, int64_t wait_ms)
{
    if (!*self) {
        return;
    }
    struct knocking knocking = {.http = *self};
    pthread_t knocker;
    int64_t until_ms = clock_now_ms() + wait_ms;
    atomic_store(&(*self)->gateway->draining, true);
    connections_end(*self, false);
    while (atomic_load(&(*self)->in_flight) > 0 && clock_now_ms() < until_ms) {
        connections_end(*self, false);
        (void)poll(NULL, 0, STOP_POLL_MS);
    }
    bool knocks = pthread_create(&knocker, NULL, knock, &knocking) == 0;
    mg_stop((*self)->context);
    atomic_store(&knocking.done, true);
    if (knocks) {
        pthread_join(knocker, NULL);
    }
    (void)mg_exit_library();
    http_free(*self);
    *self = NULL;
}
