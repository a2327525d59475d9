/* The core as a whole: garbage, drain, and a model. The model throws random frames, deaths and jumps of the clock at
 * the core and checks with books of its own that every accepted request ends once, that no worker has more than its
 * credit, and that nothing is begun after its time. */
#include "tests/broker/harness.h"

static void test_garbage_is_counted_and_harms_nobody(void **state)
{
    (void)state;
    struct harness h;
    harness_init(&h);
    harness_start(&h);
    uint32_t worker = say_hello(&h, PLANE_WORKERS, "w", "echo:1");
    uint32_t client = say_hello(&h, PLANE_CLIENTS, "c", "");
    const struct text frames[] = {TEXT(""), TEXT("BUS1"), TEXT("GET / HTTP/1.1\r\n\r\n")};
    for (size_t i = 0; i < ARRAY_COUNT(frames); i++) {
        broker_receive(h.broker, PLANE_CLIENTS, TEXT("c"), frames[i], NULL, h.now_us);
        broker_receive(h.broker, PLANE_WORKERS, TEXT("stranger"), frames[i], parcel_of(frames, 3), h.now_us);
    }
    struct frame_head head = head_of(&h, FRAME_WELCOME, client, 1);
    send_frame(&h, PLANE_CLIENTS, "c", &head, NULL, 0); /* nothing that a peer sends */
    head.type = FRAME_REQUEST;
    head.epoch = worker;
    send_frame(&h, PLANE_WORKERS, "w", &head, NULL, 0);
    head.type = FRAME_REPLY;
    head.epoch = client;
    send_frame(&h, PLANE_CLIENTS, "c", &head, frames, 2);
    head.type = FRAME_CREDIT;
    send_frame(&h, PLANE_CLIENTS, "c", &head, NULL, 0);
    head.type = FRAME_PING;
    send_frame(&h, PLANE_CLIENTS, "c", &head, frames, 2);
    expect_nothing(&h);
    assert_int_equal(broker_counts(h.broker).garbage, 11);
    head = head_of(&h, FRAME_REQUEST, client, 1);
    head.flags = FRAME_REPEATABLE;
    send_request(&h, "c", &head, "echo.say");
    struct frame_head given = expect(&h, PLANE_WORKERS, "w", FRAME_REQUEST);
    given.type = FRAME_REPLY;
    given.epoch = worker;
    send_frame(&h, PLANE_WORKERS, "w", &given, frames, 1); /* an answer that cannot be read: the worker starts anew */
    expect(&h, PLANE_WORKERS, "w", FRAME_BYE);
    say_hello(&h, PLANE_WORKERS, "w", "echo:1");
    assert_int_equal(expect(&h, PLANE_WORKERS, "w", FRAME_REQUEST).attempt, 2);
    harness_release(&h);
}

static void test_drain_and_stop(void **state)
{
    (void)state;
    struct harness h;
    harness_init(&h);
    harness_start(&h);
    uint32_t worker = say_hello(&h, PLANE_WORKERS, "w", "echo:1");
    uint32_t client = say_hello(&h, PLANE_CLIENTS, "c", "");
    for (uint64_t corr = 1; corr <= 3; corr++) {
        struct frame_head head = head_of(&h, FRAME_REQUEST, client, corr);
        send_request(&h, "c", &head, "echo.say");
    }
    struct frame_head given = expect(&h, PLANE_WORKERS, "w", FRAME_REQUEST);
    broker_drain(h.broker, h.now_us);
    expect(&h, PLANE_CLIENTS, "c", FRAME_DRAIN);
    expect(&h, PLANE_WORKERS, "w", FRAME_DRAIN);
    struct frame_head head = head_of(&h, FRAME_REQUEST, client, 4);
    send_request(&h, "c", &head, "echo.say");
    expect_nack(&h, "c", 4, 503);
    send_reply(&h, "w", worker, given.corr); /* what was accepted goes on */
    expect(&h, PLANE_CLIENTS, "c", FRAME_REPLY);
    expect(&h, PLANE_WORKERS, "w", FRAME_REQUEST);
    broker_stop(h.broker, h.now_us);
    expect_nack(&h, "c", 3, 503);
    expect_nack(&h, "c", 2, 502);
    expect(&h, PLANE_CLIENTS, "c", FRAME_BYE);
    expect(&h, PLANE_WORKERS, "w", FRAME_BYE);
    expect_nothing(&h);
    harness_release(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_garbage_is_counted_and_harms_nobody),
        cmocka_unit_test(test_drain_and_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
