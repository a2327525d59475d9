#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/bus/main.h"
#include "lib/bus/message.h"

struct line {
    void *context, *a, *b;
};

static int line_open(void **state)
{
    static struct line line;
    line.context = bus_context_new();
    line.a = zmq_socket(line.context, ZMQ_DEALER);
    line.b = zmq_socket(line.context, ZMQ_DEALER);
    assert_int_equal(zmq_bind(line.a, "inproc://line"), 0);
    assert_int_equal(zmq_connect(line.b, "inproc://line"), 0);
    *state = &line;
    return 0;
}

static int line_close(void **state)
{
    struct line *line = *state;
    zmq_close(line->a);
    zmq_close(line->b);
    bus_context_destroy(&line->context);
    return 0;
}

static struct message hello(void)
{
    return (struct message){.head = {.type = FRAME_REQUEST, .attempt = 1, .corr = 7, .priority = 2, .budget_ms = 9}};
}

static void test_round_trip(void **state)
{
    struct line *line = *state;
    char large[5000];
    memset(large, 'x', sizeof large);
    struct message sent = hello();
    struct message received;
    message_add(&sent, TEXT("small"));
    message_add(&sent, (struct text){0});
    message_add(&sent, (struct text){large, sizeof large});
    assert_true(message_send_again(line->a, &sent));
    assert_true(message_send(line->a, &sent));
    assert_int_equal(sent.part_count, 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(message_receive(line->b, &received), MESSAGE_GOOD);
        struct message moved = {0};
        message_move(&moved, &received);
        assert_int_equal(received.part_count, 0);
        assert_int_equal(moved.part_count, 3);
        assert_int_equal(moved.head.corr, 7);
        assert_true(moved.head.t_send_us > 0);
        assert_true(text_is(message_part(&moved, 0), "small"));
        assert_int_equal(message_part(&moved, 1).size, 0);
        assert_memory_equal(message_part(&moved, 2).data, large, sizeof large);
        assert_int_equal(message_part(&moved, 3).size, 0);
        message_release(&moved);
        message_release(&moved);
    }
    assert_int_equal(message_receive(line->b, &received), MESSAGE_NONE);
}

static void test_garbage(void **state)
{
    struct line *line = *state;
    struct message received;
    uint8_t head[FRAME_HEAD_SIZE];
    struct message good = hello();
    frame_head_write(&good.head, head);
    zmq_send(line->a, "short", 5, 0);
    zmq_send(line->a, "", 0, ZMQ_SNDMORE);
    zmq_send(line->a, head, sizeof head, ZMQ_SNDMORE);
    zmq_send(line->a, "x", 1, 0);
    zmq_send(line->a, head, sizeof head, ZMQ_SNDMORE);
    for (int i = 0; i < 4; i++) {
        zmq_send(line->a, "x", 1, i < 3 ? ZMQ_SNDMORE : 0);
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(message_receive(line->b, &received), MESSAGE_BAD);
    }
    assert_true(message_send(line->a, &good));
    assert_int_equal(message_receive(line->b, &received), MESSAGE_GOOD);
    assert_int_equal(received.part_count, 0);
    assert_int_equal(message_receive(line->b, &received), MESSAGE_NONE);
}

static void test_nobody_there(void **state)
{
    struct line *line = *state;
    int one = 1;
    void *alone = zmq_socket(line->context, ZMQ_DEALER);
    struct message sent = hello();
    zmq_setsockopt(alone, ZMQ_IMMEDIATE, &one, sizeof one);
    message_add(&sent, TEXT("kept"));
    assert_false(message_send(alone, &sent));
    assert_true(text_is(message_part(&sent, 0), "kept"));
    assert_false(message_send_again(alone, &sent));
    message_release(&sent);
    zmq_close(alone);
}

#define LINE(test) cmocka_unit_test_setup_teardown(test, line_open, line_close)

int main(void)
{
    const struct CMUnitTest tests[] = {LINE(test_round_trip), LINE(test_garbage), LINE(test_nobody_there)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
