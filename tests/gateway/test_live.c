/* The whole way: a real civetweb, real sockets, events in, frames out. */
#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "tests/gateway/live_fixture.h"

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

/* What is published before the first beacon would be missed unseen. */
static void nobody_begins_before_the_stream_was_heard(void **state)
{
    struct fixture *f = *state;
    char reply[8192];
    atomic_store(&stream_unheard, true);
    int early = ws_client_connect(f->port);
    assert_int_equal(ws_client_handshake(early, "/ws", "Authorization: customer usr_a s\r\n", reply, sizeof(reply)),
                     503);
    assert_non_null(strstr(reply, "\"code\":\"service_unavailable\""));
    atomic_store(&stream_unheard, false);
    close(open_at(f, "/ws", "Authorization: customer usr_a s\r\n"));
    close(early);
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
    int c = open_at(f, "/ws", "Authorization: admin usr_c ses_3\r\n");
    denial = (struct denial){.before = INT64_MAX}; /* everybody */
    live_end_sessions(f->live, &denial);
    assert_int_equal(read_close(f, b), WS_SESSION_ENDED);
    assert_int_equal(read_close(f, c), WS_SESSION_ENDED);
    close(a);
    close(b);
    close(c);
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
        WITH_LIVE(nobody_begins_before_the_stream_was_heard),
        WITH_LIVE(handshakes_have_one_form),
        WITH_LIVE(sockets_hold_no_worker),
        WITH_LIVE(limits_hold_and_are_given_back),
        WITH_LIVE(logout_closes_the_socket),
        WITH_LIVE(a_client_that_does_not_read_is_dropped_alone),
        WITH_LIVE(a_gap_in_the_events_is_told),
        WITH_LIVE(a_drain_closes_all_and_refuses_more),
        WITH_LIVE(no_descriptor_is_left_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
