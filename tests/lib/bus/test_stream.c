#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/bus/stream.h"

/* -1: not handed on; else whether there is a gap. */
static int event(struct stream *stream, const char *topic, int64_t epoch, int64_t seq, int64_t tseq)
{
    struct event_meta meta = {.epoch = epoch, .seq = seq, .tseq = tseq};
    bool gap = false;
    return stream_event(stream, text_of(topic), &meta, &gap) ? (int)gap : -1;
}

static bool beacon(struct stream *stream, int64_t epoch, int64_t seq, const char *topic, int64_t tseq)
{
    struct topic_head topics[] = {{.topic = text_of(topic), .tseq = tseq}};
    struct stream_head head = {.epoch = epoch, .seq = seq, .topics = {topics, 1}};
    return stream_beacon(stream, &head);
}

static void test_gaps(void **state)
{
    (void)state;
    struct stream stream = {0};
    assert_int_equal(event(&stream, "a.", 1, 7, 3), 0); /* the first one: nothing was handed on before */
    assert_int_equal(event(&stream, "b.", 1, 8, 1), 0);
    assert_int_equal(event(&stream, "a.", 1, 20, 4), 0); /* others' events lie between */
    assert_int_equal(event(&stream, "a.", 1, 20, 4), -1);
    assert_int_equal(event(&stream, "a.", 1, 19, 4), -1);
    assert_int_equal(event(&stream, "a.", 1, 30, 6), 1);
    assert_int_equal(event(&stream, "b.", 1, 31, 2), 0);
    assert_int_equal(stream.newest_seq, 31);
}

static void test_beacons(void **state)
{
    (void)state;
    struct stream stream = {0};
    beacon(&stream, 1, 10, "a.", 5);
    assert_int_equal(stream.newest_seq, 10);
    assert_int_equal(event(&stream, "a.", 1, 12, 7), 1); /* the one with tseq 6 never came */
    beacon(&stream, 1, 20, "a.", 9);
    assert_int_equal(event(&stream, "a.", 1, 19, 8), 0); /* through a slower broker than the beacon */
    beacon(&stream, 1, 15, "a.", 7);
    assert_int_equal(stream.newest_seq, 20);
}

static void test_epochs(void **state)
{
    (void)state;
    struct stream stream = {0};
    assert_int_equal(event(&stream, "a.", 1, 7, 3), 0);
    beacon(&stream, 2, 1000, "a.", 1);
    assert_int_equal(event(&stream, "a.", 1, 8, 4), -1);
    assert_int_equal(event(&stream, "a.", 2, 1001, 2), 1); /* who was in the old epoch has missed things */
    assert_int_equal(event(&stream, "a.", 2, 1002, 3), 0);
    beacon(&stream, 1, 9, "a.", 4);
    assert_int_equal(stream.epoch, 2);
}

static void test_new_topics(void **state)
{
    (void)state;
    struct stream stream = {0};
    assert_int_equal(event(&stream, "a.", 1, 7, 3), 0);
    assert_int_equal(event(&stream, "b.", 1, 9, 5), 0); /* nobody has said yet where it stood */
    assert_false(beacon(&stream, 1, 9, "a.", 3));
    assert_int_equal(event(&stream, "c.", 1, 10, 1), 0);
    assert_int_equal(event(&stream, "d.", 1, 14, 3), 1); /* had no event when the beacon came */
}

/* A loss of one topic is seen at the next event of any other, or at the beacon. */
static void test_a_receiver_of_everything(void **state)
{
    (void)state;
    struct stream stream = {.whole = true};
    assert_false(beacon(&stream, 1, 10, "a.", 5)); /* begins behind it */
    assert_int_equal(event(&stream, "a.", 1, 10, 5), -1);
    assert_int_equal(event(&stream, "b.", 1, 11, 1), 0);
    assert_int_equal(event(&stream, "a.", 1, 13, 6), 1);
    assert_int_equal(event(&stream, "a.", 1, 14, 7), 0);
    assert_false(beacon(&stream, 1, 14, "a.", 7));
    assert_true(beacon(&stream, 1, 16, "a.", 9));
    assert_false(beacon(&stream, 1, 16, "a.", 9)); /* once */
    assert_int_equal(event(&stream, "a.", 1, 16, 9), -1);
    assert_int_equal(event(&stream, "a.", 1, 17, 10), 0);
    assert_true(beacon(&stream, 2, 1000, "a.", 10)); /* another epoch */
    assert_int_equal(event(&stream, "a.", 2, 1001, 11), 0);
    assert_true(stream.whole);
    struct stream other = {.whole = true};
    assert_int_equal(event(&other, "a.", 1, 7, 3), 0);
    assert_int_equal(event(&other, "a.", 2, 1000, 1), 1);
}

static void test_many_topics(void **state)
{
    (void)state;
    struct stream stream = {0};
    char topic[EVENT_TOPIC_SIZE + 20];
    for (int i = 0; i < STREAM_MAX_TOPICS + 10; i++) {
        snprintf(topic, sizeof topic, "t%d.", i);
        assert_int_equal(event(&stream, topic, 1, i + 1, 1), 0);
    }
    assert_int_equal(stream.topic_count, STREAM_MAX_TOPICS);
    memset(topic, 'x', sizeof topic);
    topic[sizeof topic - 1] = '\0';
    assert_int_equal(event(&stream, topic, 1, 1000, 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gaps),
                                       cmocka_unit_test(test_beacons),
                                       cmocka_unit_test(test_epochs),
                                       cmocka_unit_test(test_new_topics),
                                       cmocka_unit_test(test_a_receiver_of_everything),
                                       cmocka_unit_test(test_many_topics)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
