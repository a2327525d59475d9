/* Publisher and subscriber with the real broker between them. */
#include <stdio.h>

#include "lib/bus/publisher.h"
#include "lib/bus/subscriber.h"
#include "tests/lib/bus/broker_scene.h"

struct heard {
    pthread_mutex_t lock;
    int64_t seqs[64];
    bool gaps[64];
    char data[64][16];
    char private_data[64][16];
    _Atomic int count;
};

static void hear(void *user, const struct subscriber_event *event)
{
    struct heard *heard = user;
    int at = heard->count;
    assert_true(at < 64);
    heard->seqs[at] = event->meta->seq;
    heard->gaps[at] = event->gap;
    assert_true(text_to_string(event->data, heard->data[at], 16));
    assert_true(text_to_string(event->private_data, heard->private_data[at], 16));
    heard->count++;
}

static void event_send(struct publisher *publisher, const char *topic, int64_t epoch, int64_t seq, int64_t tseq)
{
    struct event_meta meta = {.stream = TEXT("main"),
                              .epoch = epoch,
                              .seq = seq,
                              .tseq = tseq,
                              .id = TEXT("evt"),
                              .type = TEXT("order.placed"),
                              .source = TEXT("order"),
                              .subject = TEXT("ord"),
                              .time = TEXT("2026-01-01T00:00:00.000Z"),
                              .specversion = TEXT("1.0"),
                              .datacontenttype = TEXT("application/msgpack")};
    publisher_send(publisher, text_of(topic), &meta, TEXT("data"), TEXT("private"));
}

static void beacon_send(struct publisher *publisher, struct arena *arena, int64_t epoch, int64_t seq)
{
    struct event_meta meta = {.stream = TEXT("main"),
                              .epoch = epoch,
                              .seq = seq,
                              .type = TEXT("_head"),
                              .time = TEXT("2026-01-01T00:00:00.000Z"),
                              .specversion = TEXT("1.0"),
                              .datacontenttype = TEXT("application/msgpack")};
    struct stream_head head = {.stream = TEXT("main"), .epoch = epoch, .seq = seq};
    publisher_send(publisher, TEXT("_head."), &meta, record_pack_in(&stream_head_record, &head, arena),
                   (struct text){0});
}

static bool beacon_arrived(struct publisher *publisher, struct arena *arena, struct subscriber *subscriber)
{
    beacon_send(publisher, arena, 1, 5);
    return subscriber_seq(subscriber) == 5;
}

static void test_events(void **state)
{
    struct scene *scene = *state;
    struct broker_thread broker;
    struct heard heard = {.count = 0};
    static const char *const topics[] = {"order.", NULL};
    char message[128];
    broker_thread_start(&broker, scene->context, scene->base);
    struct publisher *publisher = publisher_new(&scene->rig.env, &scene->rig.bus, message, sizeof message);
    struct subscriber *subscriber =
        subscriber_new(&scene->rig.env, &scene->rig.bus, topics, hear, &heard, message, sizeof message);
    assert_non_null(publisher);
    assert_non_null(subscriber);
    assert_true(subscriber_silence_ms(subscriber) == INT64_MAX);
    RIG_WAIT(beacon_arrived(publisher, &scene->arena, subscriber));
    assert_true(subscriber_silence_ms(subscriber) < RIG_PATIENCE_MS);
    assert_int_equal(subscriber_epoch(subscriber), 1);
    event_send(publisher, "order.placed.", 1, 6, 1);
    event_send(publisher, "session.ended.", 1, 7, 1); /* not asked for */
    event_send(publisher, "order.placed.", 1, 8, 2);
    event_send(publisher, "order.placed.", 1, 8, 2);    /* a repeat */
    event_send(publisher, "order.placed.", 1, 10, 4);   /* one is missing */
    event_send(publisher, "order.placed.", 2, 1000, 1); /* the log was restored */
    event_send(publisher, "order.placed.", 1, 11, 5);   /* of the old log */
    event_send(publisher, "order.placed.", 2, 1001, 2);
    RIG_WAIT(heard.count == 5);
    static const int64_t seqs[] = {6, 8, 10, 1000, 1001};
    static const bool gaps[] = {false, false, true, true, false};
    for (int i = 0; i < 5; i++) {
        assert_int_equal(heard.seqs[i], seqs[i]);
        assert_int_equal(heard.gaps[i], gaps[i]);
        assert_string_equal(heard.data[i], "data");
        assert_string_equal(heard.private_data[i], "private");
    }
    subscriber_destroy(&subscriber);
    publisher_destroy(&publisher);
    assert_int_equal(broker_thread_stop(&broker), 0);
}

/* Who gets everything sees a loss at the next event, of whatever topic, and at the beacon. */
static void test_everything(void **state)
{
    struct scene *scene = *state;
    struct broker_thread broker;
    struct heard heard = {.count = 0};
    char message[128];
    broker_thread_start(&broker, scene->context, scene->base);
    struct publisher *publisher = publisher_new(&scene->rig.env, &scene->rig.bus, message, sizeof message);
    struct subscriber *subscriber =
        subscriber_new(&scene->rig.env, &scene->rig.bus, NULL, hear, &heard, message, sizeof message);
    assert_true(publisher && subscriber);
    RIG_WAIT(beacon_arrived(publisher, &scene->arena, subscriber));
    event_send(publisher, "order.placed.", 1, 6, 1);
    event_send(publisher, "session.ended.", 1, 8, 1); /* an order's event is missing */
    beacon_send(publisher, &scene->arena, 1, 8);      /* not handed on */
    beacon_send(publisher, &scene->arena, 1, 9);
    event_send(publisher, "order.placed.", 1, 9, 2); /* told of already */
    event_send(publisher, "order.placed.", 1, 10, 3);
    RIG_WAIT(heard.count == 4);
    static const int64_t seqs[] = {6, 8, 9, 10};
    static const bool gaps[] = {false, true, true, false};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(heard.seqs[i], seqs[i]);
        assert_int_equal(heard.gaps[i], gaps[i]);
    }
    assert_string_equal(heard.data[2], ""); /* a beacon is no event */
    subscriber_destroy(&subscriber);
    publisher_destroy(&publisher);
    assert_int_equal(broker_thread_stop(&broker), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_events, scene_open, scene_close),
        cmocka_unit_test_setup_teardown(test_everything, scene_open, scene_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
