/* The gateway's HTTP side over real sockets, without a broker: what civetweb and the guard do together. */
#include "tests/gateway/check.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/http.h"
#include "lib/base/clock.h"
#include "lib/bus/main.h"

enum { ANSWER_SIZE = 64 * 1024, PATIENCE_MS = 20 * 1000 };

struct world {
    int stop[2];
    struct log log;
    struct env env;
    struct bus_config bus;
    struct gateway_config config;
    struct bus_client *client;
    struct auth *auth;
    struct gateway gateway;
    struct accept_registry *accepts;
    struct http *http;
};

static enum err no_keys(void *user, struct arena *arena, struct fault *fault, struct signing_keys *out)
{
    (void)user, (void)arena, (void)fault;
    *out = (struct signing_keys){.issuer = TEXT("zmart")};
    return ERR_NONE;
}

static enum err no_denials(void *user, struct arena *arena, struct fault *fault, struct denial_list *out)
{
    (void)user, (void)arena, (void)out;
    return fault_set(fault, ERR_SERVICE_UNAVAILABLE, NULL);
}

static enum err no_check(void *user, const struct token_check *ask, struct fault *fault, bool *out)
{
    (void)user, (void)ask, (void)out;
    return fault_set(fault, ERR_SERVICE_UNAVAILABLE, NULL);
}

static int64_t no_beacon(void *user)
{
    (void)user;
    return INT64_MAX;
}

static int begin(void **state)
{
    struct world *w = mem_alloc(sizeof *w);
    char message[200] = "";
    struct auth_source source = {no_keys, no_denials, no_check, no_beacon, w};
    struct auth_settings auth = {.token_count = 64, .leeway_s = 5, .silence_ms = 3000, .refetch_ms = 1000};
    struct accept_settings accepts = {0, 0};
    assert_int_equal(pipe2(w->stop, O_CLOEXEC), 0);
    w->log = (struct log){.fd = open("/dev/null", O_WRONLY | O_CLOEXEC), .level = LOG_INFO, .program = "gateway"};
    w->env = (struct env){.log = &w->log,
                          .metrics = metrics_new(),
                          .instance = "test",
                          .bus_context = bus_context_new(),
                          .stop_fd = w->stop[0]};
    w->bus = (struct bus_config){.bus = "inproc://nobody", .heartbeat_ms = 1000};
    w->config = (struct gateway_config){.host = "127.0.0.1",
                                        .workers = 8,
                                        .queue = 64,
                                        .keep_alive_ms = 5000,
                                        .arrival_ms = 1000,
                                        .body_size = 4096,
                                        .cors_origins = "https://a.example",
                                        .trusted_proxies = "",
                                        .bad_tokens = 5,
                                        .tokens = 64,
                                        .silence_ms = 3000,
                                        .access_log = true};
    struct bus_client_settings client = {.bus = &w->bus, .role = "gateway", .slot_count = 4};
    w->client = bus_client_new(&w->env, &client, message, sizeof message);
    assert_non_null(w->client);
    w->auth = auth_new(&source, &auth);
    assert_int_equal(auth_load(w->auth, NULL), ERR_SERVICE_UNAVAILABLE); /* keys, but no denials */
    gateway_init(&w->gateway, &w->env, &w->config, w->client, w->auth);
    w->accepts = accept_registry_new(&accepts, w->env.metrics);
    w->http = http_new(&w->gateway, w->accepts, message, sizeof message);
    if (!w->http) {
        print_error("%s\n", message);
    }
    *state = w;
    return w->http ? 0 : -1;
}

static int end(void **state)
{
    struct world *w = *state;
    http_destroy(&w->http, 1000);
    accept_registry_destroy(&w->accepts);
    gateway_release(&w->gateway);
    auth_destroy(&w->auth);
    bus_client_destroy(&w->client);
    metrics_destroy(&w->env.metrics);
    bus_context_destroy(&w->env.bus_context);
    close(w->log.fd);
    close(w->stop[0]);
    close(w->stop[1]);
    mem_free(w);
    return 0;
}

static int connected(const struct world *w)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)http_port(w->http)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void send_all(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t sent = send(fd, bytes, size, MSG_NOSIGNAL);
        if (sent <= 0) {
            return; /* the other side has heard enough */
        }
        bytes += sent;
        size -= (size_t)sent;
    }
}

/* Everything until the other side closes. */
static char *received(int fd)
{
    char *answer = mem_alloc(ANSWER_SIZE);
    size_t size = 0;
    int64_t until_ms = clock_now_ms() + PATIENCE_MS;
    while (size < ANSWER_SIZE - 1) {
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        int64_t left_ms = until_ms - clock_now_ms();
        assert_true(left_ms > 0 && poll(&poll_fd, 1, (int)left_ms) == 1);
        ssize_t got = recv(fd, answer + size, ANSWER_SIZE - 1 - size, 0);
        if (got <= 0) {
            break;
        }
        size += (size_t)got;
    }
    close(fd);
    return answer;
}

static char *asked(const struct world *w, const char *request)
{
    int fd = connected(w);
    send_all(fd, request, strlen(request));
    return received(fd);
}

static int status_of(const char *answer)
{
    int status = 0;
    return sscanf(answer, "HTTP/1.1 %d ", &status) == 1 ? status : 0;
}

static int answers_in(const char *text)
{
    int count = 0;
    for (const char *at = text; (at = strstr(at, "HTTP/1.1 ")) != NULL; at++) {
        count += at[9] >= '1' && at[9] <= '5';
    }
    return count;
}

#define H     "Host: x\r\n"
#define CLOSE "Connection: close\r\n"
#define NEXT  "GET /livez HTTP/1.1\r\n" H CLOSE "\r\n"

/* Whatever is wrong, there is one answer, a problem, and no second request is found in what follows. */
static void test_corpus(void **state)
{
    static const struct {
        const char *request;
        int status;
    } all[] = {
        {"POST /api/auth/login HTTP/1.1\r\n" H "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" NEXT,
         400},
        {"POST /api/auth/login HTTP/1.1\r\n" H "Content-Length: 5\r\nContent-Length: 0\r\n\r\n" NEXT, 400},
        {"POST /api/auth/login HTTP/1.1\r\n" H "Content-Length: +5\r\n\r\n" NEXT, 400},
        {"POST /api/auth/login HTTP/1.1\r\n" H "Content-Length: x\r\n\r\n" NEXT, 400},
        {"POST /api/auth/login HTTP/1.1\r\n" H "Transfer-Encoding: gzip\r\n\r\n" NEXT, 501},
        {"POST /api/auth/login HTTP/1.1\r\n" H "Transfer-Encoding: identity\r\n\r\n" NEXT, 501},
        {"POST /api/auth/login HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n" NEXT, 400},
        {"GET / HTTP/1.1\r\n" H "X: a\r\n b\r\n\r\n" NEXT, 400},
        {"GET / HTTP/1.1\n" H "\n" NEXT, 400},
        {"GET / HTTP/1.1\r\n\r\n" NEXT, 400},
        {"GET / HTTP/1.1\r\n" H H "\r\n" NEXT, 400},
        {"GET / HTTP/2.0\r\n" H "\r\n" NEXT, 505},
        {"GET / HTTP/1.2\r\n" H "\r\n" NEXT, 505},
        {"GET /%00 HTTP/1.1\r\n" H "\r\n" NEXT, 400},
        {"GET /a/../b HTTP/1.1\r\n" H "\r\n" NEXT, 400},
        {"TRACE / HTTP/1.1\r\n" H "\r\n" NEXT, 405},
        {"FOO / HTTP/1.1\r\n" H "\r\n" NEXT, 405},
        {"PATCH /api/products HTTP/1.1\r\n" H CLOSE "\r\n", 405},
        {"nonsense\r\n\r\n" NEXT, 400},
        {"GET / HTTP/1.1\r\n" H "bad line\r\n\r\n" NEXT, 400},
    };
    struct world *w = *state;
    for (size_t i = 0; i < ARRAY_COUNT(all); i++) {
        char *answer = asked(w, all[i].request);
        if (status_of(answer) != all[i].status || answers_in(answer) != 1) {
            print_error("%s\n-> %.600s\n", all[i].request, answer);
        }
        assert_int_equal(status_of(answer), all[i].status);
        assert_int_equal(answers_in(answer), 1);
        assert_non_null(strstr(answer, "application/problem+json"));
        assert_non_null(strstr(answer, "X-Request-Id: "));
        assert_non_null(strstr(answer, "Connection: close"));
        mem_free(answer);
    }
}

static void check_answer(struct world *w, const char *request, int status, const char *part)
{
    char *answer = asked(w, request);
    if (status_of(answer) != status || !strstr(answer, part)) {
        print_error("%s\n-> %.900s\n", request, answer);
    }
    assert_int_equal(status_of(answer), status);
    assert_non_null(strstr(answer, part));
    mem_free(answer);
}

static void test_own_pages(void **state)
{
    struct world *w = *state;
    check_answer(w, "GET / HTTP/1.1\r\n" H CLOSE "\r\n", 200, "\"documentation\":\"/docs\"");
    check_answer(w, "GET /livez HTTP/1.1\r\n" H CLOSE "\r\n", 200, "alive");
    check_answer(w, "GET /readyz HTTP/1.1\r\n" H CLOSE "\r\n", 503, "\"bus\":false");
    check_answer(w, "GET /openapi.json HTTP/1.1\r\n" H CLOSE "\r\n", 200, "\"openapi\":\"3.1.0\"");
    check_answer(w, "GET /docs HTTP/1.1\r\n" H CLOSE "\r\n", 200, "script-src 'sha256-");
    check_answer(w, "GET /metrics HTTP/1.1\r\n" H CLOSE "\r\n", 200, "# TYPE zmart_http_requests_total counter");
    check_answer(w, "GET /ws HTTP/1.1\r\n" H CLOSE "\r\n", 401, "WebSocket");
    check_answer(w, "GET /ws?ticket=x HTTP/1.1\r\n" H CLOSE "\r\n", 426, "upgrade_required");
    check_answer(w, "GET /nothing HTTP/1.1\r\n" H CLOSE "\r\n", 404, "\"code\":\"not_found\"");
    check_answer(w, "DELETE /livez HTTP/1.1\r\n" H CLOSE "\r\n", 405, "Allow: GET, HEAD, OPTIONS\r\n");
    check_answer(w, "OPTIONS /api/orders HTTP/1.1\r\n" H CLOSE "\r\n", 204, "Allow: POST, GET, HEAD, OPTIONS\r\n");
    char *answer = asked(w, "HEAD /livez HTTP/1.1\r\n" H CLOSE "\r\n");
    assert_non_null(strstr(answer, "Content-Length: 18\r\n"));
    assert_string_equal(strstr(answer, "\r\n\r\n"), "\r\n\r\n");
    mem_free(answer);
}

static void test_bodies(void **state)
{
    struct world *w = *state;
    check_answer(w, "POST /api/auth/login HTTP/1.1\r\n" H CLOSE "Content-Length: 2\r\n\r\n{}", 415, "problem+json");
    check_answer(w,
                 "POST /api/auth/login HTTP/1.1\r\n" H CLOSE "Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}",
                 415, "");
    check_answer(w,
                 "POST /api/auth/login HTTP/1.1\r\n" H CLOSE "Content-Type: application/json; charset=utf-8\r\n"
                 "Content-Length: 2\r\n\r\n{}",
                 400, "\"pointer\":\"/email\",\"code\":\"required\"");
    check_answer(w, "POST /api/auth/login HTTP/1.1\r\n" H CLOSE "\r\n", 400, "\"pointer\":\"/password\"");
    check_answer(w,
                 "POST /api/auth/login HTTP/1.1\r\n" H CLOSE "Content-Type: application/json\r\n"
                 "Transfer-Encoding: chunked\r\n\r\n3\r\n{\"x\r\n4\r\n\":1}\r\n0\r\n\r\n",
                 400, "\"pointer\":\"/x\"");
    check_answer(w, "POST /api/auth/login HTTP/1.1\r\n" H CLOSE "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400,
                 "\"pointer\":\"/password\""); /* no body, and no type of it */
    check_answer(w,
                 "POST /api/auth/login HTTP/1.1\r\n" H CLOSE "Transfer-Encoding: chunked\r\n\r\n"
                 "2\r\n{}\r\n0\r\n\r\n",
                 415, "");
    check_answer(w,
                 "POST /api/auth/login HTTP/1.1\r\n" H "Content-Type: application/json\r\n"
                 "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
                 400, "framed");
    check_answer(
        w, "POST /api/auth/login HTTP/1.1\r\n" H "Content-Type: application/json\r\nContent-Length: 999999\r\n\r\n{",
        413, "body_too_large");
    check_answer(w, "POST /api/auth/login?a=1 HTTP/1.1\r\n" H CLOSE "\r\n", 400, "\"pointer\":\"/a\"");
    check_answer(w,
                 "POST /api/auth/login HTTP/1.1\r\n" H CLOSE
                 "Expect: 100-continue\r\nContent-Type: application/json\r\n"
                 "Content-Length: 2\r\n\r\n{}",
                 100, "HTTP/1.1 400 ");
}

/* A chunked body without end is cut at the limit and answered, however much still comes. */
static void test_chunks_without_end(void **state)
{
    struct world *w = *state;
    char chunk[1024 + 8];
    int fd = connected(w);
    static const char head[] = "POST /api/auth/login HTTP/1.1\r\n" H "Content-Type: application/json\r\n"
                               "Transfer-Encoding: chunked\r\n\r\n";
    send_all(fd, head, sizeof head - 1);
    memset(chunk, ' ', sizeof chunk);
    memcpy(chunk, "400\r\n", 5);
    memcpy(chunk + 5 + 1024, "\r\n", 2);
    for (int i = 0; i < 64; i++) {
        send_all(fd, chunk, 5 + 1024 + 2);
    }
    char *answer = received(fd);
    assert_int_equal(status_of(answer), 413);
    mem_free(answer);
}

/* A body that does not come is given up, and the connection ends with an answer. */
static void test_body_that_never_comes(void **state)
{
    struct world *w = *state;
    int64_t from_ms = clock_now_ms();
    char *answer =
        asked(w, "POST /api/auth/login HTTP/1.1\r\n" H "Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{");
    assert_true(status_of(answer) == 408 || status_of(answer) == 400);
    assert_true(clock_now_ms() - from_ms >= w->config.arrival_ms / 4);
    mem_free(answer);
}

static void test_requests_follow_each_other(void **state)
{
    struct world *w = *state;
    char *answer =
        asked(w, "GET /livez HTTP/1.1\r\n" H "\r\n"
                 "POST /api/orders HTTP/1.1\r\n" H "Content-Length: 2\r\nContent-Type: application/json\r\n\r\n{}"
                 "GET /livez HTTP/1.1\r\n" H "\r\n" NEXT);
    assert_int_equal(answers_in(answer), 4);
    assert_non_null(strstr(answer, "HTTP/1.1 401 "));
    mem_free(answer);
}

static void test_authorization(void **state)
{
    struct world *w = *state;
    check_answer(w, "GET /api/orders HTTP/1.1\r\n" H CLOSE "\r\n", 401, "WWW-Authenticate: Bearer realm=\"zmart\"\r\n");
    for (int i = 0; i < 5; i++) {
        check_answer(w, "GET /api/products HTTP/1.1\r\n" H CLOSE "Authorization: Bearer a.b.c\r\n\r\n", 401,
                     "invalid_token");
    }
    check_answer(w, "GET /api/products HTTP/1.1\r\n" H CLOSE "Authorization: Bearer a.b.c\r\n\r\n", 429,
                 "Retry-After: ");
}

static void test_cors(void **state)
{
    struct world *w = *state;
    check_answer(w,
                 "OPTIONS /api/orders HTTP/1.1\r\n" H CLOSE "Origin: https://a.example\r\n"
                 "Access-Control-Request-Method: POST\r\n\r\n",
                 204, "Access-Control-Allow-Origin: https://a.example\r\n");
    check_answer(w,
                 "OPTIONS /api/events/stream HTTP/1.1\r\n" H CLOSE "Origin: https://a.example\r\n"
                 "Access-Control-Request-Method: GET\r\nAccess-Control-Request-Headers: last-event-id\r\n\r\n",
                 204, "Last-Event-ID, ");
    char *answer = asked(w, "GET /livez HTTP/1.1\r\n" H CLOSE "Origin: https://b.example\r\n\r\n");
    assert_null(strstr(answer, "Access-Control-"));
    assert_non_null(strstr(answer, "Vary: Origin\r\n"));
    mem_free(answer);
}

static char *answered_once(int fd)
{
    char *answer = mem_alloc(ANSWER_SIZE);
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&poll_fd, 1, PATIENCE_MS), 1);
    assert_true(recv(fd, answer, ANSWER_SIZE - 1, 0) > 0); /* head and body leave in one write */
    return answer;
}

/* From the first moment on /readyz refuses and every answer ends its connection, also of those that were open before;
 * but all are answered. */
static void test_drain_is_told(void **state)
{
    static const char ask[] = "GET /livez HTTP/1.1\r\n" H "\r\n";
    struct world *w = *state;
    int fd = connected(w);
    send_all(fd, ask, sizeof ask - 1);
    char *answer = answered_once(fd);
    assert_int_equal(status_of(answer), 200);
    assert_null(strstr(answer, "Connection: close"));
    mem_free(answer);
    atomic_store(&w->gateway.draining, true);
    send_all(fd, ask, sizeof ask - 1);
    answer = received(fd); /* to the connection's end */
    assert_int_equal(status_of(answer), 200);
    assert_non_null(strstr(answer, "Connection: close\r\n"));
    mem_free(answer);
    check_answer(w, "GET /readyz HTTP/1.1\r\n" H "\r\n", 503, "\"accepting\":false");
    check_answer(w, "GET /readyz HTTP/1.1\r\n" H "\r\n", 503, "Connection: close\r\n");
    check_answer(w, ask, 200, "Connection: close\r\n");
}

/* Idle and half-open connections do not hold a stop up. */
static void test_stops_with_idle_connections(void **state)
{
    struct world *w = *state;
    int fds[4];
    for (size_t i = 0; i < ARRAY_COUNT(fds); i++) {
        char byte;
        fds[i] = connected(w);
        if (i < 3) {
            send_all(fds[i], "GET /livez HTTP/1.1\r\n" H "\r\n", strlen("GET /livez HTTP/1.1\r\n" H "\r\n"));
            assert_int_equal(recv(fds[i], &byte, 1, 0), 1);
        }
    }
    http_destroy(&w->http, 1000);
    assert_null(w->http);
    for (size_t i = 0; i < ARRAY_COUNT(fds); i++) {
        close(fds[i]);
    }
}

static void test_hosts_that_are_no_address(void **state)
{
    static const char *const hosts[] = {"999.1.1.1", "1.2.3", "", "::1", "127.0.0.1,localhost"};
    struct world *w = *state;
    char message[200];
    for (size_t i = 0; i < ARRAY_COUNT(hosts); i++) {
        w->config.host = hosts[i];
        assert_null(http_new(&w->gateway, w->accepts, message, sizeof message));
        assert_string_equal(message, "--host takes one IPv4 address or a name");
    }
    w->config.host = "127.0.0.1";
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_corpus, begin, end),
        cmocka_unit_test_setup_teardown(test_own_pages, begin, end),
        cmocka_unit_test_setup_teardown(test_hosts_that_are_no_address, begin, end),
        cmocka_unit_test_setup_teardown(test_bodies, begin, end),
        cmocka_unit_test_setup_teardown(test_chunks_without_end, begin, end),
        cmocka_unit_test_setup_teardown(test_body_that_never_comes, begin, end),
        cmocka_unit_test_setup_teardown(test_requests_follow_each_other, begin, end),
        cmocka_unit_test_setup_teardown(test_authorization, begin, end),
        cmocka_unit_test_setup_teardown(test_cors, begin, end),
        cmocka_unit_test_setup_teardown(test_drain_is_told, begin, end),
        cmocka_unit_test_setup_teardown(test_stops_with_idle_connections, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
