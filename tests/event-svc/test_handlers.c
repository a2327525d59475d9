/* event-svc as it runs: its program and a broker's on threads, callers and subscribers over the real bus. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/program.h"
#include "event-svc/program.h"
#include "event-svc/store.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/bus/client.h"
#include "lib/bus/subscriber.h"
#include "tests/lib/bus/runner.h"

enum { PATIENCE_MS = 20000, SEEN_MAX = 1000, CALLERS = 6, BATCHES = 10, BATCH = 4 };

struct world {
    char folder[64];
    char url[80];
    char bus_name[20];
    struct log log;
    void *context;
    struct metrics *metrics;
    struct env env;
    struct bus_config bus;
    struct runner broker, events;
    struct bus_client *client;
    struct subscriber *subscriber; /* NULL until a test subscribes */
};

static void program_start(struct world *world, struct runner *runner, const struct program *program)
{
    bool stores = program == &event_program;
    const char *const flags[] = {"--bus", world->bus_name, stores ? "--store" : "--events", stores ? world->url : "",
                                 NULL};
    assert_int_equal(runner_start(runner, program, &world->log, world->context, flags), -1); /* ready, and not ended */
}

static void program_stop(struct runner *runner)
{
    assert_int_equal(runner_stop(runner), 0);
}

static int world_make(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    char message[200];
    snprintf(world->folder, sizeof world->folder, "/tmp/zmart-test-XXXXXX");
    assert_non_null(mkdtemp(world->folder));
    snprintf(world->url, sizeof world->url, "sqlite:%s", world->folder);
    world->log = (struct log){.fd = STDERR_FILENO, .level = LOG_WARN, .program = "test"};
    world->context = bus_context_new();
    world->metrics = metrics_new();
    snprintf(world->bus_name, sizeof world->bus_name, "inproc://test");
    world->bus = (struct bus_config){.bus = world->bus_name, .heartbeat_ms = 1000};
    world->env = (struct env){.log = &world->log, .metrics = world->metrics, .instance = "test",
                              .bus_context = world->context, .stop_fd = -1};
    program_start(world, &world->broker, &broker_program);
    program_start(world, &world->events, &event_program);
    struct bus_client_settings settings = {.bus = &world->bus, .role = "service", .slot_count = 64};
    world->client = bus_client_new(&world->env, &settings, message, sizeof message);
    assert_non_null(world->client);
    *state = world;
    return 0;
}

static int world_drop(void **state)
{
    struct world *world = *state;
    char command[128];
    subscriber_destroy(&world->subscriber);
    bus_client_destroy(&world->client);
    program_stop(&world->events);
    program_stop(&world->broker);
    bus_context_destroy(&world->context);
    metrics_destroy(&world->metrics);
    snprintf(command, sizeof command, "rm -r '%s'", world->folder);
    int status = system(command);
    free(world);
    return status;
}

/* ---- calls ---- */

/* Only services may append and replay. */
static struct call_meta meta_of_service(void)
{
    struct call_meta meta = {.caller = TEXT("test")};
    set_has(call_meta, &meta, caller);
    return meta;
}

static struct event_new event_of(const char *id, const char *type)
{
    struct event_new event = {.id = text_of(id), .type = text_of(type), .subject = TEXT("ord_1"),
                              .source = TEXT("test"), .time = 1000, .data = TEXT("\x81\xa1k\x07"),
                              .private_data = TEXT("\x81\xa1p\x08")};
    set_has(event_new, &event, data);
    set_has(event_new, &event, private_data);
    return event;
}

static enum err append(struct world *world, struct event_new *events, uint32_t count, int64_t *out_head)
{
    AUTO(arena_release) struct arena arena = {0};
    struct fault fault;
    struct event_append batch = {.events = {events, count}};
    struct event_appended appended = {0};
    struct call_meta meta = meta_of_service();
    fault_init(&fault, &arena);
    enum err e = bus_client_do(world->client, OP_event_append, NULL, &meta, &batch, &arena, &fault, &appended);
    *out_head = appended.head;
    return e;
}

static int64_t append_one(struct world *world, const char *id, const char *type)
{
    struct event_new event = event_of(id, type);
    int64_t head;
    assert_int_equal(append(world, &event, 1, &head), ERR_NONE);
    return head;
}

static enum err replay(struct world *world, struct event_replay request, struct arena *arena, struct fault *fault,
                       struct event_page *out)
{
    struct call_meta meta = meta_of_service();
    fault_init(fault, arena);
    return bus_client_do(world->client, OP_event_replay, NULL, &meta, &request, arena, fault, out);
}

/* ---- a subscriber that remembers ---- */

struct memory {
    pthread_mutex_t lock;
    pthread_cond_t grown;
    int64_t seqs[SEEN_MAX];
    uint32_t count;
    uint32_t wrong; /* events whose frames were not as appended */
};

static void memory_receive(void *user, const struct subscriber_event *event)
{
    struct memory *memory = user;
    char topic[80];
    snprintf(topic, sizeof topic, "%.*s.", TEXT_ARG(event->meta->type));
    bool right = text_is(event->topic, topic) && text_is(event->meta->stream, "zmart") &&
                 text_is(event->meta->specversion, "1.0") && text_is(event->meta->time, "1970-01-01T00:00:01.000Z") &&
                 text_equal(event->data, TEXT("\x81\xa1k\x07")) &&
                 text_equal(event->private_data, TEXT("\x81\xa1p\x08"));
    pthread_mutex_lock(&memory->lock);
    memory->wrong += right ? 0 : 1;
    if (memory->count < SEEN_MAX) {
        memory->seqs[memory->count++] = event->meta->seq;
    }
    pthread_cond_broadcast(&memory->grown);
    pthread_mutex_unlock(&memory->lock);
}

static void subscribe(struct world *world, struct memory *memory)
{
    static const char *const topics[] = {"order.", NULL};
    char message[200];
    *memory = (struct memory){.lock = PTHREAD_MUTEX_INITIALIZER, .grown = PTHREAD_COND_INITIALIZER};
    world->subscriber =
        subscriber_new(&world->env, &world->bus, topics, memory_receive, memory, message, sizeof message);
    assert_non_null(world->subscriber);
}

/* True when that many events came in time. */
static bool memory_wait(struct memory *memory, uint32_t count)
{
    struct timespec deadline;
    int failed = 0;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += PATIENCE_MS / 1000;
    pthread_mutex_lock(&memory->lock);
    while (memory->count < count && failed == 0) {
        failed = pthread_cond_timedwait(&memory->grown, &memory->lock, &deadline);
    }
    pthread_mutex_unlock(&memory->lock);
    return failed == 0;
}

/* The beacon says what the log's head is, also when nothing happens. */
static bool head_wait(struct subscriber *subscriber, int64_t seq)
{
    int64_t deadline_ms = clock_now_ms() + PATIENCE_MS;
    while (clock_now_ms() < deadline_ms) {
        if (subscriber_silence_ms(subscriber) < PATIENCE_MS && subscriber_seq(subscriber) >= seq) {
            return true;
        }
        usleep(10000);
    }
    return false;
}

/* ---- tests ---- */

struct caller {
    struct world *world;
    int index;
    int failures;
};

/* Every batch twice, and each overlaps its neighbour: what a relay does that has lost answers. */
static void *caller_main(void *argument)
{
    struct caller *caller = argument;
    for (int b = 0; b < BATCHES * 2; b++) {
        char ids[BATCH * 2][24];
        struct event_new events[BATCH * 2];
        int64_t head;
        for (int i = 0; i < BATCH * 2; i++) {
            int number = (b / 2 * BATCH + i) % (BATCHES * BATCH);
            snprintf(ids[i], sizeof ids[i], "evt_%d_%d", caller->index, number);
            events[i] = event_of(ids[i], i % 2 ? "order.placed" : "order.shipped");
        }
        caller->failures += append(caller->world, events, BATCH * 2, &head) != ERR_NONE;
    }
    return NULL;
}

static void concurrent_repeats_leave_no_gap(void **state)
{
    struct world *world = *state;
    struct caller callers[CALLERS];
    pthread_t threads[CALLERS];
    static struct memory memory; /* outlives a failed test's stack */
    int64_t after = 0;
    int64_t count = 0;
    int failures = 0;
    subscribe(world, &memory);
    assert_true(head_wait(world->subscriber, 0));
    for (int i = 0; i < CALLERS; i++) {
        callers[i] = (struct caller){world, i, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, caller_main, &callers[i]), 0);
    }
    for (int i = 0; i < CALLERS; i++) {
        pthread_join(threads[i], NULL);
        failures += callers[i].failures;
    }
    assert_int_equal(failures, 0);
    for (bool more = true; more;) {
        AUTO(arena_release) struct arena arena = {0};
        struct fault fault;
        struct event_page page;
        assert_int_equal(replay(world, (struct event_replay){.after = after}, &arena, &fault, &page), ERR_NONE);
        for (uint32_t i = 0; i < page.data.count; i++) {
            assert_int_equal(page.data.items[i].seq, ++count);
        }
        after = count;
        more = page.has_more;
    }
    assert_int_equal(count, CALLERS * BATCHES * BATCH);
    assert_true(memory_wait(&memory, (uint32_t)count)); /* and all were published, in order */
    for (uint32_t i = 0; i < memory.count; i++) {
        assert_int_equal(memory.seqs[i], i + 1);
    }
    assert_int_equal(memory.wrong, 0);
}

static void only_what_is_stored_is_published(void **state)
{
    struct world *world = *state;
    static struct memory memory; /* outlives a failed test's stack */
    int64_t head;
    subscribe(world, &memory);
    assert_true(head_wait(world->subscriber, 0));
    struct event_new events[] = {event_of("evt_1", "order.placed"), event_of("evt_2", "no such type")};
    assert_int_equal(append(world, events, 2, &head), ERR_INVALID_BODY); /* both or none */
    assert_int_equal(append_one(world, "evt_3", "order.placed"), 1);
    assert_true(memory_wait(&memory, 1));
    assert_true(head_wait(world->subscriber, 1));
    assert_int_equal(memory.count, 1);
    assert_int_equal(memory.seqs[0], 1);
}

static void a_restart_publishes_what_it_owes(void **state)
{
    struct world *world = *state;
    static struct memory memory; /* outlives a failed test's stack */
    struct fault fault;
    struct event_store *store = NULL;
    struct store_config config = {.store = world->url, .store_busy_ms = 1000};
    for (int i = 0; i < 5; i++) {
        char id[16];
        snprintf(id, sizeof id, "evt_%d", i);
        assert_int_equal(append_one(world, id, "order.placed"), i + 1);
    }
    program_stop(&world->events);
    fault_init(&fault, NULL); /* as after a crash: committed, but nobody knows whether the last three were published */
    assert_int_equal(event_store_open(&config, NULL, true, 1, NULL, &fault, &store), ERR_NONE);
    assert_int_equal(store->ops->mark(store, 2, &fault), ERR_NONE);
    event_store_destroy(&store);
    subscribe(world, &memory);
    program_start(world, &world->events, &event_program);
    assert_true(memory_wait(&memory, 3));
    assert_int_equal(memory.seqs[0], 3);
    assert_int_equal(memory.seqs[2], 5);
    assert_int_equal(append_one(world, "evt_new", "order.placed"), 6);
    assert_true(memory_wait(&memory, 4));
    assert_int_equal(memory.seqs[3], 6);
    assert_int_equal(append_one(world, "evt_0", "order.placed"), 6); /* a repeat across the restart */
}

static void replays_filter(void **state)
{
    struct world *world = *state;
    AUTO(arena_release) struct arena arena = {0};
    struct fault fault;
    struct event_page page;
    struct text patterns[] = {TEXT("order.sh*")};
    struct event_replay request = {.types = {patterns, 1}, .limit = 1};
    assert_int_equal(append_one(world, "evt_1", "order.placed"), 1);
    assert_int_equal(append_one(world, "evt_2", "order.shipped"), 2);
    assert_int_equal(append_one(world, "evt_3", "order.shipped"), 3);
    set_has(event_replay, &request, types);
    set_has(event_replay, &request, limit);
    assert_int_equal(replay(world, request, &arena, &fault, &page), ERR_NONE);
    assert_true(page.data.count == 1 && page.data.items[0].seq == 2 && page.has_more && page.head == 3 &&
                page.epoch > 0);
    request.after = 2;
    assert_int_equal(replay(world, request, &arena, &fault, &page), ERR_NONE);
    assert_true(page.data.count == 1 && page.data.items[0].seq == 3 && !page.has_more);
    request.after = 99; /* beyond the head: nothing, and no error */
    assert_int_equal(replay(world, request, &arena, &fault, &page), ERR_NONE);
    assert_true(page.data.count == 0 && !page.has_more && page.head == 3);
    patterns[0] = TEXT("*order");
    assert_int_equal(replay(world, request, &arena, &fault, &page), ERR_INVALID_PARAMETER);
    assert_int_equal(fault.item_count, 1);
}

static void a_position_may_be_lost(void **state)
{
    struct world *world = *state;
    AUTO(arena_release) struct arena arena = {0};
    struct fault fault;
    struct event_page page;
    struct event_store *store = NULL;
    struct store_config config = {.store = world->url, .store_busy_ms = 1000};
    uint32_t count;
    for (int i = 0; i < 4; i++) {
        char id[16];
        snprintf(id, sizeof id, "evt_%d", i);
        (void)append_one(world, id, "order.placed");
    }
    program_stop(&world->events);
    fault_init(&fault, NULL);
    assert_int_equal(event_store_open(&config, NULL, true, 1, NULL, &fault, &store), ERR_NONE);
    assert_int_equal(store->ops->purge(store, INT64_MAX, 2, &fault, &count), ERR_NONE);
    event_store_destroy(&store);
    program_start(world, &world->events, &event_program);
    assert_int_equal(replay(world, (struct event_replay){.after = 1}, &arena, &fault, &page), ERR_POSITION_LOST);
    assert_int_equal(fault.head, 4);
    assert_int_equal(replay(world, (struct event_replay){.after = 2}, &arena, &fault, &page), ERR_NONE);
    assert_true(page.data.count == 2 && page.data.items[0].seq == 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(concurrent_repeats_leave_no_gap, world_make, world_drop),
        cmocka_unit_test_setup_teardown(only_what_is_stored_is_published, world_make, world_drop),
        cmocka_unit_test_setup_teardown(a_restart_publishes_what_it_owes, world_make, world_drop),
        cmocka_unit_test_setup_teardown(replays_filter, world_make, world_drop),
        cmocka_unit_test_setup_teardown(a_position_may_be_lost, world_make, world_drop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
