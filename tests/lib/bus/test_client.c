/* A client with brokers that come, go, freeze and drain. */
#include <stdio.h>

#include "lib/base/clock.h"
#include "tests/lib/bus/client_scene.h"

/* ---- tests ---- */

static void test_settings(void **state)
{
    struct scene *scene = *state;
    char message[128] = "";
    rig_env_open(&scene->rig, scene->context, "http://x", "client");
    struct bus_client_settings settings = {.bus = &scene->rig.bus, .role = "gateway", .slot_count = 1};
    assert_null(bus_client_new(&scene->rig.env, &settings, message, sizeof message));
    assert_non_null(strstr(message, "http://x"));
    rig_env_close(&scene->rig);
}

static void test_no_broker(void **state)
{
    struct scene *scene = *state;
    int attempt;
    client_open(scene, scene->first, 4);
    assert_false(bus_client_connected(scene->client));
    int64_t start_ms = clock_now_ms();
    assert_int_equal(get_call(scene, "x", 60, &attempt), ERR_EXPIRED);
    assert_true(clock_now_ms() - start_ms >= 59);
    assert_int_equal(err_info(scene->fault.code)->http, 504);
    client_close(scene);
}

static void test_kept_until_there_is_a_broker(void **state)
{
    struct scene *scene = *state;
    struct rig_service rig;
    struct note note = {.status = -1};
    const char *bases[] = {scene->first, "inproc://later"};
    for (size_t i = 0; i < ARRAY_COUNT(bases); i++) {
        note = (struct note){.status = -1};
        client_open(scene, bases[i], 4);
        struct bus_request request = request_of(scene, "x", 20000);
        assert_int_equal(bus_client_start(scene->client, &request, note_done, &note), ERR_NONE);
        rig_service_start(&rig, scene->context, bases[i], &client_service, 0);
        struct tiny_broker *broker = tiny_broker_new(scene->context, bases[i], RIG_HEARTBEAT_MS);
        RIG_WAIT(note.done_count == 1);
        assert_int_equal(note.status, ERR_NONE);
        assert_true(bus_client_connected(scene->client));
        client_close(scene);
        assert_int_equal(rig_service_stop(&rig), 0);
        tiny_broker_destroy(&broker);
    }
}

static void test_broker_restarts(void **state)
{
    struct scene *scene = *state;
    struct rig_service rig;
    int attempt = 0;
    struct tiny_broker *broker = tiny_broker_new(scene->context, scene->first, RIG_QUICK_MS);
    rig_service_start(&rig, scene->context, scene->first, &client_service, 0);
    rig_service_wait(&rig);
    client_open(scene, scene->first, 4);
    struct note note = {.status = -1};
    struct bus_request request = request_of(scene, "gate", 20000);
    assert_int_equal(bus_client_start(scene->client, &request, note_done, &note), ERR_NONE);
    gate_wait(&client_gate);
    tiny_broker_destroy(&broker); /* it dies while the worker has the request */
    broker = tiny_broker_new(scene->context, scene->first, RIG_QUICK_MS);
    RIG_WAIT(tiny_broker_given(broker) == 1);
    sem_post(&client_gate.leave); /* this reply belongs to the dead broker's life */
    gate_wait(&client_gate);
    sem_post(&client_gate.leave);
    RIG_WAIT(note.done_count == 1);
    assert_int_equal(note.status, ERR_NONE);
    assert_int_equal(note.attempt, 2);
    assert_int_equal(get_call(scene, "x", 5000, &attempt), ERR_NONE);
    assert_int_equal(attempt, 1);
    client_close(scene);
    assert_int_equal(rig_service_stop(&rig), 0);
    tiny_broker_destroy(&broker);
}

/* As a dead letter is that somebody sends once more: attempts are counted anew. */
static void test_redelivered_with_its_first_attempt(void **state)
{
    struct scene *scene = *state;
    struct rig_service rig;
    struct product product;
    struct bus_answer answer;
    struct tiny_broker *broker = tiny_broker_new(scene->context, scene->first, RIG_QUICK_MS);
    rig_service_start(&rig, scene->context, scene->first, &client_service, 0);
    rig_service_wait(&rig);
    client_open(scene, scene->first, 4);
    struct bus_request request = request_of(scene, "x", 5000);
    request.flags |= FRAME_REDELIVERED;
    assert_int_equal(bus_client_call(scene->client, &request, &scene->arena, &scene->fault, &answer), ERR_NONE);
    assert_int_equal(record_unpack(&product_record, answer.body, &scene->arena, &scene->fault, &product), ERR_NONE);
    assert_int_equal(product.stock, 1);
    assert_true(product.active);
    client_close(scene);
    assert_int_equal(rig_service_stop(&rig), 0);
    tiny_broker_destroy(&broker);
}

/* The attempt before may have done it: only who reads may be told that nothing was done. */
static void test_no_refusal_of_what_was_sent_before(void **state)
{
    struct scene *scene = *state;
    struct rig_service rig;
    struct bus_answer answer;
    struct hold_order order = {.order_id = TEXT("sick"), .step = HOLD_RELEASE};
    struct product_settle settle = {.orders = {&order, 1}};
    struct call_meta meta = {.caller = TEXT("test")};
    struct tiny_broker *broker = tiny_broker_new(scene->context, scene->first, RIG_QUICK_MS);
    rig_service_start(&rig, scene->context, scene->first, &client_service, 0);
    rig_service_wait(&rig);
    client_open(scene, scene->first, 4);
    set_has(call_meta, &meta, caller);
    struct bus_request reads = request_of(scene, "sick", 5000), writes = reads;
    writes.route = TEXT("product.settle");
    writes.meta = record_pack_in(&call_meta_record, &meta, &scene->arena);
    writes.body = record_pack_in(&product_settle_record, &settle, &scene->arena);
    assert_int_equal(bus_client_call(scene->client, &writes, &scene->arena, &scene->fault, &answer),
                     ERR_SERVICE_UNAVAILABLE);
    reads.flags |= FRAME_REDELIVERED;
    writes.flags |= FRAME_REDELIVERED;
    assert_int_equal(bus_client_call(scene->client, &reads, &scene->arena, &scene->fault, &answer),
                     ERR_SERVICE_UNAVAILABLE);
    assert_int_equal(bus_client_call(scene->client, &writes, &scene->arena, &scene->fault, &answer),
                     ERR_OUTCOME_UNKNOWN);
    client_close(scene);
    assert_int_equal(rig_service_stop(&rig), 0);
    tiny_broker_destroy(&broker);
}

/* Two brokers, each with the service behind it. */
struct pair {
    struct tiny_broker *brokers[2];
    struct rig_service rig;
};

static void pair_open(struct scene *scene, struct pair *pair, int heartbeat_ms)
{
    pair->brokers[0] = tiny_broker_new(scene->context, scene->first, heartbeat_ms);
    pair->brokers[1] = tiny_broker_new(scene->context, scene->second, heartbeat_ms);
    rig_service_start(&pair->rig, scene->context, scene->both, &client_service, 0);
    client_open(scene, scene->both, 64);
    for (int i = 0; i < 2; i++) {
        RIG_WAIT(tiny_broker_workers(pair->brokers[i]) == 1);
    }
    RIG_WAIT(bus_client_brokers(scene->client) == 2);
}

static void pair_close(struct scene *scene, struct pair *pair)
{
    client_close(scene);
    assert_int_equal(rig_service_stop(&pair->rig), 0);
    tiny_broker_destroy(&pair->brokers[0]);
    tiny_broker_destroy(&pair->brokers[1]);
}

static void test_frozen_broker(void **state)
{
    struct scene *scene = *state;
    struct pair pair;
    enum { CALLS = 16 };
    struct note notes[CALLS] = {0};
    pair_open(scene, &pair, RIG_QUICK_MS);
    /* enough to have some in each: the one with fewer gets the next */
    int attempt = 0;
    assert_int_equal(get_call(scene, "x", 5000, &attempt), ERR_NONE);
    RIG_WAIT(tiny_broker_taken(pair.brokers[0]) + tiny_broker_taken(pair.brokers[1]) == 1);
    tiny_broker_freeze(pair.brokers[0], true);
    int again = 0;
    for (int i = 0; i < CALLS; i++) {
        struct bus_request request = request_of(scene, "x", 20000);
        assert_int_equal(bus_client_start(scene->client, &request, note_done, &notes[i]), ERR_NONE);
    }
    for (int i = 0; i < CALLS; i++) {
        RIG_WAIT(notes[i].done_count == 1);
        assert_int_equal(notes[i].status, ERR_NONE);
    }
    again = (int)metric_value(metrics_get(scene->rig.env.metrics, METRIC_COUNTER, "zmart_bus_resent_total", "", ""));
    assert_true(again > 0);
    tiny_broker_freeze(pair.brokers[0], false);
    assert_int_equal(get_call(scene, "x", 5000, &attempt), ERR_NONE);
    pair_close(scene, &pair);
}

static struct metric *resent_of(struct scene *scene)
{
    return metrics_get(scene->rig.env.metrics, METRIC_COUNTER, "zmart_bus_resent_total", "", "");
}

/* A refusal is an answer about a request that nobody else has had. One that was with another broker may have been begun
 * there. */
static void test_refused_elsewhere(void **state)
{
    enum { TRIES = 10 };
    static const struct {
        enum err said, fresh, resent;
    } cases[] = {{ERR_SERVICE_UNAVAILABLE, ERR_SERVICE_UNAVAILABLE, ERR_OUTCOME_UNKNOWN},
                 {ERR_QUEUE_FULL, ERR_QUEUE_FULL, ERR_OUTCOME_UNKNOWN},
                 {ERR_UNKNOWN_OPERATION, ERR_UNKNOWN_OPERATION, ERR_OUTCOME_UNKNOWN},
                 {ERR_BODY_TOO_LARGE, ERR_BODY_TOO_LARGE, ERR_BODY_TOO_LARGE}};
    struct scene *scene = *state;
    int attempt = 0;
    for (size_t i = 0, tries = 1; i < ARRAY_COUNT(cases); i += attempt) {
        struct pair pair;
        struct note notes[2] = {{.status = -1}, {.status = -1}};
        pair_open(scene, &pair, RIG_QUICK_MS);
        assert_int_equal(get_call(scene, "x", 5000, &attempt), ERR_NONE);
        tiny_broker_freeze(pair.brokers[0], true);
        tiny_broker_refuse(pair.brokers[1], cases[i].said);
        for (size_t n = 0; n < ARRAY_COUNT(notes); n++) { /* the first to the first broker, the next to the other */
            struct bus_request request = request_of(scene, "x", 20000);
            assert_int_equal(bus_client_start(scene->client, &request, note_done, &notes[n]), ERR_NONE);
        }
        RIG_WAIT(notes[0].done_count == 1 && notes[1].done_count == 1);
        bool resent = metric_value(resent_of(scene)) > 0; /* else it was found silent before it had anything */
        assert_true(resent || tries++ < TRIES);
        assert_int_equal(notes[0].status, resent ? cases[i].resent : cases[i].fresh);
        assert_int_equal(notes[1].status, cases[i].fresh);
        tiny_broker_freeze(pair.brokers[0], false);
        pair_close(scene, &pair);
        attempt = resent;
    }
}

static void test_draining_broker(void **state)
{
    struct scene *scene = *state;
    struct pair pair;
    int attempt = 0;
    pair_open(scene, &pair, RIG_HEARTBEAT_MS);
    assert_int_equal(get_call(scene, "x", 5000, &attempt), ERR_NONE);
    tiny_broker_drain(pair.brokers[0]);
    for (int i = 0; i < 20; i++) { /* some may be refused by the first broker, and go to the other */
        assert_int_equal(get_call(scene, "x", 5000, &attempt), ERR_NONE);
        assert_int_equal(attempt, 1);
    }
    pair_close(scene, &pair);
}

static void test_not_repeatable(void **state)
{
    struct scene *scene = *state;
    struct rig_service rig;
    struct tiny_broker *broker = tiny_broker_new(scene->context, scene->first, RIG_HEARTBEAT_MS);
    rig_service_start(&rig, scene->context, scene->first, &client_service, 0);
    rig_service_wait(&rig);
    client_open(scene, scene->first, 4);
    struct note note = {.status = -1};
    struct bus_request request = request_of(scene, "gate", 20000);
    request.flags = 0;
    assert_int_equal(bus_client_start(scene->client, &request, note_done, &note), ERR_NONE);
    gate_wait(&client_gate);
    tiny_broker_forget(broker);
    RIG_WAIT(note.done_count == 1);
    assert_int_equal(note.status, ERR_OUTCOME_UNKNOWN);
    sem_post(&client_gate.leave);
    client_close(scene);
    assert_int_equal(rig_service_stop(&rig), 0);
    tiny_broker_destroy(&broker);
}

/* ---- what keeps clients from making trouble worse ---- */
static void test_bad_requests(void **state)
{
    struct scene *scene = *state;
    struct bus_answer answer;
    client_open(scene, scene->first, 1);
    struct bus_request request = request_of(scene, "x", 100);
    char *large = mem_alloc(FRAME_MAX_BODY + 1);
    request.body = (struct text){large, FRAME_MAX_BODY + 1};
    assert_int_equal(bus_client_call(scene->client, &request, &scene->arena, &scene->fault, &answer),
                     ERR_BODY_TOO_LARGE);
    mem_free(large);
    request = request_of(scene, "x", 0);
    assert_int_equal(bus_client_call(scene->client, &request, &scene->arena, &scene->fault, &answer), ERR_BAD_REQUEST);
    request = request_of(scene, "x", 600001);
    assert_int_equal(bus_client_start(scene->client, &request, note_done, NULL), ERR_BAD_REQUEST);
    client_close(scene);
}

static void test_start_from_done(void **state)
{
    struct scene *scene = *state;
    client_open(scene, scene->first, 1);
    struct bus_request request = request_of(scene, "x", 30);
    struct note note = {.again = scene->client, .request = &request, .status = -1};
    assert_int_equal(bus_client_start(scene->client, &request, note_done, &note), ERR_NONE);
    RIG_WAIT(note.done_count == 2);
    assert_int_equal(note.status, ERR_EXPIRED);
    client_close(scene);
}

static void test_late_reply(void **state)
{
    struct scene *scene = *state;
    struct rig_service rig;
    int attempt = 0;
    struct tiny_broker *broker = tiny_broker_new(scene->context, scene->first, RIG_HEARTBEAT_MS);
    rig_service_start(&rig, scene->context, scene->first, &client_service, 0);
    rig_service_wait(&rig);
    client_open(scene, scene->first, 1);
    RIG_WAIT(bus_client_connected(scene->client));
    uint32_t budget_ms = 200;
    do { /* on a busy machine its time may be over before it is begun */
        assert_int_equal(get_call(scene, "gate", budget_ms, &attempt), ERR_EXPIRED);
        budget_ms *= 2;
    } while (sem_trywait(&client_gate.entered) != 0 && budget_ms < RIG_PATIENCE_MS);
    sem_post(&client_gate.leave);
    assert_int_equal(get_call(scene, "y", 5000, &attempt), ERR_NONE); /* the same slot, another generation */
    struct metric *late = metrics_get(scene->rig.env.metrics, METRIC_COUNTER, "zmart_bus_late_replies_total", "", "");
    RIG_WAIT(metric_value(late) >= 1);
    client_close(scene);
    assert_int_equal(rig_service_stop(&rig), 0);
    tiny_broker_destroy(&broker);
}

/* ---- many at once ---- */

enum { CROWD = 8, CROWD_CALLS = 200 };

struct crowd {
    struct scene *scene;
    pthread_t thread;
    int good_count;
};

static void *crowd_thread(void *argument)
{
    struct crowd *crowd = argument;
    for (int i = 0; i < CROWD_CALLS; i++) {
        AUTO(arena_release) struct arena arena = {0};
        char id[40];
        struct product_ref ref;
        struct product product;
        struct fault fault;
        fault_init(&fault, &arena);
        snprintf(id, sizeof id, "%p-%d", (void *)crowd, i);
        ref = (struct product_ref){.id = text_of(id)};
        enum err status =
            bus_client_do(crowd->scene->client, OP_product_get, NULL, NULL, &ref, &arena, &fault, &product);
        crowd->good_count += status == ERR_NONE && text_is(product.name, id);
    }
    return NULL;
}

static void test_many_threads(void **state)
{
    struct scene *scene = *state;
    struct pair pair;
    struct crowd crowds[CROWD];
    pair_open(scene, &pair, RIG_HEARTBEAT_MS);
    for (int i = 0; i < CROWD; i++) {
        crowds[i] = (struct crowd){.scene = scene};
        assert_int_equal(pthread_create(&crowds[i].thread, NULL, crowd_thread, &crowds[i]), 0);
    }
    tiny_broker_forget(pair.brokers[1]); /* somewhere in between */
    for (int i = 0; i < CROWD; i++) {
        pthread_join(crowds[i].thread, NULL);
        assert_int_equal(crowds[i].good_count, CROWD_CALLS);
    }
    pair_close(scene, &pair);
}

#define SCENE(test) cmocka_unit_test_setup_teardown(test, scene_open, scene_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(test_settings),
        SCENE(test_no_broker),
        SCENE(test_kept_until_there_is_a_broker),
        SCENE(test_broker_restarts),
        SCENE(test_redelivered_with_its_first_attempt),
        SCENE(test_no_refusal_of_what_was_sent_before),
        SCENE(test_frozen_broker),
        SCENE(test_refused_elsewhere),
        SCENE(test_draining_broker),
        SCENE(test_not_repeatable),
        SCENE(test_bad_requests),
        SCENE(test_start_from_done),
        SCENE(test_late_reply),
        SCENE(test_many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
