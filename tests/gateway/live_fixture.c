#include "tests/gateway/live_fixture.h"

#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/clock.h"

/* "admin usr_a ses_1": role, account, session; anything else is nobody. "down": user-svc does not answer. */
static enum err identify(struct text words, struct arena *arena, struct fault *fault, struct identity *out)
{
    struct text role, user, rest = words;
    if (text_is(words, "down")) {
        return fault_set(fault, ERR_SERVICE_UNAVAILABLE, NULL);
    }
    if (!text_cut(&rest, ' ', &role) || !text_cut(&rest, ' ', &user) || rest.size == 0) {
        return fault_set(fault, ERR_UNAUTHENTICATED, NULL);
    }
    *out = (struct identity){
        .user_id = text_of(arena_copy(arena, user.data, user.size)),
        .session_id = text_of(arena_copy(arena, rest.data, rest.size)),
        .role = text_is(role, "admin") ? ROLE_ADMIN : ROLE_CUSTOMER,
        .issued_at = 1000,
    };
    return ERR_NONE;
}

static enum err redeem(void *user, struct text ticket, struct text client, struct arena *arena, struct fault *fault,
                       struct identity *out)
{
    (void)user;
    assert_true(text_is(client, "127.0.0.1"));
    return identify(ticket, arena, fault, out);
}

static enum err check(void *user, struct text authorization, struct arena *arena, struct fault *fault,
                      struct identity *out)
{
    (void)user;
    return identify(authorization, arena, fault, out);
}

atomic_bool orders_wait, stream_unheard;

static int64_t silence(void *user)
{
    (void)user;
    return atomic_load(&stream_unheard) ? INT64_MAX : 0;
}

/* A is usr_a's, the others are usr_b's. */
static enum err sees(void *user, struct text user_id, struct text session_id, struct text order_id, struct fault *fault)
{
    (void)user;
    while (atomic_load(&orders_wait)) {
        (void)poll(NULL, 0, 5);
    }
    assert_true(session_id.size > 0);
    bool own = text_is(user_id, text_is(order_id, ORDER_A) ? "usr_a" : "usr_b");
    return own ? ERR_NONE : fault_set(fault, ERR_NOT_FOUND, NULL);
}

static void *enter_on_master(const struct mg_context *context, int thread_type)
{
    if (thread_type == 0) {
        accept_enter(mg_get_user_data(context));
    }
    return NULL;
}

static int hello(struct mg_connection *connection, void *user)
{
    (void)user;
    mg_printf(connection, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi");
    return 200;
}

/* civetweb's own answer to a handshake that it refuses has no head. */
static int on_http_error(struct mg_connection *connection, int status, const char *message)
{
    (void)message;
    mg_printf(connection, "HTTP/1.1 %d No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", status);
    return 0;
}

static void start_civetweb(struct fixture *f)
{
    static const char *const options[] = {"listening_ports",    "127.0.0.1:0", "num_threads", "3", "decode_url", "no",
                                          "request_timeout_ms", "5000",        NULL};
    struct mg_callbacks callbacks = {.init_thread = enter_on_master, .http_error = on_http_error};
    struct mg_server_port port;
    mg_init_library(0);
    f->context = mg_start(&callbacks, f->accepts, (const char **)(uintptr_t)options);
    assert_non_null(f->context);
    assert_int_equal(mg_get_server_ports(f->context, 1, &port), 1);
    f->port = port.port;
    mg_set_request_handler(f->context, "/hello", hello, NULL);
    live_attach(f->live, f->context);
}

int fixture_open(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct accept_settings accepts = {.client_max = 1000, .user_timeout_ms = 30000};
    f->log = (struct log){.fd = open("/dev/null", O_WRONLY | O_CLOEXEC), .level = LOG_INFO, .program = "test"};
    f->metrics = metrics_new();
    f->env = (struct env){.log = &f->log, .metrics = f->metrics};
    f->accepts = accept_registry_new(&accepts, f->metrics);
    f->config = (struct live_config){
        .total_max = 40, .user_max = 10, .loops = 2, .origins = "https://a.example,https://b.example"};
    f->limits = live_limits;
    f->limits.close_ms = 1000;
    struct live_settings settings = {.config = &f->config,
                                     .accepts = f->accepts,
                                     .access = {.redeem = redeem, .check = check, .sees = sees},
                                     .silence_ms = silence,
                                     .limits = &f->limits};
    f->live = live_new(&f->env, &settings);
    assert_non_null(f->live);
    start_civetweb(f);
    *state = f;
    return 0;
}

int fixture_close(void **state)
{
    struct fixture *f = *state;
    live_drain(f->live, 0);
    mg_stop(f->context);
    mg_exit_library();
    live_destroy(&f->live);
    accept_registry_destroy(&f->accepts);
    metrics_destroy(&f->metrics);
    close(f->log.fd);
    free(f);
    return 0;
}

int open_at(struct fixture *f, const char *target, const char *extra)
{
    char reply[4096];
    int fd = ws_client_connect(f->port);
    int status = ws_client_handshake(fd, target, extra, reply, sizeof(reply));
    if (status != 101) {
        fail_msg("%s: %s", target, reply);
    }
    assert_non_null(strstr(reply, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_null(strcasestr(reply, "Sec-WebSocket-Protocol"));
    return fd;
}

void publish(struct fixture *f, int64_t seq, const char *user, const char *order, uint32_t note_size)
{
    AUTO(arena_release) struct arena arena = {0};
    struct subscriber_event event = ws_order_event(seq, user, order, note_size, &arena);
    live_publish(f->live, &event);
}

int64_t read_seq(struct fixture *f, int fd)
{
    struct ws_frame frame;
    f->reader.fd = fd;
    assert_true(ws_client_read(&f->reader, &frame));
    assert_int_equal(frame.opcode, 1);
    json_t *json = json_loadb(frame.payload, frame.size, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(json);
    assert_true(json_is_object(json_object_get(json, "order")));
    int64_t seq = json_integer_value(json_object_get(json, "seq"));
    json_decref(json);
    return seq;
}

int read_close(struct fixture *f, int fd)
{
    f->reader.fd = fd;
    return ws_client_read_close(&f->reader, NULL);
}

void wait_connections(struct fixture *f, int64_t count)
{
    struct metric *metric = metrics_get(f->metrics, METRIC_GAUGE, "zmart_ws_connections", "", "");
    struct timespec pause = {.tv_nsec = 1000000};
    int64_t until = clock_now_ms() + WS_CLIENT_WAIT_MS;
    while (metric_value(metric) != count) {
        assert_true(clock_now_ms() < until);
        nanosleep(&pause, NULL);
    }
}

void expect_text(struct fixture *f, int fd, const char *wanted)
{
    struct ws_frame frame;
    f->reader.fd = fd;
    assert_true(ws_client_read(&f->reader, &frame));
    if (frame.opcode != 1 || !strstr(frame.payload, wanted)) {
        fail_msg("opcode %d %s instead of %s", frame.opcode, frame.payload, wanted);
    }
}

void say(int fd, const char *text)
{
    ws_client_frame(fd, 0x81, text, strlen(text));
}
