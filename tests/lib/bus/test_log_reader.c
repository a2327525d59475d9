/* A log reader against a log that does as it is told: pages, a take that fails, entries that are gone, another log,
 * and the same one from a member that lags behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <zmq.h>

#include "lib/bus/log_reader.h"
#include "tests/lib/bus/rig.h"
#include "tests/lib/bus/tiny_broker.h"

enum { PAGE = 3, TAKEN_MAX = 64, LOOK_MS = 20 };

/* The log, and what the reader has stored of it. */
static struct world {
    pthread_mutex_t lock;
    int64_t head, epoch, floor; /* entries up to the floor are gone */
    int asked;
    int64_t position;
    int fails; /* so many takes */
    int64_t taken[TAKEN_MAX];
    int taken_count;
} world = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void world_set(int64_t head, int64_t epoch)
{
    pthread_mutex_lock(&world.lock);
    world.head = head;
    world.epoch = epoch;
    pthread_mutex_unlock(&world.lock);
}

static int64_t world_get(const int64_t *field)
{
    pthread_mutex_lock(&world.lock);
    int64_t value = *field;
    pthread_mutex_unlock(&world.lock);
    return value;
}

static int world_asked(void)
{
    pthread_mutex_lock(&world.lock);
    int asked = world.asked;
    pthread_mutex_unlock(&world.lock);
    return asked;
}

/* ---- the service "event" ---- */

static void page_fill(struct call *call, int64_t after, struct event_page *out)
{
    struct event_entry *entries = arena_alloc(call_arena(call), PAGE * sizeof *entries);
    uint32_t count = 0;
    for (int64_t seq = after + 1; seq <= world.head && count < PAGE; seq++) {
        entries[count++] = (struct event_entry){.id = TEXT("e"),
                                                .type = TEXT("order.placed"),
                                                .subject = TEXT("o"),
                                                .source = TEXT("order"),
                                                .seq = seq,
                                                .tseq = seq};
    }
    *out = (struct event_page){.data = {entries, count},
                               .has_more = after + count < world.head,
                               .head = world.head,
                               .epoch = world.epoch};
}

static enum err event_replay(struct call *call, const void *in, void *out)
{
    const struct event_replay *replay = in;
    enum err e = ERR_NONE;
    assert_int_equal(replay->types.count, 1);
    assert_true(text_is(replay->types.items[0], "order.*"));
    pthread_mutex_lock(&world.lock);
    world.asked++;
    if (replay->after < world.floor) {
        e = fault_set(call_fault(call), ERR_POSITION_LOST, "gone");
        call_fault(call)->head = world.head;
    } else {
        page_fill(call, replay->after, out);
    }
    pthread_mutex_unlock(&world.lock);
    return e;
}

static enum err plain_open(struct service_loop *loop, const void *config, struct fault *fault, struct loop_store *out)
{
    (void)loop, (void)config, (void)fault;
    *out = (struct loop_store){0};
    return ERR_NONE;
}

static const struct op_handler event_handlers[] = {{OP_event_replay, event_replay}};
static const struct service event_service = {.name = "event",
                                             .handlers = event_handlers,
                                             .handler_count = ARRAY_COUNT(event_handlers),
                                             .default_loops = 1,
                                             .open = plain_open};

/* ---- the service "mail", which reads ---- */

static enum err position_read(struct call *call, int64_t *out)
{
    (void)call;
    *out = world_get(&world.position);
    return ERR_NONE;
}

static enum err page_take(struct call *call, const struct log_page *page)
{
    enum err e = ERR_NONE;
    pthread_mutex_lock(&world.lock);
    if (world.fails > 0) {
        world.fails--;
        e = fault_set(call_fault(call), ERR_SERVICE_UNAVAILABLE, "the disk is full");
    } else {
        for (uint32_t i = 0; i < page->count; i++) {
            assert_true(world.taken_count < TAKEN_MAX);
            world.taken[world.taken_count++] = page->entries[i].seq;
        }
        world.position = page->position;
    }
    pthread_mutex_unlock(&world.lock);
    return e;
}

static enum err reader_open(struct service_loop *loop, const void *config, struct fault *fault, struct loop_store *out)
{
    static const char *const types[] = {"order.*", NULL};
    const struct log_reader_settings settings = {.types = types, .position = position_read, .take = page_take};
    const struct rig_service *rig = config;
    char message[256];
    struct log_reader *reader = log_reader_new(loop, &rig->rig.bus, &settings, message, sizeof message);
    *out = (struct loop_store){.state = reader};
    return reader ? ERR_NONE : fault_set(fault, ERR_INTERNAL, "%s", message);
}

static void reader_close(struct service_loop *loop, void *state)
{
    struct log_reader *reader = state;
    (void)loop;
    log_reader_destroy(&reader);
}

static enum err reader_look(struct call *call, void *argument)
{
    (void)argument;
    log_reader_look(call_state(call));
    return ERR_NONE;
}

static const struct service_timer timers[] = {{"look", LOOK_MS, LOG_READER_BUDGET_MS, reader_look}};
static const struct service reader_service = {.name = "mail",
                                              .timers = timers,
                                              .timer_count = ARRAY_COUNT(timers),
                                              .default_loops = 1,
                                              .open = reader_open,
                                              .close = reader_close};

/* ---- both, over a broker; nobody publishes, so the reader looks by itself ---- */

struct place {
    void *context;
    struct tiny_broker *broker;
    struct rig_service event, reader;
};

static int place_open(void **state)
{
    static const char base[] = "inproc://log";
    struct place *place = calloc(1, sizeof *place);
    world_set(0, 1);
    world.floor = world.position = world.asked = world.fails = world.taken_count = 0;
    place->context = zmq_ctx_new();
    place->broker = tiny_broker_new(place->context, base, RIG_QUICK_MS);
    rig_service_start(&place->event, place->context, base, &event_service, 0);
    rig_service_start(&place->reader, place->context, base, &reader_service, 0);
    rig_service_wait(&place->event);
    rig_service_wait(&place->reader);
    *state = place;
    return 0;
}

static int place_close(void **state)
{
    struct place *place = *state;
    assert_int_equal(rig_service_stop(&place->reader), 0);
    assert_int_equal(rig_service_stop(&place->event), 0);
    tiny_broker_destroy(&place->broker);
    zmq_ctx_term(place->context);
    free(place);
    return 0;
}

static void assert_taken(const int64_t *seqs, int count)
{
    pthread_mutex_lock(&world.lock);
    assert_int_equal(world.taken_count, count);
    for (int i = 0; i < count; i++) {
        assert_int_equal(world.taken[i], seqs[i]);
    }
    pthread_mutex_unlock(&world.lock);
}

static void test_pages_are_taken_once_and_in_order(void **state)
{
    static const int64_t all[] = {1, 2, 3, 4, 5, 6, 7, 8};
    (void)state;
    world_set(7, 1);
    RIG_WAIT(world_get(&world.position) == 7);
    world_set(8, 1);
    RIG_WAIT(world_get(&world.position) == 8);
    assert_taken(all, 8);
}

static void test_a_page_that_could_not_be_stored_comes_again(void **state)
{
    static const int64_t all[] = {1, 2, 3, 4};
    (void)state;
    pthread_mutex_lock(&world.lock);
    world.fails = 3;
    world.head = 4;
    pthread_mutex_unlock(&world.lock);
    RIG_WAIT(world_get(&world.position) == 4);
    assert_taken(all, 4);
}

static void test_goes_on_behind_what_is_gone(void **state)
{
    static const int64_t rest[] = {10, 11};
    (void)state;
    pthread_mutex_lock(&world.lock);
    world.head = world.floor = 9;
    pthread_mutex_unlock(&world.lock);
    RIG_WAIT(world_get(&world.position) == 9);
    world_set(11, 1);
    RIG_WAIT(world_get(&world.position) == 11);
    assert_taken(rest, 2);
}

static void test_another_log_is_read_from_its_start(void **state)
{
    static const int64_t both[] = {1, 2, 3, 4, 1, 2};
    (void)state;
    world_set(4, 1);
    RIG_WAIT(world_get(&world.position) == 4);
    world_set(2, 2);
    RIG_WAIT(world_get(&world.position) == 2);
    assert_taken(both, 6);
}

static void test_a_log_that_lags_is_not_another(void **state)
{
    static const int64_t all[] = {1, 2, 3, 4, 5};
    (void)state;
    world_set(4, 1);
    RIG_WAIT(world_get(&world.position) == 4);
    world_set(2, 1);
    int before = world_asked();
    RIG_WAIT(world_asked() >= before + 3); /* it has seen that, and more than once */
    world_set(5, 1);
    RIG_WAIT(world_get(&world.position) == 5);
    assert_taken(all, 5);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, place_open, place_close)
    const struct CMUnitTest tests[] = {
        TEST(test_pages_are_taken_once_and_in_order),
        TEST(test_a_page_that_could_not_be_stored_comes_again),
        TEST(test_goes_on_behind_what_is_gone),
        TEST(test_another_log_is_read_from_its_start),
        TEST(test_a_log_that_lags_is_not_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
