/* A tap on a PUB socket that is this test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zmq.h>

#include "lib/base/clock.h"
#include "lib/bus/main.h"
#include "lib/bus/tap.h"

enum { WAIT_MS = 5000, TURN_MS = 10 };

struct fixture {
    struct log log;
    struct env env;
    void *pub;
    struct event_tap *tap;
    char address[64];
};

static void fixture_open(struct fixture *f, const char *const *topics)
{
    char message[200];
    *f = (struct fixture){.log = {.fd = STDERR_FILENO, .level = LOG_ERROR, .program = "test"}};
    f->env = (struct env){.log = &f->log, .metrics = metrics_new(), .bus_context = bus_context_new(), .stop_fd = -1};
    f->pub = zmq_socket(f->env.bus_context, ZMQ_XPUB);
    snprintf(f->address, sizeof f->address, "inproc://tap-%p", (void *)f);
    assert_int_equal(zmq_bind(f->pub, f->address), 0);
    struct tap_settings settings = {.address = f->address, .topics = topics, .keys = "", .key = ""};
    f->tap = tap_new(&f->env, &settings, message, sizeof message);
    assert_non_null(f->tap);
    char subscription[80];
    int count = 1;
    for (int i = 0; topics && topics[i]; i++) {
        count++;
    }
    count += count == 1;
    for (int i = 0; i < count; i++) {
        zmq_pollitem_t item = {.socket = f->pub, .events = ZMQ_POLLIN};
        assert_int_equal(zmq_poll(&item, 1, WAIT_MS), 1);
        assert_true(zmq_recv(f->pub, subscription, sizeof subscription, 0) > 0);
    }
}

static void fixture_close(struct fixture *f)
{
    tap_destroy(&f->tap);
    zmq_close(f->pub);
    bus_context_destroy(&f->env.bus_context);
    metrics_destroy(&f->env.metrics);
}

static void frames_send(struct fixture *f, const char *topic, const struct event_meta *meta, struct text data)
{
    AUTO(arena_release) struct arena arena = {0};
    struct text packed = record_pack_in(&event_meta_record, meta, &arena);
    assert_true(zmq_send(f->pub, topic, strlen(topic), ZMQ_SNDMORE) >= 0);
    assert_true(zmq_send(f->pub, packed.data, packed.size, ZMQ_SNDMORE) >= 0);
    assert_true(zmq_send(f->pub, data.data, data.size, 0) >= 0);
}

static struct event_meta meta_of(int64_t epoch, int64_t seq, int64_t tseq, const char *type)
{
    return (struct event_meta){.stream = TEXT("zmart"),
                               .epoch = epoch,
                               .seq = seq,
                               .tseq = tseq,
                               .id = TEXT("evt_1"),
                               .type = text_of(type),
                               .time = TEXT("2026-01-02T03:04:05.678Z"),
                               .specversion = TEXT("1.0"),
                               .datacontenttype = TEXT("application/msgpack")};
}

static void event_send(struct fixture *f, int64_t epoch, int64_t seq, int64_t tseq)
{
    struct event_meta meta = meta_of(epoch, seq, tseq, "order.placed");
    frames_send(f, "order.placed.", &meta, TEXT("x"));
}

static void beacon_send(struct fixture *f, int64_t epoch, int64_t seq, int64_t placed, int64_t ended)
{
    AUTO(arena_release) struct arena arena = {0};
    struct topic_head topics[] = {{.topic = TEXT("order.placed."), .tseq = placed},
                                  {.topic = TEXT("session.ended."), .tseq = ended}};
    struct stream_head head = {.stream = TEXT("zmart"), .epoch = epoch, .seq = seq, .topics = {topics, 2}};
    struct event_meta meta = meta_of(epoch, seq, 0, "_head");
    frames_send(f, "_head.", &meta, record_pack_in(&stream_head_record, &head, &arena));
}

static void expect(struct fixture *f, enum tap_news news, int64_t seq, bool gap)
{
    struct tap_event event;
    assert_int_equal(tap_next(f->tap, WAIT_MS, &event), news);
    assert_int_equal(event.meta->seq, seq);
    assert_int_equal(event.gap, gap);
}

static void events_come_once_and_gaps_are_told(void **state)
{
    (void)state;
    struct fixture f;
    struct tap_event event;
    fixture_open(&f, NULL);
    beacon_send(&f, 1, 10, 4, 6);
    expect(&f, TAP_BEACON, 10, false); /* what was before is nobody's loss */
    event_send(&f, 1, 11, 5);
    expect(&f, TAP_EVENT, 11, false);
    event_send(&f, 1, 11, 5);
    assert_int_equal(tap_next(f.tap, WAIT_MS, &event), TAP_NOTHING); /* again */
    event_send(&f, 1, 14, 6);
    expect(&f, TAP_EVENT, 14, false); /* 12 and 13 are not for the outside */
    event_send(&f, 1, 16, 8);
    expect(&f, TAP_EVENT, 16, true);
    assert_int_equal(tap_next(f.tap, TURN_MS, &event), TAP_NOTHING);
    fixture_close(&f);
}

static void a_beacon_tells_what_was_lost_at_the_end(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    beacon_send(&f, 1, 10, 4, 6);
    expect(&f, TAP_BEACON, 10, false);
    beacon_send(&f, 1, 12, 4, 8); /* sessions are not told */
    expect(&f, TAP_BEACON, 12, false);
    beacon_send(&f, 1, 13, 5, 8);
    expect(&f, TAP_BEACON, 13, true);
    beacon_send(&f, 1, 13, 5, 8);
    expect(&f, TAP_BEACON, 13, false); /* once */
    event_send(&f, 1, 14, 6);
    expect(&f, TAP_EVENT, 14, false);
    fixture_close(&f);
}

static void another_epoch_is_told_once(void **state)
{
    (void)state;
    struct fixture f;
    struct tap_event event;
    fixture_open(&f, NULL);
    beacon_send(&f, 1, 10, 4, 6);
    expect(&f, TAP_BEACON, 10, false);
    beacon_send(&f, 2, 500, 6, 8); /* the log was restored */
    assert_int_equal(tap_next(f.tap, WAIT_MS, &event), TAP_BEACON);
    assert_true(event.gap && event.restored);
    event_send(&f, 2, 501, 7);
    assert_int_equal(tap_next(f.tap, WAIT_MS, &event), TAP_EVENT);
    assert_true(!event.gap && !event.restored);
    event_send(&f, 3, 1, 1); /* begun anew */
    assert_int_equal(tap_next(f.tap, WAIT_MS, &event), TAP_EVENT);
    assert_true(event.gap && event.restored);
    event_send(&f, 2, 502, 8); /* of an epoch that is over */
    assert_int_equal(tap_next(f.tap, WAIT_MS, &event), TAP_NOTHING);
    fixture_close(&f);
}

/* A line on which nobody says anything is opened anew, with its subscriptions. */
static void a_silent_line_is_opened_anew(void **state)
{
    (void)state;
    struct fixture f;
    struct tap_event event;
    char subscription[80];
    fixture_open(&f, NULL);
    int64_t end_ms = clock_now_ms() + 4 * WAIT_MS;
    zmq_pollitem_t item = {.socket = f.pub, .events = ZMQ_POLLIN};
    int begun = 0, verbose = 1;
    assert_int_equal(zmq_setsockopt(f.pub, ZMQ_XPUB_VERBOSE, &verbose, sizeof verbose), 0);
    while (begun < 2 && clock_now_ms() < end_ms) { /* two prefixes, as at the start */
        assert_int_equal(tap_next(f.tap, TURN_MS, &event), TAP_NOTHING);
        while (zmq_poll(&item, 1, 0) > 0) {
            assert_true(zmq_recv(f.pub, subscription, sizeof subscription, 0) > 0);
            begun += subscription[0] == 1;
        }
    }
    assert_int_equal(begun, 2);
    event_send(&f, 1, 11, 5);
    expect(&f, TAP_EVENT, 11, false);
    fixture_close(&f);
}

static void topics_and_garbage(void **state)
{
    (void)state;
    static const char *const topics[] = {"order.shipped.", NULL};
    struct fixture f;
    struct tap_event event;
    fixture_open(&f, topics);
    beacon_send(&f, 1, 10, 4, 6);
    expect(&f, TAP_BEACON, 10, false);
    event_send(&f, 1, 11, 5); /* not wanted */
    beacon_send(&f, 1, 11, 5, 6);
    expect(&f, TAP_BEACON, 11, false); /* and no loss */
    assert_true(zmq_send(f.pub, "order.shipped.", 14, ZMQ_SNDMORE) >= 0);
    assert_true(zmq_send(f.pub, "nonsense", 8, ZMQ_SNDMORE) >= 0);
    assert_true(zmq_send(f.pub, "", 0, 0) >= 0);
    assert_int_equal(tap_next(f.tap, WAIT_MS, &event), TAP_NOTHING);
    assert_true(zmq_send(f.pub, "order.shipped.", 14, 0) >= 0);
    assert_int_equal(tap_next(f.tap, WAIT_MS, &event), TAP_NOTHING);
    struct event_meta meta = meta_of(1, 12, 1, "order.shipped");
    frames_send(&f, "order.shipped.", &meta, TEXT("x"));
    expect(&f, TAP_EVENT, 12, false);
    fixture_close(&f);
}

static void bad_addresses_are_told(void **state)
{
    (void)state;
    struct log log = {.fd = STDERR_FILENO, .level = LOG_ERROR, .program = "test"};
    struct env env = {.log = &log, .bus_context = bus_context_new(), .stop_fd = -1};
    static const char *const bad[] = {"nonsense", "tcp://127.0.0.1", "udp:/x", "tcp://192.0.2.1:5556"};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        char message[300] = "";
        struct tap_settings settings = {.address = bad[i], .keys = "", .key = ""};
        assert_null(tap_new(&env, &settings, message, sizeof message));
        assert_true(message[0] != '\0');
    }
    bus_context_destroy(&env.bus_context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_come_once_and_gaps_are_told),
        cmocka_unit_test(a_beacon_tells_what_was_lost_at_the_end),
        cmocka_unit_test(another_epoch_is_told_once),
        cmocka_unit_test(a_silent_line_is_opened_anew),
        cmocka_unit_test(topics_and_garbage),
        cmocka_unit_test(bad_addresses_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
