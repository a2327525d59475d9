/* A session, seen from a broker that is a ROUTER in this test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/bus/main.h"
#include "lib/bus/peer.h"
#include "proto/fault.h"
#include "tests/lib/bus/rig.h"

struct table {
    void *context, *router;
    struct hello_service served;
    struct peer_settings settings;
    struct peer peer;
    char routing[64];
    int routing_size;
};

static int table_open(void **state)
{
    static struct table table;
    table = (struct table){.served = {.name = TEXT("product"), .credit = 5}};
    table.context = bus_context_new();
    table.router = zmq_socket(table.context, ZMQ_ROUTER);
    assert_int_equal(zmq_bind(table.router, "inproc://table"), 0);
    table.settings = (struct peer_settings){.context = table.context,
                                            .role = "worker",
                                            .instance = "me",
                                            .services = &table.served,
                                            .service_count = 1,
                                            .heartbeat_ms = 50};
    peer_open(&table.peer, &table.settings, "inproc://table");
    *state = &table;
    return 0;
}

static int table_close(void **state)
{
    struct table *table = *state;
    peer_close(&table->peer);
    zmq_close(table->router);
    bus_context_destroy(&table->context);
    return 0;
}

/* One frame of this type from the peer; its body, if it has one, in out_body. */
static bool frame_came(struct table *table, enum frame_type type, struct frame_head *out, char *out_body, int *out_size)
{
    uint8_t head[FRAME_HEAD_SIZE];
    int more = 0;
    size_t more_size = sizeof more;
    int size = zmq_recv(table->router, table->routing, sizeof table->routing, ZMQ_DONTWAIT);
    if (size < 0) {
        return false;
    }
    table->routing_size = size;
    assert_int_equal(zmq_recv(table->router, head, sizeof head, 0), FRAME_HEAD_SIZE);
    assert_int_equal(zmq_getsockopt(table->router, ZMQ_RCVMORE, &more, &more_size), 0);
    *out_size = more ? zmq_recv(table->router, out_body, 1024, 0) : 0;
    assert_true(frame_head_read((struct text){(char *)head, sizeof head}, out));
    return out->type == type;
}

static enum peer_news turn(struct table *table)
{
    struct message message;
    enum peer_news news = peer_receive(&table->peer, &message);
    if (news == PEER_MESSAGE) {
        message_release(&message);
    }
    if (news == PEER_EMPTY) {
        news = peer_tick(&table->peer, clock_now_ms());
    }
    return news;
}

static struct frame_head expect(struct table *table, enum frame_type type)
{
    struct frame_head head;
    char body[1024];
    int size;
    RIG_WAIT((turn(table), frame_came(table, type, &head, body, &size)));
    return head;
}

static void answer(struct table *table, struct frame_head *head, struct text body)
{
    uint8_t packed[FRAME_HEAD_SIZE];
    frame_head_write(head, packed);
    zmq_send(table->router, table->routing, (size_t)table->routing_size, ZMQ_SNDMORE);
    zmq_send(table->router, packed, sizeof packed, body.size ? ZMQ_SNDMORE : 0);
    if (body.size) {
        zmq_send(table->router, body.data, body.size, 0);
    }
}

static void welcome(struct table *table, uint32_t epoch)
{
    AUTO(arena_release) struct arena arena = {0};
    struct welcome record = {.broker = TEXT("b"), .epoch = epoch, .hb_ms = 50, .max_body = 100000};
    struct frame_head head = {.type = FRAME_WELCOME, .epoch = epoch, .t_send_us = clock_now_us()};
    answer(table, &head, record_pack_in(&welcome_record, &record, &arena));
    RIG_WAIT(turn(table) == PEER_UP);
    assert_int_equal(table->peer.epoch, epoch);
}

static void test_hello(void **state)
{
    struct table *table = *state;
    AUTO(arena_release) struct arena arena = {0};
    struct frame_head first, second;
    struct hello hello;
    char body[1024];
    int size;
    RIG_WAIT((turn(table), frame_came(table, FRAME_HELLO, &first, body, &size)));
    assert_int_equal(record_unpack(&hello_record, (struct text){body, (uint32_t)size}, &arena, NULL, &hello), ERR_NONE);
    assert_true(text_is(hello.role, "worker") && text_is(hello.instance, "me"));
    assert_int_equal(hello.services.items[0].credit, 5);
    assert_int_equal(first.epoch, 0);
    second = expect(table, FRAME_HELLO); /* no WELCOME: again, for the same session */
    assert_true(first.corr != 0 && first.corr == second.corr);
    assert_false(table->peer.up);
    welcome(table, 77);
    assert_false(peer_ping_due(&table->peer, clock_now_ms() - 1000));
    RIG_WAIT(peer_ping_due(&table->peer, clock_now_ms()));
    peer_ping(&table->peer, clock_now_ms(), TEXT("metrics"), 5);
    struct frame_head ping;
    RIG_WAIT(frame_came(table, FRAME_PING, &ping, body, &size));
    assert_int_equal(ping.epoch, 77);
    assert_int_equal(ping.corr, 5);
    assert_memory_equal(body, "metrics", 7);
}

static void test_bye(void **state)
{
    struct table *table = *state;
    struct frame_head first = expect(table, FRAME_HELLO);
    welcome(table, 77);
    struct frame_head bye = {.type = FRAME_BYE, .epoch = 76};
    answer(table, &bye, (struct text){0});
    bye.epoch = 77;
    answer(table, &bye, (struct text){0});
    assert_true(table->peer.up);
    RIG_WAIT(turn(table) == PEER_LOST); /* by the second one */
    struct frame_head again = expect(table, FRAME_HELLO);
    assert_true(again.corr != first.corr);
    welcome(table, 78);
    peer_close(&table->peer);
    struct frame_head goodbye;
    char body[1024];
    int size;
    RIG_WAIT(frame_came(table, FRAME_BYE, &goodbye, body, &size));
    assert_int_equal(goodbye.epoch, 78);
}

static void test_silence(void **state)
{
    struct table *table = *state;
    expect(table, FRAME_HELLO);
    welcome(table, 77);
    int64_t heard_ms = table->peer.heard_ms;
    RIG_WAIT(turn(table) == PEER_LOST);
    assert_true(clock_now_ms() - heard_ms > 150);
    expect(table, FRAME_HELLO);
}

static void test_being_stopped_is_not_silence(void **state)
{
    struct table *table = *state;
    expect(table, FRAME_HELLO);
    welcome(table, 77);
    int64_t now_ms = clock_now_ms();
    assert_int_equal(peer_tick(&table->peer, now_ms), PEER_NOTHING);
    assert_int_equal(peer_tick(&table->peer, now_ms + 60000), PEER_NOTHING); /* nobody ticked for a minute */
    assert_int_equal(peer_tick(&table->peer, now_ms + 60040), PEER_NOTHING);
    assert_int_equal(peer_tick(&table->peer, now_ms + 60080), PEER_LOST);
}

static void test_refusal(void **state)
{
    struct table *table = *state;
    AUTO(arena_release) struct arena arena = {0};
    struct fault fault;
    struct problem problem;
    expect(table, FRAME_HELLO);
    fault_init(&fault, &arena);
    fault_set(&fault, ERR_FORBIDDEN, "not you");
    fault_to_problem(&fault, &problem);
    struct text body = record_pack_in(&problem_record, &problem, &arena);
    uint8_t packed[FRAME_HEAD_SIZE];
    struct frame_head head = {.type = FRAME_NACK, .status = 403};
    frame_head_write(&head, packed);
    zmq_send(table->router, table->routing, (size_t)table->routing_size, ZMQ_SNDMORE);
    zmq_send(table->router, packed, sizeof packed, ZMQ_SNDMORE);
    zmq_send(table->router, "", 0, ZMQ_SNDMORE);
    zmq_send(table->router, body.data, body.size, 0);
    RIG_WAIT((turn(table), table->peer.refused));
    assert_string_equal(table->peer.refusal, "forbidden: not you");
}

static void test_age(void **state)
{
    struct table *table = *state;
    struct frame_head head = {.type = FRAME_REQUEST};
    table->peer.delay_us = INT64_MAX;
    head.t_send_us = clock_now_us() - 5000000; /* the other clock may be anywhere */
    assert_int_equal(peer_age_ms(&table->peer, &head), 0);
    head.t_send_us = clock_now_us() - 5300000;
    int64_t age_ms = peer_age_ms(&table->peer, &head);
    assert_true(age_ms >= 295 && age_ms <= 300);
    head.t_send_us = -1;
    assert_int_equal(peer_age_ms(&table->peer, &head), 0);
}

#define TABLE(test) cmocka_unit_test_setup_teardown(test, table_open, table_close)

int main(void)
{
    const struct CMUnitTest tests[] = {TABLE(test_hello),   TABLE(test_bye),
                                       TABLE(test_silence), TABLE(test_being_stopped_is_not_silence),
                                       TABLE(test_refusal), TABLE(test_age)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
