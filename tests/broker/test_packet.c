#include "tests/broker/live.h"

#include <errno.h>

#include "broker/packet.h"

enum { SIZE = 100000 };

struct pair {
    void *context, *router, *dealer;
    struct packets packets;
};

static void pair_open(struct pair *pair)
{
    int mandatory = 1;
    *pair = (struct pair){.context = bus_context_new()};
    pair->router = zmq_socket(pair->context, ZMQ_ROUTER);
    zmq_setsockopt(pair->router, ZMQ_ROUTER_MANDATORY, &mandatory, sizeof mandatory);
    assert_int_equal(zmq_bind(pair->router, "inproc://router"), 0);
    pair->dealer = dealer_open(pair->context, "inproc://router");
}

static void pair_close(struct pair *pair)
{
    packets_release(&pair->packets);
    zmq_close(pair->router);
    zmq_close(pair->dealer);
    bus_context_destroy(&pair->context);
}

/* Receives routing id and head into a send, and what follows into its parcel. */
static struct send receive(struct pair *pair)
{
    struct send send = {.parcel = NULL};
    send.to_size = (uint8_t)zmq_recv(pair->router, send.to, sizeof send.to, 0);
    assert_true(zmq_recv(pair->router, send.head, sizeof send.head, 0) >= 0);
    send.parcel = packet_receive(&pair->packets, pair->router);
    return send;
}

static void dealer_say(struct pair *pair, int parts)
{
    char head[FRAME_HEAD_SIZE] = "head";
    zmq_send(pair->dealer, head, sizeof head, parts ? ZMQ_SNDMORE : 0);
    for (int i = 0; i < parts; i++) {
        zmq_msg_t message;
        zmq_msg_init_size(&message, SIZE);
        memset(zmq_msg_data(&message), 'a' + i, SIZE);
        zmq_msg_send(&message, pair->dealer, i + 1 < parts ? ZMQ_SNDMORE : 0);
    }
}

/* Over inproc the receiver sees the sender's very bytes, unless somebody copied them on the way. */
static void expect_bytes(struct pair *pair, const char *const *data, int parts)
{
    char head[FRAME_HEAD_SIZE];
    assert_int_equal(zmq_recv(pair->dealer, head, sizeof head, 0), sizeof head);
    for (int i = 0; i < parts; i++) {
        zmq_msg_t message;
        zmq_msg_init(&message);
        assert_int_equal(zmq_msg_recv(&message, pair->dealer, 0), SIZE);
        assert_ptr_equal(zmq_msg_data(&message), data[i]);
        assert_int_equal(zmq_msg_more(&message), i + 1 < parts);
        zmq_msg_close(&message);
    }
}

static void test_bodies_are_shared_and_moved(void **state)
{
    (void)state;
    struct pair pair;
    pair_open(&pair);
    dealer_say(&pair, 3);
    struct send send = receive(&pair);
    const char *data[] = {send.parcel->parts[0].data, send.parcel->parts[1].data, send.parcel->parts[2].data};
    assert_int_equal(send.parcel->part_count, 3);
    assert_int_equal(send.parcel->size, 3 * SIZE);
    assert_false(parcel_is_own(send.parcel));
    struct parcel *kept = parcel_share(send.parcel);
    assert_int_equal(packet_send(pair.router, &send), 0);
    assert_null(send.parcel);
    expect_bytes(&pair, data, 3);
    assert_int_equal(kept->parts[2].data[SIZE - 1], 'c'); /* still there, for another worker */
    send.parcel = kept;
    assert_int_equal(packet_send(pair.router, &send), 0);
    expect_bytes(&pair, data, 3);
    pair_close(&pair);
}

static void test_too_many_and_none(void **state)
{
    (void)state;
    struct pair pair;
    pair_open(&pair);
    dealer_say(&pair, 0);
    assert_null(receive(&pair).parcel);
    dealer_say(&pair, 50);
    struct send send = receive(&pair);
    assert_int_equal(send.parcel->part_count, PARCEL_MAX_PARTS + 1);
    parcel_drop(&send.parcel);
    dealer_say(&pair, 1); /* the next message is whole */
    send = receive(&pair);
    assert_int_equal(send.parcel->part_count, 1);
    send.to[0] ^= 0xff;
    assert_int_equal(packet_send(pair.router, &send), EHOSTUNREACH);
    assert_non_null(send.parcel); /* nothing was sent */
    parcel_drop(&send.parcel);
    pair_close(&pair);
}

static void test_own_answers(void **state)
{
    (void)state;
    struct pair pair;
    char got[16];
    pair_open(&pair);
    dealer_say(&pair, 0);
    struct send send = receive(&pair);
    send.parcel = parcel_of((struct text[]){{0}, TEXT("no")}, 2);
    assert_int_equal(packet_send(pair.router, &send), 0);
    assert_int_equal(zmq_recv(pair.dealer, got, sizeof got, 0), FRAME_HEAD_SIZE);
    assert_int_equal(zmq_recv(pair.dealer, got, sizeof got, 0), 0);
    assert_int_equal(zmq_recv(pair.dealer, got, sizeof got, 0), 2);
    pair_close(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bodies_are_shared_and_moved),
                                       cmocka_unit_test(test_too_many_and_none), cmocka_unit_test(test_own_answers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
