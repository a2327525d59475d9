/* Who gets in over TCP, and how far: a whole broker, and peers with keys, without, and with wrong ones. */
#include "tests/broker/live.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/id.h"
#include "lib/bus/address.h"
#include "lib/bus/key_files.h"
#include "proto/fault.h"

enum { PORTS = 5, OUTSIDE = 4, BRIEFLY_MS = 20 };

struct stage {
    char folder[32], bus[64], events[64];
    char message[512];
    char broker_key[KEY_TEXT_SIZE];
    uint16_t port;
    void *context, *client_context; /* the peers have one of their own: it is another machine */
    struct live live;
};

/* ---- the stage ---- */

static bool port_is_free(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    bool good = bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    return good;
}

static uint16_t ports_find(void)
{
    for (;;) {
        uint16_t port;
        id_random(&port, sizeof port);
        port = (uint16_t)(15000 + port % 15000);
        int free_count = 0;
        while (free_count < PORTS && port_is_free((uint16_t)(port + free_count))) {
            free_count++;
        }
        if (free_count == PORTS) {
            return port;
        }
    }
}

static void allow(struct stage *stage, const char *name, enum key_role role, const char *services, const char *calls)
{
    struct key_grant grant = {.role = role};
    snprintf(grant.name, sizeof grant.name, "%s", name);
    snprintf(grant.services, sizeof grant.services, "%s", services);
    snprintf(grant.calls, sizeof grant.calls, "%s", calls);
    assert_true(key_public_of(stage->folder, name, grant.key, stage->message, sizeof stage->message));
    assert_true(key_allowed_add(stage->folder, &grant, stage->message, sizeof stage->message));
}

static void key_make(struct stage *stage, const char *name)
{
    struct key_pair pair;
    assert_true(key_pair_make(&pair, stage->message, sizeof stage->message));
    assert_true(key_pair_save(stage->folder, name, &pair, stage->message, sizeof stage->message));
}

static int stage_setup(void **state)
{
    struct stage *stage = mem_alloc(sizeof *stage);
    snprintf(stage->folder, sizeof stage->folder, "/tmp/zap-test-XXXXXX");
    assert_non_null(mkdtemp(stage->folder));
    static const char *const names[] = {"broker", "gateway", "order", "event", "tap", "stranger"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        key_make(stage, names[i]);
    }
    allow(stage, "gateway", KEY_GATEWAY, "", "order,mmi");
    allow(stage, "order", KEY_WORKER, "order", "product");
    allow(stage, "event", KEY_WORKER, "event", "");
    allow(stage, "tap", KEY_SUBSCRIBER, "", "");
    assert_true(key_public_of(stage->folder, "broker", stage->broker_key, stage->message, sizeof stage->message));
    stage->port = ports_find();
    snprintf(stage->bus, sizeof stage->bus, "tcp://127.0.0.1:%d", stage->port);
    snprintf(stage->events, sizeof stage->events, "tcp://127.0.0.1:%d", stage->port + OUTSIDE);
    stage->context = bus_context_new();
    stage->client_context = bus_context_new();
    const char *const flags[] = {"--bus",       stage->bus,       "--events", stage->events, "--keys",
                                 stage->folder, "--heartbeat-ms", "20000",    NULL};
    assert_true(live_start(&stage->live, stage->context, flags));
    *state = stage;
    return 0;
}

static void folder_remove(const char *folder)
{
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    assert_int_equal(system(command), 0);
}

static int stage_teardown(void **state)
{
    struct stage *stage = *state;
    bus_context_destroy(&stage->client_context);
    live_stop(&stage->live);
    assert_int_equal(live_join(&stage->live), 0);
    bus_context_destroy(&stage->context);
    folder_remove(stage->folder);
    mem_free(stage);
    return 0;
}

/* ---- peers ---- */

/* A socket with this key, connected; name "": without any. */
static void *socket_to(struct stage *stage, int type, int plane, const char *name)
{
    char address[64];
    struct key_pair pair;
    int linger = 0;
    void *socket = zmq_socket(stage->client_context, type);
    assert_non_null(socket);
    zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger);
    if (name[0]) {
        assert_true(key_pair_load(stage->folder, name, &pair, stage->message, sizeof stage->message));
        zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, stage->broker_key, KEY_TEXT_SIZE);
        zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, pair.public_key, KEY_TEXT_SIZE);
        zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, pair.secret_key, KEY_TEXT_SIZE);
    }
    if (type == ZMQ_SUB) {
        zmq_setsockopt(socket, ZMQ_SUBSCRIBE, "", 0);
    }
    snprintf(address, sizeof address, "tcp://127.0.0.1:%d", stage->port + plane);
    assert_int_equal(zmq_connect(socket, address), 0);
    return socket;
}

/* A socket whose connection's fate can be watched. */
struct watched {
    void *socket, *monitor;
};

static struct watched watched_to(struct stage *stage, int type, int plane, const char *name)
{
    static int number;
    char address[32];
    struct watched watched = {.socket = socket_to(stage, type, plane, name)};
    snprintf(address, sizeof address, "inproc://watch-%d", ++number);
    assert_int_equal(zmq_socket_monitor(watched.socket, address, ZMQ_EVENT_ALL), 0);
    watched.monitor = zmq_socket(stage->client_context, ZMQ_PAIR);
    assert_int_equal(zmq_connect(watched.monitor, address), 0);
    return watched;
}

static void watched_close(struct watched *watched)
{
    zmq_socket_monitor(watched->socket, NULL, 0); /* else its last event waits for a reader for ever */
    zmq_close(watched->monitor);
    zmq_close(watched->socket);
}

/* Waits for one of these events of the connection; false when it does not come. */
static bool event_comes(struct watched *watched, int wanted)
{
    int64_t until_ms = clock_now_ms() + LIVE_WAIT_MS;
    while (clock_now_ms() < until_ms) {
        zmq_pollitem_t item = {.socket = watched->monitor, .events = ZMQ_POLLIN};
        uint8_t bytes[256];
        uint16_t event;
        if (zmq_poll(&item, 1, BRIEFLY_MS) > 0) {
            assert_true(zmq_recv(watched->monitor, bytes, sizeof bytes, 0) >= 6);
            memcpy(&event, bytes, sizeof event);
            assert_true(zmq_recv(watched->monitor, bytes, sizeof bytes, 0) >= 0);
            if (event & wanted) {
                return true;
            }
        }
    }
    return false;
}

enum {
    REFUSED = ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |
              ZMQ_EVENT_HANDSHAKE_FAILED_AUTH
};

/* HELLO; the answer is not waited for. */
static struct wire_peer hello_to(struct stage *stage, int plane, const char *name, const char *role,
                                 const char *service)
{
    struct wire_peer peer = {.socket = socket_to(stage, ZMQ_DEALER, plane, name)};
    struct arena arena = {0};
    struct hello_service served = {.name = text_of(service), .credit = 4};
    struct hello hello = {.role = text_of(role),
                          .instance = TEXT("x"),
                          .version = TEXT("1"),
                          .services = {.items = &served, .count = service[0] ? 1 : 0},
                          .hb_ms = 60000};
    struct text body = record_pack_in(&hello_record, &hello, &arena);
    struct frame_head head = peer_head(&peer, FRAME_HELLO, 1);
    peer_send_frame(&peer, &head, &body, 1);
    arena_release(&arena);
    return peer;
}

static struct wire_peer session_to(struct stage *stage, int plane, const char *name, const char *role,
                                   const char *service)
{
    struct wire_peer peer = hello_to(stage, plane, name, role, service);
    struct wire_frame frame;
    frame_expect(&peer, FRAME_WELCOME, &frame);
    peer.epoch = frame.head.epoch;
    frame_release(&frame);
    return peer;
}

static void expect_forbidden(struct wire_peer *peer, const char *said)
{
    struct wire_frame frame;
    struct arena arena = {0};
    struct problem problem;
    char detail[256];
    frame_expect(peer, FRAME_NACK, &frame);
    assert_int_equal(frame.head.status, 403);
    assert_int_equal(record_unpack(&problem_record, frame_part(&frame, 1), &arena, NULL, &problem), ERR_NONE);
    assert_true(text_to_string(problem.detail, detail, sizeof detail));
    assert_non_null(strstr(detail, said));
    frame_release(&frame);
    arena_release(&arena);
}

static void request_send(struct wire_peer *peer, const char *route, uint64_t corr)
{
    struct text parts[] = {text_of(route), TEXT("\x80"), TEXT("\x80")};
    struct frame_head head = peer_head(peer, FRAME_REQUEST, corr);
    peer_send_frame(peer, &head, parts, 3);
}

/* One request there and its answer back. */
static void round_trip(struct wire_peer *client, struct wire_peer *worker, uint64_t corr)
{
    struct wire_frame frame;
    struct text parts[] = {TEXT("\x80"), TEXT("\x80")};
    request_send(client, "order.get", corr);
    frame_expect(worker, FRAME_REQUEST, &frame);
    struct frame_head reply = peer_head(worker, FRAME_REPLY, frame.head.corr);
    frame_release(&frame);
    peer_send_frame(worker, &reply, parts, 2);
    frame_expect(client, FRAME_REPLY, &frame);
    assert_int_equal(frame.head.corr, corr);
    frame_release(&frame);
}

/* ---- tests ---- */

static void test_the_right_keys_work(void **state)
{
    struct stage *stage = *state;
    struct wire_peer client = session_to(stage, BUS_CLIENTS, "gateway", "gateway", "");
    struct wire_peer worker = session_to(stage, BUS_WORKERS, "order", "worker", "order");
    for (uint64_t corr = 1; corr <= 50; corr++) { /* also when the broker has just slept */
        round_trip(&client, &worker, corr);
    }
    peer_close(&client);
    peer_close(&worker);
}

static void test_strangers_stay_outside(void **state)
{
    struct stage *stage = *state;
    struct watched unknown[PORTS], bare[PORTS];
    for (int plane = BUS_CLIENTS; plane <= OUTSIDE; plane++) {
        int type = plane == BUS_EVENTS || plane == OUTSIDE ? ZMQ_SUB : ZMQ_DEALER;
        type = plane == BUS_PUBLISH ? ZMQ_PUB : type;
        unknown[plane] = watched_to(stage, type, plane, "stranger");
        bare[plane] = watched_to(stage, type, plane, "");
    }
    for (int plane = BUS_CLIENTS; plane <= OUTSIDE; plane++) {
        assert_true(event_comes(&unknown[plane], REFUSED));
        watched_close(&unknown[plane]);
        assert_true(event_comes(&bare[plane], REFUSED));
        watched_close(&bare[plane]);
    }
    struct wire_peer client = session_to(stage, BUS_CLIENTS, "gateway", "gateway", "");
    peer_close(&client);
}

static void test_raw_bytes_are_hung_up_on(void **state)
{
    struct stage *stage = *state;
    static const char *const list[] = {
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x03 and then nothing of ZMTP that makes any sense",
        "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e"};
    for (int plane = BUS_CLIENTS; plane <= OUTSIDE; plane++) {
        for (size_t i = 0; i < ARRAY_COUNT(list); i++) {
            struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)(stage->port + plane))};
            struct timeval wait = {.tv_sec = LIVE_WAIT_MS / 1000};
            char byte;
            ssize_t size;
            address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
            int fd = socket(AF_INET, SOCK_STREAM, 0);
            assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait), 0);
            assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
            assert_int_equal(send(fd, list[i], strlen(list[i]), MSG_NOSIGNAL), strlen(list[i]));
            do {
                size = recv(fd, &byte, 1, 0); /* its own greeting, and then the end */
            } while (size > 0);
            assert_true(size == 0 || errno == ECONNRESET);
            close(fd);
        }
    }
    struct wire_peer client = session_to(stage, BUS_CLIENTS, "gateway", "gateway", "");
    peer_close(&client);
}

static void test_roles_at_hello(void **state)
{
    struct stage *stage = *state;
    static const struct {
        int plane;
        const char *key, *role, *service, *said;
    } list[] = {{BUS_WORKERS, "gateway", "worker", "order", "The key gateway has the role gateway"},
                {BUS_CLIENTS, "gateway", "operator", "", "may not come as operator"},
                {BUS_WORKERS, "order", "worker", "user", "The key order may not serve user"},
                {BUS_CLIENTS, "order", "gateway", "", "The key order has the role worker"},
                {BUS_CLIENTS, "tap", "gateway", "", "The key tap has the role subscriber"},
                {BUS_WORKERS, "tap", "worker", "order", "The key tap has the role subscriber"}};
    for (size_t i = 0; i < ARRAY_COUNT(list); i++) {
        struct wire_peer peer = hello_to(stage, list[i].plane, list[i].key, list[i].role, list[i].service);
        expect_forbidden(&peer, list[i].said);
        peer_close(&peer);
    }
}

static void test_calls_beyond_the_key(void **state)
{
    struct stage *stage = *state;
    struct wire_peer worker = session_to(stage, BUS_CLIENTS, "order", "service", "");
    request_send(&worker, "user.keys", 1);
    expect_forbidden(&worker, "The key order may not call user.keys");
    request_send(&worker, "mmi.workers", 2);
    expect_forbidden(&worker, "mmi.workers");
    struct wire_peer tap = hello_to(stage, BUS_CLIENTS, "tap", "gateway", "");
    struct wire_frame frame;
    expect_forbidden(&tap, "subscriber");
    tap.epoch = worker.epoch;
    request_send(&tap, "order.get", 1); /* it has no session, and takes nobody else's */
    frame_expect(&tap, FRAME_BYE, &frame);
    frame_release(&frame);
    peer_close(&tap);
    peer_close(&worker);
}

/* Publishes until the subscriber hears it. */
static void event_through(void *publisher, void *subscriber, int frames)
{
    static const char *const parts[] = {"order.x.", "meta", "data", "private"};
    int64_t until_ms = clock_now_ms() + LIVE_WAIT_MS;
    int count = 0;
    while (count == 0 && clock_now_ms() < until_ms) {
        zmq_pollitem_t item = {.socket = subscriber, .events = ZMQ_POLLIN};
        for (int i = 0; i < 4; i++) {
            zmq_send(publisher, parts[i], strlen(parts[i]), ZMQ_DONTWAIT | (i < 3 ? ZMQ_SNDMORE : 0));
        }
        if (zmq_poll(&item, 1, BRIEFLY_MS) > 0) {
            int more = 1;
            size_t size = sizeof more;
            for (; more; count++) {
                char part[32];
                assert_true(zmq_recv(subscriber, part, sizeof part, 0) >= 0);
                zmq_getsockopt(subscriber, ZMQ_RCVMORE, &more, &size);
            }
        }
    }
    assert_int_equal(count, frames);
}

static void test_who_hears_and_tells_events(void **state)
{
    struct stage *stage = *state;
    void *publisher = socket_to(stage, ZMQ_PUB, BUS_PUBLISH, "event");
    void *tap = socket_to(stage, ZMQ_SUB, OUTSIDE, "tap");
    void *inside = socket_to(stage, ZMQ_SUB, BUS_EVENTS, "gateway");
    event_through(publisher, tap, 3);
    event_through(publisher, inside, 4);
    struct watched curious = watched_to(stage, ZMQ_SUB, BUS_EVENTS, "tap"); /* private data is there */
    assert_true(event_comes(&curious, REFUSED));
    struct watched liar = watched_to(stage, ZMQ_PUB, BUS_PUBLISH, "gateway");
    assert_true(event_comes(&liar, REFUSED));
    watched_close(&liar);
    watched_close(&curious);
    zmq_close(inside);
    zmq_close(tap);
    zmq_close(publisher);
}

static void test_a_revoked_key_is_dropped(void **state)
{
    struct stage *stage = *state;
    struct wire_frame frame;
    struct wire_peer client = session_to(stage, BUS_CLIENTS, "gateway", "gateway", "");
    struct wire_peer worker = session_to(stage, BUS_WORKERS, "order", "worker", "order");
    struct watched tap = watched_to(stage, ZMQ_SUB, OUTSIDE, "tap");
    struct watched other = watched_to(stage, ZMQ_SUB, OUTSIDE, "gateway"); /* a second subscriber of the same topic */
    void *publisher = socket_to(stage, ZMQ_PUB, BUS_PUBLISH, "event");
    event_through(publisher, tap.socket, 3);
    event_through(publisher, other.socket, 3);
    assert_true(key_allowed_remove(stage->folder, "tap", stage->message, sizeof stage->message));
    assert_true(event_comes(&tap, ZMQ_EVENT_DISCONNECTED));
    assert_true(event_comes(&tap, REFUSED)); /* and does not come back */
    round_trip(&client, &worker, 1);
    event_through(publisher, other.socket, 3);
    assert_true(key_allowed_remove(stage->folder, "gateway", stage->message, sizeof stage->message));
    assert_true(event_comes(&other, ZMQ_EVENT_DISCONNECTED));
    if (frame_receive(client.socket, 0, &frame)) { /* BYE, if it was quicker than the end of the connection */
        assert_string_equal(frame_type_name(frame.head.type), "BYE");
        frame_release(&frame);
    }
    struct watched again = watched_to(stage, ZMQ_DEALER, BUS_CLIENTS, "gateway");
    assert_true(event_comes(&again, REFUSED));
    allow(stage, "gateway", KEY_GATEWAY, "", "order"); /* and is let in again without being told */
    assert_true(event_comes(&again, ZMQ_EVENT_HANDSHAKE_SUCCEEDED));
    watched_close(&again);
    watched_close(&tap);
    watched_close(&other);
    zmq_close(publisher);
    peer_close(&client);
    peer_close(&worker);
}

static void test_a_bad_allowlist_changes_nothing(void **state)
{
    struct stage *stage = *state;
    char path[64];
    snprintf(path, sizeof path, "%s/allowed", stage->folder);
    int fd = open(path, O_WRONLY | O_TRUNC);
    assert_int_equal(write(fd, "what is this", 12), 12);
    close(fd);
    int64_t until_ms = clock_now_ms() + 1500; /* it is looked at each second */
    while (clock_now_ms() < until_ms) {
        struct wire_peer client = session_to(stage, BUS_CLIENTS, "gateway", "gateway", "");
        peer_close(&client);
    }
}

static void test_what_must_be_there_before_the_start(void **state)
{
    (void)state;
    char folder[] = "/tmp/zap-test-XXXXXX";
    char logged[4096] = "";
    int pipe_fds[2];
    struct live live;
    void *context = bus_context_new();
    assert_non_null(mkdtemp(folder));
    assert_int_equal(pipe2(pipe_fds, O_NONBLOCK | O_CLOEXEC), 0);
    const char *const flags[] = {"--bus", "inproc://x", "--events", "", "--keys", folder, NULL};
    assert_false(live_start_logged(&live, context, flags, pipe_fds[1]));
    assert_int_equal(live_join(&live), 1);
    assert_true(read(pipe_fds[0], logged, sizeof logged - 1) > 0);
    assert_non_null(strstr(logged, "zmart keys new"));
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    folder_remove(folder);
    bus_context_destroy(&context);
}

#define ON_STAGE(test) cmocka_unit_test_setup_teardown(test, stage_setup, stage_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {ON_STAGE(test_the_right_keys_work),
                                       ON_STAGE(test_strangers_stay_outside),
                                       ON_STAGE(test_raw_bytes_are_hung_up_on),
                                       ON_STAGE(test_roles_at_hello),
                                       ON_STAGE(test_calls_beyond_the_key),
                                       ON_STAGE(test_who_hears_and_tells_events),
                                       ON_STAGE(test_a_revoked_key_is_dropped),
                                       ON_STAGE(test_a_bad_allowlist_changes_nothing),
                                       cmocka_unit_test(test_what_must_be_there_before_the_start)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
