/* Events from publishers to the inside and to the outside. */
#include "tests/broker/live.h"

#include "broker/relay.h"

struct stage {
    void *context;
    struct metrics *metrics;
    struct relay *relay;
    void *publisher, *inside, *outside;
};

static void *socket_to(struct stage *stage, int type, const char *address)
{
    int linger = 0, wait_ms = 20;
    void *socket = zmq_socket(stage->context, type);
    zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger);
    zmq_setsockopt(socket, ZMQ_RCVTIMEO, &wait_ms, sizeof wait_ms);
    assert_int_equal(zmq_connect(socket, address), 0);
    return socket;
}

static void publish(struct stage *stage, const char *topic, const char *data, int frames)
{
    const char *list[] = {topic, "meta", data, "private", "more"};
    for (int i = 0; i < frames; i++) {
        zmq_send(stage->publisher, list[i], strlen(list[i]), i + 1 < frames ? ZMQ_SNDMORE : 0);
    }
}

/* Receives one message; returns how many frames it had (0: none came) and its topic and last frame. */
static int receive(void *socket, char topic[32], char last[32])
{
    int count = 0, more = 1;
    size_t more_size = sizeof more;
    while (more) {
        char *to = count == 0 ? topic : last;
        int size = zmq_recv(socket, to, 31, 0);
        if (size < 0) {
            return 0;
        }
        to[size < 31 ? size : 31] = '\0';
        count++;
        zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &more_size);
    }
    return count;
}

/* Publishes until the subscriber hears it: only then has its subscription reached the publisher. */
static void wait_for(struct stage *stage, void *subscriber, const char *topic)
{
    char got[32] = "", last[32];
    for (int tries = 0; tries < 500; tries++) {
        publish(stage, topic, "probe", 4);
        if (receive(subscriber, got, last) > 0) {
            break;
        }
    }
    assert_string_equal(got, topic);
    while (receive(subscriber, got, last) > 0) {
    }
}

static void stage_open(struct stage *stage)
{
    char message[256] = "";
    *stage = (struct stage){.context = bus_context_new(), .metrics = metrics_new()};
    struct relay_settings settings = {.context = stage->context,
                                      .publish = "inproc://publish",
                                      .events = "inproc://events",
                                      .outside = "inproc://outside",
                                      .hwm = 1000,
                                      .metrics = stage->metrics};
    stage->relay = relay_new(&settings, message, sizeof message);
    assert_non_null(stage->relay);
    stage->publisher = socket_to(stage, ZMQ_PUB, settings.publish);
    stage->inside = socket_to(stage, ZMQ_SUB, settings.events);
    stage->outside = socket_to(stage, ZMQ_SUB, settings.outside);
    zmq_setsockopt(stage->inside, ZMQ_SUBSCRIBE, "", 0);
    zmq_setsockopt(stage->outside, ZMQ_SUBSCRIBE, "order.", 6);
    zmq_setsockopt(stage->outside, ZMQ_SUBSCRIBE, "session.", 8);
    wait_for(stage, stage->inside, "probe.");
    wait_for(stage, stage->outside, "order.probe.");
    char topic[32], last[32];
    while (receive(stage->inside, topic, last) > 0) {
    }
}

static void stage_close(struct stage *stage)
{
    zmq_close(stage->publisher);
    zmq_close(stage->inside);
    zmq_close(stage->outside);
    relay_destroy(&stage->relay);
    metrics_destroy(&stage->metrics);
    bus_context_destroy(&stage->context);
}

static void test_inside_all_outside_only_what_is_public(void **state)
{
    (void)state;
    struct stage stage;
    char topic[32], last[32];
    stage_open(&stage);
    publish(&stage, "session.ended.", "", 4);
    publish(&stage, "order.placed.", "data", 4);
    assert_int_equal(receive(stage.inside, topic, last), 4);
    assert_string_equal(topic, "session.ended.");
    assert_int_equal(receive(stage.inside, topic, last), 4);
    assert_string_equal(last, "private");
    assert_int_equal(receive(stage.outside, topic, last), 3); /* the session never comes */
    assert_string_equal(topic, "order.placed.");
    assert_string_equal(last, "data");
    stage_close(&stage);
}

static void test_garbage_is_counted_and_goes_nowhere(void **state)
{
    (void)state;
    struct stage stage;
    char topic[32], last[32];
    stage_open(&stage);
    struct metric *garbage = metrics_get(stage.metrics, METRIC_COUNTER, "zmart_broker_garbage_events_total", "", "");
    assert_int_equal(metric_value(garbage), 0);
    publish(&stage, "order.short.", "data", 1);
    publish(&stage, "order.short.", "data", 3);
    publish(&stage, "order.long.", "data", 5);
    void *rogue = socket_to(&stage, ZMQ_XSUB, "inproc://outside");
    zmq_send(rogue, "x\0\0junk", 7, 0); /* neither subscribes nor unsubscribes */
    zmq_send(rogue, "\1order.", 7, 0);
    publish(&stage, "order.good.", "data", 4);
    assert_int_equal(receive(stage.outside, topic, last), 3);
    assert_string_equal(topic, "order.good.");
    assert_int_equal(receive(stage.inside, topic, last), 4);
    assert_string_equal(topic, "order.good.");
    assert_int_equal(receive(stage.inside, topic, last), 0);
    assert_true(metric_value(garbage) >= 3);
    zmq_close(rogue);
    stage_close(&stage);
}

static void test_an_address_that_cannot_be_bound(void **state)
{
    (void)state;
    char message[256] = "";
    void *context = bus_context_new();
    struct metrics *metrics = metrics_new();
    struct relay_settings settings = {.context = context,
                                      .publish = "inproc://same",
                                      .events = "inproc://same",
                                      .outside = "",
                                      .hwm = 10,
                                      .metrics = metrics};
    assert_null(relay_new(&settings, message, sizeof message));
    assert_non_null(strstr(message, "inproc://same"));
    metrics_destroy(&metrics);
    bus_context_destroy(&context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_inside_all_outside_only_what_is_public),
                                       cmocka_unit_test(test_garbage_is_counted_and_goes_nowhere),
                                       cmocka_unit_test(test_an_address_that_cannot_be_bound)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
