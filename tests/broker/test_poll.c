/* The loop over real sockets: inproc and ipc. */
#include "tests/broker/live.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "proto/fault.h"

struct shop {
    void *context;
    struct live live;
    char directory[64];
    char bus[80], clients[96], workers[96];
};

static void shop_open_with(struct shop *shop, bool ipc, const char *drain_ms, const char *spin_us)
{
    shop->context = bus_context_new();
    snprintf(shop->directory, sizeof shop->directory, "/tmp/broker-test-XXXXXX");
    if (ipc) {
        assert_non_null(mkdtemp(shop->directory));
        snprintf(shop->bus, sizeof shop->bus, "ipc://%s", shop->directory);
    } else {
        snprintf(shop->bus, sizeof shop->bus, "inproc://shop");
    }
    snprintf(shop->clients, sizeof shop->clients, "%s%sclients", shop->bus, ipc ? "/" : ".");
    snprintf(shop->workers, sizeof shop->workers, "%s%sworkers", shop->bus, ipc ? "/" : ".");
    const char *const flags[] = {"--bus",  shop->bus,           "--events", "",  "--heartbeat-ms", "200", "--instance",
                                 "broker", "--socket-messages", "10",       "--broker-drain-ms", drain_ms,
                                 "--spin-us", spin_us, NULL};
    assert_true(live_start(&shop->live, shop->context, flags));
}

static void shop_open(struct shop *shop, bool ipc)
{
    shop_open_with(shop, ipc, "60000", "0");
}

static void shop_close(struct shop *shop)
{
    live_stop(&shop->live);
    assert_int_equal(live_join(&shop->live), 0);
    bus_context_destroy(&shop->context);
    if (strncmp(shop->bus, "ipc", 3) == 0) {
        char lock[96];
        snprintf(lock, sizeof lock, "%s/broker.lock", shop->directory);
        assert_int_equal(unlink(lock), 0);
        assert_int_equal(rmdir(shop->directory), 0); /* nothing else was left there */
    }
}

static void ask(struct wire_peer *client, uint64_t corr, uint8_t flags, struct text body)
{
    struct frame_head head = peer_head(client, FRAME_REQUEST, corr);
    head.flags = flags;
    peer_send_frame(client, &head, (struct text[]){TEXT("echo.say"), TEXT("\x80"), body}, 3);
}

/* Takes one request and answers it with its own body. */
static void echo_one(struct wire_peer *worker)
{
    struct wire_frame frame;
    frame_expect(worker, FRAME_REQUEST, &frame);
    struct frame_head head = peer_head(worker, FRAME_REPLY, frame.head.corr);
    peer_send_frame(worker, &head, (struct text[]){TEXT("\x80"), frame_part(&frame, 2)}, 2);
    frame_release(&frame);
}

static void expect_echo(struct wire_peer *client, uint64_t corr, struct text body)
{
    struct wire_frame frame;
    frame_expect(client, FRAME_REPLY, &frame);
    assert_int_equal(frame.head.corr, corr);
    assert_int_equal(frame.head.status, 200);
    assert_true(text_equal(frame_part(&frame, 1), body));
    frame_release(&frame);
}

static void round_trips(bool ipc, const char *spin_us)
{
    struct shop shop;
    shop_open_with(&shop, ipc, "60000", spin_us);
    struct wire_peer worker = peer_open(shop.context, shop.workers, "echo:8");
    struct wire_peer client = peer_open(shop.context, shop.clients, "");
    static const uint32_t sizes[] = {0, 1, 33, 34, 5000, 1000000, FRAME_MAX_BODY};
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        char *bytes = mem_alloc(sizes[i]);
        memset(bytes, 'a' + (int)i, sizes[i]);
        struct text body = {bytes, sizes[i]};
        ask(&client, i + 1, FRAME_REPEATABLE, body);
        echo_one(&worker);
        expect_echo(&client, i + 1, body);
        mem_free(bytes);
    }
    for (uint64_t corr = 100; corr < 400; corr++) {
        ask(&client, corr, 0, TEXT("small"));
        echo_one(&worker);
        expect_echo(&client, corr, TEXT("small"));
    }
    peer_close(&worker);
    peer_close(&client);
    shop_close(&shop);
}

static void test_round_trips_inproc(void **state)
{
    (void)state;
    round_trips(false, "0");
}

static void test_round_trips_ipc(void **state)
{
    (void)state;
    round_trips(true, "0");
}

static void ping(struct wire_peer *peer)
{
    struct frame_head head = peer_head(peer, FRAME_PING, 0);
    peer_send_frame(peer, &head, NULL, 0);
}

static void test_a_worker_that_vanishes(void **state)
{
    (void)state;
    struct shop shop;
    struct wire_frame frame;
    shop_open(&shop, true);
    struct wire_peer first = peer_open(shop.context, shop.workers, "echo:8");
    struct wire_peer client = peer_open(shop.context, shop.clients, "");
    ask(&client, 1, FRAME_REPEATABLE, TEXT("body"));
    frame_expect(&first, FRAME_REQUEST, &frame);
    frame_release(&frame);
    peer_close(&first);
    struct wire_peer second = peer_open(shop.context, shop.workers, "echo:8");
    int64_t until_ms = clock_now_ms() + LIVE_WAIT_MS;
    bool given = false;
    while (!given && clock_now_ms() < until_ms) {
        if (frame_receive(second.socket, 50, &frame)) {
            given = frame.head.type == FRAME_REQUEST;
        } else {
            ping(&second);
            ping(&client);
        }
    }
    assert_true(given);
    assert_int_equal(frame.head.attempt, 2);
    assert_true(text_is(frame_part(&frame, 2), "body")); /* the very message that the dead one had */
    struct frame_head head = peer_head(&second, FRAME_REPLY, frame.head.corr);
    peer_send_frame(&second, &head, (struct text[]){TEXT("\x80"), TEXT("body")}, 2);
    frame_release(&frame);
    do {
        assert_true(frame_receive(client.socket, LIVE_WAIT_MS, &frame));
        frame_release(&frame);
    } while (frame.head.type == FRAME_PONG);
    assert_string_equal(frame_type_name(frame.head.type), "REPLY");
    peer_close(&second);
    peer_close(&client);
    shop_close(&shop);
}

/* Far more answers than libzmq's queues of 10 hold: they wait in the broker, in order, and others are served meanwhile.
 */
static void test_a_client_that_does_not_read(void **state)
{
    (void)state;
    enum { COUNT = 2000 };
    struct shop shop;
    shop_open(&shop, false);
    struct wire_peer worker = peer_open(shop.context, shop.workers, "echo:8");
    struct wire_peer slow = peer_open(shop.context, shop.clients, "");
    struct wire_peer quick = peer_open(shop.context, shop.clients, "");
    for (uint64_t corr = 1; corr <= COUNT; corr++) {
        ask(&slow, corr, 0, TEXT("slow"));
        echo_one(&worker);
    }
    ask(&quick, 1, 0, TEXT("quick"));
    echo_one(&worker);
    expect_echo(&quick, 1, TEXT("quick"));
    for (uint64_t corr = 1; corr <= COUNT; corr++) {
        expect_echo(&slow, corr, TEXT("slow"));
    }
    peer_close(&worker);
    peer_close(&slow);
    peer_close(&quick);
    shop_close(&shop);
}

static int64_t garbage_count(struct shop *shop)
{
    struct wire_peer client = peer_open(shop->context, shop->clients, "");
    struct frame_head head = peer_head(&client, FRAME_REQUEST, 1);
    struct arena arena = {0};
    struct metric_report report;
    struct wire_frame frame;
    int64_t count = -1;
    peer_send_frame(&client, &head, (struct text[]){TEXT("mmi.metrics"), TEXT(""), TEXT("")}, 3);
    frame_expect(&client, FRAME_REPLY, &frame);
    assert_int_equal(record_unpack(&metric_report_record, frame_part(&frame, 1), &arena, NULL, &report), ERR_NONE);
    for (uint32_t i = 0; i < report.processes.items[0].series.count; i++) {
        const struct metric_series *series = &report.processes.items[0].series.items[i];
        count = text_is(series->name, "zmart_broker_garbage_frames_total") ? series->value : count;
    }
    arena_release(&arena);
    frame_release(&frame);
    peer_close(&client);
    return count;
}

static void test_garbage_on_the_wire(void **state)
{
    (void)state;
    enum { COUNT = 300 };
    struct shop shop;
    struct wire_frame frame;
    shop_open(&shop, true);
    struct wire_peer worker = peer_open(shop.context, shop.workers, "echo:8");
    struct wire_peer client = peer_open(shop.context, shop.clients, "");
    void *rogues[] = {dealer_open(shop.context, shop.clients), dealer_open(shop.context, shop.workers)};
    uint8_t bytes[200];
    srand(11);
    for (int i = 0; i < COUNT; i++) {
        int parts = rand() % 7 == 0 ? 1000 : rand() % 6;
        for (size_t at = 0; at < sizeof bytes; at++) {
            bytes[at] = (uint8_t)rand();
        }
        bytes[0] = 'X'; /* wrong magic, whatever else */
        for (int part = 0; part <= parts; part++) {
            zmq_send(rogues[i % 2], bytes, (size_t)rand() % sizeof bytes, part < parts ? ZMQ_SNDMORE : 0);
        }
    }
    ask(&client, 1, 0, TEXT("still here"));
    echo_one(&worker);
    expect_echo(&client, 1, TEXT("still here"));
    int64_t count = 0;
    for (int tries = 0; count < COUNT && tries < 200; tries++) {
        count = garbage_count(&shop);
        (void)frame_receive(client.socket, 10, &frame); /* nothing comes: it waits a little */
    }
    assert_int_equal(count, COUNT);
    zmq_close(rogues[0]);
    zmq_close(rogues[1]);
    peer_close(&worker);
    peer_close(&client);
    shop_close(&shop);
}

static void test_drain_over_the_wire(void **state)
{
    (void)state;
    struct shop shop;
    struct wire_frame frame;
    shop_open(&shop, true);
    struct wire_peer worker = peer_open(shop.context, shop.workers, "echo:8");
    struct wire_peer client = peer_open(shop.context, shop.clients, "");
    ask(&client, 1, 0, TEXT("under way"));
    frame_expect(&worker, FRAME_REQUEST, &frame);
    uint64_t corr = frame.head.corr;
    frame_release(&frame);
    live_stop(&shop.live);
    frame_expect(&client, FRAME_DRAIN, &frame);
    ask(&client, 2, 0, TEXT("too late"));
    frame_expect(&client, FRAME_NACK, &frame);
    assert_int_equal(frame.head.status, 503);
    frame_release(&frame);
    struct frame_head head = peer_head(&worker, FRAME_REPLY, corr);
    peer_send_frame(&worker, &head, (struct text[]){TEXT("\x80"), TEXT("under way")}, 2);
    expect_echo(&client, 1, TEXT("under way"));
    frame_expect(&client, FRAME_BYE, &frame);
    frame_expect(&worker, FRAME_DRAIN, &frame);
    frame_expect(&worker, FRAME_BYE, &frame);
    peer_close(&worker);
    peer_close(&client);
    shop_close(&shop);
}

/* A worker that never answers does not keep the broker: its client is told that nobody knows. */
static void test_drain_has_an_end(void **state)
{
    (void)state;
    struct shop shop;
    struct wire_frame frame;
    shop_open_with(&shop, true, "50", "0");
    struct wire_peer worker = peer_open(shop.context, shop.workers, "echo:8");
    struct wire_peer client = peer_open(shop.context, shop.clients, "");
    ask(&client, 1, 0, TEXT("for ever"));
    frame_expect(&worker, FRAME_REQUEST, &frame);
    frame_release(&frame);
    live_stop(&shop.live);
    frame_expect(&client, FRAME_DRAIN, &frame);
    frame_expect(&client, FRAME_NACK, &frame);
    assert_int_equal(frame.head.status, 502);
    frame_release(&frame);
    frame_expect(&client, FRAME_BYE, &frame);
    peer_close(&worker);
    peer_close(&client);
    shop_close(&shop);
}

static void test_round_trips_of_one_that_spins(void **state)
{
    (void)state;
    round_trips(true, "10000");
}

/* ---- the limits, as the program's flags set them ---- */

static void limited_open(struct shop *shop, const char *const *flags)
{
    const char *all[LIVE_MAX_FLAGS + 1] = {"--bus", "inproc://shop", "--events", "", "--heartbeat-ms", "60000"};
    int count = 6;
    while (*flags) {
        assert_true(count < LIVE_MAX_FLAGS - 1);
        all[count++] = *flags++;
    }
    *shop = (struct shop){.context = bus_context_new(),
                          .bus = "inproc://shop",
                          .clients = "inproc://shop.clients",
                          .workers = "inproc://shop.workers"};
    assert_true(live_start(&shop->live, shop->context, all));
}

static void ask_for(struct wire_peer *client, const char *route, uint64_t corr, struct text body)
{
    struct frame_head head = peer_head(client, FRAME_REQUEST, corr);
    peer_send_frame(client, &head, (struct text[]){text_of(route), TEXT("\x80"), body}, 3);
}

static void expect_given(struct wire_peer *worker)
{
    struct wire_frame frame;
    frame_expect(worker, FRAME_REQUEST, &frame);
    frame_release(&frame);
}

static void expect_refused(struct wire_peer *client, int status, const char *said)
{
    struct wire_frame frame;
    struct problem problem;
    struct arena arena = {0};
    frame_expect(client, FRAME_NACK, &frame);
    assert_int_equal(frame.head.status, status);
    struct text body = frame_part(&frame, frame.count - 1);
    assert_int_equal(record_unpack(&problem_record, body, &arena, NULL, &problem), ERR_NONE);
    assert_true(text_is(problem.detail, said));
    arena_release(&arena);
    frame_release(&frame);
}

static void test_flags_that_count(void **state)
{
    (void)state;
    static const char *const flags[] = {"--peers",          "4", "--client-requests", "3", "--requests", "5",
                                        "--queue-requests", "3", "--broker-drain-ms", "0", NULL};
    struct shop shop;
    limited_open(&shop, flags);
    struct wire_peer worker = peer_open(shop.context, shop.workers, "echo:1,other:1");
    struct wire_peer a = peer_open(shop.context, shop.clients, ""), b = peer_open(shop.context, shop.clients, "");
    struct wire_peer c = peer_open(shop.context, shop.clients, ""),
                     fifth = {.socket = dealer_open(shop.context, shop.clients)};
    struct hello hello = {.role = TEXT("gateway"), .instance = TEXT("x"), .version = TEXT("1"), .hb_ms = 60000};
    struct arena arena = {0};
    struct text body = record_pack_in(&hello_record, &hello, &arena);
    struct frame_head head = peer_head(&fifth, FRAME_HELLO, 1);
    peer_send_frame(&fifth, &head, &body, 1);
    expect_refused(&fifth, 503, "There are too many peers.");
    ask_for(&a, "echo.say", 1, TEXT("held"));
    expect_given(&worker);
    ask_for(&a, "echo.say", 2, TEXT("waits"));
    ask_for(&a, "echo.say", 3, TEXT("waits"));
    ask_for(&a, "echo.say", 4, TEXT("too many of one"));
    expect_refused(&a, 429, "This client has too many requests under way.");
    ask_for(&b, "echo.say", 1, TEXT("waits"));
    ask_for(&b, "echo.say", 2, TEXT("too many in line"));
    expect_refused(&b, 429, "The service's queue is full.");
    ask_for(&c, "other.say", 1, TEXT("held"));
    expect_given(&worker);
    ask_for(&c, "other.say", 2, TEXT("too many of all"));
    expect_refused(&c, 429, "The broker has too many requests already.");
    arena_release(&arena);
    peer_close(&worker);
    peer_close(&a);
    peer_close(&b);
    peer_close(&c);
    peer_close(&fifth);
    shop_close(&shop);
}

static void test_flags_that_weigh(void **state)
{
    (void)state;
    enum { MEDIUM = 40 * 1000, LARGE = 900 * 1000 };
    static const char *const flags[] = {"--queue-bytes",
                                        "65536",
                                        "--request-bytes",
                                        "1048576",
                                        "--queue-age-ms",
                                        "600000",
                                        "--broker-drain-ms",
                                        "0",
                                        NULL};
    struct shop shop;
    char *bytes = mem_alloc(LARGE);
    limited_open(&shop, flags);
    struct wire_peer worker = peer_open(shop.context, shop.workers, "echo:1,other:1");
    struct wire_peer client = peer_open(shop.context, shop.clients, "");
    ask_for(&client, "echo.say", 1, TEXT("held"));
    expect_given(&worker);
    ask_for(&client, "echo.say", 2, (struct text){bytes, MEDIUM});
    ask_for(&client, "echo.say", 3, (struct text){bytes, MEDIUM});
    expect_refused(&client, 429, "The service's queue is full.");
    ask_for(&client, "other.say", 4, (struct text){bytes, LARGE});
    expect_given(&worker);
    ask_for(&client, "other.say", 5, (struct text){bytes, 4 * MEDIUM});
    expect_refused(&client, 429, "The broker holds too many bytes already.");
    mem_free(bytes);
    peer_close(&worker);
    peer_close(&client);
    shop_close(&shop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trips_inproc),     cmocka_unit_test(test_round_trips_ipc),
        cmocka_unit_test(test_a_worker_that_vanishes), cmocka_unit_test(test_a_client_that_does_not_read),
        cmocka_unit_test(test_garbage_on_the_wire),    cmocka_unit_test(test_drain_over_the_wire),
        cmocka_unit_test(test_flags_that_count),       cmocka_unit_test(test_flags_that_weigh),
        cmocka_unit_test(test_drain_has_an_end),       cmocka_unit_test(test_round_trips_of_one_that_spins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
