/* The event log and the dead letters on MongoDB, and what only it allows: several writers of one log. */
#include "tests/contract/contract_event.h"

#include <pthread.h>
#include <time.h>

#include "event-svc/rules.h"
#include "tests/mongo/patient.h"
#include "tests/mongo/proxy.h"

enum { COMMANDS_MIN = 12 };
enum { RACERS = 3, RACE_UNITS = 12, RACE_UNIT_EVENTS = 5 };

static void pool_open(struct place *place)
{
    if (patient_pool_open(&place->config, &event_mongo_schema, NULL, &place->fault, &place->pool) != ERR_NONE) {
        fail_msg("open: %s (%s)", place->fault.detail, place->fault.cause);
    }
}

int place_make(void **state)
{
    struct place *place = calloc(1, sizeof *place);
    test_database_new(place->url);
    place->config = (struct store_config){
        .store = place->url, .store_connect_ms = 5000, .store_select_ms = 10000, .store_answer_ms = 30000};
    fault_init(&place->fault, &place->arena);
    pool_open(place);
    *state = place;
    return 0;
}

int place_drop(void **state)
{
    struct place *place = *state;
    mongo_pool_destroy(&place->pool);
    test_database_drop(place->url);
    arena_release(&place->arena);
    free(place);
    return 0;
}

void place_empty(struct place *place)
{
    test_database_empty(place->url);
}

/* ---- several writers ---- */

struct racer {
    struct place *place;
    int number;
    int failed;
};

/* Appends its own events, and in each unit one that all racers have. */
static void *racer_run(void *argument)
{
    struct racer *racer = argument;
    struct event_store *store = NULL;
    struct fault fault;
    fault_init(&fault, NULL);
    if (event_store_open(&racer->place->config, racer->place->pool, true, 1, NULL, &fault, &store) != ERR_NONE) {
        racer->failed++;
        return NULL;
    }
    for (int unit = 0; unit < RACE_UNITS; unit++) {
        char ids[RACE_UNIT_EVENTS][24];
        struct event_new events[RACE_UNIT_EVENTS];
        uint32_t new_count = 0;
        for (int i = 0; i < RACE_UNIT_EVENTS; i++) {
            bool is_common = i == 2;
            snprintf(ids[i], sizeof ids[i], "evt_%d_%d_%d", is_common ? 0 : racer->number, unit, i);
            events[i] = event_of(ids[i], i % 2 ? "order.placed" : "order.shipped", "usr_1", 10);
        }
        racer->failed += appended(store, events, RACE_UNIT_EVENTS, &new_count) != ERR_NONE;
    }
    event_store_destroy(&store);
    return NULL;
}

static void writers_race_and_leave_no_gap(void **state)
{
    struct place *place = *state;
    struct racer racers[RACERS];
    pthread_t threads[RACERS];
    struct event_store *store = place_store(place, true, 1);
    for (int i = 0; i < RACERS; i++) {
        racers[i] = (struct racer){place, i + 1, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, racer_run, &racers[i]), 0);
    }
    for (int i = 0; i < RACERS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(racers[i].failed, 0);
    }
    uint32_t count = RACE_UNITS * (RACERS * (RACE_UNIT_EVENTS - 1) + 1); /* the common ones are in it once */
    struct event_filter filter = {.last = INT64_MAX, .limit = EVENT_BATCH_MAX, .every_type = true};
    struct event_rows rows = {0};
    struct topic_rows topics = {0};
    int64_t placed = 0, shipped = 0;
    assert_gap_free(place, store, count);
    assert_int_equal(store->ops->page(store, &filter, &place->arena, &place->fault, &rows), ERR_NONE);
    for (uint32_t i = 0; i < rows.count; i++) {
        int64_t *tseq = text_is(rows.items[i].type, "order.placed") ? &placed : &shipped;
        assert_int_equal(rows.items[i].tseq, ++*tseq); /* no gap in a type either */
        for (uint32_t k = 0; k < i; k++) {
            assert_false(text_equal(rows.items[i].id, rows.items[k].id));
        }
    }
    assert_int_equal(store->ops->topics(store, &place->arena, &place->fault, &topics), ERR_NONE);
    assert_true(topics.count == 2 && topics.items[0].tseq == placed && topics.items[1].tseq == shipped);
    event_store_destroy(&store);
}

/* One that lost the race goes on behind the other, also with what the other has stored already. */
static void a_lost_race_is_repeated(void **state)
{
    struct place *place = *state;
    struct event_store *first = place_store(place, true, 1);
    struct event_store *second = place_store(place, true, 2);
    struct event_new events[] = {event_of("evt_1", "order.placed", NULL, 10),
                                 event_of("evt_2", "order.placed", NULL, 10),
                                 event_of("evt_3", "order.shipped", NULL, 10)};
    struct event_append batch = {.events = {events, 3}};
    struct event_added added;
    uint32_t new_count = 0;
    assert_int_equal(first->unit->begin(first->handle, true, &place->fault), ERR_NONE);
    assert_int_equal(first->ops->append(first, &batch, &place->fault, &added), ERR_NONE);
    assert_int_equal(appended(second, &events[1], 1, &new_count), ERR_NONE); /* comes in between */
    assert_int_equal(first->unit->commit(first->handle, &place->fault), ERR_NONE);
    assert_gap_free(place, second, 3);
    event_store_destroy(&first);
    event_store_destroy(&second);
}

/* ---- the lease ---- */

static bool leased(struct place *place, struct event_store *store, int64_t now_ms)
{
    bool held = false;
    assert_int_equal(store->ops->lease(store, now_ms, &place->fault, &held), ERR_NONE);
    return held;
}

static void a_silent_holder_loses_the_lease(void **state)
{
    struct place *place = *state;
    struct event_store *first = place_store(place, true, 1);
    struct event_store *second = place_store(place, true, 1);
    int64_t other = INT64_C(1) << 40; /* their clocks have nothing in common */
    assert_true(leased(place, first, 100));
    assert_false(leased(place, second, other));
    assert_false(leased(place, second, other + EVENT_LEASE_MS - 1));
    assert_true(leased(place, first, 200)); /* a sign of life: the other one's patience begins anew */
    assert_false(leased(place, second, other + EVENT_LEASE_MS));
    assert_false(leased(place, second, other + 2 * EVENT_LEASE_MS - 1));
    assert_int_equal(first->ops->mark(first, 7, &place->fault), ERR_NONE);
    assert_true(leased(place, second, other + 2 * EVENT_LEASE_MS));
    assert_false(leased(place, first, 300));
    assert_int_equal(first->ops->mark(first, 9, &place->fault), ERR_CONFLICT); /* fenced off */
    struct event_stream stream;
    assert_int_equal(second->ops->stream(second, &place->fault, &stream), ERR_NONE);
    assert_int_equal(stream.published, 7);
    event_store_destroy(&first);
    event_store_destroy(&second);
}

static void a_lease_is_given_back(void **state)
{
    struct place *place = *state;
    struct event_store *first = place_store(place, true, 1);
    struct event_store *second = place_store(place, true, 1);
    assert_true(leased(place, first, 100));
    assert_int_equal(second->ops->leave(second, &place->fault), ERR_NONE); /* not its own: nothing happens */
    assert_false(leased(place, second, 100));
    assert_int_equal(first->ops->leave(first, &place->fault), ERR_NONE);
    assert_true(leased(place, second, 101));
    event_store_destroy(&first);
    event_store_destroy(&second);
}

/* ---- any command may be spoilt ---- */

static void pause_shortly(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 20 * 1000000L}, NULL);
}

/* A caller who repeats each step until it is answered. */
static void repeated_run(struct event_store *store)
{
    struct event_new events[] = {
        event_of("evt_1", "order.placed", "usr_1", 10), event_of("evt_2", "order.shipped", "usr_1", 12),
        event_of("evt_3", "order.placed", "usr_2", 13), event_of("evt_4", "order.placed", "usr_2", 14)};
    struct fault fault;
    uint32_t count = 0;
    bool held = false;
    fault_init(&fault, NULL);
    while (store->ops->lease(store, 1, &fault, &held) != ERR_NONE ||
           !held) { /* not held: a late try of ours came between */
        pause_shortly();
    }
    for (uint32_t last = 2; last <= 3; last++) {
        while (appended(store, events, last, &count) != ERR_NONE) {
            pause_shortly();
        }
    }
    while (store->ops->mark(store, 3, &fault) != ERR_NONE) {
        pause_shortly();
    }
    while (store->ops->purge(store, 11, 10, &fault, &count) != ERR_NONE) {
        pause_shortly();
    }
    while (appended(store, events, 4, &count) != ERR_NONE && appended(store, events + 1, 3, &count) != ERR_NONE) {
        pause_shortly();
    }
}

/* The first event was dropped, and may have been told again by the caller; the others are there once, in order. */
static void log_is_right(struct place *place, struct event_store *store)
{
    static const char *const ids[] = {"evt_2", "evt_3"};
    struct event_filter filter = {.last = INT64_MAX, .limit = EVENT_BATCH_MAX, .every_type = true};
    struct event_rows rows = {0};
    int64_t tseq = 1; /* of order.placed: evt_1 had it */
    enum err e;
    while ((e = store->ops->page(store, &filter, &place->arena, &place->fault, &rows)) == ERR_SERVICE_UNAVAILABLE) {
        pause_shortly();
    }
    assert_int_equal(e, ERR_NONE);
    assert_true(rows.count >= 3);
    for (uint32_t i = 0; i < rows.count; i++) {
        assert_int_equal(rows.items[i].seq, i + 2);
        assert_true(i >= ARRAY_COUNT(ids) || text_is(rows.items[i].id, ids[i]));
        if (text_is(rows.items[i].type, "order.placed")) {
            assert_int_equal(rows.items[i].tseq, ++tseq);
        }
        for (uint32_t k = 0; k < i; k++) {
            assert_false(text_equal(rows.items[i].id, rows.items[k].id));
        }
    }
}

/* False when the scenario ended before the n-th command. */
static bool spoilt_once(struct place *place, struct mongo_proxy *proxy, int n, enum spoil how)
{
    struct event_store *store = place_store(place, true, 1);
    mongo_proxy_spoil(proxy, n, how);
    repeated_run(store);
    bool spoilt = mongo_proxy_spoilt(proxy);
    mongo_proxy_spoil(proxy, -1, how);
    mongo_proxy_settle(proxy);
    log_is_right(place, store);
    event_store_destroy(&store);
    return spoilt;
}

static void every_command_spoilt(enum spoil how)
{
    struct place place = {0};
    char direct[TEST_URL_SIZE];
    bool slow = how >= SPOIL_SILENCE; /* those share the commands between them */
    int n = slow ? (int)(how - SPOIL_SILENCE) : 0;
    fault_init(&place.fault, &place.arena);
    test_database_new(direct);
    struct mongo_proxy *proxy = mongo_proxy_start(direct, place.url);
    place.config = (struct store_config){
        .store = place.url, .store_connect_ms = 2000, .store_select_ms = 5000, .store_answer_ms = spoil_answer_ms(how)};
    pool_open(&place);
    while (spoilt_once(&place, proxy, n, how)) {
        n += slow ? 2 : 1;
        mongo_proxy_settle(proxy);
        test_database_empty(direct);
    }
    assert_true(n >= COMMANDS_MIN);
    mongo_pool_destroy(&place.pool);
    mongo_proxy_stop(&proxy);
    test_database_drop(direct);
    arena_release(&place.arena);
}

static void any_command_may_be_spoilt(void **state)
{
    (void)state;
    for (int how = 0; how < SPOIL_COUNT; how++) {
        every_command_spoilt((enum spoil)how);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(writers_race_and_leave_no_gap, place_make, place_drop),
        cmocka_unit_test_setup_teardown(a_lost_race_is_repeated, place_make, place_drop),
        cmocka_unit_test_setup_teardown(a_silent_holder_loses_the_lease, place_make, place_drop),
        cmocka_unit_test_setup_teardown(a_lease_is_given_back, place_make, place_drop),
        cmocka_unit_test(any_command_may_be_spoilt),
    };
    return contract_event_run() + contract_event_failing_run() + contract_letter_run() +
           cmocka_run_group_tests(tests, NULL, NULL);
}
