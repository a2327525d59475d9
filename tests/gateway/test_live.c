/* The whole way: a real civetweb, real sockets, events in, frames out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <civetweb.h>
#include <dirent.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "gateway/live.h"
#include "lib/base/clock.h"
#include "tests/gateway/ws_client.h"
#include "tests/gateway/ws_order.h"

enum { WORKERS = 3 };

struct fixture {
    struct log log;
    struct metrics *metrics;
    struct env env;
    struct accept_registry *accepts;
    struct live_config config;
    struct ws_limits limits;
    struct live *live;
    struct mg_context *context;
    int port;
    struct ws_reader reader;
};

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

/* A is usr_a's, the others are usr_b's. */
static enum err sees(void *user, struct text user_id, struct text session_id, struct text order_id, struct fault *fault)
{
    (void)user;
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

static int fixture_open(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct accept_settings accepts = {.client_max = 1000, .user_timeout_ms = 30000};
    f->log = (struct log){.fd = open("/dev/null", O_WRONLY | O_CLOEXEC), .level = LOG_INFO, .program = "test"};
    f->metrics = metrics_new();
    f->env = (struct env){.log = &f->log, .metrics = f->metrics};
    f->accepts = accept_registry_new(&accepts, f->metrics);
    f->config = (struct live_config){.total_max = 40, .user_max = 10, .loops = 2, .origins = "https://a.example,https://b.example"};
    f->limits = live_limits;
    f->limits.close_ms = 1000;
    struct live_settings settings = {.config = &f->config,
                                     .accepts = f->accepts,
                                     .access = {.redeem = redeem, .check = check, .sees = sees},
                                     .limits = &f->limits};
    f->live = live_new(&f->env, &settings);
    assert_non_null(f->live);
    start_civetweb(f);
    *state = f;
    return 0;
}

static int fixture_close(void **state)
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

static int open_at(struct fixture *f, const char *target, const char *extra)
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

static void publish(struct fixture *f, int64_t seq, const char *user, const char *order, uint32_t note_size)
{
    AUTO(arena_release) struct arena arena = {0};
    struct subscriber_event event = ws_order_event(seq, user, order, note_size, &arena);
    live_publish(f->live, &event);
}

static int64_t read_seq(struct fixture *f, int fd)
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

static int read_close(struct fixture *f, int fd)
{
    f->reader.fd = fd;
    return ws_client_read_close(&f->reader, NULL);
}

static void wait_connections(struct fixture *f, int64_t count)
{
    struct metric *metric = metrics_get(f->metrics, METRIC_GAUGE, "zmart_ws_connections", "", "");
    struct timespec pause = {.tv_nsec = 1000000};
    int64_t until = clock_now_ms() + WS_CLIENT_WAIT_MS;
    while (metric_value(metric) != count) {
        assert_true(clock_now_ms() < until);
        nanosleep(&pause, NULL);
    }
}

static void everybody_gets_what_they_may_see(void **state)
{
    struct fixture *f = *state;
    int a = open_at(f, "/ws?ticket=customer%20usr_a%20ses_1", "");
    int b = open_at(f, "/ws", "Authorization: customer usr_b ses_2\r\nSec-WebSocket-Protocol: chat, superchat\r\n");
    int admin = open_at(f, "/ws", "Authorization: admin usr_c ses_3\r\nOrigin: https://b.example\r\n");
    int some = open_at(f, "/ws?orders=" ORDER_A "," ORDER_C, "Authorization: admin usr_c ses_3\r\n");
    publish(f, 1, "usr_a", ORDER_A, 0);
    publish(f, 2, "usr_b", ORDER_B, 0);
    publish(f, 3, "usr_b", ORDER_C, 0);
    assert_int_equal(read_seq(f, a), 1);
    assert_int_equal(read_seq(f, b), 2);
    assert_int_equal(read_seq(f, b), 3);
    for (int64_t seq = 1; seq <= 3; seq++) {
        assert_int_equal(read_seq(f, admin), seq);
    }
    assert_int_equal(read_seq(f, some), 1);
    assert_int_equal(read_seq(f, some), 3);
    publish(f, 4, "usr_a", ORDER_A, 0);
    assert_int_equal(read_seq(f, a), 4); /* 2 and 3 never came */
    int sockets[] = {a, b, admin, some};
    for (int i = 0; i < 4; i++) {
        close(sockets[i]);
    }
}

static void refusals_are_problems(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *target, *extra, *code;
        int status;
    } cases[] = {
        {"/ws", "", "unauthenticated", 401},
        {"/ws?ticket=spent", "", "unauthenticated", 401},
        {"/ws", "Authorization: nonsense\r\n", "unauthenticated", 401},
        {"/ws", "Authorization: down\r\n", "service_unavailable", 503},
        {"/ws?ticket=", "", "invalid_parameter", 400},
        {"/ws?tickets=customer%20usr_a%20s", "", "invalid_parameter", 400},
        {"/ws?ticket=customer%20usr_a%20s&ticket=x", "", "invalid_parameter", 400},
        {"/ws?orders=", "Authorization: customer usr_a s\r\n", "invalid_parameter", 400},
        {"/ws?orders=ord_1", "Authorization: customer usr_a s\r\n", "invalid_parameter", 400},
        {"/ws?orders=" ORDER_A ",", "Authorization: customer usr_a s\r\n", "invalid_parameter", 400},
        {"/ws?orders=" ORDER_A "," ORDER_B, "Authorization: customer usr_a s\r\n", "not_found", 404},
        {"/ws?types=order.pla", "Authorization: customer usr_a s\r\n", "invalid_parameter", 400},
        {"/ws?types=foo.*", "Authorization: customer usr_a s\r\n", "invalid_parameter", 400},
        {"/ws?types=foo.*", "", "invalid_parameter", 400}, /* before anybody is asked who it is */
        {"/ws?ticket=%zz", "", "invalid_parameter", 400},
        {"/ws", "Authorization: customer usr_a s\r\nOrigin: https://evil.example\r\n", "forbidden", 403},
        {"/ws", "Authorization: customer usr_a s\r\nContent-Length: 3\r\n", "bad_request", 400},
        {"/ws/more", "Authorization: customer usr_a s\r\n", "not_found", 404},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char reply[8192], code[64];
        int fd = ws_client_connect(f->port);
        int status = ws_client_handshake(fd, cases[i].target, cases[i].extra, reply, sizeof(reply));
        snprintf(code, sizeof(code), "\"code\":\"%s\"", cases[i].code);
        if (status != cases[i].status || !strstr(reply, code) || !strstr(reply, "application/problem+json") ||
            !strstr(reply, "\"request_id\"")) {
            fail_msg("%s %s: %s", cases[i].target, cases[i].extra, reply);
        }
        close(fd);
    }
    wait_connections(f, 0);
}

static void handshakes_have_one_form(void **state)
{
    struct fixture *f = *state;
    static const char *const requests[] = {
        "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: short\r\n"
        "Sec-WebSocket-Version: 13\r\nAuthorization: customer usr_a s\r\n\r\n",
        "GET /ws HTTP/1.0\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nAuthorization: customer usr_a "
        "s\r\n\r\n",
        "POST /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nAuthorization: customer usr_a "
        "s\r\n\r\n",
        "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 8\r\nAuthorization: customer usr_a "
        "s\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        char reply[1024] = "";
        int fd = ws_client_connect(f->port);
        ws_client_write(fd, requests[i], strlen(requests[i]));
        assert_true(recv(fd, reply, sizeof(reply) - 1, MSG_WAITALL) > 12);
        assert_memory_equal(reply, "HTTP/1.1 4", 10);
        close(fd);
    }
    wait_connections(f, 0);
}

static void sockets_hold_no_worker(void **state)
{
    struct fixture *f = *state;
    int sockets[6 * WORKERS];
    char target[64];
    for (int i = 0; i < 6 * WORKERS; i++) {
        snprintf(target, sizeof(target), "/ws?ticket=customer%%20usr_%d%%20ses", i);
        sockets[i] = open_at(f, target, "");
    }
    char reply[512];
    int fd = ws_client_connect(f->port);
    ws_client_write(fd, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n", 32);
    assert_true(recv(fd, reply, sizeof(reply), 0) > 12);
    assert_memory_equal(reply, "HTTP/1.1 200", 12);
    close(fd);
    wait_connections(f, 6 * WORKERS);
    for (int i = 0; i < 6 * WORKERS; i++) {
        snprintf(target, sizeof(target), "usr_%d", i);
        publish(f, i + 1, target, ORDER_A, 0);
        assert_int_equal(read_seq(f, sockets[i]), i + 1);
        close(sockets[i]);
    }
    wait_connections(f, 0);
}

static void limits_hold_and_are_given_back(void **state)
{
    struct fixture *f = *state;
    int sockets[10];
    char reply[4096];
    for (int i = 0; i < 10; i++) {
        sockets[i] = open_at(f, "/ws", "Authorization: customer usr_a ses_1\r\n");
    }
    int fd = ws_client_connect(f->port);
    assert_int_equal(ws_client_handshake(fd, "/ws", "Authorization: customer usr_a s\r\n", reply, sizeof(reply)), 429);
    assert_non_null(strstr(reply, "\r\nRetry-After: "));
    close(fd);
    assert_int_equal(read_close(f, (ws_client_frame(sockets[3], 0x88, "\x03\xe8", 2), sockets[3])), 1000);
    close(sockets[3]);
    wait_connections(f, 9);
    sockets[3] = open_at(f, "/ws", "Authorization: customer usr_a ses_1\r\n");
    for (int i = 0; i < 10; i++) {
        close(sockets[i]);
    }
    wait_connections(f, 0);
}

static void logout_closes_the_socket(void **state)
{
    struct fixture *f = *state;
    int a = open_at(f, "/ws", "Authorization: customer usr_a ses_1\r\n");
    int b = open_at(f, "/ws", "Authorization: customer usr_a ses_2\r\n");
    struct denial denial = {.session_id = TEXT("ses_1")};
    set_has(denial, &denial, session_id);
    live_end_sessions(f->live, &denial);
    assert_int_equal(read_close(f, a), WS_SESSION_ENDED);
    publish(f, 1, "usr_a", ORDER_A, 0);
    assert_int_equal(read_seq(f, b), 1);
    close(a);
    close(b);
}

static void a_client_that_does_not_read_is_dropped_alone(void **state)
{
    struct fixture *f = *state;
    int size = 4096;
    int slow = ws_client_connect(f->port);
    char reply[1024], reason[124];
    assert_int_equal(setsockopt(slow, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)), 0);
    assert_int_equal(ws_client_handshake(slow, "/ws", "Authorization: customer usr_a s\r\n", reply, sizeof(reply)),
                     101);
    int good = open_at(f, "/ws", "Authorization: customer usr_a ses_2\r\n");
    struct metric *dropped = metrics_get(f->metrics, METRIC_COUNTER, "zmart_ws_dropped_total", "", "");
    int64_t seq = 0;
    while (metric_value(dropped) == 0) {
        assert_true(++seq < 5000);
        publish(f, seq, "usr_a", ORDER_A, 1900);
        assert_int_equal(read_seq(f, good), seq);
    }
    int64_t last = 0;
    struct ws_frame frame;
    f->reader.fd = slow;
    do {
        assert_true(ws_client_read(&f->reader, &frame));
        last += frame.opcode == 1;
    } while (frame.opcode != 8);
    snprintf(reason, sizeof(reason), "last seq %lld", (long long)last);
    assert_memory_equal(frame.payload, "\x0f\xa8", 2);
    assert_string_equal(frame.payload + 2, reason);
    assert_true(last < seq);
    publish(f, seq + 1, "usr_a", ORDER_A, 0);
    assert_int_equal(read_seq(f, good), seq + 1);
    close(slow);
    close(good);
}

static void a_gap_in_the_events_is_told(void **state)
{
    struct fixture *f = *state;
    AUTO(arena_release) struct arena arena = {0};
    int a = open_at(f, "/ws", "Authorization: customer usr_a ses_1\r\n");
    struct subscriber_event event = ws_order_event(9, "usr_b", ORDER_B, 0, &arena);
    event.gap = true;
    live_publish(f->live, &event);
    assert_int_equal(read_close(f, a), WS_LAGGING);
    close(a);
    a = open_at(f, "/ws", "Authorization: customer usr_a ses_1\r\n");
    event = ws_order_event(10, "usr_a", ORDER_A, 0, &arena);
    event.private_data.size /= 2; /* unreadable: as good as missed */
    live_publish(f->live, &event);
    assert_int_equal(read_close(f, a), WS_LAGGING);
    close(a);
}

/* The next message that is no event. */
static void expect_text(struct fixture *f, int fd, const char *wanted)
{
    struct ws_frame frame;
    f->reader.fd = fd;
    assert_true(ws_client_read(&f->reader, &frame));
    if (frame.opcode != 1 || !strstr(frame.payload, wanted)) {
        fail_msg("opcode %d %s instead of %s", frame.opcode, frame.payload, wanted);
    }
}

static void say(int fd, const char *text)
{
    ws_client_frame(fd, 0x81, text, strlen(text));
}

#define ALL_OF_ORDERS "\"order.placed\",\"order.confirmed\",\"order.shipped\",\"order.delivered\",\"order.cancelled\""

/* Frames in the same packet as the handshake: civetweb has read them, so they are handed over. */
static void what_is_said_before_the_101_is_heard(void **state)
{
    struct fixture *f = *state;
    static const char early[] = "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: "
                                "13\r\nAuthorization: customer usr_a s\r\n\r\n"
                                "\x81\x82\0\0\0\0hi\x89\x84\0\0\0\0ping";
    char head[1024];
    size_t used = 0;
    int fd = ws_client_connect(f->port);
    ws_client_write(fd, early, sizeof(early) - 1);
    while (used < 4 || memcmp(head + used - 4, "\r\n\r\n", 4) != 0) {
        assert_int_equal(recv(fd, head + used, 1, 0), 1);
        assert_true(++used < sizeof(head));
    }
    assert_memory_equal(head, "HTTP/1.1 101", 12);
    expect_text(f, fd, "\"invalid_body\"");
    struct ws_frame frame;
    assert_true(ws_client_read(&f->reader, &frame));
    assert_int_equal(frame.opcode, 10);
    assert_string_equal(frame.payload, "ping");
    publish(f, 1, "usr_a", ORDER_A, 0);
    assert_int_equal(read_seq(f, fd), 1);
    close(fd);
    wait_connections(f, 0);
}

static void clients_change_what_they_follow(void **state)
{
    struct fixture *f = *state;
    int fd = open_at(f, "/ws?orders=" ORDER_B, "Authorization: customer usr_b ses_2\r\n");
    publish(f, 1, "usr_b", ORDER_C, 0);
    publish(f, 2, "usr_b", ORDER_B, 0);
    assert_int_equal(read_seq(f, fd), 2);
    say(fd, "{\"subscribe\":{\"orders\":[\"" ORDER_C "\"]}}");
    expect_text(f, fd, "{\"subscribed\":{\"types\":[],\"orders\":[\"" ORDER_B "\",\"" ORDER_C "\"]}}");
    publish(f, 3, "usr_b", ORDER_C, 0);
    assert_int_equal(read_seq(f, fd), 3);
    say(fd, "{\"unsubscribe\":{\"orders\":[\"" ORDER_B "\"]}}");
    expect_text(f, fd, "{\"subscribed\":{\"types\":[],\"orders\":[\"" ORDER_C "\"]}}");
    publish(f, 4, "usr_b", ORDER_B, 0);
    publish(f, 5, "usr_b", ORDER_C, 0);
    assert_int_equal(read_seq(f, fd), 5);
    say(fd, "{\"subscribe\":{\"types\":[\"order.*\"]}}");
    expect_text(f, fd, "{\"subscribed\":{\"types\":[" ALL_OF_ORDERS "],\"orders\":[\"" ORDER_C "\"]}}");
    publish(f, 6, "usr_b", ORDER_B, 0);
    assert_int_equal(read_seq(f, fd), 6);
    close(fd);
}

static void changes_that_are_refused_change_nothing(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *said, *told;
    } cases[] = {
        {"hello", "\"invalid_body\""},
        {"{}", "takes {"},
        {"{\"subscribe\":{},\"unsubscribe\":{}}", "\"invalid_body\""},
        {"{\"subscribe\":{\"topics\":[]}}", "\"/subscribe/topics\""},
        {"{\"subscribe\":{\"types\":[\"order.placed\",\"order.lost\"]}}", "\"/subscribe/types/1\""},
        {"{\"subscribe\":{\"orders\":[\"ord_1\"]}}", "\"/subscribe/orders/0\""},
        {"{\"unsubscribe\":{\"orders\":[\"ord_1\"]}}", "\"/unsubscribe/orders/0\""},
        {"{\"subscribe\":{\"types\":[\"order.placed\"],\"orders\":[\"" ORDER_A "\"]}}", "\"not_found\""},
    };
    int fd = open_at(f, "/ws?types=order.shipped", "Authorization: customer usr_b ses_2\r\n");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        say(fd, cases[i].said);
        expect_text(f, fd, "{\"error\":{");
        assert_non_null(strstr(f->reader.payload, cases[i].told));
    }
    static char big[5000];
    memset(big, ' ', sizeof(big));
    ws_client_frame(fd, 0x81, big, sizeof(big));
    expect_text(f, fd, "at most 4096 bytes");
    ws_client_frame(fd, 0x82, "{}", 2);
    expect_text(f, fd, "\"invalid_body\"");
    publish(f, 1, "usr_b", ORDER_B, 0); /* order.placed */
    say(fd, "{\"subscribe\":{}}");
    expect_text(f, fd, "{\"subscribed\":{\"types\":[\"order.shipped\"],\"orders\":[]}}");
    close(fd);
}

static void *drain(void *argument)
{
    return (void *)(intptr_t)live_drain(argument, WS_CLIENT_WAIT_MS);
}

static void a_drain_closes_all_and_refuses_more(void **state)
{
    struct fixture *f = *state;
    int a = open_at(f, "/ws", "Authorization: customer usr_a ses_1\r\n");
    int b = open_at(f, "/ws", "Authorization: admin usr_b ses_1\r\n");
    pthread_t thread;
    void *left;
    assert_int_equal(pthread_create(&thread, NULL, drain, f->live), 0);
    assert_int_equal(read_close(f, a), WS_GOING_AWAY);
    assert_int_equal(read_close(f, b), WS_GOING_AWAY);
    assert_int_equal(pthread_join(thread, &left), 0);
    assert_int_equal((intptr_t)left, 0);
    char reply[4096];
    int late = ws_client_connect(f->port);
    assert_int_equal(ws_client_handshake(late, "/ws", "Authorization: customer usr_a s\r\n", reply, sizeof(reply)),
                     503);
    close(a);
    close(b);
    close(late);
}

static int open_descriptors(void)
{
    int count = 0;
    DIR *folder = opendir("/proc/self/fd");
    assert_non_null(folder);
    while (readdir(folder)) {
        count++;
    }
    closedir(folder);
    return count;
}

static void no_descriptor_is_left_behind(void **state)
{
    struct fixture *f = *state;
    char reply[4096];
    int before = open_descriptors();
    for (int round = 0; round < 30; round++) {
        int good = open_at(f, "/ws", "Authorization: customer usr_a ses_1\r\n");
        int bad = ws_client_connect(f->port);
        assert_int_equal(ws_client_handshake(bad, "/ws", "", reply, sizeof(reply)), 401);
        close(good);
        close(bad);
    }
    int64_t until = clock_now_ms() + WS_CLIENT_WAIT_MS;
    struct timespec pause = {.tv_nsec = 1000000};
    while (open_descriptors() > before) {
        assert_true(clock_now_ms() < until);
        nanosleep(&pause, NULL);
    }
}

#define WITH_LIVE(test) cmocka_unit_test_setup_teardown(test, fixture_open, fixture_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_LIVE(everybody_gets_what_they_may_see),
        WITH_LIVE(refusals_are_problems),
        WITH_LIVE(handshakes_have_one_form),
        WITH_LIVE(sockets_hold_no_worker),
        WITH_LIVE(limits_hold_and_are_given_back),
        WITH_LIVE(logout_closes_the_socket),
        WITH_LIVE(a_client_that_does_not_read_is_dropped_alone),
        WITH_LIVE(a_gap_in_the_events_is_told),
        WITH_LIVE(what_is_said_before_the_101_is_heard),
        WITH_LIVE(clients_change_what_they_follow),
        WITH_LIVE(changes_that_are_refused_change_nothing),
        WITH_LIVE(a_drain_closes_all_and_refuses_more),
        WITH_LIVE(no_descriptor_is_left_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
