/* HELLO, heartbeats, epochs, credit, leaving. */
#include "tests/broker/harness.h"

#include <stdio.h>

#include "proto/mmi.h"

static void ping(struct harness *h, enum plane plane, const char *id, uint32_t epoch)
{
    struct frame_head head = head_of(h, FRAME_PING, epoch, 5);
    send_frame(h, plane, id, &head, NULL, 0);
    struct frame_head pong = expect(h, plane, id, FRAME_PONG);
    assert_int_equal(pong.t_send_us, head.t_send_us);
    assert_int_equal(pong.corr, 5);
    assert_int_equal(pong.epoch, epoch);
}

static void test_heartbeats(void **state)
{
    (void)state;
    struct harness h;
    harness_init(&h);
    harness_start(&h);
    uint32_t client = say_hello(&h, PLANE_CLIENTS, "c", "");
    say_hello(&h, PLANE_WORKERS, "w", "echo:1");
    for (int i = 0; i < 3; i++) {
        pass(&h, 1000 * MS);
        ping(&h, PLANE_CLIENTS, "c", client);
    }
    pass(&h, 450 * MS);
    expect_nothing(&h);
    pass(&h, 200 * MS); /* the worker has been silent for 3.5 heartbeats */
    expect(&h, PLANE_WORKERS, "w", FRAME_BYE);
    ping(&h, PLANE_CLIENTS, "c", client);
    harness_release(&h);
}

static void test_a_stall_of_the_broker_kills_nobody(void **state)
{
    (void)state;
    struct harness h;
    harness_init(&h);
    harness_start(&h);
    uint32_t worker = say_hello(&h, PLANE_WORKERS, "w", "echo:1");
    pass(&h, 3000 * MS);
    h.now_us += 60 * SECOND;
    (void)broker_tick(h.broker, h.now_us);
    pass(&h, 400 * MS);
    expect_nothing(&h);
    ping(&h, PLANE_WORKERS, "w", worker);
    pass(&h, 3700 * MS);
    expect(&h, PLANE_WORKERS, "w", FRAME_BYE);
    harness_release(&h);
}

static void test_frames_without_a_session_get_bye(void **state)
{
    (void)state;
    struct harness h;
    harness_init(&h);
    harness_start(&h);
    struct frame_head head = head_of(&h, FRAME_PING, 99, 1);
    send_frame(&h, PLANE_CLIENTS, "c", &head, NULL, 0);
    assert_int_equal(expect(&h, PLANE_CLIENTS, "c", FRAME_BYE).epoch, 99);
    uint32_t epoch = say_hello(&h, PLANE_CLIENTS, "c", "");
    head.epoch = epoch + 1;
    send_frame(&h, PLANE_CLIENTS, "c", &head, NULL, 0);
    assert_int_equal(expect(&h, PLANE_CLIENTS, "c", FRAME_BYE).epoch, epoch + 1);
    head = head_of(&h, FRAME_BYE, 99, 0);
    send_frame(&h, PLANE_CLIENTS, "x", &head, NULL, 0);
    expect_nothing(&h);
    assert_int_equal(broker_counts(h.broker).stray, 3);
    ping(&h, PLANE_CLIENTS, "c", epoch);
    harness_release(&h);
}

static struct text hello_body(struct harness *h, const char *role, const char *service)
{
    struct hello_service one = {.name = text_of(service), .credit = 1};
    struct hello hello = {.role = text_of(role), .instance = TEXT("i"), .version = TEXT("1"), .hb_ms = 100};
    hello.services.items = &one;
    hello.services.count = service != NULL;
    return record_pack_in(&hello_record, &hello, &h->arena);
}

static void test_hello_again(void **state)
{
    (void)state;
    struct harness h;
    struct text parts[PARCEL_MAX_PARTS];
    struct welcome welcome;
    harness_init(&h);
    harness_start(&h);
    struct text body = hello_body(&h, "worker", "echo");
    struct frame_head head = head_of(&h, FRAME_HELLO, 0, 77);
    send_frame(&h, PLANE_WORKERS, "w", &head, &body, 1);
    struct frame_head first = expect_frame(&h, PLANE_WORKERS, "w", FRAME_WELCOME, parts);
    assert_int_equal(first.corr, 77);
    assert_int_equal(record_unpack(&welcome_record, parts[0], &h.arena, NULL, &welcome), ERR_NONE);
    assert_int_equal(welcome.hb_ms, 100); /* the smaller wish */
    send_frame(&h, PLANE_WORKERS, "w", &head, &body, 1);
    assert_int_equal(expect(&h, PLANE_WORKERS, "w", FRAME_WELCOME).epoch, first.epoch);
    uint32_t client = say_hello(&h, PLANE_CLIENTS, "c", "");
    struct frame_head request = head_of(&h, FRAME_REQUEST, client, 1);
    request.flags = FRAME_REPEATABLE;
    send_request(&h, "c", &request, "echo.say");
    expect(&h, PLANE_WORKERS, "w", FRAME_REQUEST);
    head.corr = 78; /* another session: what the old one had goes again */
    send_frame(&h, PLANE_WORKERS, "w", &head, &body, 1);
    struct frame_head second = expect(&h, PLANE_WORKERS, "w", FRAME_WELCOME);
    assert_int_not_equal(second.epoch, first.epoch);
    struct frame_head again = expect(&h, PLANE_WORKERS, "w", FRAME_REQUEST);
    assert_int_equal(again.attempt, 2);
    assert_int_equal(again.epoch, second.epoch);
    harness_release(&h);
}

static void test_bad_hellos_are_refused(void **state)
{
    (void)state;
    struct harness h;
    harness_init(&h);
    h.settings.peers_max = 1;
    harness_start(&h);
    struct frame_head head = head_of(&h, FRAME_HELLO, 0, 3);
    const struct {
        enum plane plane;
        const char *role, *service;
    } bad[] = {{PLANE_WORKERS, "gateway", "echo"}, {PLANE_CLIENTS, "worker", NULL},  {PLANE_WORKERS, "worker", NULL},
               {PLANE_CLIENTS, "gateway", "echo"}, {PLANE_WORKERS, "worker", "mmi"}, {PLANE_WORKERS, "worker", "a.b"},
               {PLANE_WORKERS, "worker", "a#b"},   {PLANE_WORKERS, "worker", "A"}};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        struct text body = hello_body(&h, bad[i].role, bad[i].service);
        send_frame(&h, bad[i].plane, "p", &head, &body, 1);
        struct frame_head nack = expect(&h, bad[i].plane, "p", FRAME_NACK);
        assert_int_equal(nack.status, 400);
        assert_int_equal(nack.corr, 3);
    }
    struct text junk = TEXT("\xdf\xff\xff\xff\xff");
    send_frame(&h, PLANE_WORKERS, "p", &head, &junk, 1);
    assert_int_equal(expect(&h, PLANE_WORKERS, "p", FRAME_NACK).status, 400);
    say_hello(&h, PLANE_CLIENTS, "c", "");
    struct text body = hello_body(&h, "gateway", NULL);
    send_frame(&h, PLANE_CLIENTS, "d", &head, &body, 1);
    assert_int_equal(expect(&h, PLANE_CLIENTS, "d", FRAME_NACK).status, 503);
    harness_release(&h);
}

static void test_credit_is_absolute_and_drain_stops_it(void **state)
{
    (void)state;
    struct harness h;
    harness_init(&h);
    harness_start(&h);
    uint32_t worker = say_hello(&h, PLANE_WORKERS, "w", "echo:1,other:1");
    uint32_t client = say_hello(&h, PLANE_CLIENTS, "c", "");
    struct frame_head credit = head_of(&h, FRAME_CREDIT, worker, 0);
    credit.credit = 0;
    send_frame(&h, PLANE_WORKERS, "w", &credit, NULL, 0);
    for (uint64_t corr = 1; corr <= 4; corr++) {
        struct frame_head head = head_of(&h, FRAME_REQUEST, client, corr);
        send_request(&h, "c", &head, "other.say");
    }
    expect_nothing(&h);
    credit.credit = 2;
    send_frame(&h, PLANE_WORKERS, "w", &credit, NULL, 0);
    send_frame(&h, PLANE_WORKERS, "w", &credit, NULL, 0);
    struct frame_head given = expect(&h, PLANE_WORKERS, "w", FRAME_REQUEST);
    expect(&h, PLANE_WORKERS, "w", FRAME_REQUEST);
    expect_nothing(&h);
    struct frame_head drain = head_of(&h, FRAME_DRAIN, worker, 0);
    send_frame(&h, PLANE_WORKERS, "w", &drain, NULL, 0);
    send_reply(&h, "w", worker, given.corr);
    expect(&h, PLANE_CLIENTS, "c", FRAME_REPLY);
    expect_nothing(&h);
    say_hello(&h, PLANE_WORKERS, "v", "other:1");
    assert_int_equal(expect(&h, PLANE_WORKERS, "v", FRAME_REQUEST).request_id[0], 3);
    harness_release(&h);
}

/* Names of services are bounded; one that nobody serves any more makes room. */
static void test_services_are_bounded(void **state)
{
    (void)state;
    struct harness h;
    char id[8], services[24];
    harness_init(&h);
    h.settings.peers_max = MMI_MAX_SERVICES + 10;
    harness_start(&h);
    for (int i = 0; i < MMI_MAX_SERVICES; i++) {
        snprintf(id, sizeof id, "w%d", i);
        snprintf(services, sizeof services, "s%d:1", i);
        (void)say_hello(&h, PLANE_WORKERS, id, services);
    }
    struct hello_service wanted = {.name = TEXT("more"), .credit = 1};
    struct hello hello = {
        .role = TEXT("worker"), .instance = TEXT("x"), .version = TEXT("1"), .services = {&wanted, 1}, .hb_ms = 1000};
    struct text body = record_pack_in(&hello_record, &hello, &h.arena);
    struct frame_head head = head_of(&h, FRAME_HELLO, 0, 0);
    send_frame(&h, PLANE_WORKERS, "x", &head, &body, 1);
    assert_int_equal(expect(&h, PLANE_WORKERS, "x", FRAME_NACK).status, 503);
    broker_peer_gone(h.broker, PLANE_WORKERS, TEXT("w7"), h.now_us);
    (void)say_hello(&h, PLANE_WORKERS, "x", "more:1");
    harness_release(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heartbeats),
        cmocka_unit_test(test_a_stall_of_the_broker_kills_nobody),
        cmocka_unit_test(test_frames_without_a_session_get_bye),
        cmocka_unit_test(test_hello_again),
        cmocka_unit_test(test_bad_hellos_are_refused),
        cmocka_unit_test(test_credit_is_absolute_and_drain_stops_it),
        cmocka_unit_test(test_services_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
