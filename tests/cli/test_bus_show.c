#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>

#include "cli/bus_show.h"

#define WORD(literal)                                                                                                  \
    {                                                                                                                  \
        (literal), sizeof(literal) - 1                                                                                 \
    } /* for what must be constant */

static struct mmi_queue queue = {
    .service = WORD("product"), .length = 3, .bytes = 700, .oldest_ms = 1500, .workers = 1, .credit = 64};
static const struct mmi_queue_list queues = {
    .queues = {&queue, 1}, .accepted = 9, .replied = 4, .nacked = 2, .in_flight = 3};
static struct mmi_service service = {.name = WORD("product"), .workers = 1, .credit = 64, .in_flight = 5};
static struct mmi_worker worker = {.instance = WORD("w\"1\""),
                                   .version = WORD("0.1.0"),
                                   .epoch = 7,
                                   .silent_ms = 20,
                                   .draining = true,
                                   .services = {&service, 1}};
static const struct mmi_worker_list workers = {.workers = {&worker, 1}, .clients = 2};
static struct mmi_dead_letter letter = {.request_id = WORD("00112233445566778899aabbccddeeff"),
                                        .route = WORD("user.login"),
                                        .attempts = 3,
                                        .age_ms = 100,
                                        .secret = true};
static const struct mmi_dead_letters letters = {.count = 5, .letters = {&letter, 1}};
static const struct mmi_dead_letters no_letters;

static const struct bus_view views[] = {
    {.address = "ipc:///run/a", .answered_us = 1234, .queues = &queues, .workers = &workers, .letters = &letters},
    {.address = "ipc:///run/b", .error = "no broker answers at ipc:///run/b"}};

static void expect(enum bus_topic topic, const struct bus_view *list, int count, const char *const *parts)
{
    AUTO(arena_release) struct arena arena = {0};
    AUTO(buffer_release) struct buffer out;
    buffer_init(&out, 10000);
    assert_true(bus_show_tables(topic, list, count, &arena, &out));
    for (; *parts; parts++) {
        if (!memmem(out.data, out.size, *parts, strlen(*parts))) {
            fail_msg("no \"%s\" in:\n%.*s", *parts, TEXT_ARG(buffer_text(&out)));
        }
    }
}

#define PARTS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void tables_say_it_to_people(void **state)
{
    (void)state;
    expect(BUS_STATUS, views, 2,
           PARTS("broker ipc:///run/a: answered in 1.2 ms\n", "accepted 9, replied 4, nacked 2, in flight 3\n",
                 "1 workers, 2 clients, 5 dead letters\n",
                 "product        1      64          0        3    700   1.5 s\n",
                 "\nbroker ipc:///run/b: no broker answers at ipc:///run/b\n"));
    expect(BUS_TOPIC_QUEUES, views, 1, PARTS("SERVICE", "OLDEST"));
    expect(BUS_TOPIC_WORKERS, views, 1, PARTS("w\"1\"", "drains", "product 5/64\n"));
    expect(BUS_TOPIC_DLQ, views, 1,
           PARTS("00112233445566778899aabbccddeeff", "user.login", "in memory", "no: secret", "and 4 older ones"));
    struct mmi_dead_letters unseen = {.partial = true};
    struct bus_view blind = {.address = "x", .letters = &unseen};
    expect(BUS_TOPIC_DLQ, &blind, 1, PARTS("event-svc does not answer\n"));
    struct bus_view empty = {.address = "x", .letters = &no_letters};
    expect(BUS_TOPIC_DLQ, &empty, 1, PARTS("no dead letters\n"));
}

static void json_says_it_to_scripts(void **state)
{
    (void)state;
    AUTO(buffer_release) struct buffer out, small;
    buffer_init(&out, 10000);
    buffer_init(&small, 100);
    assert_true(bus_show_json(views, 2, &out));
    assert_false(bus_show_json(views, 2, &small));
    assert_int_equal(out.data[out.size - 1], '\n');
    assert_null(memchr(out.data, '\n', out.size - 1));
    json_t *root = json_loadb(out.data, out.size, 0, NULL);
    json_t *brokers = json_object_get(root, "brokers");
    json_t *first = json_array_get(brokers, 0);
    assert_int_equal(json_array_size(brokers), 2);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(first, "queues"), "accepted")), 9);
    json_t *list = json_object_get(json_object_get(first, "workers"), "workers");
    assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "instance")), "w\"1\"");
    assert_int_equal(json_integer_value(json_object_get(json_object_get(first, "dead_letters"), "count")), 5);
    assert_string_equal(json_string_value(json_object_get(json_array_get(brokers, 1), "error")), views[1].error);
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(tables_say_it_to_people),
                                       cmocka_unit_test(json_says_it_to_scripts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
